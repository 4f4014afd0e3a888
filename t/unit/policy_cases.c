/* Runs the cases of policies/tests/ (their form: policies/README.md): documents and a request in, the
 * decision out. */
#include "lib/sbx_policy_doc.h"

#include <glob.h>

#include "t/unit/tap.h"

static char *
read_whole(const char *path, size_t *ret_len)
{
    struct sbx_buf buf = SBX_BUF_INIT(1 << 20);
    FILE *file = fopen(path, "re");
    size_t n;

    if (file == NULL) {
        BAIL_OUT("cannot open %s", path);
    }
    do {
        char *room = sbx_buf_reserve(&buf, 4096);

        n = room != NULL ? fread(room, 1, 4096, file) : 0;
        buf.len += n;
    } while (n > 0);
    (void)fclose(file); /* only read */
    return sbx_buf_take(&buf, ret_len);
}

static json_t *
load(const char *path)
{
    struct sbx_field_error err;
    json_t *json = NULL;
    size_t len = 0;
    char *text = read_whole(path, &len);

    if (sbx_json_parse(&json, text, len, &err) != 0) {
        BAIL_OUT("%s: %s", path, err.message);
    }
    free(text);
    return json;
}

#define MAX_LAYERS 8

/* The documents of a case. */
struct layers {
    struct sbx_policy_doc *doc[MAX_LAYERS];
    unsigned n;
};

static void
layers_deinit(struct layers *layers)
{
    while (layers->n > 0) {
        free(layers->doc[--layers->n]);
    }
}

/* Compiles the documents and lays them over each other; false with the refused document's field in *err. */
static bool
merge(struct layers *layers, struct sbx_policy_view *view, const json_t *documents,
      struct sbx_field_error *err)
{
    const json_t *document;
    size_t i;
    int r;

    json_array_foreach (documents, i, document) {
        if (layers->n == MAX_LAYERS) {
            BAIL_OUT("too many layers");
        }
        r = sbx_policy_doc_compile(&layers->doc[layers->n], document, err);
        if (r != 0) {
            return false;
        }
        layers->n++;
        if (i == 0) {
            sbx_policy_view_init(view, layers->doc[0]);
        } else if (!sbx_policy_view_add(view, layers->doc[i])) {
            BAIL_OUT("no room for a layer");
        }
    }
    return true;
}

static void
check_violations(const char *name, const json_t *expected, const struct sbx_decision *decision)
{
    size_t i;

    if (!is_uint(decision->n_violations, json_array_size(expected), "%s: number of violations", name)) {
        return;
    }
    for (i = 0; i < decision->n_violations; i++) {
        is_str(decision->violation[i].rule, json_string_value(json_array_get(expected, i)), "%s: rule", name);
    }
}

static void
check_allowed(const char *name, const json_t *expect, const struct sbx_policy_input *input,
              const struct sbx_decision *decision)
{
    bool grants = input->kind == SBX_POLICY_JOB || input->kind == SBX_POLICY_SESSION;
    const json_t *limits = json_object_get(expect, "limits"), *value;
    unsigned i;

    for (i = 0; i < SBX_N_LIMITS; i++) {
        value = json_object_get(limits, sbx_limit_key((enum sbx_limit)i));
        if (value != NULL) {
            is_uint(decision->limits.value[i], json_integer_value(value), "%s: %s", name,
                    sbx_limit_key((enum sbx_limit)i));
        }
        is_int(decision->limits.value[i] > 0, grants, "%s: %s has a value", name,
               sbx_limit_key((enum sbx_limit)i));
    }
    value = json_object_get(expect, "isolation");
    if (value != NULL) {
        is_str(sbx_isolation_name(decision->isolation), json_string_value(value), "%s: isolation", name);
    }
    ok(decision->isolation == SBX_ISOLATION_NONE || decision->isolation >= decision->min_isolation,
       "%s: not below the minimum", name);
    value = json_object_get(expect, "max_artifacts");
    if (value != NULL) {
        is_uint(decision->max_artifacts, json_integer_value(value), "%s: max_artifacts", name);
    }
    value = json_object_get(expect, "max_artifact_bytes");
    if (value != NULL) {
        is_uint(decision->max_artifact_bytes, json_integer_value(value), "%s: max_artifact_bytes", name);
    }
}

/* What is written about a violation must be JSON; "limit" and "observed" are those of the first. */
static void
check_written(const char *name, const struct sbx_decision *decision, const json_t *expect)
{
    const char *limit = json_string_value(json_object_get(expect, "limit"));
    const char *observed = json_string_value(json_object_get(expect, "observed"));
    struct sbx_buf buf = SBX_BUF_INIT(65536);
    struct sbx_field_error err;
    struct sbx_jsonw w;
    json_t *json = NULL;

    sbx_jsonw_init(&w, &buf);
    sbx_jsonw_object(&w, NULL);
    sbx_violations_write(&w, decision->violation, decision->n_violations);
    sbx_jsonw_object_end(&w);
    ok(!buf.failed && sbx_json_parse(&json, buf.data, buf.len, &err) == 0, "%s: violations are JSON", name);
    if (limit != NULL) {
        is_str(decision->violation[0].limit, limit, "%s: limit", name);
    }
    if (observed != NULL) {
        is_str(decision->violation[0].observed, observed, "%s: observed", name);
    }
    json_decref(json);
    sbx_buf_deinit(&buf);
}

static enum sbx_policy_kind
kind_of(const json_t *test)
{
    static const char *const names[] = {
        [SBX_POLICY_JOB] = "job",   [SBX_POLICY_SESSION] = "session", [SBX_POLICY_EXTEND] = "extend",
        [SBX_POLICY_STEP] = "step", [SBX_POLICY_PROCESS] = "process", [SBX_POLICY_TOOL] = "tool",
    };
    const char *name = json_string_value(json_object_get(test, "kind"));
    unsigned i;

    for (i = 0; i < SBX_COUNT(names); i++) {
        if (name != NULL && strcmp(name, names[i]) == 0) {
            return (enum sbx_policy_kind)i;
        }
    }
    if (name != NULL) {
        BAIL_OUT("no such kind: %s", name);
    }
    return SBX_POLICY_JOB;
}

static void
run_request(const char *name, const json_t *test, const struct sbx_policy_view *view)
{
    const json_t *expect = json_object_get(test, "expect");
    const char *error = json_string_value(json_object_get(expect, "error"));
    const char *tool = json_string_value(json_object_get(test, "tool"));
    struct sbx_field_error err = { .field = "(none)" };
    struct sbx_policy_input input;
    struct sbx_decision decision;

    if (!sbx_policy_input_from_json(&input, kind_of(test), json_object_get(test, "request"), &err) ||
        error != NULL) {
        is_str(err.field, error, "%s: request refused", name);
        return;
    }
    (void)snprintf(input.tool, sizeof(input.tool), "%s", tool != NULL ? tool : "");

    sbx_policy_view_decide(view, &input, &decision);
    is_int(decision.allowed, json_is_true(json_object_get(expect, "allowed")), "%s", name);
    check_violations(name, json_object_get(expect, "violations"), &decision);
    if (decision.allowed) {
        check_allowed(name, expect, &input, &decision);
    } else {
        check_written(name, &decision, expect);
    }
}

static void
run_case(const json_t *test)
{
    const char *name = json_string_value(json_object_get(test, "name"));
    const char *document_error =
        json_string_value(json_object_get(json_object_get(test, "expect"), "document_error"));
    struct layers layers = { .n = 0 };
    struct sbx_policy_view view;
    struct sbx_field_error err = { .field = "(none)" };

    if (!merge(&layers, &view, json_object_get(test, "layers"), &err) || document_error != NULL) {
        is_str(err.field, document_error, "%s: document refused", name);
    } else {
        run_request(name, test, &view);
    }
    layers_deinit(&layers);
}

static void
test_default_document(void)
{
    json_t *document = load("policies/default.json");
    struct sbx_field_error err = { .field = "" };
    struct sbx_policy_doc *doc = NULL;
    struct sbx_policy_view view;
    struct sbx_policy builtin;

    ok(sbx_policy_doc_compile(&doc, document, &err) == 0, "policies/default.json is a policy: %s %s",
       err.field, err.message);
    sbx_policy_view_init(&view, doc);
    sbx_policy_builtin(&builtin);
    ok(memcmp(&view.merged.max, &builtin.max, sizeof(builtin.max)) == 0,
       "and its maxima are the built-in ones");
    ok(memcmp(&view.merged.fallback, &builtin.fallback, sizeof(builtin.max)) == 0, "and its defaults too");
    ok(memcmp(&view.merged.sessions, &builtin.sessions, sizeof(builtin.sessions)) == 0,
       "and what it says of sessions");
    ok(view.merged.max_upload_bytes == builtin.max_upload_bytes &&
           view.merged.max_stored_bytes == builtin.max_stored_bytes &&
           view.merged.retention_records_ms == builtin.retention_records_ms &&
           view.merged.retention_artifacts_ms == builtin.retention_artifacts_ms,
       "and of what is kept");
    free(doc);
    json_decref(document);
}

int
main(void)
{
    glob_t files;
    size_t i, k, n = 0;

    test_default_document();
    if (glob("policies/tests/*.json", 0, NULL, &files) != 0) {
        BAIL_OUT("no policies/tests: run from the top directory");
    }
    for (i = 0; i < files.gl_pathc; i++) {
        json_t *cases = load(files.gl_pathv[i]), *test;

        json_array_foreach (cases, k, test) {
            run_case(test);
            n++;
        }
        json_decref(cases);
    }
    globfree(&files);
    ok(n >= 25, "%zu cases ran", n);
    return done_testing();
}
