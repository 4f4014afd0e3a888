/* Policy documents and their merge: what is refused, and what rates and names become. */
#include "lib/sbx_policy_inside.h"

#include "t/unit/tap.h"

static struct sbx_field_error err;

static json_t *
parse(const char *text)
{
    json_t *json = NULL;

    if (sbx_json_parse(&json, text, strlen(text), &err) != 0) {
        BAIL_OUT("cannot parse %s: %s", text, err.message);
    }
    return json;
}

static struct sbx_policy
read_policy(const char *text)
{
    json_t *json = parse(text);
    struct sbx_policy_doc *doc = NULL;
    struct sbx_policy policy;

    if (sbx_policy_doc_compile(&doc, json, &err) != 0) {
        BAIL_OUT("not a policy: %s: %s %s", text, err.field, err.message);
    }
    policy = *sbx_policy_doc_said(doc);
    free(doc);
    json_decref(json);
    return policy;
}

static void
test_refused(void)
{
    static const struct {
        const char *json, *field;
    } cases[] = {
        { "[]", "" },
        { "null", "" },
        { "{}", "/version" },
        { "{\"version\":\"1\"}", "/version" },
        { "{\"version\":1.0}", "/version" },
        { "{\"version\":-1}", "/version" },
        { "{\"version\":2147483648}", "/version" },
        { "{\"version\":null}", "/version" },
        { "{\"version\":1,\"id\":\"\"}", "/id" },
        { "{\"version\":1,\"id\":\"a b\"}", "/id" },
        { "{\"version\":1,\"id\":\"a+b\"}", "/id" },
        { "{\"version\":1,\"id\":\"../a\"}", "/id" },
        { "{\"version\":1,\"id\":7}", "/id" },
        { "{\"version\":1,\"id\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
          "/id" },
        { "{\"version\":1,\"limits\":[]}", "/limits" },
        { "{\"version\":1,\"limits\":{\"gpu\":{\"max\":1}}}", "/limits/gpu" },
        { "{\"version\":1,\"limits\":{\"cpu\":1}}", "/limits/cpu" },
        { "{\"version\":1,\"limits\":{\"cpu\":null}}", "/limits/cpu" },
        { "{\"version\":1,\"limits\":{\"cpu\":{\"min\":1}}}", "/limits/cpu/min" },
        { "{\"version\":1,\"limits\":{\"cpu\":{\"max\":\"65\"}}}", "/limits/cpu/max" },
        { "{\"version\":1,\"limits\":{\"time\":{\"max\":\"25h\"}}}", "/limits/time/max" },
        { "{\"version\":1,\"limits\":{\"time\":{\"default\":\"2s\",\"max\":1}}}", "/limits/time/default" },
        { "{\"version\":1,\"limits\":{\"output\":{\"default\":null}}}", "/limits/output/default" },
        { "{\"version\":1,\"languages\":\"python\"}", "/languages" },
        { "{\"version\":1,\"languages\":[\"\"]}", "/languages/0" },
        { "{\"version\":1,\"languages\":[\"python\",null]}", "/languages/1" },
        { "{\"version\":1,\"templates\":[\"a/b\"]}", "/templates/0" },
        { "{\"version\":1,\"env\":{\"max\":1025}}", "/env/max" },
        { "{\"version\":1,\"env\":{\"max\":-1}}", "/env/max" },
        { "{\"version\":1,\"env\":{\"max_bytes\":1}}", "/env/max_bytes" },
        { "{\"version\":1,\"files\":{\"max_bytes\":\"2Gi\"}}", "/files/max_bytes" },
        { "{\"version\":1,\"files\":{\"max_bytes\":1.5}}", "/files/max_bytes" },
        { "{\"version\":1,\"artifacts\":{\"max\":\"1\"}}", "/artifacts/max" },
        { "{\"version\":1,\"max_wait\":601}", "/max_wait" },
        { "{\"version\":1,\"max_wait\":\"10\"}", "/max_wait" },
        { "{\"version\":1,\"rates\":{\"user\":{\"rate\":\"1/s\"}}}", "/rates/user" },
        { "{\"version\":1,\"rates\":{\"tenant\":\"1/s\"}}", "/rates/tenant" },
        { "{\"version\":1,\"rates\":{\"tenant\":{}}}", "/rates/tenant/rate" },
        { "{\"version\":1,\"rates\":{\"tenant\":{\"rate\":1}}}", "/rates/tenant/rate" },
        { "{\"version\":1,\"rates\":{\"tenant\":{\"rate\":\"0/s\"}}}", "/rates/tenant/rate" },
        { "{\"version\":1,\"rates\":{\"tenant\":{\"rate\":\"01/s\"}}}", "/rates/tenant/rate" },
        { "{\"version\":1,\"rates\":{\"tenant\":{\"rate\":\"1/d\"}}}", "/rates/tenant/rate" },
        { "{\"version\":1,\"rates\":{\"tenant\":{\"rate\":\"1 /s\"}}}", "/rates/tenant/rate" },
        { "{\"version\":1,\"rates\":{\"tenant\":{\"rate\":\"1000000/s\"}}}", "/rates/tenant/rate" },
        { "{\"version\":1,\"rates\":{\"tenant\":{\"rate\":\"/s\"}}}", "/rates/tenant/rate" },
        { "{\"version\":1,\"rates\":{\"tenant\":{\"rate\":\"3/h\"}}}", "/rates/tenant/rate" },
        { "{\"version\":1,\"rates\":{\"tenant\":{\"rate\":\"1/s\",\"burst\":1000001}}}",
          "/rates/tenant/burst" },
        { "{\"version\":1,\"rates\":{\"routes\":{\"a b\":{\"rate\":\"1/s\"}}}}", "/rates/routes/a b" },
        { "{\"version\":1,\"rates\":{\"routes\":{\"a\":null}}}", "/rates/routes/a" },
        { "{\"version\":1,\"concurrency\":{\"tenant\":100001}}", "/concurrency/tenant" },
        { "{\"version\":1,\"concurrency\":5}", "/concurrency" },
    };
    struct sbx_policy_doc *doc = NULL;
    size_t i;

    for (i = 0; i < SBX_COUNT(cases); i++) {
        json_t *json = parse(cases[i].json);

        is_int(sbx_policy_doc_compile(&doc, json, &err), SBX_POLICY_E_FORM, "refused: %s", cases[i].json);
        is_str(err.field, cases[i].field, "names the field: %s", err.message);
        json_decref(json);
    }
    ok(doc == NULL, "a refusal writes nothing");
}

/* `n` names or routes: one too many is refused, and none is written past the array. */
static bool
reads_many(const char *before, const char *item, const char *after, unsigned n)
{
    struct sbx_buf text = SBX_BUF_INIT(1 << 18);
    struct sbx_policy_doc *doc = NULL;
    json_t *json;
    unsigned i;
    bool fine;

    sbx_buf_puts(&text, before);
    for (i = 0; i < n; i++) {
        sbx_buf_printf(&text, "%s\"name%u\"%s", i > 0 ? "," : "", i, item);
    }
    sbx_buf_puts(&text, after);
    json = parse(text.data);
    fine = sbx_policy_doc_compile(&doc, json, &err) == 0;
    free(doc);
    json_decref(json);
    sbx_buf_deinit(&text);
    return fine;
}

static void
test_counts(void)
{
    static const char names[] = "{\"version\":1,\"languages\":[",
                      routes[] = "{\"version\":1,\"rates\":{\"routes\":{";
    static const char rate[] = ":{\"rate\":\"1/s\"}";

    ok(reads_many(names, "", "]}", SBX_POLICY_RULES_MAX), "as many names as fit");
    ok(!reads_many(names, "", "]}", SBX_POLICY_RULES_MAX + 1), "one more is refused");
    ok(reads_many(routes, rate, "}}}", SBX_POLICY_MAX_ROUTES), "as many routes as fit");
    ok(!reads_many(routes, rate, "}}}", SBX_POLICY_MAX_ROUTES + 1), "one more is refused");
}

static void
test_rate_text(void)
{
    static const struct {
        uint32_t milli;
        const char *text;
    } rows[] = {
        { 5000, "\"5/s\"" },
        { 1000, "\"1/s\"" },
        { 999999000, "\"999999/s\"" },
        { 500, "\"30/m\"" },
        { 1500, "\"90/m\"" },
        { 166, "\"10/m\"" },
        { 116, "\"7/m\"" },
        { 16, "\"1/m\"" },
        { 5, "\"18/h\"" },
        { 1, "\"4/h\"" },
        { UINT32_MAX, "\"15461882262/h\"" },
        { 0, "\"0/s\"" },
    };
    char text[32], tiny[4];

    for (size_t i = 0; i < SBX_COUNT(rows); i++) {
        const struct sbx_rate rate = { .per_second_milli = rows[i].milli };

        sbx_rate_text(text, sizeof(text), &rate);
        is_str(text, rows[i].text, "%u in 1000 s", rows[i].milli);
    }
    for (uint32_t milli = 1; milli < 3000; milli++) {
        const struct sbx_rate rate = { .per_second_milli = milli };
        char document[96];
        struct sbx_policy policy;

        sbx_rate_text(text, sizeof(text), &rate);
        (void)snprintf(document, sizeof(document), "{\"version\":1,\"rates\":{\"app\":{\"rate\":%s}}}", text);
        policy = read_policy(document);
        if (policy.rate[SBX_SCOPE_APP].per_second_milli != milli) {
            fail("%s is not %u in 1000 s", text, milli);
        }
    }
    pass("read again it is the same rate");
    sbx_rate_text(tiny, sizeof(tiny), &(struct sbx_rate){ .per_second_milli = 100000 });
    is_uint(strlen(tiny), sizeof(tiny) - 1, "cut where there is no room");
}

static void
test_rates(void)
{
    struct sbx_policy policy =
        read_policy("{\"version\":1,\"rates\":{\"tenant\":{\"rate\":\"100/s\",\"burst\":200},"
                    "\"app\":{\"rate\":\"30/m\"},\"agent\":{\"rate\":\"4/h\"},"
                    "\"routes\":{\"jobs.create\":{\"rate\":\"999999/s\"}}},\"concurrency\":{\"app\":7}}");

    is_uint(policy.rate[SBX_SCOPE_TENANT].per_second_milli, 100000, "100/s");
    is_uint(policy.rate[SBX_SCOPE_TENANT].burst, 200, "with its burst");
    is_uint(policy.rate[SBX_SCOPE_APP].per_second_milli, 500, "30/m");
    is_uint(policy.rate[SBX_SCOPE_APP].burst, 1, "a burst of at least one");
    is_uint(policy.rate[SBX_SCOPE_AGENT].per_second_milli, 1, "4/h, rounded down");
    is_uint(policy.route[0].rate.per_second_milli, 999999000, "the highest rate");
    is_str(policy.route[0].route, "jobs.create", "of a route");
    is_uint(policy.concurrency[SBX_SCOPE_APP], 7, "concurrency");
    is_uint(policy.concurrency[SBX_SCOPE_AGENT], 0, "or none");
}

static void
test_merge_rates(void)
{
    struct sbx_policy base =
        read_policy("{\"version\":1,\"id\":\"a\",\"rates\":{\"tenant\":{\"rate\":\"10/s\",\"burst\":5},"
                    "\"routes\":{\"x\":{\"rate\":\"10/s\"}}},\"concurrency\":{\"tenant\":3}}");
    struct sbx_policy layer =
        read_policy("{\"version\":9,\"id\":\"b\",\"rates\":{\"tenant\":{\"rate\":\"5/s\",\"burst\":50},"
                    "\"app\":{\"rate\":\"7/s\"},\"routes\":{\"x\":{\"rate\":\"20/s\",\"burst\":1},"
                    "\"y\":{\"rate\":\"1/s\"}}},\"concurrency\":{\"tenant\":9,\"agent\":2}}");

    sbx_policy_narrow(&base, &layer);
    is_str(base.id, "b", "the id is the layer's");
    is_uint(base.version, 9, "and the version");
    is_uint(base.rate[SBX_SCOPE_TENANT].per_second_milli, 5000, "the lower rate");
    is_uint(base.rate[SBX_SCOPE_TENANT].burst, 5, "and the lower burst");
    is_uint(base.rate[SBX_SCOPE_APP].per_second_milli, 7000, "a rate where there was none");
    is_uint(base.n_routes, 2, "a route is added");
    is_uint(base.route[0].rate.per_second_milli, 10000, "a route keeps its lower rate");
    is_uint(base.route[0].rate.burst, 1, "with the lower burst");
    is_uint(base.concurrency[SBX_SCOPE_TENANT], 3, "concurrency is not raised");
    is_uint(base.concurrency[SBX_SCOPE_AGENT], 2, "but set where it was not");
}

static void
test_route_overflow(void)
{
    struct sbx_policy base = read_policy("{\"version\":1}"), layer = base;
    unsigned i;

    for (i = 0; i < SBX_POLICY_MAX_ROUTES; i++) {
        (void)snprintf(base.route[i].route, SBX_POLICY_NAME_LEN, "base%u", i);
        base.route[i].rate = (struct sbx_rate){ 1000, 1 };
    }
    base.n_routes = SBX_POLICY_MAX_ROUTES;
    (void)snprintf(layer.route[0].route, SBX_POLICY_NAME_LEN, "more");
    layer.route[0].rate = (struct sbx_rate){ 500, 3 };
    layer.n_routes = 1;

    sbx_policy_narrow(&base, &layer);
    is_uint(base.n_routes, SBX_POLICY_MAX_ROUTES, "no route past the array");
    is_uint(base.rate[SBX_SCOPE_AGENT].per_second_milli, 500, "its rate is not lost: it binds the agent");
}

static void
test_unsaid(void)
{
    struct sbx_policy_input input = { .language = "python",
                                      .template_name = "default",
                                      .n_env = 1000000,
                                      .file_bytes = 1ull << 40,
                                      .n_files = 100000,
                                      .n_artifacts = 100000,
                                      .wait_ms = 1ull << 40 };
    struct sbx_policy builtin;
    struct sbx_policy_view view;
    struct sbx_decision decision;

    sbx_policy_builtin(&builtin);
    input.limits.value[SBX_LIMIT_MEMORY] = builtin.max.value[SBX_LIMIT_MEMORY] + 1;
    sbx_policy_view_init(&view, NULL);
    sbx_policy_view_decide(&view, &input, &decision);
    ok(!decision.allowed, "a policy that says nothing is not one without limits");
    is_uint(decision.n_violations, 6, "each is refused");
    is_uint(decision.limits.value[SBX_LIMIT_TIME], 0, "and a refusal carries no limits");
}

static void
test_long_names(void)
{
    struct sbx_buf text = SBX_BUF_INIT(1 << 16);
    struct sbx_policy_input input = { .template_name = "default" };
    struct sbx_policy_doc *doc = NULL;
    struct sbx_policy_view view;
    struct sbx_decision decision;
    json_t *json;
    unsigned i, k;

    sbx_buf_puts(&text, "{\"version\":1,\"languages\":[");
    for (i = 0; i < 100; i++) {
        sbx_buf_printf(&text, "%s\"%03u", i > 0 ? "," : "", i);
        for (k = 3; k < SBX_POLICY_NAME_LEN - 1; k++) {
            sbx_buf_putc(&text, 'a');
        }
        sbx_buf_putc(&text, '"');
    }
    sbx_buf_puts(&text, "]}");
    json = parse(text.data);
    is_int(sbx_policy_doc_compile(&doc, json, &err), 0, "a hundred of the longest names");
    json_decref(json);
    sbx_buf_deinit(&text);

    memset(input.language, '0', SBX_POLICY_NAME_LEN - 1);
    sbx_policy_view_init(&view, doc);
    sbx_policy_view_decide(&view, &input, &decision);
    is_uint(decision.n_violations, 1, "one violation");
    json = parse(decision.violation[0].limit);
    ok(json_is_array(json), "a list too long to show is still JSON: %s", decision.violation[0].limit);
    json_decref(json);
    json = parse(decision.violation[0].observed);
    is_uint(json_string_length(json), SBX_POLICY_NAME_LEN - 1, "so is the longest name");
    json_decref(json);
    free(doc);
}

/* Past the most documents nothing is allowed, whatever those with room say. */
static void
test_overfull(void)
{
    struct sbx_policy_input input = { .kind = SBX_POLICY_TOOL, .tool = "run_code" };
    json_t *json = parse("{\"version\":1}");
    struct sbx_policy_doc *doc = NULL;
    struct sbx_policy_view view;
    struct sbx_decision decision;
    unsigned i, added = 0;

    is_int(sbx_policy_doc_compile(&doc, json, &err), 0, "a document that says nothing");
    sbx_policy_view_init(&view, doc);
    for (i = 0; i < SBX_POLICY_LAYERS_MAX; i++) {
        added += sbx_policy_view_add(&view, doc);
    }
    is_uint(added, SBX_POLICY_LAYERS_MAX, "as many as have room");
    sbx_policy_view_decide(&view, &input, &decision);
    ok(decision.allowed, "allow what all allow");
    ok(!sbx_policy_view_add(&view, doc), "one more has none");
    sbx_policy_view_decide(&view, &input, &decision);
    ok(!decision.allowed, "and nothing is allowed any more");
    is_str(decision.violation[0].rule, "policies.max", "which says why");
    free(doc);
    json_decref(json);
}

static void
test_named(void)
{
    struct sbx_policy_doc *doc = NULL;
    json_t *json = parse("{\"version\":7,\"id\":\"own\",\"rates\":{\"tools\":{\"t\":{\"rate\":\"1/s\"}}}}");
    json_t *plain = parse("{\"version\":1,\"limits\":{\"cpu\":{\"max\":1}},\"retention\":{\"audit\":60}}");

    is_int(sbx_policy_doc_compile(&doc, json, &err), 0, "a document with a tool's rate");
    sbx_policy_doc_name(doc, "pol_record", 12);
    is_str(sbx_policy_doc_said(doc)->id, "pol_record", "the record's id replaces its own");
    is_uint(sbx_policy_doc_said(doc)->version, 12, "and so does the version");
    ok(sbx_policy_doc_counts(doc), "a rate counts");
    free(doc);
    is_int(sbx_policy_doc_compile(&doc, plain, &err), 0, "a document without");
    ok(!sbx_policy_doc_counts(doc), "limits do not");
    free(doc);
    json_decref(json);
    json_decref(plain);
}

static void
test_aliases(void)
{
    is_str(sbx_language_canonical("node"), "javascript", "node");
    is_str(sbx_language_canonical("js"), "javascript", "js");
    is_str(sbx_language_canonical("sh"), "bash", "sh");
    is_str(sbx_language_canonical("shell"), "bash", "shell");
    is_str(sbx_language_canonical("python3"), "python", "python3");
    is_str(sbx_language_canonical("Node"), "Node", "other letters are another name");
    is_str(sbx_language_canonical("perl"), "perl", "as it is");
}

int
main(void)
{
    test_refused();
    test_counts();
    test_rates();
    test_rate_text();
    test_merge_rates();
    test_route_overflow();
    test_unsaid();
    test_long_names();
    test_aliases();
    test_overfull();
    test_named();
    return done_testing();
}
