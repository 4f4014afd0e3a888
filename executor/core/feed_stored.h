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

void feed_put_stored(struct feed *feed, unsigned stream, const struct feed_stored *stored);
