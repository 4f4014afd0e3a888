/*
 * The one door to jansson: strict parsing and typed access with an error that
 * names the field (RFC 6901 pointer).
 */
#pragma once

#include <jansson.h>

#include "sbx_base.h"
#include "sbx_buf.h"

#pragma GCC visibility push(hidden)

#define SBX_JSON_DEPTH 32
/* A parsed value costs far more memory than its text ("[]," is 3 bytes, then 130): counted before parsing. */
#define SBX_JSON_CONTAINERS 32768
#define SBX_JSON_VALUES 262144

enum {
    SBX_JSON_E_SYNTAX = 1, /* not JSON, duplicate member, trailing bytes, NUL in a string, too deep */
};

/* Where and why a document was refused. */
struct sbx_field_error {
    char field[128];   /* JSON pointer, "" for the document */
    char message[192]; /* one sentence for a person, no user bytes but escaped ones */
    bool too_large;    /* a size, not a shape: 413 rather than 422 */
};

void _printf_(3, 4) sbx_field_error_set(struct sbx_field_error *err, const char *field, const char *fmt, ...);

/* Pointer of a member (key NULL: of item `index`) of `path`; escaped, cut to fit, control bytes as '?'. */
void sbx_json_pointer(char *out, size_t size, const char *path, const char *key, size_t index);

/*
 * Parses one JSON document of `len` bytes (duplicates, trailing bytes and
 * nesting past SBX_JSON_DEPTH refused; with more values than above: too_large).
 * Returns 0 and *ret (caller json_decref), SBX_JSON_E_SYNTAX with *err filled,
 * or -ENOMEM.
 */
_must_check_ int sbx_json_parse(json_t **ret, const char *data, size_t len, struct sbx_field_error *err);

/*
 * The same for a document that is released soon, and before many others are read: its values lie in one place of the process,
 * which is free again once all of them are released. Without sbx_json_arena_init() no more than sbx_json_parse().
 */
_must_check_ int sbx_json_parse_brief(json_t **ret, const char *data, size_t len, struct sbx_field_error *err);
/* Of a process in which one thread has to do with jansson; true when there is an arena now (not where a sanitizer looks on). */
bool sbx_json_arena_init(void);

/* For _cleanup_: */
static inline void
sbx_json_decrefp(json_t **json)
{
    json_decref(*json);
}

/*
 * Typed members of an object. `path` is the pointer of the object itself. Each
 * returns true when absent (leaving *ret) or fine; false with *err filled when
 * of a wrong type or out of bounds. `null` counts as absent.
 */
_must_check_ bool sbx_json_get_str(const json_t *object, const char *path, const char *key, size_t max_len,
                                   const char **ret, size_t *ret_len, struct sbx_field_error *err);
_must_check_ bool sbx_json_get_int(const json_t *object, const char *path, const char *key, int64_t min,
                                   int64_t max, int64_t *ret, struct sbx_field_error *err);
_must_check_ bool sbx_json_get_bool(const json_t *object, const char *path, const char *key, bool *ret,
                                    struct sbx_field_error *err);
_must_check_ bool sbx_json_get_object(const json_t *object, const char *path, const char *key, json_t **ret,
                                      struct sbx_field_error *err);
_must_check_ bool sbx_json_get_array(const json_t *object, const char *path, const char *key,
                                     size_t max_items, json_t **ret, struct sbx_field_error *err);
/* False and an error naming the first member that is not in the NULL-ended list. */
_must_check_ bool sbx_json_only(const json_t *object, const char *path, const char *const *known,
                                struct sbx_field_error *err);
/* Appends the compact form (sorted keys when `canonical`); sticky failure in the buffer. */
void sbx_json_dump(struct sbx_buf *buf, const json_t *json, bool canonical);

#pragma GCC visibility pop
