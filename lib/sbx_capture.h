/*
 * Keeps the head and the tail of an output stream within a fixed budget and
 * counts every byte. The middle that did not fit is dropped and reported.
 */
#pragma once

#include "sbx_buf.h"

#pragma GCC visibility push(hidden)

struct sbx_capture {
    char *head, *tail; /* keep/2 each, allocated when first needed */
    size_t keep;
    size_t head_len;
    uint64_t total; /* bytes ever seen */
};

void sbx_capture_init(struct sbx_capture *capture, size_t keep);
void sbx_capture_deinit(struct sbx_capture *capture);
/* False when out of memory (bytes are counted all the same). */
bool sbx_capture_add(struct sbx_capture *capture, const void *data, size_t len);
/* The newest bytes, at most `size`; returns how many. */
size_t sbx_capture_last(const struct sbx_capture *capture, char *out, size_t size);
bool sbx_capture_truncated(const struct sbx_capture *capture);
/*
 * Appends what was kept. When truncated, the line "\n[... N bytes omitted ...]\n"
 * stands between head and tail, which are trimmed to UTF-8 boundaries.
 */
void sbx_capture_text(const struct sbx_capture *capture, struct sbx_buf *out);

#pragma GCC visibility pop
