/*
 * Messages that ask for something of the catalogue: arguments are held against it here, before anything else is asked, and what backends
 * need is made of its data.
 */
#include "sbx_mcp_catalogue_inside.h"

#include <string.h>

#include "sbx_jsonw.h"
#include "sbx_utf8.h"

#define NOT_FOUND_LEGACY (-32002) /* revisions before 2026-07-28: a resource that is not there */

struct question {
    const struct sbx_mcp_catalogue *catalogue;
    const struct sbx_mcp_message *message;
    const struct sbx_mcp_caller *caller;
    struct sbx_buf *out;
    struct sbx_mcp_call *call;
    struct sbx_mcp_error *err;
};

static int
invalid(const struct question *q, const char *why)
{
    sbx_mcp_error_set(q->err, 200, SBX_MCP_INVALID_PARAMS, "Invalid params: %s", why);
    return SBX_MCP_REFUSED;
}

static int
unknown_method(const struct question *q)
{
    sbx_mcp_error_set(q->err, q->message->era == SBX_MCP_MODERN ? 404 : 200, SBX_MCP_METHOD_NOT_FOUND,
                      "Method not found");
    return SBX_MCP_REFUSED;
}

/* "Unknown tool: NAME", the name in quotes, escaped, as much as fits of it. */
static int
unknown_name(const struct question *q, const char *what, const char *name, size_t len)
{
    char text[sizeof(q->err->message)];
    struct sbx_buf shown = SBX_BUF_OVER(text);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &shown);
    sbx_jsonw_strn(&w, NULL, name, len);
    sbx_mcp_error_set(q->err, 200, SBX_MCP_INVALID_PARAMS, "Unknown %s%s%s", what, shown.failed ? "" : ": ",
                      shown.failed ? "" : text);
    return SBX_MCP_REFUSED;
}

static int
unknown_resource(const struct question *q)
{
    struct sbx_buf data = SBX_BUF_OVER(q->err->data);
    struct sbx_jsonw w;

    sbx_mcp_error_set(q->err, 200,
                      q->message->era == SBX_MCP_MODERN ? SBX_MCP_INVALID_PARAMS : NOT_FOUND_LEGACY,
                      "Resource not found");
    sbx_jsonw_init(&w, &data);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_strn(&w, "uri", q->message->name, q->message->name_len);
    sbx_jsonw_object_end(&w);
    if (data.failed) {
        q->err->data[0] = '\0'; /* longer than any of ours */
    }
    return SBX_MCP_REFUSED;
}

/* A tool's result that says what is wrong with a call, for a model to do it better. */
static int
tool_error(const struct question *q, struct sbx_buf *text)
{
    struct sbx_jsonw w;

    if (text->failed) {
        sbx_buf_deinit(text);
        return -ENOMEM;
    }
    /* Members of a result that has its beginning elsewhere. */
    sbx_buf_puts(q->out, "\"content\":");
    sbx_jsonw_init(&w, q->out);
    sbx_jsonw_array(&w, NULL);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "type", "text");
    sbx_jsonw_strn(&w, "text", text->data, text->len);
    sbx_jsonw_object_end(&w);
    sbx_jsonw_array_end(&w);
    sbx_buf_puts(q->out, ",\"isError\":true");
    sbx_buf_deinit(text);
    return q->out->failed ? -ENOMEM : SBX_MCP_TOOL_ERROR;
}

static int
bad_arguments(const struct question *q, const struct sbx_mcp_tool *tool,
              const struct sbx_schema_errors *errors)
{
    struct sbx_buf text = SBX_BUF_INIT(8192);
    unsigned i;

    sbx_buf_printf(&text, "Invalid arguments of %s: nothing was done.\n", tool->name);
    for (i = 0; i < errors->n; i++) {
        sbx_buf_printf(&text, "- %s %s\n",
                       errors->error[i].field[0] == '\0' ? "the arguments" : errors->error[i].field,
                       errors->error[i].message);
    }
    sbx_buf_puts(&text, "Correct them and call the tool again.");
    return tool_error(q, &text);
}

static int
bad_value(const struct question *q, const struct sbx_mcp_tool *tool, const char *name)
{
    struct sbx_buf text = SBX_BUF_INIT(8192);

    sbx_buf_printf(&text, "Invalid arguments of %s: nothing was done.\n", tool->name);
    if (name != NULL) {
        sbx_buf_printf(&text, "- /%.*s has characters or a form that it can't have\n",
                       (int)strcspn(name, "}"), name);
    } else {
        sbx_buf_puts(&text, "- the arguments are too long\n");
    }
    sbx_buf_puts(&text, "Correct them and call the tool again.");
    return tool_error(q, &text);
}

/* What a client of an older revision can't be asked for, for nothing of it is known from one request to the next. */
static int
needs_more(const struct question *q, const struct sbx_mcp_tool *tool, unsigned needed)
{
    struct sbx_buf text = SBX_BUF_INIT(1024);

    if (q->message->era == SBX_MCP_MODERN) {
        sbx_mcp_error_capability(q->err, needed);
        return SBX_MCP_REFUSED;
    }
    sbx_buf_printf(
        &text, "%s needs a client of protocol revision %s: it asks the client for more, or answers later.",
        tool->name, SBX_MCP_VERSION);
    return tool_error(q, &text);
}

static int
call_tool(const struct question *q)
{
    const struct sbx_mcp_message *message = q->message;
    const struct sbx_mcp_tool *tool = sbx_mcp_catalogue_tool(q->catalogue, message->name, message->name_len);
    const struct mcp_values values = { .arguments = message->arguments,
                                       .message = message,
                                       .state = q->caller->state };
    struct sbx_schema_errors errors;
    const char *bad = NULL;
    json_t *nothing;
    unsigned needed;
    bool good;
    int r;

    if (tool == NULL || (q->caller->tools & (uint64_t)1 << (tool - q->catalogue->tool)) == 0) {
        return unknown_name(q, "tool", message->name, message->name_len);
    }
    needed = (tool->needs | (tool->needs_tasks ? SBX_MCP_CAN_TASKS : 0)) & ~message->can;
    if (needed != 0) {
        return needs_more(q, tool, needed);
    }
    if (message->arguments != NULL) {
        good = sbx_schema_check(tool->input, message->arguments, &errors);
    } else {
        nothing = json_object();
        if (nothing == NULL) {
            return -ENOMEM;
        }
        good = sbx_schema_check(tool->input, nothing, &errors);
        json_decref(nothing);
    }
    if (!good) {
        return bad_arguments(q, tool, &errors);
    }
    q->call->tool = tool;
    r = mcp_backend_ask(tool->backend, &values, q->call, &bad);
    return r == 0 ? SBX_MCP_FORWARD : bad_value(q, tool, r == MCP_BACKEND_E_NAME ? bad : NULL);
}

static const struct mcp_prompt *
find_prompt(const struct sbx_mcp_catalogue *catalogue, const char *name, size_t len)
{
    const struct sbx_mcp_catalogue_inside *inside = catalogue->inside;
    unsigned i;

    for (i = 0; i < inside->n_prompts; i++) {
        if (strlen(inside->prompt[i].name) == len && memcmp(inside->prompt[i].name, name, len) == 0) {
            return &inside->prompt[i];
        }
    }
    return NULL;
}

/* Writes text with each {{name}} replaced; an argument that was not given is nothing. */
static void
fill_in(struct sbx_buf *out, const char *text, const json_t *arguments)
{
    const char *open, *close;
    char name[MCP_NAME_MAX + 1];
    const json_t *value;
    size_t len;

    while ((open = strstr(text, "{{")) != NULL) {
        close = strstr(open, "}}"); /* as check_placeholders() saw, and the name is an argument's */
        sbx_buf_append(out, text, (size_t)(open - text));
        len = (size_t)(close - open) - 2;
        memcpy(name, open + 2, len);
        name[len] = '\0';
        value = json_object_get(arguments, name);
        if (json_is_string(value)) {
            sbx_buf_append(out, json_string_value(value), json_string_length(value));
        }
        text = close + 2;
    }
    sbx_buf_puts(out, text);
}

/* A message's content as it is, but for its texts. */
static void
write_filled(struct sbx_jsonw *w, const char *key, const json_t *json, const json_t *arguments)
{
    struct sbx_buf text = SBX_BUF_INIT(MCP_BODY_MAX);
    const char *name;
    json_t *item;

    if (json_is_object(json)) {
        sbx_jsonw_object(w, key);
        json_object_foreach ((json_t *)(uintptr_t)json, name, item) { /* looked at, not changed */
            write_filled(w, name, item, arguments);
        }
        sbx_jsonw_object_end(w);
        return;
    }
    if (!json_is_string(json)) {
        sbx_jsonw_raw(w, key, "", 0); /* the comma and the name */
        sbx_json_dump(w->buf, json, false);
        return;
    }
    fill_in(&text, json_string_value(json), arguments);
    if (text.failed) {
        w->buf->failed = true;
    } else {
        sbx_jsonw_strn(w, key, text.data, text.len);
    }
    sbx_buf_deinit(&text);
}

static int
check_prompt_arguments(const struct question *q, const struct mcp_prompt *prompt)
{
    const char *name;
    json_t *value;
    unsigned i;

    for (i = 0; i < prompt->n_arguments; i++) {
        if (prompt->argument[i].required &&
            json_object_get(q->message->arguments, prompt->argument[i].name) == NULL) {
            sbx_mcp_error_set(q->err, 200, SBX_MCP_INVALID_PARAMS,
                              "Invalid params: the argument %s is required", prompt->argument[i].name);
            return SBX_MCP_REFUSED;
        }
    }
    json_object_foreach ((json_t *)(uintptr_t)q->message->arguments, name,
                         value) { /* looked at, not changed */
        if (!json_is_string(value)) {
            return invalid(q, "arguments of a prompt must be strings");
        }
    }
    return 0;
}

static int
get_prompt(const struct question *q)
{
    const struct sbx_mcp_message *message = q->message;
    const struct mcp_prompt *prompt = find_prompt(q->catalogue, message->name, message->name_len);
    const struct mcp_values values = { .arguments = message->arguments,
                                       .message = message,
                                       .state = q->caller->state };
    const char *bad = NULL;
    struct sbx_jsonw w;
    size_t i;
    int r;

    if (prompt == NULL) {
        return unknown_name(q, "prompt", message->name, message->name_len);
    }
    r = check_prompt_arguments(q, prompt);
    if (r != 0) {
        return r;
    }
    if (prompt->backend != NULL) {
        return mcp_backend_ask(prompt->backend, &values, q->call, &bad) == 0
                   ? SBX_MCP_FORWARD
                   : invalid(q, "the arguments are too long, or none");
    }
    if (prompt->description != NULL) {
        sbx_buf_puts(q->out, "\"description\":");
        sbx_jsonw_init(&w, q->out);
        sbx_jsonw_str(&w, NULL, prompt->description);
        sbx_buf_putc(q->out, ',');
    }
    sbx_buf_puts(q->out, "\"messages\":");
    sbx_jsonw_init(&w, q->out);
    sbx_jsonw_array(&w, NULL);
    for (i = 0; i < json_array_size(prompt->messages); i++) {
        write_filled(&w, NULL, json_array_get(prompt->messages, i), message->arguments);
    }
    sbx_jsonw_array_end(&w);
    return q->out->failed ? -ENOMEM : SBX_MCP_ANSWERED;
}

/* A backend's contents hold as long as the catalogue says of all its lists; only the newest revision has that. */
static int
forward_resource(const struct question *q, const struct sbx_mcp_backend *backend,
                 struct mcp_text_value *texts, unsigned n_texts)
{
    struct mcp_values values = {
        .text = texts, .n_texts = n_texts + 1, .message = q->message, .state = q->caller->state
    };
    const char *bad = NULL;

    texts[n_texts] = (struct mcp_text_value){ "uri", 3, q->message->name, q->message->name_len };
    if (mcp_backend_ask(backend, &values, q->call, &bad) != 0) {
        return unknown_resource(q);
    }
    if (q->message->era == SBX_MCP_MODERN) {
        q->call->members = q->catalogue->inside->caching.data;
    }
    return SBX_MCP_FORWARD;
}

static int
read_resource(const struct question *q)
{
    const struct sbx_mcp_catalogue_inside *inside = q->catalogue->inside;
    const struct sbx_mcp_message *message = q->message;
    struct mcp_text_value texts[MCP_VARIABLES + 1];
    char room[SBX_MCP_URI_MAX];
    const struct mcp_resource *resource;
    unsigned i;

    for (i = 0; i < inside->n_resources; i++) {
        resource = &inside->resource[i];
        if (strlen(resource->uri) != message->name_len ||
            memcmp(resource->uri, message->name, message->name_len) != 0) {
            continue;
        }
        if (resource->backend != NULL) {
            return forward_resource(q, resource->backend, texts, 0);
        }
        sbx_buf_puts(q->out, resource->contents);
        if (message->era == SBX_MCP_MODERN) {
            sbx_buf_putc(q->out, ',');
            sbx_buf_append(q->out, inside->caching.data, inside->caching.len);
        }
        return q->out->failed ? -ENOMEM : SBX_MCP_ANSWERED;
    }
    for (i = 0; i < inside->n_templates; i++) {
        if (message->name_len <= sizeof(room) &&
            mcp_template_match(&inside->template[i].uri, message->name, message->name_len, texts, room)) {
            return forward_resource(q, inside->template[i].backend, texts, inside->template[i].uri.n);
        }
    }
    return unknown_resource(q);
}

static char
folded(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool
begins_with(const char *text, const char *prefix, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        if (text[i] == '\0' || folded(text[i]) != folded(prefix[i])) {
            return false;
        }
    }
    return true;
}

/* Of the values that are known, those that begin like what was typed. */
static int
complete_values(const struct question *q, const json_t *values, const json_t *typed)
{
    const char *prefix = json_string_value(typed), *value;
    size_t i, n = 0, len = json_string_length(typed);
    struct sbx_jsonw w;

    sbx_buf_puts(q->out, "\"completion\":");
    sbx_jsonw_init(&w, q->out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_array(&w, "values");
    for (i = 0; i < json_array_size(values); i++) {
        value = json_string_value(json_array_get(values, i));
        if (begins_with(value, prefix, len) && n++ < MCP_COMPLETED) {
            sbx_jsonw_str(&w, NULL, value);
        }
    }
    sbx_jsonw_array_end(&w);
    sbx_jsonw_uint(&w, "total", n);
    sbx_jsonw_bool(&w, "hasMore", n > MCP_COMPLETED);
    sbx_jsonw_object_end(&w);
    return q->out->failed ? -ENOMEM : SBX_MCP_ANSWERED;
}

static int
complete_prompt(const struct question *q, const json_t *ref, const char *argument, const json_t *typed)
{
    const json_t *name = json_object_get(ref, "name");
    const struct mcp_prompt *prompt;
    unsigned i;

    if (!json_is_string(name)) {
        return invalid(q, "ref.name must be a string");
    }
    prompt = find_prompt(q->catalogue, json_string_value(name), json_string_length(name));
    if (prompt == NULL) {
        return unknown_name(q, "prompt", json_string_value(name), json_string_length(name));
    }
    for (i = 0; i < prompt->n_arguments; i++) {
        if (strcmp(prompt->argument[i].name, argument) == 0) {
            return complete_values(q, prompt->argument[i].values, typed);
        }
    }
    return unknown_name(q, "argument", argument, strlen(argument));
}

static int
forward_completion(const struct question *q, const struct mcp_resource_template *template,
                   const char *argument, const json_t *typed)
{
    const struct mcp_text_value texts[] = {
        { "value", 5, json_string_value(typed), json_string_length(typed) },
        { "argument", 8, argument, strlen(argument) },
    };
    const struct mcp_values values = { .text = texts, .n_texts = SBX_COUNT(texts), .message = q->message };
    const char *bad = NULL;
    unsigned i;

    for (i = 0; i < template->n_completions; i++) {
        if (strcmp(template->completion[i].name, argument) == 0) {
            return mcp_backend_ask(template->completion[i].backend, &values, q->call, &bad) == 0
                       ? SBX_MCP_FORWARD
                       : invalid(q, "argument.value is too long");
        }
    }
    for (i = 0; i < template->uri.n; i++) {
        if (strlen(argument) == template->uri.piece[i].name_len &&
            memcmp(argument, template->uri.piece[i].name, strlen(argument)) == 0) {
            return complete_values(q, NULL, typed);
        }
    }
    return unknown_name(q, "argument", argument, strlen(argument));
}

static int
complete_resource(const struct question *q, const json_t *ref, const char *argument, const json_t *typed)
{
    const struct sbx_mcp_catalogue_inside *inside = q->catalogue->inside;
    const char *uri = json_string_value(json_object_get(ref, "uri"));
    unsigned i;

    if (uri == NULL) {
        return invalid(q, "ref.uri must be a string");
    }
    for (i = 0; i < inside->n_templates; i++) {
        if (strcmp(inside->template[i].uri.text, uri) == 0) {
            return forward_completion(q, &inside->template[i], argument, typed);
        }
    }
    return unknown_name(q, "resource template", uri, strlen(uri));
}

static int
complete(const struct question *q)
{
    const json_t *ref = json_object_get(q->message->params, "ref");
    const json_t *argument = json_object_get(q->message->params, "argument");
    const json_t *typed = json_object_get(argument, "value");
    const char *type = json_string_value(json_object_get(ref, "type"));
    const char *name = json_string_value(json_object_get(argument, "name"));

    if (!q->catalogue->inside->completes) {
        return unknown_method(q);
    }
    if (name == NULL || !json_is_string(typed)) {
        return invalid(q, "argument must have a name and a value, both strings");
    }
    if (type != NULL && strcmp(type, "ref/prompt") == 0) {
        return complete_prompt(q, ref, name, typed);
    }
    if (type != NULL && strcmp(type, "ref/resource") == 0) {
        return complete_resource(q, ref, name, typed);
    }
    return invalid(q, "ref.type must be \"ref/prompt\" or \"ref/resource\"");
}

static int
ask_task(const struct question *q, const struct sbx_mcp_backend *backend)
{
    const struct mcp_text_value text = { "taskId", 6, q->message->name, q->message->name_len };
    const struct mcp_values values = {
        .text = &text, .n_texts = 1, .message = q->message, .state = q->caller->state
    };
    const char *bad = NULL;

    if (backend == NULL) {
        return unknown_method(q);
    }
    return mcp_backend_ask(backend, &values, q->call, &bad) == 0
               ? SBX_MCP_FORWARD
               : unknown_name(q, "task", q->message->name, q->message->name_len);
}

static int
ask_cancelled(const struct question *q)
{
    const struct sbx_mcp_backend *backend = q->catalogue->inside->cancelled;
    const char *key = q->caller->cancel_key, *bad = NULL;
    const struct mcp_text_value text = { "cancel_key", 10, key, key == NULL ? 0 : strlen(key) };
    const struct mcp_values values = { .text = &text, .n_texts = 1, .message = q->message };

    if (backend == NULL || key == NULL || mcp_backend_ask(backend, &values, q->call, &bad) != 0) {
        return SBX_MCP_ANSWERED;
    }
    return SBX_MCP_FORWARD;
}

int
sbx_mcp_catalogue_answer(const struct sbx_mcp_catalogue *catalogue, const struct sbx_mcp_message *message,
                         const struct sbx_mcp_caller *caller, struct sbx_buf *out, struct sbx_mcp_call *ret,
                         struct sbx_mcp_error *err)
{
    const struct question q = { catalogue, message, caller, out, ret, err };

    switch (message->method) {
    case SBX_MCP_TOOLS_CALL:
        return call_tool(&q);
    case SBX_MCP_PROMPTS_GET:
        return get_prompt(&q);
    case SBX_MCP_RESOURCES_READ:
        return read_resource(&q);
    case SBX_MCP_COMPLETE:
        return complete(&q);
    case SBX_MCP_TASKS_GET:
        return ask_task(&q, catalogue->inside->task_get);
    case SBX_MCP_TASKS_UPDATE:
        return ask_task(&q, catalogue->inside->task_update);
    case SBX_MCP_TASKS_CANCEL:
        return ask_task(&q, catalogue->inside->task_cancel);
    case SBX_MCP_CANCELLED:
        return ask_cancelled(&q);
    case SBX_MCP_UNKNOWN:
    case SBX_MCP_DISCOVER:
    case SBX_MCP_INITIALIZE:
    case SBX_MCP_PING:
    case SBX_MCP_TOOLS_LIST:
    case SBX_MCP_RESOURCES_LIST:
    case SBX_MCP_RESOURCE_TEMPLATES_LIST:
    case SBX_MCP_RESOURCES_SUBSCRIBE:
    case SBX_MCP_RESOURCES_UNSUBSCRIBE:
    case SBX_MCP_PROMPTS_LIST:
    case SBX_MCP_LISTEN:
    case SBX_MCP_LOGGING_SET_LEVEL:
    case SBX_MCP_INITIALIZED:
    case SBX_MCP_NOTIFICATION:
        break;
    }
    return unknown_method(&q); /* none of these comes here */
}
