/* Runs the cases of policies/tests/ (their form: policies/README.md): documents and a request in, the
 * decision out. */
#include "lib/sbx_policy.h"

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

/* The merged policy of a case; false with the refused document's field in *err. */
static bool
merge(struct sbx_policy *ret, const json_t *layers, struct sbx_field_error *err)
{
    struct sbx_policy layer;
    const json_t *document;
    size_t i;

    json_array_foreach (layers, i, document) {
        if (!sbx_policy_from_json(&layer, document, err)) {
            return false;
        }
        if (i == 0) {
            sbx_policy_base(ret, &layer);
        } else {
            sbx_policy_narrow(ret, &layer);
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

/* What is written about a violation must be JSON, and its limit and observed value must not be empty. */
static void
check_written(const char *name, const struct sbx_decision *decision)
{
    struct sbx_buf buf = SBX_BUF_INIT(65536);
    struct sbx_field_error err;
    struct sbx_jsonw w;
    json_t *json = NULL;

    sbx_jsonw_init(&w, &buf);
    sbx_jsonw_object(&w, NULL);
    sbx_violations_write(&w, decision->violation, decision->n_violations);
    sbx_jsonw_object_end(&w);
    ok(!buf.failed && sbx_json_parse(&json, buf.data, buf.len, &err) == 0, "%s: violations are JSON", name);
    json_decref(json);
    sbx_buf_deinit(&buf);
}

static enum sbx_policy_kind
kind_of(const json_t *test)
{
    static const char *const names[] = {
        [SBX_POLICY_JOB] = "job",   [SBX_POLICY_SESSION] = "session", [SBX_POLICY_EXTEND] = "extend",
        [SBX_POLICY_STEP] = "step", [SBX_POLICY_PROCESS] = "process",
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
run_case(const json_t *test)
{
    const char *name = json_string_value(json_object_get(test, "name"));
    const json_t *expect = json_object_get(test, "expect");
    const char *error = json_string_value(json_object_get(expect, "error"));
    const char *document_error = json_string_value(json_object_get(expect, "document_error"));
    struct sbx_policy policy;
    struct sbx_policy_input input;
    struct sbx_decision decision;
    struct sbx_field_error err = { .field = "(none)" };

    if (!merge(&policy, json_object_get(test, "layers"), &err) || document_error != NULL) {
        is_str(err.field, document_error, "%s: document refused", name);
        return;
    }
    if (!sbx_policy_input_from_json(&input, kind_of(test), json_object_get(test, "request"), &err) ||
        error != NULL) {
        is_str(err.field, error, "%s: request refused", name);
        return;
    }

    sbx_policy_decide(&policy, &input, &decision);
    is_int(decision.allowed, json_is_true(json_object_get(expect, "allowed")), "%s", name);
    check_violations(name, json_object_get(expect, "violations"), &decision);
    if (decision.allowed) {
        check_allowed(name, expect, &input, &decision);
    } else {
        check_written(name, &decision);
    }
}

static void
test_default_document(void)
{
    json_t *document = load("policies/default.json");
    struct sbx_field_error err = { .field = "" };
    struct sbx_policy policy, base, builtin;

    ok(sbx_policy_from_json(&policy, document, &err), "policies/default.json is a policy: %s %s", err.field,
       err.message);
    sbx_policy_base(&base, &policy);
    sbx_policy_builtin(&builtin);
    ok(memcmp(&base.max, &builtin.max, sizeof(base.max)) == 0, "and its maxima are the built-in ones");
    ok(memcmp(&base.fallback, &builtin.fallback, sizeof(base.max)) == 0, "and its defaults too");
    ok(memcmp(&base.sessions, &builtin.sessions, sizeof(base.sessions)) == 0, "and what it says of sessions");
    ok(base.max_upload_bytes == builtin.max_upload_bytes &&
           base.max_stored_bytes == builtin.max_stored_bytes &&
           base.retention_records_ms == builtin.retention_records_ms &&
           base.retention_artifacts_ms == builtin.retention_artifacts_ms,
       "and of what is kept");
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
