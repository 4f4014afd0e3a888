/*
 * JSON Schema 2020-12 (json-schema.org/draft/2020-12), the part that arguments of tools need: compiled once, then asked for each
 * value. A schema that says something this does not know is refused when it is compiled, so that no rule is passed over.
 */
#pragma once

#include "sbx_json.h"

#pragma GCC visibility push(hidden)

#define SBX_SCHEMA_DEPTH 32   /* of the schema, and of what it is asked about */
#define SBX_SCHEMA_NODES 1024 /* subschemas of one schema */
#define SBX_SCHEMA_ERRORS 8   /* that are told of one value */

struct sbx_schema;

enum {
    SBX_SCHEMA_E_FORM = 1, /* *err says where in the schema */
};

/* Copies what it needs. References stay within the document: "#", "#/...", "#anchor". 0, SBX_SCHEMA_E_FORM or -ENOMEM. */
_must_check_ int sbx_schema_compile(struct sbx_schema **ret, const json_t *schema,
                                    struct sbx_field_error *err);
struct sbx_schema *sbx_schema_free(struct sbx_schema *schema); /* accepts NULL, returns NULL */

struct sbx_schema_errors {
    unsigned n;
    struct sbx_field_error error[SBX_SCHEMA_ERRORS]; /* in the order of the value's members */
};

/* Pure. True when the value is as the schema says; else *ret has at least one error, each fit for a model to act on. */
_must_check_ bool sbx_schema_check(const struct sbx_schema *schema, const json_t *value,
                                   struct sbx_schema_errors *ret);

#pragma GCC visibility pop
