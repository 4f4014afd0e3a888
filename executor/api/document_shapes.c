#include "executor/api/document_shapes.h"

#include <string.h>

#include "executor/api/job_request.h"
#include "lib/sbx_jsonw.h"
#include "lib/sbx_policy.h"

#define SHORT_PREFIX "/sessions"
#define CONSOLE_PREFIX "/api/v1/sessions"
#define EXECUTE "/{id}/execute"
#define CALL_MAX (JOB_MAX_CODE + 8ul * JOB_MAX_EVENT) /* code and the call of its handler */
#define MEMBERS_MAX (64ul << 20)

static const struct {
    const char *theirs, *ours;
} names[] = {
    { "runtime", "language" },
    { "template_id", "template" },
    { "timeout", "ttl" },
    { "resources", "limits" },
};

enum document_shape
document_shape_of(const char *pattern)
{
    if (strncmp(pattern, SHORT_PREFIX, strlen(SHORT_PREFIX)) == 0) {
        return DOCUMENT_SHORT;
    }
    return strncmp(pattern, CONSOLE_PREFIX, strlen(CONSOLE_PREFIX)) == 0 ? DOCUMENT_CONSOLE : DOCUMENT_NONE;
}

static int
body_read(json_t **ret, const char *text, size_t len, struct sbx_field_error *err)
{
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    int r = sbx_json_parse(&json, text, len, err);

    if (r) {
        return r < 0 ? r : DOCUMENT_E_SYNTAX;
    }
    if (!json_is_object(json)) {
        sbx_field_error_set(err, "", "must be an object");
        return DOCUMENT_E_FIELD;
    }
    *ret = json_incref(json);
    return 0;
}

/* Said under both names is said twice. */
static int
member_rename(json_t *object, const char *theirs, const char *ours, bool *ret_renamed,
              struct sbx_field_error *err)
{
    _cleanup_(sbx_json_decrefp) json_t *value = json_incref(json_object_get(object, theirs));
    char field[sizeof(err->field)];

    if (value == NULL) {
        return 0;
    }
    if (!json_is_null(value) && json_object_get(object, ours) != NULL &&
        !json_is_null(json_object_get(object, ours))) {
        sbx_json_pointer(field, sizeof(field), "", theirs, 0);
        sbx_field_error_set(err, field, "says the same as %s: send one of them", ours);
        return DOCUMENT_E_FIELD;
    }
    (void)json_object_del(object, theirs); /* it is there */
    if (json_is_null(value)) {
        return 0;
    }
    *ret_renamed = true;
    return json_object_set(object, ours, value) == 0 ? 0 : -ENOMEM;
}

int
document_session_body(struct sbx_buf *out, struct document_names *ret, const char *text, size_t len,
                      struct sbx_field_error *err)
{
    _cleanup_(sbx_json_decrefp) json_t *object = NULL;
    int r = body_read(&object, text, len, err);

    ret->renamed = 0;
    for (size_t i = 0; r == 0 && i < SBX_COUNT(names); i++) {
        bool renamed = false;

        r = member_rename(object, names[i].theirs, names[i].ours, &renamed, err);
        ret->renamed |= renamed ? 1u << i : 0;
    }
    if (r) {
        return r;
    }
    sbx_json_dump(out, object, false);
    return out->failed ? -ENOMEM : 0;
}

void
document_error(const struct document_names *renamed, struct sbx_field_error *err)
{
    struct sbx_buf field = SBX_BUF_INIT(2 * sizeof(err->field));

    for (size_t i = 0; i < SBX_COUNT(names); i++) {
        const char *rest = err->field + 1 + strlen(names[i].ours);

        if ((renamed->renamed & 1u << i) == 0 || err->field[0] != '/' ||
            strncmp(err->field + 1, names[i].ours, strlen(names[i].ours)) != 0 ||
            (*rest != '\0' && *rest != '/')) {
            continue;
        }
        sbx_buf_printf(&field, "/%s%s", names[i].theirs, rest);
        if (!field.failed) {
            const size_t n =
                field.len < sizeof(err->field) ? field.len : sizeof(err->field) - 1; /* cut, as all are */

            memcpy(err->field, field.data, n);
            err->field[n] = '\0';
        }
        sbx_buf_deinit(&field);
        return;
    }
}

static bool
line_is_handler(const char *line, size_t len)
{
    static const char head[] = "def handler(";

    return len >= sizeof(head) - 1 && memcmp(line, head, sizeof(head) - 1) == 0;
}

/* Of a function's body, or of none: what begins at the margin is a statement of its own. */
static bool
line_is_inside(const char *line, size_t len)
{
    return len == 0 || strchr(" \t\r#)", line[0]) != NULL;
}

/* Whether it defines a handler at all, and whether nothing comes after that. */
static void
handler_find(const char *code, size_t len, bool *ret_defined, bool *ret_last)
{
    const char *p = code, *end = code + len;

    *ret_defined = *ret_last = false;
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const size_t n = (size_t)((newline == NULL ? end : newline) - p);

        if (line_is_handler(p, n)) {
            *ret_defined = *ret_last = true;
        } else if (!line_is_inside(p, n)) {
            *ret_last = false;
        }
        p += n + (newline == NULL ? 0 : 1);
    }
}

/*
 * The call that gives the step its value. The event goes in as the text of a JSON string, which is also a string of
 * Python: no character in it is read differently by the two.
 */
static int
handler_call(struct sbx_buf *code, const json_t *event, struct sbx_field_error *err)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(JOB_MAX_EVENT);
    struct sbx_jsonw w;

    if (event == NULL || json_is_null(event)) {
        sbx_buf_puts(&text, "{}");
    } else {
        sbx_json_dump(&text, event, false);
    }
    if (text.failed) {
        sbx_field_error_set(err, "/event", "must not be more than %u bytes", JOB_MAX_EVENT);
        err->too_large = true;
        return DOCUMENT_E_FIELD;
    }
    sbx_buf_puts(code,
                 "\n(lambda value: type(\"result\", (), {\"_repr_json_\": lambda _: value, \"__repr__\": "
                 "lambda _: repr(value)})())(handler(*[__import__(\"json\").loads(");
    sbx_jsonw_init(&w, code);
    sbx_jsonw_strn(&w, NULL, text.data, text.len);
    sbx_buf_puts(code, "), None][:handler.__code__.co_argcount]))\n");
    return code->failed ? -ENOMEM : 0;
}

/* The code is replaced when it has a handler to call. */
static int
handler_append(json_t *object, const json_t *event, struct sbx_field_error *err)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf code = SBX_BUF_INIT(CALL_MAX);
    const char *language = json_string_value(json_object_get(object, "language"));
    const json_t *given = json_object_get(object, "code");
    bool defined, last;
    int r;

    if (!json_is_string(given) || json_string_length(given) > JOB_MAX_CODE ||
        (language != NULL && strcmp(sbx_language_canonical(language), "python") != 0)) {
        return 0;
    }
    handler_find(json_string_value(given), json_string_length(given), &defined, &last);
    if (!last && (!defined || event == NULL || json_is_null(event))) {
        return 0;
    }
    sbx_buf_append(&code, json_string_value(given), json_string_length(given));
    r = handler_call(&code, event, err);
    if (r) {
        return r;
    }
    return json_object_set_new(object, "code", json_stringn(code.data, code.len)) == 0 ? 0 : -ENOMEM;
}

int
document_execute_body(struct sbx_buf *out, const char *text, size_t len, struct sbx_field_error *err)
{
    _cleanup_(sbx_json_decrefp) json_t *object = NULL, *event = NULL;
    int r = body_read(&object, text, len, err);

    if (r) {
        return r;
    }
    event = json_incref(json_object_get(object, "event"));
    (void)json_object_del(object, "event"); /* it may not be there */
    r = handler_append(object, event, err);
    if (r) {
        return r;
    }
    sbx_json_dump(out, object, false);
    return out->failed ? -ENOMEM : 0;
}

int
document_body(struct sbx_buf *out, struct document_names *ret, const char *pattern, const char **text,
              size_t *len, struct sbx_field_error *err)
{
    int r;

    ret->renamed = 0;
    if (strcmp(pattern, SHORT_PREFIX) == 0 || strcmp(pattern, CONSOLE_PREFIX) == 0) {
        r = document_session_body(out, ret, *text, *len, err);
    } else if (strcmp(pattern, CONSOLE_PREFIX EXECUTE) == 0) {
        r = document_execute_body(out, *text, *len, err);
    } else {
        return 0;
    }
    if (r == 0) {
        *text = out->data;
        *len = out->len;
    }
    return r;
}

/* Both are objects with members: the first one's end and the other's beginning become a comma. */
static void
object_join(struct sbx_buf *body, const struct sbx_buf *members)
{
    if (members->failed || body->failed || body->len == 0) {
        body->failed = true;
        return;
    }
    body->len--;
    sbx_buf_putc(body, ',');
    sbx_buf_append(body, members->data + 1, members->len - 1);
}

void
document_session_answer(struct sbx_buf *body, enum document_shape shape, const struct session_record *record)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf members = SBX_BUF_INIT(MEMBERS_MAX);
    struct sbx_jsonw w;

    if (shape == DOCUMENT_NONE) {
        return;
    }
    sbx_jsonw_init(&w, &members);
    sbx_jsonw_object(&w, NULL);
    if (shape == DOCUMENT_SHORT) {
        sbx_jsonw_str(&w, "sessionId", record->id.text);
        sbx_jsonw_str(&w, "runtime", record->language);
    } else {
        sbx_jsonw_str(&w, "id", record->id.text);
        sbx_jsonw_str(&w, "template_id", record->template_name);
        sbx_jsonw_uint(&w, "timeout", record->ttl_ms / 1000);
        sbx_jsonw_raw(&w, "resources", record->limits_json == NULL ? "{}" : record->limits_json,
                      record->limits_json == NULL ? 2 : strlen(record->limits_json));
    }
    sbx_jsonw_object_end(&w);
    object_join(body, &members);
}

/* What the step's last expression came to: its JSON, or its text. */
static void
result_write(struct sbx_jsonw *w, const struct step_record *record)
{
    static const char *const types[] = { "application/json", "text/plain" };
    _cleanup_(sbx_json_decrefp) json_t *results = NULL;
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(MEMBERS_MAX);
    struct sbx_field_error ignored;
    const json_t *value = NULL, *data;
    size_t i = record->results_json == NULL ? 0 : strlen(record->results_json);

    if (i == 0 || sbx_json_parse(&results, record->results_json, i, &ignored) != 0) {
        sbx_jsonw_null(w, "result");
        return;
    }
    for (i = json_array_size(results); i > 0 && value == NULL; i--) {
        const char *kind = json_string_value(json_object_get(json_array_get(results, i - 1), "kind"));

        data = json_object_get(json_array_get(results, i - 1), "data");
        for (size_t k = 0;
             kind != NULL && strcmp(kind, "result") == 0 && value == NULL && k < SBX_COUNT(types); k++) {
            value = json_object_get(data, types[k]);
        }
    }
    if (value == NULL) {
        sbx_jsonw_null(w, "result");
        return;
    }
    sbx_json_dump(&text, value, false);
    sbx_jsonw_raw(w, "result", text.failed ? "null" : text.data, text.failed ? 4 : text.len);
}

void
document_step_answer(struct sbx_buf *body, enum document_shape shape, const struct step_record *record)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf members = SBX_BUF_INIT(MEMBERS_MAX);
    struct sbx_jsonw w;

    if (shape == DOCUMENT_NONE) {
        return;
    }
    sbx_jsonw_init(&w, &members);
    sbx_jsonw_object(&w, NULL);
    if (shape == DOCUMENT_SHORT) {
        sbx_jsonw_str(&w, "sessionId", record->session_id.text);
        sbx_jsonw_str(&w, "stepId", record->id.text);
    } else {
        sbx_jsonw_str(&w, "id", record->id.text);
        sbx_jsonw_str(&w, "execution_id", record->id.text);
        sbx_jsonw_uint(&w, "execution_time_ms",
                       record->finished_ms > record->started_ms && record->started_ms > 0
                           ? record->finished_ms - record->started_ms
                           : 0);
        result_write(&w, record);
    }
    sbx_jsonw_object_end(&w);
    object_join(body, &members);
}
