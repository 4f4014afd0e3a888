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
#define SBX_JSONW_MEMBERS 192

struct sbx_jsonw_canonical {
    unsigned n, n_containers;
    unsigned first[SBX_JSONW_DEPTH + 1]; /* of the members of the object open at a depth */
    size_t member[SBX_JSONW_MEMBERS];    /* where those of the open objects begin */
    bool doubt;                          /* the text may not be the one form */
};

struct sbx_jsonw {
    struct sbx_buf *buf;
    struct sbx_jsonw_canonical *canonical; /* NULL: members stay in the order of writing */
    unsigned depth;
    bool comma[SBX_JSONW_DEPTH];
};

void sbx_jsonw_init(struct sbx_jsonw *w, struct sbx_buf *buf);
/*
 * What comes out is what sbx_json_dump makes, canonical, of what was read out of it: keys in order, and nothing escaped that
 * need not be. `canonical` lives as long as w; its `doubt` says at the end that it is JSON all the same but perhaps not in that
 * form, because something was written that only a reader of JSON can bring into it.
 */
void sbx_jsonw_init_canonical(struct sbx_jsonw *w, struct sbx_buf *buf,
                              struct sbx_jsonw_canonical *canonical);
/* `key` NULL inside arrays and at the top. */
void sbx_jsonw_object(struct sbx_jsonw *w, const char *key);
void sbx_jsonw_object_end(struct sbx_jsonw *w);
void sbx_jsonw_array(struct sbx_jsonw *w, const char *key);
void sbx_jsonw_array_end(struct sbx_jsonw *w);
void sbx_jsonw_str(struct sbx_jsonw *w, const char *key, const char *str); /* NULL str writes null */
void sbx_jsonw_strn(struct sbx_jsonw *w, const char *key, const char *str, size_t len);
/* The same of a text, and a key, that the caller knows to hold nothing but printable ASCII without '"' and '\\'. */
void sbx_jsonw_plain(struct sbx_jsonw *w, const char *key, const char *str, size_t len);
void sbx_jsonw_int(struct sbx_jsonw *w, const char *key, int64_t value);
void sbx_jsonw_uint(struct sbx_jsonw *w, const char *key, uint64_t value);
/* The same under such a key as sbx_jsonw_plain's. */
void sbx_jsonw_plain_uint(struct sbx_jsonw *w, const char *key, uint64_t value);
void sbx_jsonw_bool(struct sbx_jsonw *w, const char *key, bool value);
/* As RFC 3339 writes it; 0 writes null. */
void sbx_jsonw_time(struct sbx_jsonw *w, const char *key, uint64_t unix_ms);
void sbx_jsonw_null(struct sbx_jsonw *w, const char *key);
/* `json` must already be one valid JSON value (our own output or jansson's). */
void sbx_jsonw_raw(struct sbx_jsonw *w, const char *key, const char *json, size_t len);
/* The same of a value that the caller knows to be in the canonical form. */
void sbx_jsonw_raw_canonical(struct sbx_jsonw *w, const char *key, const char *json, size_t len);

#pragma GCC visibility pop
