/*
 * The one JSON writer. Writes into a sbx_buf; commas are its business.
 * Strings may hold any bytes: control characters, U+007F-U+009F, U+2028/9 are
 * escaped and each byte that is not UTF-8 becomes U+FFFD, so that nothing from
 * outside can break a line of log or a reply.
 */
#pragma once

#include "sbx_buf.h"

#pragma GCC visibility push(hidden)

#define SBX_JSONW_DEPTH 32

struct sbx_jsonw {
    struct sbx_buf *buf;
    unsigned depth;
    bool comma[SBX_JSONW_DEPTH];
};

void sbx_jsonw_init(struct sbx_jsonw *w, struct sbx_buf *buf);
/* `key` NULL inside arrays and at the top. */
void sbx_jsonw_object(struct sbx_jsonw *w, const char *key);
void sbx_jsonw_object_end(struct sbx_jsonw *w);
void sbx_jsonw_array(struct sbx_jsonw *w, const char *key);
void sbx_jsonw_array_end(struct sbx_jsonw *w);
void sbx_jsonw_str(struct sbx_jsonw *w, const char *key, const char *str); /* NULL str writes null */
void sbx_jsonw_strn(struct sbx_jsonw *w, const char *key, const char *str, size_t len);
void sbx_jsonw_int(struct sbx_jsonw *w, const char *key, int64_t value);
void sbx_jsonw_uint(struct sbx_jsonw *w, const char *key, uint64_t value);
void sbx_jsonw_bool(struct sbx_jsonw *w, const char *key, bool value);
void sbx_jsonw_null(struct sbx_jsonw *w, const char *key);
/* `json` must already be one valid JSON value (our own output or jansson's). */
void sbx_jsonw_raw(struct sbx_jsonw *w, const char *key, const char *json, size_t len);

#pragma GCC visibility pop
