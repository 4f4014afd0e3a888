/*
 * Decides what stands on each line, {"layers": [document, ...], "kind": "job", "request": {...}, "tool": "..."}, as the gateway
 * would. For each it prints {"question": {...}, "allow": bool, "rules": [...]}, the question being what a policy service would
 * be asked; or {"error": "where"} when a document or the request is none.
 */
#include "lib/sbx_opa.h"
#include "lib/sbx_policy_doc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DOCUMENTS 64

static const char *const kinds[] = { "job", "session", "extend", "step", "process", "tool" };

struct layers {
    struct sbx_policy_doc *doc[MAX_DOCUMENTS];
    unsigned n;
};

static void
layers_deinit(struct layers *layers)
{
    while (layers->n > 0) {
        free(layers->doc[--layers->n]);
    }
}

static bool
read_layers(struct layers *layers, struct sbx_policy_view *view, const json_t *list,
            struct sbx_field_error *err)
{
    const json_t *item;
    size_t i;

    if (json_array_size(list) == 0 || json_array_size(list) > MAX_DOCUMENTS) {
        sbx_field_error_set(err, "layers", "are none, or too many");
        return false;
    }
    json_array_foreach (list, i, item) {
        if (sbx_policy_doc_compile(&layers->doc[i], item, err) != 0) {
            return false;
        }
        layers->n++;
    }
    sbx_policy_view_init(view, layers->doc[0]);
    for (i = 1; i < layers->n; i++) {
        if (!sbx_policy_view_add(view, layers->doc[i])) {
            break; /* the view remembers, and denies */
        }
    }
    return true;
}

static bool
read_request(struct sbx_policy_input *input, const json_t *line, struct sbx_field_error *err)
{
    const char *kind = json_string_value(json_object_get(line, "kind"));
    const char *tool = json_string_value(json_object_get(line, "tool"));
    unsigned i;

    for (i = 0; i < SBX_COUNT(kinds) && (kind == NULL || strcmp(kinds[i], kind) != 0); i++) {
    }
    if (i == SBX_COUNT(kinds)) {
        sbx_field_error_set(err, "kind", "is none");
        return false;
    }
    if (!sbx_policy_input_from_json(input, (enum sbx_policy_kind)i, json_object_get(line, "request"), err)) {
        return false;
    }
    (void)snprintf(input->tool, sizeof(input->tool), "%s",
                   tool != NULL ? tool : ""); /* a valid name is short */
    return true;
}

static void
write_decision(struct sbx_buf *out, const struct sbx_policy_input *input, const struct sbx_decision *decision)
{
    static const struct sbx_context context = { .tenant = "acme",
                                                .policy_id = "pol_test",
                                                .policy_version = 1 };
    struct sbx_opa_question question = {
        .context = &context, .route = "", .input = input, .decision = decision
    };
    struct sbx_buf text = SBX_BUF_INIT(SBX_OPA_QUESTION_MAX);
    struct sbx_jsonw w;
    unsigned i;

    sbx_opa_question_write(&text, &question);
    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_raw(&w, "question", text.data, text.len);
    sbx_jsonw_bool(&w, "allow", decision->allowed);
    sbx_jsonw_array(&w, "rules");
    for (i = 0; i < decision->n_violations; i++) {
        sbx_jsonw_str(&w, NULL, decision->violation[i].rule);
    }
    sbx_jsonw_array_end(&w);
    sbx_jsonw_object_end(&w);
    sbx_buf_deinit(&text);
}

static void
decide(struct sbx_buf *out, const json_t *line)
{
    _cleanup_(layers_deinit) struct layers layers = { .n = 0 };
    struct sbx_field_error err = { .field = "" };
    struct sbx_policy_input input = { .kind = SBX_POLICY_JOB };
    struct sbx_decision decision;
    struct sbx_policy_view view;
    struct sbx_jsonw w;

    if (read_layers(&layers, &view, json_object_get(line, "layers"), &err) &&
        read_request(&input, line, &err)) {
        sbx_policy_view_decide(&view, &input, &decision);
        write_decision(out, &input, &decision);
        return;
    }
    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "error", err.field);
    sbx_jsonw_str(&w, "message", err.message);
    sbx_jsonw_object_end(&w);
}

int
main(void)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(1 << 20);
    struct sbx_field_error err;
    char *line = NULL;
    size_t size = 0;
    ssize_t len;

    while ((len = getline(&line, &size, stdin)) > 0) {
        json_t *json = NULL;

        if (sbx_json_parse(&json, line, (size_t)len, &err) != 0) {
            abort();
        }
        sbx_buf_reset(&out);
        decide(&out, json);
        json_decref(json);
        if (out.failed) {
            abort();
        }
        (void)puts(out.data); /* main looks at stdout's state */
    }
    free(line);
    return ferror(stdin) || ferror(stdout) || fflush(stdout) != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
