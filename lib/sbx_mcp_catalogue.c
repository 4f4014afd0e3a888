/*
 * The document as a whole: what is read, what every list says. What is told to clients is text from the start: answering costs a copy.
 */
#include "sbx_mcp_catalogue_inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbx_jsonw.h"

#define TEXT_MAX (1u << 21) /* of a list */

static void
catalogue_freep(struct sbx_mcp_catalogue **catalogue)
{
    (void)sbx_mcp_catalogue_free(*catalogue);
}

/* Takes the memory, whatever it returns. */
static bool
own(struct mcp_loader *l, void *block)
{
    struct sbx_mcp_catalogue_inside *inside = l->inside;
    void **grown;

    if (block != NULL && inside->n_blocks == inside->cap_blocks) {
        grown = realloc(inside->block, (inside->cap_blocks * 2 + 64) * sizeof(void *));
        if (grown == NULL) {
            free(block);
            return false;
        }
        inside->block = grown;
        inside->cap_blocks = inside->cap_blocks * 2 + 64;
    }
    if (block == NULL) {
        return false;
    }
    inside->block[inside->n_blocks++] = block;
    return true;
}

void *
mcp_catalogue_alloc(struct mcp_loader *l, size_t n, size_t size)
{
    void *block = calloc(n == 0 ? 1 : n, size);

    return own(l, block) ? block : NULL;
}

bool
mcp_catalogue_keep(struct mcp_loader *l, struct sbx_buf *text, struct mcp_text *ret)
{
    char *data = sbx_buf_take(text, &ret->len);

    ret->data = data;
    if (!own(l, data)) {
        *ret = (struct mcp_text){ 0 };
    }
    sbx_buf_deinit(text);
    return ret->data != NULL;
}

int
mcp_catalogue_refuse(struct mcp_loader *l, const char *path, const char *key, const char *fmt, ...)
{
    char field[sizeof(l->err->field)], message[sizeof(l->err->message)];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args); /* cut when too long */
    va_end(args);
    (void)snprintf(field, sizeof(field), "%s", path); /* likewise */
    if (key != NULL) {
        sbx_json_pointer(field, sizeof(field), path, key, 0);
    }
    sbx_field_error_set(l->err, field, "%s", message);
    return SBX_MCP_CATALOGUE_E_FORM;
}

int
mcp_catalogue_text(struct mcp_loader *l, const json_t *object, const char *path, const char *key, size_t max,
                   const char **ret)
{
    size_t len = 0;

    *ret = NULL;
    if (!sbx_json_get_str(object, path, key, max, ret, &len, l->err)) {
        return SBX_MCP_CATALOGUE_E_FORM;
    }
    return len > 0 ? 0 : mcp_catalogue_refuse(l, path, key, "is required");
}

int
mcp_catalogue_name(struct mcp_loader *l, const json_t *object, const char *path, const char **ret)
{
    int r = mcp_catalogue_text(l, object, path, "name", MCP_NAME_MAX, ret);
    const char *p;

    for (p = *ret; r == 0 && *p != '\0'; p++) {
        if ((*p < '0' || *p > '9') && ((*p | 0x20) < 'a' || (*p | 0x20) > 'z') && *p != '_' && *p != '-' &&
            *p != '.') {
            return mcp_catalogue_refuse(l, path, "name",
                                        "must be of letters, digits, \"_\", \"-\" and \".\"");
        }
    }
    return r;
}

int
mcp_catalogue_list(struct mcp_loader *l, const char *key, size_t max, const char *const *known,
                   const json_t **ret)
{
    char path[64], item[64];
    json_t *list = NULL;
    size_t i;

    *ret = NULL;
    if (!sbx_json_get_array(l->inside->document, "", key, max, &list, l->err)) {
        return SBX_MCP_CATALOGUE_E_FORM;
    }
    (void)snprintf(path, sizeof(path), "/%s", key); /* a name of ours, short */
    for (i = 0; i < json_array_size(list); i++) {
        sbx_json_pointer(item, sizeof(item), path, NULL, i);
        if (!json_is_object(json_array_get(list, i))) {
            return mcp_catalogue_refuse(l, item, NULL, "must be an object");
        }
        if (!sbx_json_only(json_array_get(list, i), item, known, l->err)) {
            return SBX_MCP_CATALOGUE_E_FORM;
        }
    }
    *ret = list;
    return 0;
}

void
mcp_catalogue_members(struct sbx_buf *out, const json_t *object, const char *const *names)
{
    const json_t *value;
    size_t start = out->len;

    for (; *names != NULL; names++) {
        value = json_object_get(object, *names);
        if (value != NULL) {
            sbx_buf_printf(out, "%s\"%s\":", out->len > start ? "," : "", *names);
            sbx_json_dump(out, value, false);
        }
    }
}

/* "tools":{"listChanged":true} of what the document says beside what it has. */
static void
write_section(struct sbx_jsonw *w, const json_t *said, const char *name, bool has, bool live, bool subscribe)
{
    const json_t *section = json_object_get(said, name);

    if (!has) {
        return;
    }
    sbx_jsonw_object(w, name);
    /* Of changes is told on streams that only the newest revision has. */
    if (live && json_is_true(json_object_get(section, "listChanged"))) {
        sbx_jsonw_bool(w, "listChanged", true);
    }
    if (subscribe || (live && json_is_true(json_object_get(section, "subscribe")))) {
        sbx_jsonw_bool(w, "subscribe", true);
    }
    sbx_jsonw_object_end(w);
}

static void
write_capabilities(const struct mcp_loader *l, struct sbx_buf *out, enum sbx_mcp_era era)
{
    const struct sbx_mcp_catalogue_inside *inside = l->inside;
    const json_t *said = json_object_get(inside->document, "capabilities");
    bool live = era == SBX_MCP_MODERN;
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    write_section(&w, said, "tools", l->catalogue->n_tools > 0, live, false);
    write_section(&w, said, "resources", inside->n_resources + inside->n_templates > 0, live,
                  !live && l->catalogue->legacy_subscribe);
    write_section(&w, said, "prompts", inside->n_prompts > 0, live, false);
    write_section(&w, said, "completions", inside->completes, live, false);
    write_section(&w, said, "logging",
                  live ? json_object_get(said, "logging") != NULL : l->catalogue->legacy_logging, false,
                  false);
    if (live && inside->task_get != NULL) {
        sbx_jsonw_object(&w, "extensions");
        sbx_jsonw_object(&w, "io.modelcontextprotocol/tasks");
        sbx_jsonw_object_end(&w);
        sbx_jsonw_object_end(&w);
    }
    sbx_jsonw_object_end(&w);
}

static int
make_discover(struct mcp_loader *l)
{
    static const char *const instructions[] = { "instructions", NULL };
    struct sbx_buf buf = SBX_BUF_INIT(TEXT_MAX);

    sbx_buf_printf(&buf, "\"supportedVersions\":[\"%s\",\"%s\",\"2025-06-18\",\"%s\"],\"capabilities\":",
                   SBX_MCP_VERSION, SBX_MCP_LEGACY_VERSION, SBX_MCP_LEGACY_VERSION_OLDEST);
    write_capabilities(l, &buf, SBX_MCP_MODERN);
    sbx_buf_puts(&buf, ",");
    if (json_object_get(l->inside->document, "instructions") != NULL) {
        mcp_catalogue_members(&buf, l->inside->document, instructions);
        sbx_buf_puts(&buf, ",");
    }
    sbx_buf_append(&buf, l->inside->caching.data, l->inside->caching.len);
    return mcp_catalogue_keep(l, &buf, &l->inside->discover) ? 0 : -ENOMEM;
}

/* After the version that was agreed on. */
static int
make_initialize(struct mcp_loader *l)
{
    static const char *const after[] = { "serverInfo", "instructions", NULL };
    struct sbx_buf buf = SBX_BUF_INIT(TEXT_MAX);

    sbx_buf_puts(&buf, "\"capabilities\":");
    write_capabilities(l, &buf, SBX_MCP_LEGACY);
    sbx_buf_puts(&buf, ",");
    mcp_catalogue_members(&buf, l->inside->document, after);
    return mcp_catalogue_keep(l, &buf, &l->inside->initialize) ? 0 : -ENOMEM;
}

static int
read_server(struct mcp_loader *l)
{
    static const char *const known[] = { "name",       "version", "title", "description",
                                         "websiteUrl", "icons",   NULL };
    const json_t *server = json_object_get(l->inside->document, "serverInfo");
    struct sbx_buf buf = SBX_BUF_INIT(TEXT_MAX);
    struct mcp_text text;
    const char *ignored;
    int r;

    if (!json_is_object(server)) {
        return mcp_catalogue_refuse(l, "/serverInfo", NULL, "is required: an object");
    }
    if (!sbx_json_only(server, "/serverInfo", known, l->err)) {
        return SBX_MCP_CATALOGUE_E_FORM;
    }
    r = mcp_catalogue_text(l, server, "/serverInfo", "name", 128, &ignored);
    r = r != 0 ? r : mcp_catalogue_text(l, server, "/serverInfo", "version", 128, &ignored);
    if (r != 0) {
        return r;
    }
    sbx_json_dump(&buf, server, false);
    if (!mcp_catalogue_keep(l, &buf, &text)) {
        return -ENOMEM;
    }
    l->catalogue->server_info = text.data;
    return 0;
}

static int
read_caching(struct mcp_loader *l)
{
    struct sbx_buf buf = SBX_BUF_INIT(128);
    const char *scope = "private";
    int64_t ttl_ms = 0;

    if (!sbx_json_get_int(l->inside->document, "", "ttlMs", 0, INT32_MAX, &ttl_ms, l->err) ||
        !sbx_json_get_str(l->inside->document, "", "cacheScope", 16, &scope, NULL, l->err)) {
        return SBX_MCP_CATALOGUE_E_FORM;
    }
    if (strcmp(scope, "private") != 0 && strcmp(scope, "public") != 0) {
        return mcp_catalogue_refuse(l, "/cacheScope", NULL, "must be \"private\" or \"public\"");
    }
    l->catalogue->ttl_ms = (uint32_t)ttl_ms;
    sbx_buf_printf(&buf, "\"ttlMs\":%u,\"cacheScope\":\"%s\"", (unsigned)ttl_ms, scope);
    return mcp_catalogue_keep(l, &buf, &l->inside->caching) ? 0 : -ENOMEM;
}

/* What is declared must be there, or a client would ask for it in vain. */
static int
check_section(struct mcp_loader *l, const json_t *said, const char *name, bool has, const char *const *known)
{
    const json_t *section = json_object_get(said, name);
    char path[64];
    bool flag;
    size_t i;

    if (section == NULL) {
        return 0;
    }
    sbx_json_pointer(path, sizeof(path), "/capabilities", name, 0);
    if (!json_is_object(section)) {
        return mcp_catalogue_refuse(l, path, NULL, "must be an object");
    }
    if (!has) {
        return mcp_catalogue_refuse(l, path, NULL, "is declared, but the document has nothing of it");
    }
    if (!sbx_json_only(section, path, known, l->err)) {
        return SBX_MCP_CATALOGUE_E_FORM;
    }
    for (i = 0; known[i] != NULL; i++) {
        if (!sbx_json_get_bool(section, path, known[i], &flag, l->err)) {
            return SBX_MCP_CATALOGUE_E_FORM;
        }
    }
    return 0;
}

static int
read_capabilities(struct mcp_loader *l)
{
    static const char *const sections[] = { "tools", "resources", "prompts", "completions", "logging", NULL };
    static const char *const changes[] = { "listChanged", NULL };
    static const char *const subscriptions[] = { "listChanged", "subscribe", NULL };
    static const char *const nothing[] = { NULL };
    const struct sbx_mcp_catalogue_inside *inside = l->inside;
    json_t *said = NULL;
    int r;

    if (!sbx_json_get_object(inside->document, "", "capabilities", &said, l->err) ||
        (said != NULL && !sbx_json_only(said, "/capabilities", sections, l->err))) {
        return SBX_MCP_CATALOGUE_E_FORM;
    }
    r = check_section(l, said, "tools", l->catalogue->n_tools > 0, changes);
    r = r != 0 ? r
               : check_section(l, said, "resources", inside->n_resources + inside->n_templates > 0,
                               subscriptions);
    r = r != 0 ? r : check_section(l, said, "prompts", inside->n_prompts > 0, changes);
    r = r != 0 ? r : check_section(l, said, "completions", inside->completes, nothing);
    r = r != 0 ? r : check_section(l, said, "logging", true, nothing);
    l->catalogue->lists_change = json_is_true(json_object_get(json_object_get(said, "tools"), "listChanged"));
    return r;
}

static int
read_legacy(struct mcp_loader *l)
{
    static const char *const known[] = { "logging", "subscribe", NULL };
    json_t *legacy = NULL;

    if (!sbx_json_get_object(l->inside->document, "", "legacy", &legacy, l->err) ||
        (legacy != NULL && !sbx_json_only(legacy, "/legacy", known, l->err)) ||
        !sbx_json_get_bool(legacy, "/legacy", "logging", &l->catalogue->legacy_logging, l->err) ||
        !sbx_json_get_bool(legacy, "/legacy", "subscribe", &l->catalogue->legacy_subscribe, l->err)) {
        return SBX_MCP_CATALOGUE_E_FORM;
    }
    return 0;
}

static int
read_backend(struct mcp_loader *l, const json_t *object, const char *path, const char *key,
             const char *const *names, const struct sbx_mcp_backend **ret)
{
    const struct mcp_names known = { .extra = names };
    const json_t *json = json_object_get(object, key);
    char at[64];

    *ret = NULL;
    sbx_json_pointer(at, sizeof(at), path, key, 0);
    return json == NULL ? 0 : mcp_backend_load(l, ret, json, at, &known);
}

static int
read_tasks(struct mcp_loader *l)
{
    static const char *const known[] = { "get", "update", "cancel", NULL };
    static const char *const task[] = { "taskId", "message", NULL };
    static const char *const key[] = { "cancel_key", NULL };
    struct sbx_mcp_catalogue_inside *inside = l->inside;
    json_t *tasks = NULL;
    unsigned i;
    int r;

    if (!sbx_json_get_object(inside->document, "", "tasks", &tasks, l->err) ||
        (tasks != NULL && !sbx_json_only(tasks, "/tasks", known, l->err))) {
        return SBX_MCP_CATALOGUE_E_FORM;
    }
    r = read_backend(l, tasks, "/tasks", "get", task, &inside->task_get);
    r = r != 0 ? r : read_backend(l, tasks, "/tasks", "update", task, &inside->task_update);
    r = r != 0 ? r : read_backend(l, tasks, "/tasks", "cancel", task, &inside->task_cancel);
    r = r != 0 ? r : read_backend(l, inside->document, "", "cancelled", key, &inside->cancelled);
    if (r != 0) {
        return r;
    }
    if (tasks != NULL && (inside->task_get == NULL || inside->task_cancel == NULL)) {
        return mcp_catalogue_refuse(l, "/tasks", NULL, "must have get and cancel");
    }
    for (i = 0; tasks == NULL && i < l->catalogue->n_tools; i++) {
        if (inside->tool[i].answers_tasks) {
            return mcp_catalogue_refuse(l, "/tasks", NULL, "is required when a tool answers with tasks");
        }
    }
    return 0;
}

static int
read_document(struct mcp_loader *l)
{
    static const char *const known[] = { "serverInfo", "instructions", "capabilities", "ttlMs",
                                         "cacheScope", "tools",        "resources",    "resourceTemplates",
                                         "prompts",    "tasks",        "cancelled",    "legacy",
                                         NULL };
    const char *instructions = NULL;
    int r;

    if (!json_is_object(l->inside->document)) {
        return mcp_catalogue_refuse(l, "", NULL, "must be an object");
    }
    if (!sbx_json_only(l->inside->document, "", known, l->err) ||
        !sbx_json_get_str(l->inside->document, "", "instructions", 8192, &instructions, NULL, l->err)) {
        return SBX_MCP_CATALOGUE_E_FORM;
    }
    r = read_server(l);
    r = r != 0 ? r : read_caching(l);
    r = r != 0 ? r : read_legacy(l);
    r = r != 0 ? r : mcp_catalogue_tools(l);
    r = r != 0 ? r : mcp_catalogue_resources(l);
    r = r != 0 ? r : mcp_catalogue_templates(l);
    r = r != 0 ? r : mcp_catalogue_prompts(l);
    r = r != 0 ? r : read_tasks(l);
    r = r != 0 ? r : read_capabilities(l);
    r = r != 0 ? r : make_discover(l);
    return r != 0 ? r : make_initialize(l);
}

int
sbx_mcp_catalogue_load(struct sbx_mcp_catalogue **ret, const char *text, size_t len,
                       struct sbx_field_error *err)
{
    _cleanup_(catalogue_freep) struct sbx_mcp_catalogue *catalogue = calloc(1, sizeof(*catalogue));
    struct mcp_loader l = { .catalogue = catalogue, .err = err };
    int r;

    if (catalogue == NULL) {
        return -ENOMEM;
    }
    catalogue->inside = l.inside = calloc(1, sizeof(*l.inside));
    if (l.inside == NULL) {
        return -ENOMEM;
    }
    if (len > SBX_MCP_CATALOGUE_MAX) {
        sbx_field_error_set(err, "", "the document must not be longer than %u bytes", SBX_MCP_CATALOGUE_MAX);
        return SBX_MCP_CATALOGUE_E_FORM;
    }
    r = sbx_json_parse(&l.inside->document, text, len, err);
    if (r != 0) {
        return r < 0 ? r : SBX_MCP_CATALOGUE_E_FORM;
    }
    r = read_document(&l);
    if (r != 0) {
        return r;
    }
    *ret = steal(&catalogue);
    return 0;
}

struct sbx_mcp_catalogue *
sbx_mcp_catalogue_free(struct sbx_mcp_catalogue *catalogue)
{
    struct sbx_mcp_catalogue_inside *inside = catalogue == NULL ? NULL : catalogue->inside;
    size_t i;

    if (inside != NULL) {
        for (i = 0; i < catalogue->n_tools; i++) {
            (void)sbx_schema_free((struct sbx_schema *)(uintptr_t)inside->tool[i].input); /* made for it */
        }
        for (i = 0; i < inside->n_blocks; i++) {
            free(inside->block[i]);
        }
        free(inside->block);
        json_decref(inside->document);
        free(inside);
    }
    free(catalogue);
    return NULL;
}

void
sbx_mcp_catalogue_discover(const struct sbx_mcp_catalogue *catalogue, struct sbx_buf *out)
{
    sbx_buf_append(out, catalogue->inside->discover.data, catalogue->inside->discover.len);
}

void
sbx_mcp_catalogue_initialize(const struct sbx_mcp_catalogue *catalogue, struct sbx_buf *out,
                             const char *version)
{
    sbx_buf_puts(out, "\"protocolVersion\":\"");
    sbx_buf_puts(out, version);
    sbx_buf_puts(out, "\",");
    sbx_buf_append(out, catalogue->inside->initialize.data, catalogue->inside->initialize.len);
}

void
sbx_mcp_catalogue_tools(const struct sbx_mcp_catalogue *catalogue, struct sbx_buf *out, enum sbx_mcp_era era,
                        uint64_t tools)
{
    const struct sbx_mcp_tool *tool;
    bool comma = false;
    unsigned i;

    sbx_buf_puts(out, "\"tools\":[");
    for (i = 0; i < catalogue->n_tools; i++) {
        tool = &catalogue->tool[i];
        if ((tools & (uint64_t)1 << i) == 0 || tool->text_len[era] == 0) {
            continue;
        }
        if (comma) {
            sbx_buf_putc(out, ',');
        }
        sbx_buf_append(out, tool->text[era], tool->text_len[era]);
        comma = true;
    }
    sbx_buf_putc(out, ']');
    if (era == SBX_MCP_MODERN) {
        sbx_buf_putc(out, ',');
        sbx_buf_append(out, catalogue->inside->caching.data, catalogue->inside->caching.len);
    }
}

void
sbx_mcp_catalogue_resources(const struct sbx_mcp_catalogue *catalogue, struct sbx_buf *out,
                            enum sbx_mcp_era era)
{
    sbx_buf_append(out, catalogue->inside->resources[era].data, catalogue->inside->resources[era].len);
}

void
sbx_mcp_catalogue_templates(const struct sbx_mcp_catalogue *catalogue, struct sbx_buf *out,
                            enum sbx_mcp_era era)
{
    sbx_buf_append(out, catalogue->inside->templates[era].data, catalogue->inside->templates[era].len);
}

void
sbx_mcp_catalogue_prompts(const struct sbx_mcp_catalogue *catalogue, struct sbx_buf *out,
                          enum sbx_mcp_era era)
{
    sbx_buf_append(out, catalogue->inside->prompts[era].data, catalogue->inside->prompts[era].len);
}
