/*
 * The place in a listing, as clients carry it: base64url of "<created_ms>.<id>"
 * and a MAC over it, the tenant and the filters. A cursor of another tenant or
 * another listing is no cursor.
 */
#pragma once

#include "lib/sbx_buf.h"
#include "lib/sbx_id.h"

#define CURSOR_MAX 160

struct cursor {
    uint64_t created_ms;
    struct sbx_id id;
};

/* `scope` is whatever the cursor must be used with again: tenant and filters in one text. Appends. */
_must_check_ int cursor_write(struct sbx_buf *out, const struct cursor *cursor, const char *scope,
                              const void *key, size_t key_len);
_must_check_ bool cursor_read(struct cursor *ret, const char *text, const char *scope, const void *key,
                              size_t key_len);
