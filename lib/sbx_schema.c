/*
 * A schema as a graph of nodes: each subschema of the document is one, however often something refers to it. What refers is joined
 * when all is read; then circles are looked for in which nothing of the value would be used up.
 */
#include "sbx_schema_inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIALECT "https://json-schema.org/draft/2020-12/schema"

struct compiler {
    struct sbx_schema *schema;
    struct sbx_field_error *err;
};

struct keyword {
    const char *name;
    int (*take)(struct compiler *c, struct node *node, const struct keyword *keyword, const json_t *value,
                const struct place *at);
    size_t member; /* of the node */
};

static int compile_node(struct compiler *c, struct node **ret, const json_t *json, const struct place *at);

static void
sbx_schema_freep(struct sbx_schema **schema)
{
    (void)sbx_schema_free(*schema);
}

static int refuse(struct compiler *c, const struct place *at, const char *fmt, ...) _printf_(3, 4);

static int
refuse(struct compiler *c, const struct place *at, const char *fmt, ...)
{
    char field[sizeof(c->err->field)], message[sizeof(c->err->message)];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args); /* cut when too long */
    va_end(args);
    place_pointer(at, field, sizeof(field));
    sbx_field_error_set(c->err, field, "%s", message);
    return SBX_SCHEMA_E_FORM;
}

static void *
member(struct node *node, const struct keyword *keyword)
{
    return (char *)node + keyword->member;
}

static int
take_annotation(struct compiler *c, struct node *node, const struct keyword *keyword, const json_t *value,
                const struct place *at)
{
    (void)c, (void)node, (void)keyword, (void)value, (void)at; /* says nothing of values */
    return 0;
}

static int
take_dialect(struct compiler *c, struct node *node, const struct keyword *keyword, const json_t *value,
             const struct place *at)
{
    const char *text = json_string_value(value);
    size_t len = text == NULL ? 0 : strlen(text);

    (void)node, (void)keyword; /* it is one for all nodes */
    if (len > 0 && text[len - 1] == '#') {
        len--;
    }
    if (len != strlen(DIALECT) || memcmp(text, DIALECT, len) != 0) {
        return refuse(c, at, "must be \"%s\"", DIALECT);
    }
    return 0;
}

/* A name within would change what references are relative to: none of a document at hand needs it. */
static int
take_id(struct compiler *c, struct node *node, const struct keyword *keyword, const json_t *value,
        const struct place *at)
{
    (void)keyword; /* nothing is kept */
    if (node->at != c->schema->document) {
        return refuse(c, at, "is taken at the top only");
    }
    return json_is_string(value) ? 0 : refuse(c, at, "must be a string");
}

static int
take_schema(struct compiler *c, struct node *node, const struct keyword *keyword, const json_t *value,
            const struct place *at)
{
    return compile_node(c, member(node, keyword), value, at);
}

static int
take_schemas(struct compiler *c, struct node *node, const struct keyword *keyword, const json_t *value,
             const struct place *at)
{
    struct node_list *list = member(node, keyword);
    struct place item;
    size_t n = json_array_size(value);
    int r = 0;

    if (!json_is_array(value) || n == 0 || n > SBX_SCHEMA_NODES) {
        return refuse(c, at, "must be an array of 1 to %d schemas", SBX_SCHEMA_NODES);
    }
    list->node = calloc(n, sizeof(struct node *));
    if (list->node == NULL) {
        return -ENOMEM;
    }
    for (; list->n < n && r == 0; list->n++) {
        item = place_of(at, NULL, list->n);
        r = compile_node(c, &list->node[list->n], json_array_get(value, list->n), &item);
    }
    return r;
}

static int
compare_named(const void *left, const void *right)
{
    const struct named *a = left, *b = right;

    return strcmp(a->name, b->name);
}

const struct named *
schema_map_find(const struct node_map *map, const char *name)
{
    struct named key = { .name = name };

    return map->n == 0 ? NULL : bsearch(&key, map->entry, map->n, sizeof(key), compare_named);
}

static int
add_named(struct compiler *c, struct node_map *map, const char *name, const json_t *value,
          const struct place *at, bool is_pattern)
{
    struct place place = place_of(at, name, 0);
    struct named *entry = &map->entry[map->n++];
    const char *why = "";
    int r;

    entry->name = name;
    entry->len = strlen(name);
    if (is_pattern) {
        r = sbx_pattern_compile(&entry->pattern, name, entry->len, &why);
        if (r != 0) {
            return r < 0 ? r : refuse(c, &place, "the pattern %s", why);
        }
    }
    return compile_node(c, &entry->node, value, &place);
}

static int
read_map(struct compiler *c, struct node_map *map, const json_t *value, const struct place *at,
         bool is_pattern)
{
    const char *key;
    json_t *item;
    int r;

    if (!json_is_object(value) || json_object_size(value) > SBX_SCHEMA_NODES) {
        return refuse(c, at, "must be an object of at most %d schemas", SBX_SCHEMA_NODES);
    }
    map->entry = calloc(json_object_size(value) + 1, sizeof(*map->entry));
    if (map->entry == NULL) {
        return -ENOMEM;
    }
    json_object_foreach ((json_t *)(uintptr_t)value, key, item) { /* looked at, not changed */
        r = add_named(c, map, key, item, at, is_pattern);
        if (r != 0) {
            return r;
        }
    }
    qsort(map->entry, map->n, sizeof(*map->entry), compare_named);
    return 0;
}

static int
take_map(struct compiler *c, struct node *node, const struct keyword *keyword, const json_t *value,
         const struct place *at)
{
    return read_map(c, member(node, keyword), value, at, false);
}

static int
take_patterns(struct compiler *c, struct node *node, const struct keyword *keyword, const json_t *value,
              const struct place *at)
{
    return read_map(c, member(node, keyword), value, at, true);
}

/* Definitions are nodes to be referred to, and nothing else. */
static int
take_definitions(struct compiler *c, struct node *node, const struct keyword *keyword, const json_t *value,
                 const struct place *at)
{
    struct node_map map = { 0 };
    int r = read_map(c, &map, value, at, false);

    (void)node, (void)keyword; /* they belong to the whole */
    free(map.entry);
    return r;
}

static int
take_pattern(struct compiler *c, struct node *node, const struct keyword *keyword, const json_t *value,
             const struct place *at)
{
    const char *why = "";
    int r;

    (void)keyword; /* there is one */
    if (!json_is_string(value)) {
        return refuse(c, at, "must be a string");
    }
    node->pattern_text = json_string_value(value);
    r = sbx_pattern_compile(&node->pattern, node->pattern_text, json_string_length(value), &why);
    return r > 0 ? refuse(c, at, "the pattern %s", why) : r;
}

static int
take_count(struct compiler *c, struct node *node, const struct keyword *keyword, const json_t *value,
           const struct place *at)
{
    int64_t *ret = member(node, keyword);

    if (json_is_real(value) && json_real_value(value) >= 0 && json_real_value(value) < 0x1p53 &&
        json_real_value(value) == (double)(int64_t)json_real_value(value)) {
        *ret = (int64_t)json_real_value(value);
        return 0;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return refuse(c, at, "must be an integer from 0");
    }
    *ret = json_integer_value(value);
    return 0;
}

static int
take_number(struct compiler *c, struct node *node, const struct keyword *keyword, const json_t *value,
            const struct place *at)
{
    const json_t **ret = member(node, keyword);

    if (!json_is_number(value)) {
        return refuse(c, at, "must be a number");
    }
    *ret = value;
    if (ret == &node->multiple && json_number_value(value) <= 0) {
        return refuse(c, at, "must be greater than 0");
    }
    return 0;
}

static int
take_bool(struct compiler *c, struct node *node, const struct keyword *keyword, const json_t *value,
          const struct place *at)
{
    bool *ret = member(node, keyword);

    *ret = json_is_true(value);
    return json_is_boolean(value) ? 0 : refuse(c, at, "must be true or false");
}

static unsigned
type_bit(const json_t *name)
{
    static const char *const names[N_TYPES] = { "null",   "boolean", "integer", "number",
                                                "string", "array",   "object" };
    unsigned i;

    for (i = 0; json_is_string(name) && i < N_TYPES; i++) {
        if (strcmp(json_string_value(name), names[i]) == 0) {
            return 1u << i;
        }
    }
    return 0;
}

static int
take_type(struct compiler *c, struct node *node, const struct keyword *keyword, const json_t *value,
          const struct place *at)
{
    size_t i, n = json_is_array(value) ? json_array_size(value) : 1;
    unsigned bit;

    (void)keyword; /* there is one */
    for (i = 0; i < n; i++) {
        bit = type_bit(json_is_array(value) ? json_array_get(value, i) : value);
        if (bit == 0 || (node->types & bit) != 0) {
            break;
        }
        node->types |= bit;
    }
    if (n == 0 || i < n) {
        return refuse(c, at,
                      "must be null, boolean, integer, number, string, array or object, or an array of such, "
                      "each once");
    }
    return 0;
}

static int
take_value(struct compiler *c, struct node *node, const struct keyword *keyword, const json_t *value,
           const struct place *at)
{
    const json_t **ret = member(node, keyword);

    (void)c, (void)at; /* any value will do */
    *ret = value;
    return 0;
}

static int
take_choices(struct compiler *c, struct node *node, const struct keyword *keyword, const json_t *value,
             const struct place *at)
{
    if (!json_is_array(value) || json_array_size(value) == 0) {
        return refuse(c, at, "must be an array of values");
    }
    return take_value(c, node, keyword, value, at);
}

static int
check_names(struct compiler *c, const json_t *value, const struct place *at)
{
    size_t i, k;

    for (i = 0; i < json_array_size(value); i++) {
        for (k = 0; k < i; k++) {
            if (json_equal(json_array_get(value, i), json_array_get(value, k))) {
                return refuse(c, at, "must not name a member twice");
            }
        }
        if (!json_is_string(json_array_get(value, i))) {
            break;
        }
    }
    if (!json_is_array(value) || i < json_array_size(value) || i > SBX_SCHEMA_NODES) {
        return refuse(c, at, "must be an array of names, at most %d", SBX_SCHEMA_NODES);
    }
    return 0;
}

static int
take_names(struct compiler *c, struct node *node, const struct keyword *keyword, const json_t *value,
           const struct place *at)
{
    int r = check_names(c, value, at);

    return r != 0 ? r : take_value(c, node, keyword, value, at);
}

static int
take_dependents(struct compiler *c, struct node *node, const struct keyword *keyword, const json_t *value,
                const struct place *at)
{
    struct place place;
    const char *key;
    json_t *item;
    int r;

    if (!json_is_object(value)) {
        return refuse(c, at, "must be an object of arrays of names");
    }
    json_object_foreach ((json_t *)(uintptr_t)value, key, item) { /* looked at, not changed */
        place = place_of(at, key, 0);
        r = check_names(c, item, &place);
        if (r != 0) {
            return r;
        }
    }
    return take_value(c, node, keyword, value, at);
}

static int
take_text(struct compiler *c, struct node *node, const struct keyword *keyword, const json_t *value,
          const struct place *at)
{
    const char **ret = member(node, keyword);

    *ret = json_string_value(value);
    return json_is_string(value) && json_string_length(value) <= 256
               ? 0
               : refuse(c, at, "must be a string of at most 256 bytes");
}

#define TAKE(text, how, where)                                                                               \
    {                                                                                                        \
        text, take_##how, offsetof(struct node, where)                                                       \
    }
#define ANNOTATION(text)                                                                                     \
    {                                                                                                        \
        text, take_annotation, 0                                                                             \
    }

static const struct keyword keywords[] = {
    TAKE("type", type, types),
    TAKE("enum", choices, choices),
    TAKE("const", value, constant),
    TAKE("properties", map, properties),
    TAKE("required", names, required),
    TAKE("additionalProperties", schema, additional),
    TAKE("patternProperties", patterns, patterns),
    TAKE("propertyNames", schema, names),
    TAKE("minProperties", count, min_members),
    TAKE("maxProperties", count, max_members),
    TAKE("dependentRequired", dependents, dependents),
    TAKE("items", schema, items),
    TAKE("prefixItems", schemas, prefix),
    TAKE("minItems", count, min_items),
    TAKE("maxItems", count, max_items),
    TAKE("uniqueItems", bool, unique),
    TAKE("minLength", count, min_length),
    TAKE("maxLength", count, max_length),
    TAKE("pattern", pattern, pattern),
    TAKE("minimum", number, minimum),
    TAKE("maximum", number, maximum),
    TAKE("exclusiveMinimum", number, above),
    TAKE("exclusiveMaximum", number, below),
    TAKE("multipleOf", number, multiple),
    TAKE("allOf", schemas, all),
    TAKE("anyOf", schemas, any),
    TAKE("oneOf", schemas, one),
    TAKE("not", schema, none),
    TAKE("if", schema, condition),
    TAKE("then", schema, then),
    TAKE("else", schema, otherwise),
    TAKE("$ref", text, ref_text),
    TAKE("$anchor", text, anchor),
    TAKE("$schema", dialect, at),
    TAKE("$id", id, at),
    TAKE("$defs", definitions, at),
    TAKE("definitions", definitions, at),
    ANNOTATION("$comment"),
    ANNOTATION("title"),
    ANNOTATION("description"),
    ANNOTATION("default"),
    ANNOTATION("examples"),
    ANNOTATION("deprecated"),
    ANNOTATION("readOnly"),
    ANNOTATION("writeOnly"),
    ANNOTATION("format"),
    ANNOTATION("contentEncoding"),
    ANNOTATION("contentMediaType"),
};

static int
new_node(struct compiler *c, struct node **ret, const json_t *json, const struct place *at)
{
    struct sbx_schema *schema = c->schema;
    struct node **grown;
    struct node *node;

    if (schema->n_nodes == SBX_SCHEMA_NODES) {
        return refuse(c, at, "the schema has more than %d subschemas", SBX_SCHEMA_NODES);
    }
    if (schema->n_nodes == schema->cap) {
        grown = realloc(schema->node, (schema->cap * 2 + 8) * sizeof(struct node *));
        if (grown == NULL) {
            return -ENOMEM;
        }
        schema->node = grown;
        schema->cap = schema->cap * 2 + 8;
    }
    node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return -ENOMEM;
    }
    node->at = json;
    node->max_length = node->max_items = node->max_members = NO_LIMIT;
    schema->node[schema->n_nodes++] = node;
    *ret = node;
    return 0;
}

static int
take_member(struct compiler *c, struct node *node, const char *key, const json_t *value,
            const struct place *at)
{
    struct place place = place_of(at, key, 0);
    size_t i;

    for (i = 0; i < SBX_COUNT(keywords); i++) {
        if (strcmp(keywords[i].name, key) == 0) {
            return keywords[i].take(c, node, &keywords[i], value, &place);
        }
    }
    /* Names of others' annotations, as the protocol's own x-mcp-header. Anything else might be a rule. */
    return strncmp(key, "x-", 2) == 0 ? 0 : refuse(c, &place, "is not a keyword that is held here");
}

static int
compile_node(struct compiler *c, struct node **ret, const json_t *json, const struct place *at)
{
    struct node *node = NULL;
    const char *key;
    json_t *value;
    int r;

    if (at->depth > 2 * SBX_SCHEMA_DEPTH) {
        return refuse(c, at, "the schema is nested too deep");
    }
    if (!json_is_object(json) && !json_is_boolean(json)) {
        return refuse(c, at, "must be a schema: an object, true or false");
    }
    r = new_node(c, &node, json, at);
    if (r != 0) {
        return r;
    }
    *ret = node;
    node->never = json_is_false(json);
    json_object_foreach ((json_t *)(uintptr_t)json, key, value) { /* looked at, not changed */
        r = take_member(c, node, key, value, at);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

/* Not for the schema, but for who wrote it: a name may stand for one thing. */
static int
check_anchors(struct compiler *c)
{
    const struct sbx_schema *schema = c->schema;
    size_t i, k;

    for (i = 0; i < schema->n_nodes; i++) {
        for (k = 0; k < i && schema->node[i]->anchor != NULL; k++) {
            if (schema->node[k]->anchor != NULL &&
                strcmp(schema->node[i]->anchor, schema->node[k]->anchor) == 0) {
                sbx_field_error_set(c->err, "", "two subschemas have the same $anchor");
                return SBX_SCHEMA_E_FORM;
            }
        }
    }
    return 0;
}

int
sbx_schema_compile(struct sbx_schema **ret, const json_t *json, struct sbx_field_error *err)
{
    _cleanup_(sbx_schema_freep) struct sbx_schema *schema = calloc(1, sizeof(*schema));
    struct compiler c = { .schema = schema, .err = err };
    struct place top = PLACE_TOP;
    int r;

    if (schema == NULL) {
        return -ENOMEM;
    }
    schema->document = json_deep_copy(json);
    if (schema->document == NULL) {
        return -ENOMEM;
    }
    r = compile_node(&c, &schema->root, schema->document, &top);
    r = r != 0 ? r : check_anchors(&c);
    r = r != 0 ? r : schema_refs_join(schema, err);
    if (r != 0) {
        return r;
    }
    *ret = steal(&schema);
    return 0;
}

static void
map_deinit(struct node_map *map)
{
    size_t i;

    for (i = 0; i < map->n; i++) {
        (void)sbx_pattern_free(map->entry[i].pattern);
    }
    free(map->entry);
}

static void
node_free(struct node *node)
{
    map_deinit(&node->properties);
    map_deinit(&node->patterns);
    (void)sbx_pattern_free(node->pattern);
    free(node->prefix.node);
    free(node->all.node);
    free(node->any.node);
    free(node->one.node);
    free(node);
}

struct sbx_schema *
sbx_schema_free(struct sbx_schema *schema)
{
    size_t i;

    if (schema == NULL) {
        return NULL;
    }
    for (i = 0; i < schema->n_nodes; i++) {
        node_free(schema->node[i]);
    }
    free(schema->node);
    json_decref(schema->document);
    free(schema);
    return NULL;
}
