/*
 * Reads one reply to one request from a hostile peer, in pieces of any size: http-parser behind the guard of
 * sbx_http_head.h. Knows no socket and no loop.
 */
#pragma once

#include "sbx_buf.h"

#pragma GCC visibility push(hidden)

struct sbx_http_answer;

enum {
    SBX_HTTP_ANSWER_DONE = 1, /* whole: the accessors below hold */
    SBX_HTTP_ANSWER_E_FORM,   /* no reply, more than one, or one whose end cannot be told from a cut */
    SBX_HTTP_ANSWER_E_SIZE,   /* head or body past its bound */
};

/* A body of more than max_body bytes is refused, when announced before any of it is kept. NULL: out of memory. */
struct sbx_http_answer *sbx_http_answer_new(size_t max_body);
/* NULL. */
struct sbx_http_answer *sbx_http_answer_free(struct sbx_http_answer *reply);
/* 0: more is wanted. Nothing but DONE and E_ may be fed on after one of these. */
_must_check_ int sbx_http_answer_feed(struct sbx_http_answer *reply, const char *data, size_t len);

/* True when a byte has come: a request whose reply has begun was taken. */
bool sbx_http_answer_begun(const struct sbx_http_answer *reply);
/* Of a whole one. The status is 200 to 599; texts live as long as the reply. */
unsigned sbx_http_answer_status(const struct sbx_http_answer *reply);
const struct sbx_buf *sbx_http_answer_body(const struct sbx_http_answer *reply);
/* First value of a field, NULL when absent. */
const char *sbx_http_answer_field(const struct sbx_http_answer *reply, const char *name);
/* The peer keeps the connection for another exchange. */
bool sbx_http_answer_keeps(const struct sbx_http_answer *reply);

#pragma GCC visibility pop
