/* References within a schema. */
#include "sbx_schema_inside.h"

#include <stdlib.h>
#include <string.h>

/* Copies the next part of a pointer (RFC 6901) to `token`; NULL when it is none, else what follows. */
static const char *
next_token(const char *p, char *token, size_t size)
{
    size_t n = 0;

    for (p++; *p != '\0' && *p != '/'; p++) {
        if (n == size - 1 || *p == '%') {
            return NULL; /* nothing needs to be percent-encoded that a name should have */
        }
        token[n] = *p;
        if (*p == '~') {
            p++;
            if (*p != '0' && *p != '1') {
                return NULL;
            }
            token[n] = *p == '0' ? '~' : '/';
        }
        n++;
    }
    token[n] = '\0';
    return p;
}

static const json_t *
item_at(const json_t *array, const char *token)
{
    char *end;
    unsigned long index;

    if (token[0] < '0' || token[0] > '9') {
        return NULL;
    }
    index = strtoul(token, &end, 10);
    return *end == '\0' ? json_array_get(array, index) : NULL;
}

/* The value that a fragment leads to, NULL when it leads nowhere. */
static const json_t *
follow(const json_t *json, const char *pointer)
{
    char token[256];

    while (json != NULL && *pointer == '/') {
        pointer = next_token(pointer, token, sizeof(token));
        if (pointer == NULL) {
            return NULL;
        }
        json = json_is_array(json) ? item_at(json, token) : json_object_get(json, token);
    }
    return json != NULL && *pointer == '\0' ? json : NULL;
}

static struct node *
node_of(const struct sbx_schema *schema, const char *ref)
{
    const json_t *target = ref[0] == '\0' || ref[0] == '/' ? follow(schema->document, ref) : NULL;
    size_t i;

    for (i = 0; i < schema->n_nodes; i++) {
        if (target != NULL ? schema->node[i]->at == target
                           : schema->node[i]->anchor != NULL && strcmp(schema->node[i]->anchor, ref) == 0) {
            return schema->node[i];
        }
    }
    return NULL;
}

static int
refuse(struct sbx_field_error *err, const struct node *node, const char *why)
{
    char text[64];
    struct sbx_buf ref = SBX_BUF_OVER(text);

    schema_text_write(&ref, node->ref_text, strlen(node->ref_text));
    sbx_field_error_set(err, "", "$ref %s %s", text, why);
    return SBX_SCHEMA_E_FORM;
}

/* What also asks about the value that `node` is asked about, one after the other; NULL at the end. */
static struct node *
next_beside(const struct node *node, size_t i)
{
    struct node *const single[] = { node->ref, node->none, node->condition, node->then, node->otherwise };
    const struct node_list *const list[] = { &node->all, &node->any, &node->one };
    size_t k;

    for (k = 0; k < SBX_COUNT(single); k++) {
        if (single[k] != NULL && i-- == 0) {
            return single[k];
        }
    }
    for (k = 0; k < SBX_COUNT(list); k++) {
        if (i < list[k]->n) {
            return list[k]->node[i];
        }
        i -= list[k]->n;
    }
    return NULL;
}

enum { WALK_NEW, WALK_OPEN, WALK_DONE };

/* False when it comes back to where it was, or is so high that asking would go too deep. */
static bool
measure(struct node *node)
{
    struct node *beside;
    size_t i;

    if (node->walk == WALK_DONE) {
        return true;
    }
    if (node->walk == WALK_OPEN) {
        return false;
    }
    node->walk = WALK_OPEN;
    for (i = 0; (beside = next_beside(node, i)) != NULL; i++) {
        if (!measure(beside)) {
            return false;
        }
        node->height = beside->height >= node->height ? beside->height + 1 : node->height;
    }
    node->walk = WALK_DONE;
    return node->height <= SCHEMA_COMBINED;
}

int
schema_refs_join(struct sbx_schema *schema, struct sbx_field_error *err)
{
    struct node *node;
    size_t i;

    for (i = 0; i < schema->n_nodes; i++) {
        node = schema->node[i];
        if (node->ref_text == NULL) {
            continue;
        }
        if (node->ref_text[0] != '#') {
            return refuse(err, node, "leads out of the document: nothing is fetched");
        }
        node->ref = node_of(schema, node->ref_text + 1);
        if (node->ref == NULL) {
            return refuse(err, node, "leads to no schema of the document");
        }
    }
    for (i = 0; i < schema->n_nodes; i++) {
        if (!measure(schema->node[i])) {
            sbx_field_error_set(err, "",
                                "references and combinations lead back to themselves, or go too deep");
            return SBX_SCHEMA_E_FORM;
        }
    }
    return 0;
}
