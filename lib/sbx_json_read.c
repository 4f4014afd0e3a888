/*
 * yajl's events made into jansson's values (docs/adr/003-reading-json.md). yajl reads several times faster and is less strict, so it
 * decides nothing alone: where it takes what jansson would not, or reads it otherwise, the document is left to jansson.
 */
#include "sbx_json_inside.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "sbx_utf8.h"

struct reader {
    const char *data;
    size_t len;
    json_t *root;                   /* an object or an array: a value alone is rare, and jansson's */
    json_t *inside[SBX_JSON_DEPTH]; /* the containers that are open: borrowed from the root */
    unsigned depth;                 /* 0 with a root: all of it was read */
    size_t containers, values;
    const char *name; /* of the member whose value is next, in the document */
    size_t name_len;
};

/*
 * What yajl allocates while it reads: its own few hundred bytes, and 2 KiB once a string has an escape. Enough of it on the
 * stack for all but long strings with escapes; the rest is the allocator's.
 */
struct room {
    size_t used;
    _Alignas(max_align_t) char bytes[4096];
};

static bool
room_has(const struct room *room, const void *at)
{
    return (uintptr_t)at >= (uintptr_t)room->bytes &&
           (uintptr_t)at < (uintptr_t)room->bytes + sizeof(room->bytes);
}

static void *
room_malloc(void *ctx, size_t size)
{
    struct room *room = ctx;
    char *at = room->bytes + room->used;

    if (size > sizeof(room->bytes) - room->used) {
        return malloc(size);
    }
    room->used += (size + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t);
    return at;
}

static void
room_free(void *ctx, void *at)
{
    if (!room_has(ctx, at)) {
        free(at);
    }
}

static void *
room_realloc(void *ctx, void *at, size_t size)
{
    const struct room *room = ctx;
    size_t behind;
    void *to;

    if (at == NULL) {
        return room_malloc(ctx, size);
    }
    if (!room_has(room, at)) {
        return realloc(at, size);
    }
    to = room_malloc(ctx, size);
    if (to != NULL) {
        /* How much was there nobody wrote down: at most all that is behind it. */
        behind = (size_t)(room->bytes + sizeof(room->bytes) - (char *)at);
        memmove(to, at, size < behind ? size : behind);
    }
    return to;
}

/* Takes the value, into the innermost container; NULL is none for want of memory. False: the document is jansson's. */
static bool
add(struct reader *r, json_t *value)
{
    json_t *to = r->depth > 0 ? r->inside[r->depth - 1] : NULL;
    size_t n;

    if (to == NULL || ++r->values > SBX_JSON_VALUES) {
        json_decref(value);
        return false;
    }
    if (json_is_array(to)) {
        return json_array_append_new(to, value) == 0;
    }
    /* Of a name that was there before jansson's table replaces the value: the object does not grow. */
    n = json_object_size(to);
    return json_object_setn_new_nocheck(to, r->name, r->name_len, value) == 0 && json_object_size(to) > n;
}

static int
open_container(struct reader *r, json_t *container)
{
    if (r->depth == SBX_JSON_DEPTH || ++r->containers > SBX_JSON_CONTAINERS) {
        json_decref(container);
        return 0;
    }
    if (r->depth == 0) {
        r->root = container;
    } else if (!add(r, container)) {
        return 0;
    }
    r->inside[r->depth++] = container;
    return container != NULL;
}

static int
on_null(void *ctx)
{
    return add(ctx, json_null());
}

static int
on_boolean(void *ctx, int value)
{
    return add(ctx, json_boolean(value));
}

static int
on_integer(void *ctx, long long value)
{
    return add(ctx, json_integer(value));
}

static int
on_real(void *ctx, double value)
{
    return add(ctx, json_real(value));
}

static int
on_string(void *ctx, const unsigned char *text, size_t len)
{
    return add(ctx, json_stringn_nocheck((const char *)text, len));
}

static int
on_name(void *ctx, const unsigned char *text, size_t len)
{
    struct reader *r = ctx;

    /* One with escapes stands in a buffer of yajl's, which the value may need. */
    r->name = (const char *)text;
    r->name_len = len;
    return r->name >= r->data && r->name < r->data + r->len;
}

static int
on_object(void *ctx)
{
    return open_container(ctx, json_object());
}

static int
on_array(void *ctx)
{
    return open_container(ctx, json_array());
}

/* Stops after the root: of what comes behind it yajl passes over a string without an end. */
static int
on_end(void *ctx)
{
    struct reader *r = ctx;

    return --r->depth > 0;
}

static bool
is_space(const char *data, size_t from, size_t to)
{
    while (from < to &&
           (data[from] == ' ' || data[from] == '\t' || data[from] == '\n' || data[from] == '\r')) {
        from++;
    }
    return from == to;
}

static bool
has_unicode_escape(const char *data, size_t len)
{
    const char *p = data, *end = data + len;

    while ((p = memchr(p, '\\', (size_t)(end - p))) != NULL && end - p >= 2 && p[1] != 'u') {
        p += 2;
    }
    return p != NULL && end - p >= 2;
}

/*
 * To yajl \v and \f are space, and half a surrogate is a question mark; its own check of UTF-8 lets overlong forms, surrogates
 * and what is past U+10FFFF through. A string begins and ends with a quote and its other escapes are ASCII: of a document that
 * is UTF-8 each is.
 */
static bool
is_for_yajl(const char *data, size_t len)
{
    return memchr(data, '\v', len) == NULL && memchr(data, '\f', len) == NULL &&
           !has_unicode_escape(data, len) && sbx_utf8_valid(data, len);
}

json_t *
sbx_json_read(const char *data, size_t len)
{
    static const yajl_callbacks callbacks = {
        .yajl_null = on_null,
        .yajl_boolean = on_boolean,
        .yajl_integer = on_integer,
        .yajl_double = on_real,
        .yajl_string = on_string,
        .yajl_start_map = on_object,
        .yajl_map_key = on_name,
        .yajl_end_map = on_end,
        .yajl_start_array = on_array,
        .yajl_end_array = on_end,
    };
    struct reader r = { .data = data, .len = len };
    struct room room;
    yajl_alloc_funcs allocate = {
        .malloc = room_malloc, .realloc = room_realloc, .free = room_free, .ctx = &room
    };
    _cleanup_(sbx_json_decrefp) json_t *root = NULL;
    yajl_handle yajl;
    bool fine;

    if (!is_for_yajl(data, len)) {
        return NULL;
    }
    room.used = 0; /* and no more of it is written */
    yajl = yajl_alloc(&callbacks, &allocate, &r);
    if (yajl == NULL) {
        return NULL;
    }
    fine = yajl_config(yajl, yajl_dont_validate_strings, 1) != 0 &&
           yajl_parse(yajl, (const unsigned char *)data, len) == yajl_status_client_canceled &&
           r.depth == 0 && is_space(data, yajl_get_bytes_consumed(yajl), len);
    yajl_free(yajl);
    root = r.root;
    return fine ? steal(&root) : NULL;
}
