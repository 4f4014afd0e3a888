/*
 * How a backend is asked: texts of the document in which {names} stand for what a message brought. Names are known when the document is
 * read; what is brought is data, in a path a part of one segment, in a body a value.
 */
#include "sbx_mcp_catalogue_inside.h"

#include <stdio.h>
#include <string.h>

#include "sbx_jsonw.h"

#define LOCATION_MAX 256
#define TEXT_MAX 1024

/* The text that is exactly "{name}"; NULL when it is another. */
static const char *
whole_name(const char *text, size_t *len)
{
    size_t n = strlen(text);

    if (n < 3 || text[0] != '{' || strchr(text, '}') != text + n - 1) {
        return NULL;
    }
    *len = n - 2;
    return text + 1;
}

static bool
names_have(const struct mcp_names *names, const char *name, size_t len)
{
    const char *const *extra;
    const char *key;
    json_t *value;

    for (extra = names->extra; *extra != NULL; extra++) {
        if (strlen(*extra) == len && memcmp(*extra, name, len) == 0) {
            return true;
        }
    }
    json_object_foreach ((json_t *)(uintptr_t)names->properties, key, value) { /* looked at, not changed */
        if (strlen(key) == len && memcmp(key, name, len) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether what it stands for is there in each call of this option. */
static bool
is_always(const struct mcp_names *names, const char *when, const char *name, size_t len)
{
    const char *const *extra;
    const char *required;
    size_t i;

    if (when != NULL && strlen(when) == len && memcmp(when, name, len) == 0) {
        return true;
    }
    for (i = 0; i < json_array_size(names->required); i++) {
        required = json_string_value(json_array_get(names->required, i));
        if (required != NULL && strlen(required) == len && memcmp(required, name, len) == 0) {
            return true;
        }
    }
    for (extra = names->extra; *extra != NULL; extra++) {
        if (strlen(*extra) == len && memcmp(*extra, name, len) == 0) {
            return true;
        }
    }
    return false;
}

/* Text with names in it. `when` and `always`: each must be there in every call. */
static int
check_text(struct mcp_loader *l, const char *text, const char *path, const char *key,
           const struct mcp_names *names, bool always, const char *when)
{
    const char *open = text, *close;
    size_t len;

    while ((open = strpbrk(open, "{}")) != NULL) {
        close = strchr(open, '}');
        if (open[0] == '}' || close == NULL || close == open + 1) {
            return mcp_catalogue_refuse(l, path, key, "has a brace that is no {name}'s");
        }
        len = (size_t)(close - open) - 1;
        if (!names_have(names, open + 1, len) || open[1] == '*' || strncmp(open, "{message}", 9) == 0) {
            return mcp_catalogue_refuse(l, path, key, "names {%.*s}, which is not known there",
                                        len > 40 ? 40 : (int)len, open + 1);
        }
        if (always && !is_always(names, when, open + 1, len)) {
            return mcp_catalogue_refuse(l, path, key, "names {%.*s}, which a call need not have",
                                        len > 40 ? 40 : (int)len, open + 1);
        }
        open = close + 1;
    }
    return 0;
}

/* A string in a body is a name or has no braces. */
static int
check_body(struct mcp_loader *l, const json_t *json, const char *path, const struct mcp_names *names)
{
    const char *text = json_string_value(json), *name, *key;
    char at[128];
    const json_t *item;
    size_t i, len = 0;
    int r;

    if (text != NULL && strpbrk(text, "{}") != NULL) {
        name = whole_name(text, &len);
        if (name == NULL || !names_have(names, name, len)) {
            return mcp_catalogue_refuse(l, path, NULL,
                                        "must be without braces, or one {name} that is known there");
        }
    }
    for (i = 0; i < json_array_size(json); i++) {
        sbx_json_pointer(at, sizeof(at), path, NULL, i);
        r = check_body(l, json_array_get(json, i), at, names);
        if (r != 0) {
            return r;
        }
    }
    json_object_foreach ((json_t *)(uintptr_t)json, key, item) { /* looked at, not changed */
        sbx_json_pointer(at, sizeof(at), path, key, 0);
        r = check_body(l, item, at, names);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

static int
check_query(struct mcp_loader *l, const json_t *query, const char *path, const struct mcp_names *names)
{
    const char *key, *p;
    json_t *value;
    char at[128];
    int r;

    sbx_json_pointer(at, sizeof(at), path, "query", 0);
    json_object_foreach ((json_t *)(uintptr_t)query, key, value) { /* looked at, not changed */
        for (p = key; (*p >= 'a' && *p <= 'z') || *p == '_'; p++) {
        }
        if (*p != '\0' || p == key || !json_is_string(value)) {
            return mcp_catalogue_refuse(l, at, key,
                                        "must be a string, under a name of small letters and \"_\"");
        }
        r = check_text(l, json_string_value(value), at, key, names, false, NULL);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

/* What goes into a request line as it stands in the document. */
static bool
is_plain_path(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text >= 0x7f || strchr("?#\"\\%", *text) != NULL) {
            return false;
        }
    }
    return true;
}

static int
check_option(struct mcp_loader *l, struct mcp_option *option, const char *path, const struct mcp_names *names)
{
    static const char *const methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE" };
    size_t i;
    int r;

    if (option->location[0] != '/' || !is_plain_path(option->location)) {
        return mcp_catalogue_refuse(l, path, "location", "must be the path of a location");
    }
    if (option->path[0] != '/' || !is_plain_path(option->path) || strstr(option->path, "/.") != NULL) {
        return mcp_catalogue_refuse(l, path, "path", "must be a path, without query");
    }
    for (i = 0; i < SBX_COUNT(methods) && strcmp(methods[i], option->method) != 0; i++) {
    }
    if (i == SBX_COUNT(methods)) {
        return mcp_catalogue_refuse(l, path, "method", "must be GET, POST, PUT, PATCH or DELETE");
    }
    if (i == 0 && option->body != NULL) {
        return mcp_catalogue_refuse(l, path, "body", "is not sent with GET");
    }
    if (option->when != NULL && !names_have(names, option->when, strlen(option->when))) {
        return mcp_catalogue_refuse(l, path, "when", "is no argument");
    }
    r = check_text(l, option->path, path, "path", names, true, option->when);
    if (r == 0 && option->idempotency_key != NULL) {
        r = check_text(l, option->idempotency_key, path, "idempotency_key", names, false, NULL);
    }
    return r != 0 ? r : check_query(l, option->query, path, names);
}

static int
read_option(struct mcp_loader *l, struct mcp_option *option, const json_t *json, const char *path,
            const struct mcp_names *names)
{
    static const char *const known[] = { "when", "location",        "method", "path", "query",
                                         "body", "idempotency_key", "stream", NULL };
    const char *stream = NULL;
    json_t *query = NULL;
    char at[128];
    int r;

    if (!json_is_object(json)) {
        return mcp_catalogue_refuse(l, path, NULL, "is required: an object");
    }
    if (!sbx_json_only(json, path, known, l->err) ||
        !sbx_json_get_str(json, path, "when", MCP_NAME_MAX, &option->when, NULL, l->err) ||
        !sbx_json_get_str(json, path, "idempotency_key", TEXT_MAX, &option->idempotency_key, NULL, l->err) ||
        !sbx_json_get_str(json, path, "stream", 8, &stream, NULL, l->err) ||
        !sbx_json_get_object(json, path, "query", &query, l->err)) {
        return SBX_MCP_CATALOGUE_E_FORM;
    }
    if (stream != NULL && strcmp(stream, "always") != 0 && strcmp(stream, "progress") != 0) {
        return mcp_catalogue_refuse(l, path, "stream", "must be \"always\" or \"progress\"");
    }
    option->stream = stream != NULL && strcmp(stream, "always") == 0;
    option->query = query;
    option->body = json_object_get(json, "body");
    r = mcp_catalogue_text(l, json, path, "location", LOCATION_MAX, &option->location);
    r = r != 0 ? r : mcp_catalogue_text(l, json, path, "method", 8, &option->method);
    r = r != 0 ? r : mcp_catalogue_text(l, json, path, "path", TEXT_MAX, &option->path);
    r = r != 0 ? r : check_option(l, option, path, names);
    sbx_json_pointer(at, sizeof(at), path, "body", 0);
    return r != 0 ? r : check_body(l, option->body, at, names);
}

int
mcp_backend_load(struct mcp_loader *l, const struct sbx_mcp_backend **ret, const json_t *json,
                 const char *path, const struct mcp_names *names)
{
    struct sbx_mcp_backend *backend = mcp_catalogue_alloc(l, 1, sizeof(*backend));
    size_t i, n = json_is_array(json) ? json_array_size(json) : 1;
    char at[128];
    int r;

    if (backend == NULL) {
        return -ENOMEM;
    }
    if (n == 0 || n > MCP_OPTIONS) {
        return mcp_catalogue_refuse(l, path, NULL, "must be an object, or an array of 1 to %d", MCP_OPTIONS);
    }
    for (i = 0; i < n; i++) {
        (void)snprintf(at, sizeof(at), "%s", path); /* cut when too long */
        if (json_is_array(json)) {
            sbx_json_pointer(at, sizeof(at), path, NULL, i);
        }
        r = read_option(l, &backend->option[i], json_is_array(json) ? json_array_get(json, i) : json, at,
                        names);
        if (r != 0) {
            return r;
        }
        if ((backend->option[i].when == NULL) != (i == n - 1)) {
            return mcp_catalogue_refuse(l, at, "when", "is required of all but the last, which has none");
        }
    }
    backend->n = (unsigned)n;
    *ret = backend;
    return 0;
}

/* What a name stands for: JSON of the arguments, or text; neither when it is absent. */
struct value {
    const json_t *json;
    const char *text;
    size_t len;
};

static bool
find(const struct mcp_values *values, const char *name, size_t len, struct value *ret)
{
    char key[256];
    unsigned i;

    memset(ret, 0, sizeof(*ret));
    for (i = 0; i < values->n_texts; i++) {
        if (values->text[i].name_len == len && memcmp(values->text[i].name, name, len) == 0) {
            ret->text = values->text[i].text;
            ret->len = values->text[i].len;
            return ret->text != NULL;
        }
    }
    if (len >= sizeof(key)) {
        return false;
    }
    memcpy(key, name, len);
    key[len] = '\0';
    ret->json = json_object_get(values->arguments, key);
    if (json_is_null(ret->json)) {
        ret->json = NULL;
    }
    return ret->json != NULL;
}

static void
put_encoded(struct sbx_buf *out, const char *text, size_t len)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t i;

    for (i = 0; i < len; i++) {
        char c = text[i];

        if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' || c == '_' ||
            c == '.' || c == '~') {
            sbx_buf_putc(out, c);
        } else {
            sbx_buf_putc(out, '%');
            sbx_buf_putc(out, hex[(uint8_t)c >> 4]);
            sbx_buf_putc(out, hex[(uint8_t)c & 15]);
        }
    }
}

/* A segment of a path is neither empty nor means the one above. */
static bool
is_segment(const char *text, size_t len)
{
    return len > 0 && strspn(text, ".") < len;
}

/* Where a text goes: in a path the document's own part stands as it is, in a query it is encoded like what it names. */
enum place { IN_PATH, IN_QUERY, IN_HEADER };

static void
put_plain(struct sbx_buf *out, const char *text, size_t len, enum place place)
{
    if (place == IN_QUERY) {
        put_encoded(out, text, len);
    } else {
        sbx_buf_append(out, text, len);
    }
}

/* False when it is not fit for the place. */
static bool
put_value(struct sbx_buf *out, const struct value *value, enum place place)
{
    struct sbx_buf dumped = SBX_BUF_INIT(MCP_PATH_MAX);
    const char *text = value->text != NULL ? value->text : json_string_value(value->json);
    size_t len = value->text != NULL ? value->len : json_string_length(value->json);
    bool good = true;

    if (text == NULL) {
        sbx_json_dump(&dumped, value->json, false);
        out->failed |= dumped.failed;
        text = dumped.failed ? "" : dumped.data;
        len = dumped.failed ? 0 : dumped.len;
    }
    if (place == IN_PATH && !is_segment(text, len)) {
        good = false;
    } else if (place != IN_HEADER) {
        put_encoded(out, text, len);
    } else {
        sbx_buf_append(out, text, len);
    }
    sbx_buf_deinit(&dumped);
    return good;
}

/* Writes text with its names; false when a name stands for nothing, or for what may not be there. */
static bool
put_text(struct sbx_buf *out, const char *text, const struct mcp_values *values, enum place place,
         const char **bad)
{
    struct value value;
    const char *open, *close;

    while ((open = strchr(text, '{')) != NULL) {
        close = strchr(open, '}'); /* as check_text() saw */
        put_plain(out, text, (size_t)(open - text), place);
        if (!find(values, open + 1, (size_t)(close - open) - 1, &value) || !put_value(out, &value, place)) {
            *bad = open + 1;
            return false;
        }
        text = close + 1;
    }
    put_plain(out, text, strlen(text), place);
    return true;
}

static bool
put_path(struct sbx_buf *out, const struct mcp_option *option, const struct mcp_values *values,
         const char **bad)
{
    const char *key, *missing;
    json_t *value;
    char mark = '?';
    size_t before;

    if (!put_text(out, option->path, values, IN_PATH, bad)) {
        return false;
    }
    json_object_foreach ((json_t *)(uintptr_t)option->query, key, value) { /* looked at, not changed */
        before = out->len;
        sbx_buf_putc(out, mark);
        sbx_buf_puts(out, key);
        sbx_buf_putc(out, '=');
        if (put_text(out, json_string_value(value), values, IN_QUERY, &missing)) {
            mark = '&';
        } else if (!out->failed) {
            out->len = before;
            out->data[before] = '\0';
        }
    }
    return true;
}

/* Is there something to write of this part of a body? */
static bool
has_part(const json_t *json, const struct mcp_values *values)
{
    const char *name, *key;
    struct value value;
    json_t *item;
    size_t len;

    if (json_is_string(json)) {
        name = whole_name(json_string_value(json), &len);
        return name == NULL || (len == 1 && name[0] == '*') ||
               (len == 7 && memcmp(name, "message", 7) == 0) || find(values, name, len, &value);
    }
    if (!json_is_object(json) || json_object_size(json) == 0) {
        return true;
    }
    json_object_foreach ((json_t *)(uintptr_t)json, key, item) { /* looked at, not changed */
        if (has_part(item, values)) {
            return true;
        }
    }
    return false;
}

static void
put_raw(struct sbx_jsonw *w, const char *key, const json_t *json)
{
    sbx_jsonw_raw(w, key, "", 0); /* the comma and the name */
    sbx_json_dump(w->buf, json, false);
}

/* A string of up to this is written here, though the writer may escape a character in six bytes that came as one. */
#define SHORT_STRING (1u << 20)

static void put_json(struct sbx_jsonw *w, const char *key, const json_t *json);

static void
put_members(struct sbx_jsonw *w, const char *key, const json_t *object)
{
    const char *name;
    json_t *item;

    sbx_jsonw_object(w, key);
    json_object_foreach ((json_t *)(uintptr_t)object, name, item) { /* looked at, not changed */
        put_json(w, name, item);
    }
    sbx_jsonw_object_end(w);
}

static void
put_items(struct sbx_jsonw *w, const char *key, const json_t *array)
{
    size_t i;

    sbx_jsonw_array(w, key);
    for (i = 0; i < json_array_size(array); i++) {
        put_json(w, NULL, json_array_get(array, i));
    }
    sbx_jsonw_array_end(w);
}

/* A dump by jansson costs far more; it has what is too long or too deep for the writer, and real numbers. */
static void
put_json(struct sbx_jsonw *w, const char *key, const json_t *json)
{
    bool has_room = w->depth + 1 < SBX_JSONW_DEPTH;

    if (json_is_string(json) && json_string_length(json) <= SHORT_STRING) {
        sbx_jsonw_strn(w, key, json_string_value(json), json_string_length(json));
    } else if (json_is_integer(json)) {
        sbx_jsonw_int(w, key, json_integer_value(json));
    } else if (json_is_boolean(json)) {
        sbx_jsonw_bool(w, key, json_is_true(json));
    } else if (json_is_object(json) && has_room) {
        put_members(w, key, json);
    } else if (json_is_array(json) && has_room) {
        put_items(w, key, json);
    } else {
        put_raw(w, key, json);
    }
}

static void
put_capabilities(struct sbx_jsonw *w, unsigned can)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {
        { SBX_MCP_CAN_ELICIT, "elicitation" }, { SBX_MCP_CAN_ELICIT_URL, "elicitation.url" },
        { SBX_MCP_CAN_SAMPLE, "sampling" },    { SBX_MCP_CAN_ROOTS, "roots" },
        { SBX_MCP_CAN_TASKS, "tasks" },
    };
    size_t i;

    sbx_jsonw_array(w, "capabilities");
    for (i = 0; i < SBX_COUNT(names); i++) {
        if ((can & names[i].bit) != 0) {
            sbx_jsonw_str(w, NULL, names[i].name);
        }
    }
    sbx_jsonw_array_end(w);
}

/* The message itself, for backends that speak the protocol; of requestState what was in it. */
static void
put_message(struct sbx_jsonw *w, const char *key, const struct mcp_values *values)
{
    const struct sbx_mcp_message *message = values->message;
    const char *name;
    json_t *param;

    sbx_jsonw_object(w, key);
    sbx_jsonw_str(w, "method", sbx_mcp_method_name(message->method));
    sbx_jsonw_object(w, "params");
    json_object_foreach ((json_t *)(uintptr_t)message->params, name, param) { /* looked at, not changed */
        if (strcmp(name, "requestState") != 0) {
            put_json(w, name, param);
        } else if (values->state != NULL) {
            sbx_jsonw_str(w, name, values->state);
        }
    }
    sbx_jsonw_object_end(w);
    sbx_jsonw_str(w, "era", message->era == SBX_MCP_MODERN ? "modern" : "legacy");
    sbx_jsonw_str(w, "version", message->version);
    put_capabilities(w, message->can);
    sbx_jsonw_object_end(w);
}

static void
put_name(struct sbx_jsonw *w, const char *key, const char *name, size_t len, const struct mcp_values *values)
{
    struct value value;

    if (len == 1 && name[0] == '*') {
        if (values->arguments != NULL) {
            put_json(w, key, values->arguments);
        } else {
            sbx_jsonw_object(w, key);
            sbx_jsonw_object_end(w);
        }
    } else if (len == 7 && memcmp(name, "message", 7) == 0) {
        put_message(w, key, values);
    } else if (find(values, name, len, &value)) {
        if (value.text != NULL) {
            sbx_jsonw_strn(w, key, value.text, value.len);
        } else {
            put_json(w, key, value.json);
        }
    }
}

static void
put_body(struct sbx_jsonw *w, const char *key, const json_t *json, const struct mcp_values *values)
{
    const char *name;
    json_t *item;
    size_t i, len;

    if (!has_part(json, values)) {
        return;
    }
    if (json_is_string(json) && (name = whole_name(json_string_value(json), &len)) != NULL) {
        put_name(w, key, name, len, values);
        return;
    }
    if (json_is_array(json)) {
        sbx_jsonw_array(w, key);
        for (i = 0; i < json_array_size(json); i++) {
            put_body(w, NULL, json_array_get(json, i), values);
        }
        sbx_jsonw_array_end(w);
        return;
    }
    if (json_is_object(json)) {
        sbx_jsonw_object(w, key);
        json_object_foreach ((json_t *)(uintptr_t)json, name, item) { /* looked at, not changed */
            put_body(w, name, item, values);
        }
        sbx_jsonw_object_end(w);
        return;
    }
    put_json(w, key, json);
}

static const struct mcp_option *
choose(const struct sbx_mcp_backend *backend, const struct mcp_values *values)
{
    struct value value;
    unsigned i;

    for (i = 0; i + 1 < backend->n; i++) {
        if (find(values, backend->option[i].when, strlen(backend->option[i].when), &value)) {
            break;
        }
    }
    return &backend->option[i];
}

/* It becomes the value of a header. */
static bool
is_header_text(const struct sbx_buf *text)
{
    size_t i;

    for (i = 0; i < text->len; i++) {
        if (text->data[i] < ' ' || text->data[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

int
mcp_backend_ask(const struct sbx_mcp_backend *backend, const struct mcp_values *values,
                struct sbx_mcp_call *ret, const char **bad)
{
    const struct mcp_option *option = choose(backend, values);
    struct sbx_jsonw w;
    const char *missing;

    ret->backend = backend;
    ret->location = option->location;
    ret->method = option->method;
    ret->stream = option->stream;
    ret->members = "";
    if (!put_path(&ret->path, option, values, bad)) {
        return MCP_BACKEND_E_NAME;
    }
    if (option->idempotency_key != NULL &&
        !put_text(&ret->idempotency_key, option->idempotency_key, values, IN_HEADER, &missing)) {
        sbx_buf_reset(&ret->idempotency_key);
    }
    if (!is_header_text(&ret->idempotency_key)) {
        *bad = "idempotency_key}";
        return MCP_BACKEND_E_NAME;
    }
    if (option->body != NULL) {
        sbx_jsonw_init(&w, &ret->body);
        put_body(&w, NULL, option->body, values);
        if (ret->body.len == 0 && !ret->body.failed) {
            sbx_buf_puts(&ret->body, "{}"); /* nothing of it was given */
        }
    }
    return ret->path.failed || ret->body.failed || ret->idempotency_key.failed ? MCP_BACKEND_E_LARGE : 0;
}

void
sbx_mcp_call_init(struct sbx_mcp_call *call)
{
    memset(call, 0, sizeof(*call));
    call->path.max = MCP_PATH_MAX;
    call->body.max = MCP_BODY_MAX;
    call->idempotency_key.max = TEXT_MAX;
}

void
sbx_mcp_call_deinit(struct sbx_mcp_call *call)
{
    sbx_buf_deinit(&call->path);
    sbx_buf_deinit(&call->body);
    sbx_buf_deinit(&call->idempotency_key);
}

const char *
sbx_mcp_tool_location(const struct sbx_mcp_tool *tool, unsigned i)
{
    return i < tool->backend->n ? tool->backend->option[i].location : NULL;
}
