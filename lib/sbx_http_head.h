/*
 * The head of one HTTP message while it arrives: a guard over the raw lines and
 * the table of header fields that http-parser finds in them. Shared by server
 * and client; nobody else includes it.
 */
#pragma once

#include <http_parser.h>

#include "sbx_buf.h"

#pragma GCC visibility push(hidden)

#define SBX_HTTP_MAX_HEADERS 100

/*
 * http-parser takes a bare LF for a line end, folded fields for one field, and
 * "Content-Length :" for Content-Length.
 * What the next hop would read otherwise is smuggling, so the guard sees each
 * raw byte first, refuses these (and control characters), and finds the end of the head by itself: the
 * two must agree about it.
 */
struct sbx_http_guard {
    size_t line;  /* bytes in the line so far, without its CR */
    bool cr;      /* the last byte was CR */
    bool started; /* a line with something in it was seen */
    bool fields;  /* the first line is over */
    bool named;   /* this line's colon was seen */
    bool bad;
    bool done;
};

/* Returns how many of the bytes belong to the head; sets bad or done. */
size_t sbx_http_guard_feed(struct sbx_http_guard *guard, const char *data, size_t len);

struct sbx_http_head {
    struct sbx_buf text; /* target, then name and value of each field, NUL after each */
    struct {
        size_t name;
        size_t value;
    } fields[SBX_HTTP_MAX_HEADERS];
    unsigned n_fields;
    bool in_value;
    bool complete; /* what comes now are trailers: dropped */
    bool overflow;
};

void sbx_http_head_reset(struct sbx_http_head *head);
/* Bodies of http-parser's callbacks; 0 or -1 (overflow). */
_must_check_ int sbx_http_head_target(struct sbx_http_head *head, const char *data, size_t len);
_must_check_ int sbx_http_head_name(struct sbx_http_head *head, const char *data, size_t len);
_must_check_ int sbx_http_head_value(struct sbx_http_head *head, const char *data, size_t len);
_must_check_ int sbx_http_head_end(struct sbx_http_head *head);
/* First value of a field, NULL when absent; how many there are. */
const char *sbx_http_head_get(const struct sbx_http_head *head, const char *name);
unsigned sbx_http_head_count(const struct sbx_http_head *head, const char *name);

#pragma GCC visibility pop
