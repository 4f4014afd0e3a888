/*
 * Schemas: one JSON array [schema, value, value, ...]. What compiles asks each value the same twice, and says something printable
 * of each that does not fit.
 */
#include "lib/sbx_schema.h"
#include "lib/sbx_utf8.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct sbx_schema *schema, const json_t *value)
{
    struct sbx_schema_errors first, second;
    bool fits = sbx_schema_check(schema, value, &first);
    unsigned i;

    if (sbx_schema_check(schema, value, &second) != fits || first.n != second.n || fits != (first.n == 0) ||
        first.n > SBX_SCHEMA_ERRORS) {
        abort();
    }
    for (i = 0; i < first.n; i++) {
        if (first.error[i].message[0] == '\0' || strpbrk(first.error[i].message, "\n\r\x1b") != NULL ||
            !sbx_utf8_valid(first.error[i].field, strlen(first.error[i].field))) {
            abort();
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sbx_schema *schema = NULL;
    struct sbx_field_error err;
    json_t *json = NULL;
    size_t i;

    if (sbx_json_parse(&json, (const char *)data, size, &err) != 0) {
        return 0;
    }
    if (json_is_array(json) && json_array_size(json) > 0 &&
        sbx_schema_compile(&schema, json_array_get(json, 0), &err) == 0) {
        for (i = 1; i < json_array_size(json) && i < 8; i++) {
            check(schema, json_array_get(json, i));
        }
        schema = sbx_schema_free(schema);
    }
    json_decref(json);
    return 0;
}
