/* Growth by doubling, so that appending n bytes copies O(n), and never past `max`. */
#include "sbx_buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST 64

void
sbx_buf_deinit(struct sbx_buf *buf)
{
    free(buf->data);
    buf->data = NULL;
    buf->len = 0;
    buf->cap = 0;
    buf->failed = false;
}

void
sbx_buf_reset(struct sbx_buf *buf)
{
    buf->len = 0;
    buf->failed = false;
    if (buf->data != NULL) {
        buf->data[0] = '\0';
    }
}

/* `cap` counts the terminating NUL, `max` does not. */
static bool
buf_grow(struct sbx_buf *buf, size_t more)
{
    size_t need, cap;
    char *data;

    if (buf->failed || more > buf->max || buf->len > buf->max - more || buf->max == SIZE_MAX) {
        buf->failed = true;
        return false;
    }

    need = buf->len + more + 1;
    if (need <= buf->cap) {
        return true;
    }

    cap = buf->cap > SIZE_MAX / 2 ? SIZE_MAX : buf->cap * 2;
    cap = cap < BUF_FIRST ? BUF_FIRST : cap;
    cap = cap < need ? need : cap;
    cap = cap > buf->max + 1 ? buf->max + 1 : cap;

    data = realloc(buf->data, cap);
    if (data == NULL) {
        buf->failed = true;
        return false;
    }

    buf->data = data;
    buf->cap = cap;
    return true;
}

void
sbx_buf_append(struct sbx_buf *buf, const void *data, size_t len)
{
    if (!buf_grow(buf, len)) {
        return;
    }
    if (len > 0) {
        memcpy(buf->data + buf->len, data, len);
    }
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void
sbx_buf_puts(struct sbx_buf *buf, const char *str)
{
    sbx_buf_append(buf, str, strlen(str));
}

void
sbx_buf_putc(struct sbx_buf *buf, char c)
{
    if (!buf_grow(buf, 1)) {
        return;
    }
    buf->data[buf->len++] = c;
    buf->data[buf->len] = '\0';
}

void
sbx_buf_printf(struct sbx_buf *buf, const char *fmt, ...)
{
    va_list args, again;
    int n;

    va_start(args, fmt);
    va_copy(again, args);

    n = vsnprintf(NULL, 0, fmt, args);
    if (n < 0) {
        buf->failed = true;
    } else if (buf_grow(buf, (size_t)n)) {
        (void)vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, again); /* same n as measured */
        buf->len += (size_t)n;
    }

    va_end(again);
    va_end(args);
}

char *
sbx_buf_reserve(struct sbx_buf *buf, size_t len)
{
    if (!buf_grow(buf, len)) {
        return NULL;
    }
    buf->data[buf->len + len] = '\0';
    return buf->data + buf->len;
}

void
sbx_buf_consume(struct sbx_buf *buf, size_t len)
{
    if (len >= buf->len) {
        buf->len = 0;
    } else {
        memmove(buf->data, buf->data + len, buf->len - len);
        buf->len -= len;
    }
    if (buf->data != NULL) {
        buf->data[buf->len] = '\0';
    }
}

char *
sbx_buf_take(struct sbx_buf *buf, size_t *ret_len)
{
    char *data;

    sbx_buf_append(buf, "", 0);
    if (buf->failed) {
        return NULL;
    }

    if (ret_len != NULL) {
        *ret_len = buf->len;
    }
    buf->data[buf->len] = '\0';
    data = steal(&buf->data);
    buf->len = 0;
    buf->cap = 0;
    return data;
}
