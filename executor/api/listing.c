#include "executor/api/listing.h"

#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"

#define LISTING_DEFAULT 20

bool
listing_bad(struct call *call, const char *field, const char *message)
{
    struct sbx_field_error err = { 0 };

    sbx_field_error_set(&err, field, "%s", message);
    call_problem_field(call, &err);
    return false;
}

bool
listing_text(struct call *call, const char *name, char *out, size_t size)
{
    switch (call_param(call, name, out, size)) {
    case CALL_PARAM_ABSENT:
        *out = '\0';
        return true;
    case CALL_PARAM_FINE:
        if (sbx_name_valid(out, strlen(out))) {
            return true;
        }
        break;
    case CALL_PARAM_BAD:
        break;
    }
    return listing_bad(call, name, "is not a name");
}

bool
listing_limit(struct call *call, unsigned *ret)
{
    char text[8];
    unsigned long limit;

    *ret = LISTING_DEFAULT;
    switch (call_param(call, "limit", text, sizeof(text))) {
    case CALL_PARAM_ABSENT:
        return true;
    case CALL_PARAM_FINE:
        limit = strspn(text, "0123456789") == strlen(text) && *text != '\0' ? strtoul(text, NULL, 10) : 0;
        if (limit >= 1 && limit <= LISTING_MAX) {
            *ret = (unsigned)limit;
            return true;
        }
        break;
    case CALL_PARAM_BAD:
        break;
    }
    return listing_bad(call, "limit", "must be between 1 and 100");
}

bool
listing_word(struct call *call, const char *name, bool (*known)(const char *word), const char *what,
             char *out, size_t size)
{
    switch (call_param(call, name, out, size)) {
    case CALL_PARAM_ABSENT:
        out[0] = '\0';
        return true;
    case CALL_PARAM_FINE:
        if (known(out)) {
            return true;
        }
        break;
    case CALL_PARAM_BAD:
        break;
    }
    return listing_bad(call, name, what);
}

bool
listing_cursor(struct call *call, const char *scope, struct cursor *ret)
{
    const struct api *api = call->api;
    char text[CURSOR_MAX * 2];

    *ret = (struct cursor){ .created_ms = INT64_MAX };
    switch (call_param(call, "cursor", text, sizeof(text))) {
    case CALL_PARAM_ABSENT:
        return true;
    case CALL_PARAM_FINE:
        if (cursor_read(ret, text, scope, api->cursor_key, sizeof(api->cursor_key))) {
            return true;
        }
        break;
    case CALL_PARAM_BAD:
        break;
    }
    return listing_bad(call, "cursor", "is not a cursor of this listing");
}

int
listing_write_next(struct sbx_jsonw *w, const struct call *call, const char *scope, const struct cursor *last)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(2ul * CURSOR_MAX);
    const struct api *api = call->api;
    int r;

    if (last == NULL) {
        sbx_jsonw_null(w, "next_cursor");
        return 0;
    }
    r = cursor_write(&text, last, scope, api->cursor_key, sizeof(api->cursor_key));
    if (r == 0) {
        sbx_jsonw_strn(w, "next_cursor", text.failed ? "" : text.data, text.len);
    }
    return r;
}

void
listing_end(struct call *call, struct sbx_jsonw *w, const char *scope, const struct cursor *last)
{
    int r;

    sbx_jsonw_array_end(w);
    r = listing_write_next(w, call, scope, last);
    sbx_jsonw_object_end(w);
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    call_reply_json(call, 200, NULL, 0, w->buf);
}

bool
listing_matches(const char *wanted, const char *value)
{
    return *wanted == '\0' || strcmp(wanted, value) == 0;
}

bool
listing_is_after(const struct cursor *after, uint64_t created_ms, const struct sbx_id *id)
{
    return listing_order(after->created_ms, &after->id, created_ms, id) < 0;
}

int
listing_order(uint64_t a_ms, const struct sbx_id *a, uint64_t b_ms, const struct sbx_id *b)
{
    if (a_ms != b_ms) {
        return a_ms < b_ms ? 1 : -1;
    }
    return -strcmp(a->text, b->text);
}

struct db_value
listing_filter(const char *text)
{
    return DB_VTEXT(*text == '\0' ? NULL : text);
}
