#include "executor/api/policy_diff.h"

#include <stdlib.h>
#include <string.h>

#include "lib/sbx_json.h"

#define POINTER_MAX 8192 /* of names as long as documents have them, SBX_JSON_DEPTH deep */

struct diff {
    struct sbx_jsonw *w;
    struct sbx_buf pointer; /* of where we are */
    int r;
};

/* One more step of a pointer (RFC 6901); the length before, to go back to. */
static size_t
step_down(struct diff *diff, const char *key)
{
    const size_t before = diff->pointer.len;

    sbx_buf_putc(&diff->pointer, '/');
    for (; *key != '\0'; key++) {
        if (*key == '~' || *key == '/') {
            sbx_buf_puts(&diff->pointer, *key == '~' ? "~0" : "~1");
        } else {
            sbx_buf_putc(&diff->pointer, *key);
        }
    }
    if (diff->pointer.failed) {
        diff->r = -ENOMEM;
    }
    return before;
}

static void
step_up(struct diff *diff, size_t before)
{
    if (!diff->pointer.failed) {
        diff->pointer.len = before;
    }
}

static void
write_value(struct diff *diff, const char *key, const json_t *value)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT((size_t)2 * POLICY_DOCUMENT_MAX);

    sbx_json_dump(&text, value, true);
    if (text.failed) {
        diff->r = -ENOMEM;
        return;
    }
    sbx_jsonw_raw(diff->w, key, text.data, text.len);
}

static void
operation(struct diff *diff, const json_t *before, const json_t *after)
{
    if (diff->r) {
        return;
    }
    sbx_jsonw_object(diff->w, NULL);
    sbx_jsonw_str(diff->w, "op", before == NULL ? "add" : after == NULL ? "remove" : "replace");
    sbx_jsonw_strn(diff->w, "path", diff->pointer.data, diff->pointer.len);
    if (before != NULL) {
        write_value(diff, "from", before);
    }
    if (after != NULL) {
        write_value(diff, "value", after);
    }
    sbx_jsonw_object_end(diff->w);
}

/* What was there first, then what is new. Depth is bounded by the parser's. */
static void
compare(struct diff *diff, const json_t *before, const json_t *after)
{
    _cleanup_(sbx_json_decrefp) json_t *all = NULL;
    const char *key;
    json_t *unused;

    if (before != NULL && after != NULL && json_equal(before, after)) {
        return;
    }
    if (!json_is_object(before) || !json_is_object(after)) {
        operation(diff, before, after);
        return;
    }
    all = json_object();
    if (all == NULL || json_object_update(all, (json_t *)(uintptr_t)before) != 0 ||
        json_object_update(all, (json_t *)(uintptr_t)after) != 0) {
        diff->r = -ENOMEM;
        return;
    }
    json_object_foreach (all, key, unused) {
        const size_t here = step_down(diff, key);

        if (diff->r == 0) {
            compare(diff, json_object_get(before, key), json_object_get(after, key));
        }
        step_up(diff, here);
    }
}

static int
put_json(json_t *object, const char *key, const char *text, size_t len)
{
    struct sbx_field_error err;
    json_t *value = NULL;
    int r;

    r = sbx_json_parse(&value, text, len, &err);
    if (r) {
        return r > 0 ? -EIO : r;
    }
    return json_object_set_new(object, key, value) == 0 ? 0 : -ENOMEM;
}

static int
put_targets(json_t *object, const struct policy_record *record)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(4 * POLICY_TARGETS_TEXT_MAX);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &text);
    policy_targets_write(&w, NULL, record->target, record->n_targets);
    return text.failed ? -ENOMEM : put_json(object, "applies_to", text.data, text.len);
}

/* What is compared of a record. */
static int
record_json(json_t **ret, const struct policy_record *record)
{
    _cleanup_(sbx_json_decrefp) json_t *object = json_object();
    int r;

    if (object == NULL) {
        return -ENOMEM;
    }
    if (record->name != NULL) {
        if (json_object_set_new(object, "name", json_string(record->name)) != 0 ||
            (record->description != NULL &&
             json_object_set_new(object, "description", json_string(record->description)) != 0)) {
            return -ENOMEM;
        }
        r = put_json(object, "document", record->document, strlen(record->document));
        r = r ? r : put_targets(object, record);
        if (r) {
            return r;
        }
        (void)json_object_del(json_object_get(object, "document"), "id");      /* one without it is fine */
        (void)json_object_del(json_object_get(object, "document"), "version"); /* so here */
    }
    *ret = steal(&object);
    return 0;
}

int
policy_diff_write(struct sbx_jsonw *w, const char *key, const struct policy_record *before,
                  const struct policy_record *after)
{
    _cleanup_(sbx_json_decrefp) json_t *from = NULL, *to = NULL;
    struct diff diff = { .w = w, .pointer = SBX_BUF_INIT(POINTER_MAX) };

    diff.r = record_json(&from, before);
    if (diff.r == 0) {
        diff.r = record_json(&to, after);
    }
    sbx_jsonw_array(w, key);
    if (diff.r == 0) {
        compare(&diff, from, to);
    }
    sbx_jsonw_array_end(w);
    sbx_buf_deinit(&diff.pointer);
    return diff.r;
}
