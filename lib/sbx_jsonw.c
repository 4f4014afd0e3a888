/*
 * A container deeper than SBX_JSONW_DEPTH or an end without a beginning is a
 * fault of the caller: it fails the buffer, so nothing half-made is sent.
 */
#include "sbx_jsonw.h"

#include <inttypes.h>
#include <string.h>

#include "sbx_utf8.h"

void
sbx_jsonw_init(struct sbx_jsonw *w, struct sbx_buf *buf)
{
    memset(w, 0, sizeof(*w));
    w->buf = buf;
}

/* Length of what may be copied as it is; 0 when s[0] must be escaped or replaced. */
static size_t
plain_sequence(const char *s, size_t len)
{
    uint8_t c = (uint8_t)s[0];
    size_t n;

    if (c < 0x80) {
        return c >= 0x20 && c != 0x7f && c != '"' && c != '\\' ? 1 : 0;
    }

    n = sbx_utf8_sequence(s, len);
    if (n == 2 && c == 0xc2 && (uint8_t)s[1] <= 0x9f) {
        return 0;
    }
    if (n == 3 && memcmp(s, "\xe2\x80", 2) == 0 && ((uint8_t)s[2] == 0xa8 || (uint8_t)s[2] == 0xa9)) {
        return 0;
    }
    return n;
}

/* Writes the escaped form of the sequence at s and returns how many bytes it took. */
static size_t
escape_one(struct sbx_buf *buf, const char *s, size_t len)
{
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    uint8_t c = (uint8_t)s[0];
    size_t i, n;

    for (i = 0; i + 1 < sizeof(shorts); i += 2) {
        if (s[0] == shorts[i]) {
            sbx_buf_putc(buf, '\\');
            sbx_buf_putc(buf, shorts[i + 1]);
            return 1;
        }
    }
    if (c < 0x80) {
        sbx_buf_printf(buf, "\\u%04x", (unsigned)c);
        return 1;
    }

    n = sbx_utf8_sequence(s, len);
    if (n == 2) {
        sbx_buf_printf(buf, "\\u%04x", (unsigned)(uint8_t)s[1]);
        return 2;
    }
    if (n == 3) {
        sbx_buf_printf(buf, "\\u20%02x", (unsigned)(uint8_t)s[2] - 0x80);
        return 3;
    }
    sbx_buf_append(buf, "\xef\xbf\xbd", 3);
    return 1;
}

static void
put_string(struct sbx_buf *buf, const char *str, size_t len)
{
    size_t i = 0, start = 0, n;

    sbx_buf_putc(buf, '"');
    while (i < len && !buf->failed) {
        n = plain_sequence(str + i, len - i);
        if (n > 0) {
            i += n;
            continue;
        }
        sbx_buf_append(buf, str + start, i - start);
        i += escape_one(buf, str + i, len - i);
        start = i;
    }
    sbx_buf_append(buf, str + start, i - start);
    sbx_buf_putc(buf, '"');
}

static void
begin_value(struct sbx_jsonw *w, const char *key)
{
    if (w->depth >= SBX_JSONW_DEPTH) {
        w->buf->failed = true;
        return;
    }
    if (w->comma[w->depth]) {
        sbx_buf_putc(w->buf, ',');
    }
    w->comma[w->depth] = true;
    if (key != NULL) {
        put_string(w->buf, key, strlen(key));
        sbx_buf_putc(w->buf, ':');
    }
}

static void
open_container(struct sbx_jsonw *w, const char *key, char bracket)
{
    begin_value(w, key);
    sbx_buf_putc(w->buf, bracket);
    w->depth++;
    if (w->depth < SBX_JSONW_DEPTH) {
        w->comma[w->depth] = false;
    }
}

static void
close_container(struct sbx_jsonw *w, char bracket)
{
    if (w->depth == 0) {
        w->buf->failed = true;
        return;
    }
    w->depth--;
    sbx_buf_putc(w->buf, bracket);
}

void
sbx_jsonw_object(struct sbx_jsonw *w, const char *key)
{
    open_container(w, key, '{');
}

void
sbx_jsonw_object_end(struct sbx_jsonw *w)
{
    close_container(w, '}');
}

void
sbx_jsonw_array(struct sbx_jsonw *w, const char *key)
{
    open_container(w, key, '[');
}

void
sbx_jsonw_array_end(struct sbx_jsonw *w)
{
    close_container(w, ']');
}

void
sbx_jsonw_str(struct sbx_jsonw *w, const char *key, const char *str)
{
    if (str == NULL) {
        sbx_jsonw_null(w, key);
        return;
    }
    sbx_jsonw_strn(w, key, str, strlen(str));
}

void
sbx_jsonw_strn(struct sbx_jsonw *w, const char *key, const char *str, size_t len)
{
    begin_value(w, key);
    put_string(w->buf, len == 0 ? "" : str, len);
}

void
sbx_jsonw_int(struct sbx_jsonw *w, const char *key, int64_t value)
{
    begin_value(w, key);
    sbx_buf_printf(w->buf, "%" PRId64, value);
}

void
sbx_jsonw_uint(struct sbx_jsonw *w, const char *key, uint64_t value)
{
    begin_value(w, key);
    sbx_buf_printf(w->buf, "%" PRIu64, value);
}

void
sbx_jsonw_bool(struct sbx_jsonw *w, const char *key, bool value)
{
    begin_value(w, key);
    sbx_buf_puts(w->buf, value ? "true" : "false");
}

void
sbx_jsonw_null(struct sbx_jsonw *w, const char *key)
{
    begin_value(w, key);
    sbx_buf_puts(w->buf, "null");
}

void
sbx_jsonw_raw(struct sbx_jsonw *w, const char *key, const char *json, size_t len)
{
    begin_value(w, key);
    sbx_buf_append(w->buf, json, len);
}
