/*
 * Asks lib/sbx_schema: each line of standard input is a JSON array [schema, value, ...], each line of standard output what is said of
 * it, as JSON: {"refused": "/pointer: why"}, or an array with true or ["/pointer: why", ...] for each value.
 */
#include "lib/sbx_jsonw.h"
#include "lib/sbx_schema.h"

#include <stdio.h>
#include <stdlib.h>

static void
put_error(struct sbx_jsonw *w, const char *key, const struct sbx_field_error *err)
{
    char text[sizeof(err->field) + sizeof(err->message) + 2];

    (void)snprintf(text, sizeof(text), "%s: %s", err->field, err->message); /* fits */
    sbx_jsonw_str(w, key, text);
}

static void
put_answer(struct sbx_jsonw *w, const struct sbx_schema *schema, const json_t *value)
{
    struct sbx_schema_errors errors;
    unsigned i;

    if (sbx_schema_check(schema, value, &errors)) {
        sbx_jsonw_bool(w, NULL, true);
        return;
    }
    sbx_jsonw_array(w, NULL);
    for (i = 0; i < errors.n; i++) {
        put_error(w, NULL, &errors.error[i]);
    }
    sbx_jsonw_array_end(w);
}

static int
answer(const char *line, size_t len)
{
    struct sbx_buf out = SBX_BUF_INIT(1 << 24);
    struct sbx_schema *schema = NULL;
    struct sbx_field_error err;
    struct sbx_jsonw w;
    json_t *json = NULL;
    size_t i;
    int r;

    r = sbx_json_parse(&json, line, len, &err);
    if (r == 0) {
        r = sbx_schema_compile(&schema, json_array_get(json, 0), &err);
    }
    sbx_jsonw_init(&w, &out);
    if (r != 0) {
        sbx_jsonw_object(&w, NULL);
        put_error(&w, "refused", &err);
        sbx_jsonw_object_end(&w);
    } else {
        sbx_jsonw_array(&w, NULL);
        for (i = 1; i < json_array_size(json); i++) {
            put_answer(&w, schema, json_array_get(json, i));
        }
        sbx_jsonw_array_end(&w);
    }
    r = out.failed || printf("%s\n", out.data) < 0 ? 1 : 0;
    schema = sbx_schema_free(schema);
    json_decref(json);
    sbx_buf_deinit(&out);
    return r;
}

int
main(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    int r = 0;

    while (r == 0 && (len = getline(&line, &size, stdin)) >= 0) {
        r = answer(line, (size_t)len);
    }
    free(line);
    return r;
}
