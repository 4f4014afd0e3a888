/* What the files of sbx_schema share. */
#pragma once

#include "sbx_pattern.h"
#include "sbx_schema.h"

#pragma GCC visibility push(hidden)

/* Where something is in a document: written out only when there is something to say of it. */
struct place {
    const struct place *up; /* NULL: the document */
    const char *key;        /* NULL: item `index` of an array */
    size_t index;
    unsigned depth;
};

#define PLACE_TOP                                                                                            \
    {                                                                                                        \
        .depth = 0                                                                                           \
    }

static inline struct place
place_of(const struct place *up, const char *key, size_t index)
{
    return (struct place){ .up = up, .key = key, .index = index, .depth = up->depth + 1 };
}

struct node;

struct node_list {
    size_t n;
    struct node **node;
};

struct named {
    const char *name;
    size_t len;
    struct node *node;
    struct sbx_pattern *pattern; /* of patternProperties: what the name is */
};

struct node_map {
    size_t n;
    struct named *entry; /* in the order of their names */
};

/* Types of values, as bits; an integer is a number as well. */
#define TYPE_NULL (1u << 0)
#define TYPE_BOOLEAN (1u << 1)
#define TYPE_INTEGER (1u << 2)
#define TYPE_NUMBER (1u << 3)
#define TYPE_STRING (1u << 4)
#define TYPE_ARRAY (1u << 5)
#define TYPE_OBJECT (1u << 6)
#define N_TYPES 7

#define NO_LIMIT INT64_MAX
#define SCHEMA_COMBINED 16 /* subschemas that ask about the same value, one within the other */

/* A subschema. JSON values borrow from the schema's own copy of the document. */
struct node {
    const json_t *at; /* the subschema itself */
    bool never;       /* the schema `false` */
    unsigned types;   /* 0: any */
    const json_t *choices, *constant;
    const json_t *minimum, *maximum, *above, *below, *multiple;
    int64_t min_length, max_length, min_items, max_items, min_members, max_members;
    bool unique;
    struct sbx_pattern *pattern;
    const char *pattern_text;
    const json_t *required, *dependents;
    struct node_map properties, patterns;
    struct node *additional, *names, *items;
    struct node_list prefix;
    /* Of the same value: */
    struct node_list all, any, one;
    struct node *none, *condition, *then, *otherwise, *ref;
    const char *ref_text, *anchor;
    unsigned walk;   /* of schema_refs_join(): 0 not come to, 1 on the way */
    unsigned height; /* how many more nodes may ask about the same value */
};

struct sbx_schema {
    json_t *document;
    struct node **node;
    size_t n_nodes, cap;
    struct node *root;
};

extern const char *const schema_type_names[N_TYPES]; /* "a string" */

void place_pointer(const struct place *place, char *out, size_t size);
/* "a string or null" */
void schema_types_write(struct sbx_buf *out, unsigned types);
/* The value as text for a message: cut, escaped. */
void schema_value_write(struct sbx_buf *out, const json_t *value);
/* An identifier in quotes: cut, escaped. */
void schema_text_write(struct sbx_buf *out, const char *text, size_t len);
/* Names of a map that are like this one, or all; nothing without any. */
void schema_names_write(struct sbx_buf *out, const struct node_map *map, const char *name);

/* Joins what refers with what is referred to; a circle that uses up nothing of the value is refused. */
_must_check_ int schema_refs_join(struct sbx_schema *schema, struct sbx_field_error *err);

const struct named *schema_map_find(const struct node_map *map, const char *name);
/* As mathematics has it: 1 and 1.0 are equal. */
int schema_number_compare(const json_t *a, const json_t *b);

#pragma GCC visibility pop
