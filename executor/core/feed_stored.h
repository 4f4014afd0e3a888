/* Output as a record keeps it, back into a feed. */
#pragma once

#include "executor/core/feed.h"

/*
 * `data` is what sbx_capture_text made of `total` bytes; truncated: it may be a head and a tail with a line between
 * them that says how much was left out, which becomes a gap.
 */
struct feed_stored {
    const char *data;
    size_t len;
    uint64_t total;
    bool truncated;
};

/* The same without that line: `omitted` bytes were said between head and tail and are nowhere any more. Borrows. */
struct feed_stored_parts {
    const char *head, *tail;
    size_t head_len, tail_len;
    uint64_t omitted;
};

void feed_stored_split(struct feed_stored_parts *ret, const struct feed_stored *stored);
void feed_put_stored(struct feed *feed, unsigned stream, const struct feed_stored *stored);
