/*
 * A container deeper than SBX_JSONW_DEPTH or an end without a beginning is a
 * fault of the caller: it fails the buffer, so nothing half-made is sent.
 */
#include "sbx_jsonw.h"

#include <string.h>

#include "sbx_digits.h"
#include "sbx_time.h"
#include "sbx_utf8.h"

#define CANONICAL_DEPTH 16 /* beyond these a reader's own limits come near */
#define CANONICAL_CONTAINERS 4096

void
sbx_jsonw_init(struct sbx_jsonw *w, struct sbx_buf *buf)
{
    memset(w, 0, sizeof(*w));
    w->buf = buf;
}

void
sbx_jsonw_init_canonical(struct sbx_jsonw *w, struct sbx_buf *buf, struct sbx_jsonw_canonical *canonical)
{
    sbx_jsonw_init(w, buf);
    w->canonical = canonical;
    canonical->n = canonical->n_containers = 0;
    canonical->doubt = false;
}

static void
doubt(const struct sbx_jsonw *w)
{
    if (w->canonical != NULL) {
        w->canonical->doubt = true;
    }
}

/* Length of what may be copied as it is; 0 when s[0] must be escaped or replaced. */
static size_t
plain_sequence(const char *s, size_t len, bool canonical)
{
    uint8_t c = (uint8_t)s[0];
    size_t n;

    if (c < 0x80) {
        return c >= 0x20 && (c != 0x7f || canonical) && c != '"' && c != '\\' ? 1 : 0;
    }

    n = sbx_utf8_sequence(s, len);
    if (canonical) {
        return n;
    }
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
escape_one(struct sbx_buf *buf, const char *s, size_t len, bool canonical)
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
        sbx_buf_printf(buf, canonical ? "\\u%04X" : "\\u%04x", (unsigned)c);
        return 1;
    }

    n = canonical ? 0 : sbx_utf8_sequence(s, len);
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

static bool
is_plain(const char *str, size_t len)
{
    static const bool plain[256] = { [' ' ... '!'] = true, ['#' ... '['] = true, [']' ... '~'] = true };
    size_t i;

    for (i = 0; i < len; i++) {
        if (!plain[(uint8_t)str[i]]) {
            return false;
        }
    }
    return true;
}

/* Most strings need no escape: these are looked through once and copied in one piece. */
static bool
put_plain(struct sbx_buf *buf, const char *str, size_t len)
{
    char *room;

    if (!is_plain(str, len)) {
        return false;
    }
    room = sbx_buf_reserve(buf, len + 2);
    if (room != NULL) {
        room[0] = '"';
        memcpy(room + 1, str, len);
        room[len + 1] = '"';
        buf->len += len + 2;
    }
    return true;
}

static void
put_string(const struct sbx_jsonw *w, const char *str, size_t len)
{
    const bool canonical = w->canonical != NULL;
    struct sbx_buf *buf = w->buf;
    size_t i = 0, start = 0, n;

    if (put_plain(buf, str, len)) {
        return;
    }
    if (canonical && memchr(str, '\0', len) != NULL) {
        doubt(w); /* no reader of ours takes it */
    }
    sbx_buf_putc(buf, '"');
    while (i < len && !buf->failed) {
        n = plain_sequence(str + i, len - i, canonical);
        if (n > 0) {
            i += n;
            continue;
        }
        sbx_buf_append(buf, str + start, i - start);
        i += escape_one(buf, str + i, len - i, canonical);
        start = i;
    }
    sbx_buf_append(buf, str + start, i - start);
    sbx_buf_putc(buf, '"');
}

/* A member of the innermost object begins there. */
static void
note_member(const struct sbx_jsonw *w, size_t at)
{
    struct sbx_jsonw_canonical *canonical = w->canonical;

    if (canonical == NULL) {
        return;
    }
    if (canonical->n == SBX_JSONW_MEMBERS) {
        canonical->doubt = true;
    } else {
        canonical->member[canonical->n++] = at;
    }
}

static void
put_digits(struct sbx_buf *buf, uint64_t value)
{
    char digits[SBX_DIGITS_MAX], *at = sbx_digits_before(digits + sizeof(digits), value);

    sbx_buf_append(buf, at, (size_t)(digits + sizeof(digits) - at));
}

/* Comma and key in one piece, and room for `more` bytes behind them, as sbx_buf_reserve; NULL when there is none. */
static char *
begin_plain(struct sbx_jsonw *w, const char *key, size_t key_len, size_t more)
{
    size_t n = 0;
    char *room;

    room = w->depth >= SBX_JSONW_DEPTH ? NULL : sbx_buf_reserve(w->buf, key_len + 4 + more);
    if (room == NULL) {
        w->buf->failed = true;
        return NULL;
    }
    if (w->comma[w->depth]) {
        room[n++] = ',';
    }
    w->comma[w->depth] = true;
    note_member(w, w->buf->len + n);
    room[n++] = '"';
    memcpy(room + n, key, key_len);
    n += key_len;
    room[n++] = '"';
    room[n++] = ':';
    room[n] = '\0';
    w->buf->len += n;
    return room + n;
}

static void
begin_value(struct sbx_jsonw *w, const char *key)
{
    if (w->depth >= SBX_JSONW_DEPTH) {
        w->buf->failed = true;
        return;
    }
    if (key != NULL && is_plain(key, strlen(key))) {
        (void)begin_plain(w, key, strlen(key), 0); /* its failure is the buffer's */
        return;
    }
    if (w->comma[w->depth]) {
        sbx_buf_putc(w->buf, ',');
    }
    w->comma[w->depth] = true;
    if (key != NULL) {
        doubt(w);
        put_string(w, key, strlen(key));
        sbx_buf_putc(w->buf, ':');
    }
}

static void
note_container(const struct sbx_jsonw *w)
{
    struct sbx_jsonw_canonical *canonical = w->canonical;

    if (canonical == NULL) {
        return;
    }
    if (w->depth > CANONICAL_DEPTH || ++canonical->n_containers > CANONICAL_CONTAINERS) {
        canonical->doubt = true;
    }
    if (w->depth <= SBX_JSONW_DEPTH) {
        canonical->first[w->depth] = canonical->n;
    }
}

/* Of two members by their keys, which are plain: what is behind them decides nothing. */
static int
member_compare(const char *a, const char *b)
{
    while (*a == *b && (*a != '"' || a[1] != ':')) {
        a++;
        b++;
    }
    /* The shorter one has its quote where the other goes on. */
    return *a == *b ? 0 : *a == '"' ? -1 : *b == '"' ? 1 : (uint8_t)*a - (uint8_t)*b;
}

/* Brings members that begin at from[0..n) and end with the buffer into the order of to[], by way of the room behind it. */
static void
members_move(struct sbx_buf *buf, const size_t *from, const size_t *to, unsigned n)
{
    const size_t len = buf->len - from[0];
    char *room = sbx_buf_reserve(buf, len), *at = room;

    for (unsigned i = 0; i < n && room != NULL; i++) {
        unsigned place = 0;
        size_t end;

        while (from[place] != to[i]) {
            place++;
        }
        end = place + 1 < n ? from[place + 1] - 1 : buf->len;
        memcpy(at, buf->data + to[i], end - to[i]);
        at += end - to[i];
        if (i + 1 < n) {
            *at++ = ',';
        }
    }
    if (room != NULL) {
        memcpy(buf->data + from[0], room, len);
        room[0] = '\0';
    }
}

/* The innermost object ends. */
static void
sort_members(const struct sbx_jsonw *w)
{
    struct sbx_jsonw_canonical *canonical = w->canonical;
    size_t sorted[SBX_JSONW_MEMBERS];
    const size_t *members;
    unsigned n, moved = 0;

    if (canonical == NULL || w->depth > SBX_JSONW_DEPTH) {
        return;
    }
    members = &canonical->member[canonical->first[w->depth]];
    n = canonical->n - canonical->first[w->depth];
    canonical->n = canonical->first[w->depth];
    if (canonical->doubt || w->buf->failed) {
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        unsigned place = i;
        int order = -1;

        while (place > 0) {
            order = member_compare(w->buf->data + sorted[place - 1], w->buf->data + members[i]);
            if (order <= 0) {
                break;
            }
            sorted[place] = sorted[place - 1];
            place--;
        }
        canonical->doubt = canonical->doubt || order == 0;
        sorted[place] = members[i];
        moved += place != i;
    }
    if (moved == 0) {
        return;
    }
    if (w->buf->len - members[0] >= w->buf->max - w->buf->len) {
        canonical->doubt = true;
        return;
    }
    members_move(w->buf, members, sorted, n);
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
    note_container(w);
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
    sort_members(w);
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
    put_string(w, len == 0 ? "" : str, len);
}

void
sbx_jsonw_plain(struct sbx_jsonw *w, const char *key, const char *str, size_t len)
{
    char *room = begin_plain(w, key, strlen(key), len + 2);

    if (room != NULL) {
        room[0] = '"';
        memcpy(room + 1, str, len);
        room[len + 1] = '"';
        room[len + 2] = '\0';
        w->buf->len += len + 2;
    }
}

void
sbx_jsonw_int(struct sbx_jsonw *w, const char *key, int64_t value)
{
    begin_value(w, key);
    if (value < 0) {
        sbx_buf_putc(w->buf, '-');
    }
    put_digits(w->buf, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void
sbx_jsonw_plain_uint(struct sbx_jsonw *w, const char *key, uint64_t value)
{
    char digits[SBX_DIGITS_MAX], *at = sbx_digits_before(digits + sizeof(digits), value), *room;
    const size_t len = (size_t)(digits + sizeof(digits) - at);

    if (value > INT64_MAX) {
        doubt(w);
    }
    room = begin_plain(w, key, strlen(key), len);
    if (room != NULL) {
        memcpy(room, at, len);
        room[len] = '\0';
        w->buf->len += len;
    }
}

void
sbx_jsonw_uint(struct sbx_jsonw *w, const char *key, uint64_t value)
{
    begin_value(w, key);
    if (value > INT64_MAX) {
        doubt(w); /* no reader of ours takes it */
    }
    put_digits(w->buf, value);
}

void
sbx_jsonw_bool(struct sbx_jsonw *w, const char *key, bool value)
{
    begin_value(w, key);
    sbx_buf_puts(w->buf, value ? "true" : "false");
}

void
sbx_jsonw_time(struct sbx_jsonw *w, const char *key, uint64_t unix_ms)
{
    char text[SBX_RFC3339_LEN];

    if (unix_ms == 0) {
        sbx_jsonw_null(w, key);
        return;
    }
    sbx_rfc3339(text, unix_ms);
    sbx_jsonw_str(w, key, text);
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
    doubt(w);
    sbx_jsonw_raw_canonical(w, key, json, len);
}

void
sbx_jsonw_raw_canonical(struct sbx_jsonw *w, const char *key, const char *json, size_t len)
{
    begin_value(w, key);
    sbx_buf_append(w->buf, json, len);
}
