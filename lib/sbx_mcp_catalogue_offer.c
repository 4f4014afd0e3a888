/* Resources, their templates, and prompts of a catalogue. */
#include "sbx_mcp_catalogue_inside.h"

#include <string.h>

#include "sbx_crypto.h"
#include "sbx_jsonw.h"

#define LIST_MAX (1u << 21)

/* Texts of a list in the making. */
struct list {
    struct sbx_buf buf;
    unsigned n;
};

static void
list_begin(struct list *list, const char *name)
{
    *list = (struct list){ .buf = SBX_BUF_INIT(LIST_MAX) };
    sbx_buf_printf(&list->buf, "\"%s\":[", name);
}

static void
list_add(struct list *list, const json_t *json, const char *const *members)
{
    sbx_buf_puts(&list->buf, list->n++ == 0 ? "{" : ",{");
    mcp_catalogue_members(&list->buf, json, members);
    sbx_buf_putc(&list->buf, '}');
}

/* Ends it for both eras: only the newest says how long it holds. */
static int
list_end(struct mcp_loader *l, struct list *list, struct mcp_text *ret)
{
    struct sbx_buf modern = SBX_BUF_INIT(LIST_MAX);

    sbx_buf_putc(&list->buf, ']');
    if (!list->buf.failed) {
        sbx_buf_append(&modern, list->buf.data, list->buf.len);
    }
    sbx_buf_putc(&modern, ',');
    sbx_buf_append(&modern, l->inside->caching.data, l->inside->caching.len);
    if (!mcp_catalogue_keep(l, &list->buf, &ret[SBX_MCP_LEGACY])) {
        sbx_buf_deinit(&modern);
        return -ENOMEM;
    }
    return mcp_catalogue_keep(l, &modern, &ret[SBX_MCP_MODERN]) ? 0 : -ENOMEM;
}

/* scheme ":" something, without spaces and controls */
static bool
is_uri(const char *text)
{
    const char *p = text;

    while ((*p >= 'a' && *p <= 'z') ||
           (p > text && ((*p >= '0' && *p <= '9') || strchr("+.-", *p) != NULL) && *p != '\0')) {
        p++;
    }
    if (p == text || *p != ':' || p[1] == '\0') {
        return false;
    }
    for (; *p != '\0'; p++) {
        if (*p <= ' ' || *p >= 0x7f) {
            return false;
        }
    }
    return true;
}

static int
count_sources(const json_t *json, const char *const *names)
{
    int n = 0;

    for (; *names != NULL; names++) {
        n += json_object_get(json, *names) != NULL;
    }
    return n;
}

/* The answer's "contents" of a text or blob, as the newest revision and the others have it. */
static int
write_contents(struct mcp_loader *l, struct mcp_resource *resource, const json_t *json, const char *path)
{
    static const char *const members[] = { "uri", "mimeType", "text", "blob", NULL };
    struct sbx_buf buf = SBX_BUF_INIT(LIST_MAX), decoded = SBX_BUF_INIT(LIST_MAX);
    const json_t *blob = json_object_get(json, "blob");
    struct mcp_text text;
    bool good = true;

    if (blob != NULL) {
        good = json_is_string(blob) &&
               sbx_b64_decode(&decoded, json_string_value(blob), json_string_length(blob));
        sbx_buf_deinit(&decoded);
    }
    if (!good || (blob == NULL && !json_is_string(json_object_get(json, "text")))) {
        return mcp_catalogue_refuse(l, path, blob == NULL ? "text" : "blob",
                                    blob == NULL ? "must be a string" : "must be base64");
    }
    sbx_buf_puts(&buf, "\"contents\":[{");
    mcp_catalogue_members(&buf, json, members);
    sbx_buf_puts(&buf, "}]");
    if (!mcp_catalogue_keep(l, &buf, &text)) {
        return -ENOMEM;
    }
    resource->contents = text.data;
    return 0;
}

static int
read_resource(struct mcp_loader *l, struct mcp_resource *resource, const json_t *json, const char *path)
{
    static const char *const sources[] = { "text", "blob", "backend", NULL };
    static const char *const extra[] = { "uri", "message", NULL };
    const struct mcp_names names = { .extra = extra };
    const char *ignored;
    char at[128];
    size_t i;
    int r;

    r = mcp_catalogue_text(l, json, path, "uri", SBX_MCP_URI_MAX, &resource->uri);
    r = r != 0 ? r : mcp_catalogue_text(l, json, path, "name", 256, &ignored);
    if (r != 0) {
        return r;
    }
    if (!is_uri(resource->uri)) {
        return mcp_catalogue_refuse(l, path, "uri", "must be a URI");
    }
    for (i = 0; i < l->inside->n_resources; i++) {
        if (strcmp(l->inside->resource[i].uri, resource->uri) == 0) {
            return mcp_catalogue_refuse(l, path, "uri", "is another resource's, too");
        }
    }
    if (count_sources(json, sources) != 1) {
        return mcp_catalogue_refuse(l, path, NULL, "must have one of text, blob and backend");
    }
    if (json_object_get(json, "backend") == NULL) {
        return write_contents(l, resource, json, path);
    }
    sbx_json_pointer(at, sizeof(at), path, "backend", 0);
    return mcp_backend_load(l, &resource->backend, json_object_get(json, "backend"), at, &names);
}

int
mcp_catalogue_resources(struct mcp_loader *l)
{
    static const char *const known[] = { "uri",  "name",        "title", "description", "mimeType",
                                         "size", "annotations", "icons", "_meta",       "text",
                                         "blob", "backend",     NULL };
    static const char *const told[] = { "uri",  "name",        "title", "description", "mimeType",
                                        "size", "annotations", "icons", "_meta",       NULL };
    struct sbx_mcp_catalogue_inside *inside = l->inside;
    struct list texts;
    const json_t *list;
    char path[64];
    size_t i;
    int r;

    r = mcp_catalogue_list(l, "resources", MCP_ENTRIES, known, &list);
    if (r != 0) {
        return r;
    }
    inside->resource = mcp_catalogue_alloc(l, json_array_size(list), sizeof(*inside->resource));
    if (inside->resource == NULL) {
        return -ENOMEM;
    }
    list_begin(&texts, "resources");
    for (i = 0; i < json_array_size(list) && r == 0; i++) {
        sbx_json_pointer(path, sizeof(path), "/resources", NULL, i);
        r = read_resource(l, &inside->resource[i], json_array_get(list, i), path);
        inside->n_resources++;
        list_add(&texts, json_array_get(list, i), told);
    }
    if (r != 0) {
        sbx_buf_deinit(&texts.buf);
        return r;
    }
    return list_end(l, &texts, inside->resources);
}

static bool
has_variable(const struct mcp_template *template, const char *name)
{
    unsigned i;

    for (i = 0; i < template->n; i++) {
        if (template->piece[i].name_len == strlen(name) &&
            memcmp(template->piece[i].name, name, strlen(name)) == 0) {
            return true;
        }
    }
    return false;
}

static int
read_completions(struct mcp_loader *l, struct mcp_resource_template *template, const json_t *json,
                 const char *path)
{
    static const char *const extra[] = { "value", "argument", "message", NULL };
    const struct mcp_names names = { .extra = extra };
    json_t *complete = NULL, *backend;
    char at[128], within[128];
    const char *key;
    int r;

    if (!sbx_json_get_object(json, path, "complete", &complete, l->err)) {
        return SBX_MCP_CATALOGUE_E_FORM;
    }
    template->completion = mcp_catalogue_alloc(l, json_object_size(complete), sizeof(*template->completion));
    if (template->completion == NULL) {
        return -ENOMEM;
    }
    sbx_json_pointer(at, sizeof(at), path, "complete", 0);
    json_object_foreach (complete, key, backend) {
        if (!has_variable(&template->uri, key)) {
            return mcp_catalogue_refuse(l, at, key, "is no variable of the template");
        }
        sbx_json_pointer(within, sizeof(within), at, key, 0);
        template->completion[template->n_completions].name = key;
        r = mcp_backend_load(l, &template->completion[template->n_completions].backend, backend, within,
                             &names);
        if (r != 0) {
            return r;
        }
        template->n_completions++;
        l->inside->completes = true;
    }
    return 0;
}

static int
read_template(struct mcp_loader *l, struct mcp_resource_template *template, const json_t *json,
              const char *path)
{
    static const char *const fixed[] = { "uri", "message" };
    char variables[MCP_VARIABLES][MCP_NAME_MAX + 1], at[128];
    const char *extra[MCP_VARIABLES + SBX_COUNT(fixed) + 1] = { fixed[0], fixed[1] };
    const struct mcp_names names = { .extra = extra };
    const char *text, *why;
    unsigned i;
    int r;

    r = mcp_catalogue_text(l, json, path, "uriTemplate", SBX_MCP_URI_MAX, &text);
    r = r != 0 ? r : mcp_catalogue_text(l, json, path, "name", 256, &why);
    if (r != 0) {
        return r;
    }
    why = is_uri(text) ? mcp_template_parse(&template->uri, text) : "must be a URI with variables";
    if (why != NULL) {
        return mcp_catalogue_refuse(l, path, "uriTemplate", "%s", why);
    }
    for (i = 0; i < template->uri.n; i++) {
        memcpy(variables[i], template->uri.piece[i].name, template->uri.piece[i].name_len);
        variables[i][template->uri.piece[i].name_len] = '\0';
        extra[SBX_COUNT(fixed) + i] = variables[i];
    }
    sbx_json_pointer(at, sizeof(at), path, "backend", 0);
    r = mcp_backend_load(l, &template->backend, json_object_get(json, "backend"), at, &names);
    return r != 0 ? r : read_completions(l, template, json, path);
}

int
mcp_catalogue_templates(struct mcp_loader *l)
{
    static const char *const known[] = { "uriTemplate", "name",        "title", "description",
                                         "mimeType",    "annotations", "icons", "_meta",
                                         "backend",     "complete",    NULL };
    static const char *const told[] = { "uriTemplate", "name",  "title", "description", "mimeType",
                                        "annotations", "icons", "_meta", NULL };
    struct sbx_mcp_catalogue_inside *inside = l->inside;
    struct list texts;
    const json_t *list;
    char path[64];
    size_t i;
    int r;

    r = mcp_catalogue_list(l, "resourceTemplates", MCP_ENTRIES, known, &list);
    if (r != 0) {
        return r;
    }
    inside->template = mcp_catalogue_alloc(l, json_array_size(list), sizeof(*inside->template));
    if (inside->template == NULL) {
        return -ENOMEM;
    }
    list_begin(&texts, "resourceTemplates");
    for (i = 0; i < json_array_size(list) && r == 0; i++) {
        sbx_json_pointer(path, sizeof(path), "/resourceTemplates", NULL, i);
        r = read_template(l, &inside->template[i], json_array_get(list, i), path);
        inside->n_templates++;
        list_add(&texts, json_array_get(list, i), told);
    }
    if (r != 0) {
        sbx_buf_deinit(&texts.buf);
        return r;
    }
    return list_end(l, &texts, inside->templates);
}

static int
read_argument(struct mcp_loader *l, struct mcp_prompt *prompt, const json_t *json, const char *path)
{
    static const char *const known[] = { "name", "title", "description", "required", "values", NULL };
    struct mcp_argument *argument = &prompt->argument[prompt->n_arguments];
    json_t *values = NULL;
    unsigned i;
    int r;

    if (!json_is_object(json)) {
        return mcp_catalogue_refuse(l, path, NULL, "must be an object");
    }
    if (!sbx_json_only(json, path, known, l->err) ||
        !sbx_json_get_bool(json, path, "required", &argument->required, l->err) ||
        !sbx_json_get_array(json, path, "values", MCP_ENTRIES, &values, l->err)) {
        return SBX_MCP_CATALOGUE_E_FORM;
    }
    r = mcp_catalogue_name(l, json, path, &argument->name);
    for (i = 0; r == 0 && i < json_array_size(values); i++) {
        if (!json_is_string(json_array_get(values, i))) {
            r = mcp_catalogue_refuse(l, path, "values", "must be an array of strings");
        }
    }
    for (i = 0; r == 0 && i < prompt->n_arguments; i++) {
        if (strcmp(prompt->argument[i].name, argument->name) == 0) {
            r = mcp_catalogue_refuse(l, path, "name", "is another argument's, too");
        }
    }
    argument->values = values;
    l->inside->completes |= values != NULL;
    prompt->n_arguments++;
    return r;
}

/* Every {{name}} of a text is an argument. */
static int
check_placeholders(struct mcp_loader *l, const struct mcp_prompt *prompt, const json_t *json,
                   const char *path)
{
    const char *open = json_string_value(json), *close, *key;
    json_t *item;
    unsigned i;
    int r = 0;

    while (open != NULL && (open = strstr(open, "{{")) != NULL) {
        close = strstr(open, "}}");
        for (i = 0; close != NULL && i < prompt->n_arguments; i++) {
            if (strlen(prompt->argument[i].name) == (size_t)(close - open) - 2 &&
                memcmp(prompt->argument[i].name, open + 2, (size_t)(close - open) - 2) == 0) {
                break;
            }
        }
        if (close == NULL || i == prompt->n_arguments) {
            return mcp_catalogue_refuse(l, path, NULL, "has a {{name}} that is no argument of the prompt");
        }
        open = close + 2;
    }
    json_object_foreach ((json_t *)(uintptr_t)json, key, item) { /* looked at, not changed */
        r = r != 0 ? r : check_placeholders(l, prompt, item, path);
    }
    return r;
}

static int
read_messages(struct mcp_loader *l, struct mcp_prompt *prompt, const json_t *json, const char *path)
{
    static const char *const known[] = { "role", "content", NULL };
    const json_t *message;
    json_t *messages = NULL;
    const char *role;
    char list[128], at[128];
    size_t i;
    int r;

    if (!sbx_json_get_array(json, path, "messages", MCP_ENTRIES, &messages, l->err)) {
        return SBX_MCP_CATALOGUE_E_FORM;
    }
    sbx_json_pointer(list, sizeof(list), path, "messages", 0);
    for (i = 0; i < json_array_size(messages); i++) {
        sbx_json_pointer(at, sizeof(at), list, NULL, i);
        message = json_array_get(messages, i);
        role = json_string_value(json_object_get(message, "role"));
        if (role == NULL || (strcmp(role, "user") != 0 && strcmp(role, "assistant") != 0) ||
            !json_is_string(json_object_get(json_object_get(message, "content"), "type"))) {
            return mcp_catalogue_refuse(l, at, NULL,
                                        "must have role, \"user\" or \"assistant\", and content with a type");
        }
        if (!sbx_json_only(message, at, known, l->err)) {
            return SBX_MCP_CATALOGUE_E_FORM;
        }
        r = check_placeholders(l, prompt, json_object_get(message, "content"), at);
        if (r != 0) {
            return r;
        }
    }
    prompt->messages = messages;
    return 0;
}

static int
read_prompt(struct mcp_loader *l, struct mcp_prompt *prompt, const json_t *json, const char *path)
{
    static const char *const sources[] = { "messages", "backend", NULL };
    static const char *const extra[] = { "*", "message", NULL };
    const struct mcp_names names = { .extra = extra };
    json_t *arguments = NULL;
    char list[128], at[128];
    size_t i;
    int r;

    r = mcp_catalogue_name(l, json, path, &prompt->name);
    if (r != 0) {
        return r;
    }
    if (!sbx_json_get_str(json, path, "description", 4096, &prompt->description, NULL, l->err) ||
        !sbx_json_get_array(json, path, "arguments", MCP_ENTRIES, &arguments, l->err)) {
        return SBX_MCP_CATALOGUE_E_FORM;
    }
    for (i = 0; i < l->inside->n_prompts; i++) {
        if (strcmp(l->inside->prompt[i].name, prompt->name) == 0) {
            return mcp_catalogue_refuse(l, path, "name", "is another prompt's, too");
        }
    }
    if (count_sources(json, sources) != 1) {
        return mcp_catalogue_refuse(l, path, NULL, "must have one of messages and backend");
    }
    prompt->argument = mcp_catalogue_alloc(l, json_array_size(arguments), sizeof(*prompt->argument));
    if (prompt->argument == NULL) {
        return -ENOMEM;
    }
    sbx_json_pointer(list, sizeof(list), path, "arguments", 0);
    for (i = 0; i < json_array_size(arguments); i++) {
        sbx_json_pointer(at, sizeof(at), list, NULL, i);
        r = read_argument(l, prompt, json_array_get(arguments, i), at);
        if (r != 0) {
            return r;
        }
    }
    sbx_json_pointer(at, sizeof(at), path, "backend", 0);
    return json_object_get(json, "backend") != NULL
               ? mcp_backend_load(l, &prompt->backend, json_object_get(json, "backend"), at, &names)
               : read_messages(l, prompt, json, path);
}

/* What a list says of a prompt: its arguments without their values. */
static int
write_prompt(struct list *texts, const json_t *json)
{
    static const char *const told[] = { "name", "title", "description", "arguments", "icons", "_meta", NULL };
    json_t *copy = json_deep_copy(json);
    size_t i;

    if (copy == NULL) {
        return -ENOMEM;
    }
    for (i = 0; i < json_array_size(json_object_get(copy, "arguments")); i++) {
        (void)json_object_del(json_array_get(json_object_get(copy, "arguments"), i),
                              "values"); /* or had none */
    }
    list_add(texts, copy, told);
    json_decref(copy);
    return 0;
}

int
mcp_catalogue_prompts(struct mcp_loader *l)
{
    static const char *const known[] = { "name",  "title",    "description", "arguments", "icons",
                                         "_meta", "messages", "backend",     NULL };
    struct sbx_mcp_catalogue_inside *inside = l->inside;
    struct list texts;
    const json_t *list;
    char path[64];
    size_t i;
    int r;

    r = mcp_catalogue_list(l, "prompts", MCP_ENTRIES, known, &list);
    if (r != 0) {
        return r;
    }
    inside->prompt = mcp_catalogue_alloc(l, json_array_size(list), sizeof(*inside->prompt));
    if (inside->prompt == NULL) {
        return -ENOMEM;
    }
    list_begin(&texts, "prompts");
    for (i = 0; i < json_array_size(list) && r == 0; i++) {
        sbx_json_pointer(path, sizeof(path), "/prompts", NULL, i);
        r = read_prompt(l, &inside->prompt[i], json_array_get(list, i), path);
        r = r != 0 ? r : write_prompt(&texts, json_array_get(list, i));
        inside->n_prompts++;
    }
    if (r != 0) {
        sbx_buf_deinit(&texts.buf);
        return r;
    }
    return list_end(l, &texts, inside->prompts);
}
