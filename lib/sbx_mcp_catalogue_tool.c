/* Tools of a catalogue. */
#include "sbx_mcp_catalogue_inside.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (1u << 20)
#define DESCRIPTION_MAX 4096
#define HEADER_MAX 64 /* bytes of a header's name, without what all begin with */

static const char *const tool_members[] = {
    "name",  "title", "description", "inputSchema", "outputSchema", "annotations", "icons",
    "_meta", "tool",  "needs",       "tasks",       "backend",      NULL
};
static const char *const told_members[] = { "name",        "title",        "description",
                                            "inputSchema", "outputSchema", "annotations",
                                            "icons",       "_meta",        NULL };

static bool
is_token_char(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* "mcp-param-" and the name in lower case; *ret NULL when it is no name of a header. */
static int
header_of(struct mcp_loader *l, const char *name, const char **ret)
{
    struct sbx_buf buf = SBX_BUF_INIT(HEADER_MAX + 16);
    struct mcp_text text;
    size_t i;

    *ret = NULL;
    for (i = 0; name[i] != '\0'; i++) {
        if (!is_token_char(name[i])) {
            return 0;
        }
    }
    if (i == 0 || i > HEADER_MAX) {
        return 0;
    }
    sbx_buf_puts(&buf, "mcp-param-");
    for (; *name != '\0'; name++) {
        sbx_buf_putc(&buf, *name >= 'A' && *name <= 'Z' ? (char)(*name | 0x20) : *name);
    }
    if (!mcp_catalogue_keep(l, &buf, &text)) {
        return -ENOMEM;
    }
    *ret = text.data;
    return 0;
}

static bool
is_mirrored_type(const json_t *type)
{
    const char *name = json_string_value(type);

    return name != NULL &&
           (strcmp(name, "string") == 0 || strcmp(name, "integer") == 0 || strcmp(name, "boolean") == 0);
}

/* Does a schema below say x-mcp-header? */
static bool
mirrors_within(const json_t *json)
{
    const char *key;
    const json_t *item;
    size_t i;

    for (i = 0; i < json_array_size(json); i++) {
        if (mirrors_within(json_array_get(json, i))) {
            return true;
        }
    }
    json_object_foreach ((json_t *)(uintptr_t)json, key, item) { /* looked at, not changed */
        if (strcmp(key, "x-mcp-header") == 0 || mirrors_within(item)) {
            return true;
        }
    }
    return false;
}

static int
read_mirror(struct mcp_loader *l, const char *path, const char *property, const json_t *schema,
            struct sbx_mcp_mirror *mirrors, unsigned *n)
{
    const json_t *header = json_object_get(schema, "x-mcp-header"), *within;
    const char *key;
    unsigned i;
    int r;

    json_object_foreach ((json_t *)(uintptr_t)schema, key, within) { /* looked at, not changed */
        if (mirrors_within(within)) {
            return mcp_catalogue_refuse(l, path, property,
                                        "x-mcp-header is taken of arguments only, not within them");
        }
    }
    if (header == NULL) {
        return 0;
    }
    if (!json_is_string(header) || !is_mirrored_type(json_object_get(schema, "type"))) {
        return mcp_catalogue_refuse(
            l, path, property, "x-mcp-header must be a string, beside the type string, integer or boolean");
    }
    r = header_of(l, json_string_value(header), &mirrors[*n].header);
    if (r != 0) {
        return r;
    }
    if (mirrors[*n].header == NULL) {
        return mcp_catalogue_refuse(l, path, property, "x-mcp-header must be the name of a header");
    }
    for (i = 0; i < *n; i++) {
        if (strcmp(mirrors[i].header, mirrors[*n].header) == 0) {
            return mcp_catalogue_refuse(l, path, property, "x-mcp-header is another argument's, too");
        }
    }
    mirrors[(*n)++].property = property;
    return 0;
}

static int
read_mirrors(struct mcp_loader *l, struct sbx_mcp_tool *tool, const json_t *properties, const char *path)
{
    struct sbx_mcp_mirror *mirrors;
    const char *key;
    json_t *schema;
    unsigned n = 0;
    int r;

    mirrors = mcp_catalogue_alloc(l, json_object_size(properties) + 1, sizeof(*mirrors));
    if (mirrors == NULL) {
        return -ENOMEM;
    }
    json_object_foreach ((json_t *)(uintptr_t)properties, key, schema) { /* looked at, not changed */
        r = read_mirror(l, path, key, schema, mirrors, &n);
        if (r != 0) {
            return r;
        }
    }
    mirrors[n] = (struct sbx_mcp_mirror){ 0 };
    tool->mirrors = mirrors;
    return 0;
}

/* A schema of the document, compiled; an error's pointer is moved to where the schema is. */
static int
compile(struct mcp_loader *l, struct sbx_schema **ret, const json_t *json, const char *path)
{
    struct sbx_field_error err = { 0 };
    char field[sizeof(err.field)];
    int r = sbx_schema_compile(ret, json, &err);

    if (r <= 0) {
        return r;
    }
    if (strlen(path) + strlen(err.field) < sizeof(field)) {
        memcpy(field, path, strlen(path) + 1);
        memcpy(field + strlen(path), err.field, strlen(err.field) + 1);
    } else {
        memcpy(field, err.field, sizeof(field));
    }
    return mcp_catalogue_refuse(l, field, NULL, "%s", err.message);
}

static int
read_schemas(struct mcp_loader *l, struct sbx_mcp_tool *tool, const json_t *json, const char *path)
{
    const json_t *input = json_object_get(json, "inputSchema"),
                 *output = json_object_get(json, "outputSchema");
    const char *type = json_string_value(json_object_get(input, "type"));
    struct sbx_schema *schema = NULL;
    char at[128];
    int r;

    if (type == NULL || strcmp(type, "object") != 0) {
        return mcp_catalogue_refuse(l, path, "inputSchema", "is required: a schema of type \"object\"");
    }
    sbx_json_pointer(at, sizeof(at), path, "inputSchema", 0);
    r = compile(l, &schema, input, at);
    if (r != 0) {
        return r;
    }
    tool->input = schema;
    sbx_json_pointer(at, sizeof(at), at, "properties", 0);
    r = read_mirrors(l, tool, json_object_get(input, "properties"), at);
    if (r != 0 || output == NULL) {
        return r;
    }
    sbx_json_pointer(at, sizeof(at), path, "outputSchema", 0);
    if (!json_is_object(output)) {
        return mcp_catalogue_refuse(l, at, NULL, "must be an object");
    }
    schema = NULL;
    r = compile(l, &schema, output, at); /* for who wrote it: results are the backend's */
    (void)sbx_schema_free(schema);
    return r;
}

static int
read_needs(struct mcp_loader *l, struct sbx_mcp_tool *tool, const json_t *json, const char *path)
{
    static const struct {
        const char *name;
        unsigned bit;
    } capabilities[] = {
        { "elicitation", SBX_MCP_CAN_ELICIT },
        { "elicitation.url", SBX_MCP_CAN_ELICIT_URL },
        { "sampling", SBX_MCP_CAN_SAMPLE },
        { "roots", SBX_MCP_CAN_ROOTS },
    };
    json_t *needs = NULL;
    const char *name;
    size_t i, k;

    if (!sbx_json_get_array(json, path, "needs", SBX_COUNT(capabilities), &needs, l->err)) {
        return SBX_MCP_CATALOGUE_E_FORM;
    }
    for (i = 0; i < json_array_size(needs); i++) {
        name = json_string_value(json_array_get(needs, i));
        for (k = 0; k < SBX_COUNT(capabilities); k++) {
            if (name != NULL && strcmp(capabilities[k].name, name) == 0) {
                tool->needs |= capabilities[k].bit;
                break;
            }
        }
        if (k == SBX_COUNT(capabilities)) {
            return mcp_catalogue_refuse(l, path, "needs",
                                        "must be of elicitation, elicitation.url, sampling and roots");
        }
    }
    return 0;
}

static int
read_task_rule(struct mcp_loader *l, struct sbx_mcp_tool *tool, const json_t *json, const char *path)
{
    const char *rule = NULL;

    if (!sbx_json_get_str(json, path, "tasks", 8, &rule, NULL, l->err)) {
        return SBX_MCP_CATALOGUE_E_FORM;
    }
    if (rule == NULL) {
        return 0;
    }
    tool->answers_tasks = true;
    tool->needs_tasks = strcmp(rule, "must") == 0;
    return tool->needs_tasks || strcmp(rule, "may") == 0
               ? 0
               : mcp_catalogue_refuse(l, path, "tasks", "must be \"may\" or \"must\"");
}

static int
write_tool(struct mcp_loader *l, struct sbx_mcp_tool *tool, const json_t *json)
{
    struct sbx_buf buf = SBX_BUF_INIT(TEXT_MAX);
    struct mcp_text text;

    sbx_buf_putc(&buf, '{');
    mcp_catalogue_members(&buf, json, told_members);
    sbx_buf_putc(&buf, '}');
    if (!mcp_catalogue_keep(l, &buf, &text)) {
        return -ENOMEM;
    }
    tool->text[SBX_MCP_MODERN] = text.data;
    tool->text_len[SBX_MCP_MODERN] = text.len;
    /* Nobody could call one that needs tasks: they are of the newest revision. */
    tool->text[SBX_MCP_LEGACY] = text.data;
    tool->text_len[SBX_MCP_LEGACY] = tool->needs_tasks ? 0 : text.len;
    return 0;
}

static int
read_tool(struct mcp_loader *l, struct sbx_mcp_tool *tool, const json_t *json, const char *path)
{
    static const char *const extra[] = { "*", "message", NULL };
    const json_t *input = json_object_get(json, "inputSchema");
    const struct mcp_names names = { .properties = json_object_get(input, "properties"),
                                     .required = json_object_get(input, "required"),
                                     .extra = extra };
    const char *ignored;
    char at[128];
    int r;

    r = mcp_catalogue_name(l, json, path, &tool->name);
    r = r != 0 ? r : mcp_catalogue_text(l, json, path, "description", DESCRIPTION_MAX, &ignored);
    if (r != 0) {
        return r;
    }
    tool->tool = tool->name;
    if (json_object_get(json, "tool") != NULL) {
        r = mcp_catalogue_text(l, json, path, "tool", 63, &tool->tool);
    }
    r = r != 0 ? r : read_schemas(l, tool, json, path);
    r = r != 0 ? r : read_needs(l, tool, json, path);
    r = r != 0 ? r : read_task_rule(l, tool, json, path);
    sbx_json_pointer(at, sizeof(at), path, "backend", 0);
    r = r != 0 ? r : mcp_backend_load(l, &tool->backend, json_object_get(json, "backend"), at, &names);
    return r != 0 ? r : write_tool(l, tool, json);
}

static int
compare_tools(const void *left, const void *right)
{
    const struct sbx_mcp_tool *const *a = left, *const *b = right;

    return strcmp((*a)->name, (*b)->name);
}

int
mcp_catalogue_tools(struct mcp_loader *l)
{
    struct sbx_mcp_catalogue *catalogue = l->catalogue;
    struct sbx_mcp_catalogue_inside *inside = l->inside;
    const json_t *list;
    char path[64];
    size_t i;
    int r;

    r = mcp_catalogue_list(l, "tools", SBX_MCP_TOOLS_MAX, tool_members, &list);
    if (r != 0) {
        return r;
    }
    inside->tool = mcp_catalogue_alloc(l, json_array_size(list), sizeof(*inside->tool));
    if (inside->tool == NULL) {
        return -ENOMEM;
    }
    catalogue->tool = inside->tool;
    for (i = 0; i < json_array_size(list); i++) {
        sbx_json_pointer(path, sizeof(path), "/tools", NULL, i);
        catalogue->n_tools++; /* what it has by then is freed with it */
        r = read_tool(l, &inside->tool[i], json_array_get(list, i), path);
        if (r != 0) {
            return r;
        }
        inside->sorted[i] = &inside->tool[i];
    }
    qsort(inside->sorted, catalogue->n_tools, sizeof(const struct sbx_mcp_tool *), compare_tools);
    for (i = 1; i < catalogue->n_tools; i++) {
        if (strcmp(inside->sorted[i]->name, inside->sorted[i - 1]->name) == 0) {
            return mcp_catalogue_refuse(l, "/tools", NULL, "two tools are called \"%s\"",
                                        inside->sorted[i]->name);
        }
    }
    return 0;
}

const struct sbx_mcp_tool *
sbx_mcp_catalogue_tool(const struct sbx_mcp_catalogue *catalogue, const char *name, size_t len)
{
    size_t low = 0, high = catalogue->n_tools, middle;
    const struct sbx_mcp_tool *tool;
    int order;

    while (low < high) {
        middle = (low + high) / 2;
        tool = catalogue->inside->sorted[middle];
        order = strncmp(name, tool->name, len);
        order = order == 0 && tool->name[len] != '\0' ? -1 : order;
        if (order == 0) {
            return tool;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}
