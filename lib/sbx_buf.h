/*
 * A byte buffer that grows up to a hard maximum. Failure (out of memory or
 * past the maximum) is sticky: append freely, check `failed` once before use.
 * Always NUL-terminated one past `len` once anything was appended.
 */
#pragma once

#include "sbx_base.h"

#pragma GCC visibility push(hidden)

struct sbx_buf {
    char *data;
    size_t len;
    size_t cap;
    size_t max;
    bool failed;
};

#define SBX_BUF_INIT(maximum)                                                                                \
    {                                                                                                        \
        .max = (maximum)                                                                                     \
    }

/* Over an array of the caller's that holds the NUL too: never grows, allocates and frees nothing, needs no deinit. */
#define SBX_BUF_OVER(array)                                                                                  \
    {                                                                                                        \
        .data = (array), .cap = sizeof(array), .max = sizeof(array) - 1                                      \
    }

void sbx_buf_deinit(struct sbx_buf *buf);
/* Empties the buffer, keeps its memory, clears `failed`. */
void sbx_buf_reset(struct sbx_buf *buf);
void sbx_buf_append(struct sbx_buf *buf, const void *data, size_t len);
void sbx_buf_puts(struct sbx_buf *buf, const char *str);
void sbx_buf_putc(struct sbx_buf *buf, char c);
void sbx_buf_printf(struct sbx_buf *buf, const char *fmt, ...) _printf_(2, 3);
/* Room for `len` more bytes at data + buf->len (the caller then adds to len); NULL when failed. */
char *sbx_buf_reserve(struct sbx_buf *buf, size_t len);
/* Removes `len` bytes from the front. */
void sbx_buf_consume(struct sbx_buf *buf, size_t len);
/* Returns the NUL-terminated bytes (caller frees) and leaves the buffer empty; NULL when failed. */
char *sbx_buf_take(struct sbx_buf *buf, size_t *ret_len);

#pragma GCC visibility pop
