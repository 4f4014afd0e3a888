/* Policy documents and their merge: what is refused, and that no layer ever widens. */
#include "lib/sbx_policy.h"

#include "lib/sbx_time.h"
#include "t/unit/tap.h"

#define N_RANDOM 2000

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
    struct sbx_policy policy;

    if (!sbx_policy_from_json(&policy, json, &err)) {
        BAIL_OUT("not a policy: %s: %s %s", text, err.field, err.message);
    }
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
    struct sbx_policy policy = { .version = 99 };
    size_t i;

    for (i = 0; i < SBX_COUNT(cases); i++) {
        json_t *json = parse(cases[i].json);

        ok(!sbx_policy_from_json(&policy, json, &err), "refused: %s", cases[i].json);
        is_str(err.field, cases[i].field, "names the field: %s", err.message);
        json_decref(json);
    }
    is_uint(policy.version, 99, "a refusal writes nothing");
}

/* `n` names or routes: one too many is refused, and none is written past the array. */
static bool
reads_many(const char *before, const char *item, const char *after, unsigned n)
{
    struct sbx_buf text = SBX_BUF_INIT(1 << 16);
    struct sbx_policy policy;
    json_t *json;
    unsigned i;
    bool fine;

    sbx_buf_puts(&text, before);
    for (i = 0; i < n; i++) {
        sbx_buf_printf(&text, "%s\"name%u\"%s", i > 0 ? "," : "", i, item);
    }
    sbx_buf_puts(&text, after);
    json = parse(text.data);
    fine = sbx_policy_from_json(&policy, json, &err);
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

    ok(reads_many(names, "", "]}", SBX_POLICY_MAX_NAMES), "as many names as fit");
    ok(!reads_many(names, "", "]}", SBX_POLICY_MAX_NAMES + 1), "one more is refused");
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
test_unmerged(void)
{
    struct sbx_policy policy = read_policy("{\"version\":1}"), builtin;
    struct sbx_policy_input input = { .language = "python",
                                      .template_name = "default",
                                      .n_env = 1000000,
                                      .file_bytes = 1ull << 40,
                                      .n_files = 100000,
                                      .n_artifacts = 100000,
                                      .wait_ms = 1ull << 40 };
    struct sbx_decision decision;

    sbx_policy_builtin(&builtin);
    input.limits.value[SBX_LIMIT_MEMORY] = builtin.max.value[SBX_LIMIT_MEMORY] + 1;
    sbx_policy_decide(&policy, &input, &decision);
    ok(!decision.allowed, "a policy that says nothing is not one without limits");
    is_uint(decision.n_violations, 6, "each is refused");
    is_uint(decision.limits.value[SBX_LIMIT_TIME], 0, "and a refusal carries no limits");
}

static void
test_long_names(void)
{
    struct sbx_policy policy = read_policy("{\"version\":1}");
    struct sbx_policy_input input = { .template_name = "default" };
    struct sbx_decision decision;
    json_t *json;
    unsigned i;

    policy.languages.set = true;
    for (i = 0; i < SBX_POLICY_MAX_NAMES; i++) {
        memset(policy.languages.name[i], 'a' + (int)(i % 26), SBX_POLICY_NAME_LEN - 1);
        policy.languages.name[i][SBX_POLICY_NAME_LEN - 1] = '\0';
        policy.languages.n++;
    }
    memset(input.language, '0', SBX_POLICY_NAME_LEN - 1);
    sbx_policy_decide(&policy, &input, &decision);
    is_uint(decision.n_violations, 1, "one violation");
    json = parse(decision.violation[0].limit);
    ok(json_is_array(json), "a list too long to show is still JSON: %s", decision.violation[0].limit);
    json_decref(json);
    json = parse(decision.violation[0].observed);
    is_uint(json_string_length(json), SBX_POLICY_NAME_LEN - 1, "so is the longest name");
    json_decref(json);
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

/* xorshift64*: the same documents for the same seed on every machine. */
static uint64_t seed;

static uint64_t
below(uint64_t n)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (seed * 0x2545f4914f6cdd1du >> 11) % n;
}

static void
random_rates(struct sbx_buf *out)
{
    static const char *const scopes[] = { "tenant", "app", "agent" };
    unsigned i, n = 0;

    sbx_buf_puts(out, ",\"rates\":{");
    for (i = 0; i < 3; i++) {
        if (below(2) == 0) {
            sbx_buf_printf(out, "%s\"%s\":{\"rate\":\"%u/%c\",\"burst\":%u}", n++ > 0 ? "," : "", scopes[i],
                           (unsigned)below(999) + 4, "smh"[below(3)], (unsigned)below(100) + 1);
        }
    }
    sbx_buf_printf(out, "%s\"routes\":{", n > 0 ? "," : "");
    for (i = 0, n = 0; i < 12; i++) {
        if (below(2) == 0) {
            sbx_buf_printf(out, "%s\"r%u\":{\"rate\":\"%u/s\"}", n++ > 0 ? "," : "",
                           (unsigned)below(3) * 12 + i, (unsigned)below(999) + 1);
        }
    }
    sbx_buf_puts(out, "}}");
}

static void
random_names(struct sbx_buf *out, const char *key)
{
    static const char *const names[] = { "python", "node",    "bash", "sh",
                                         "ruby",   "default", "data", "javascript" };
    unsigned i, n = 0;

    sbx_buf_printf(out, ",\"%s\":[", key);
    for (i = 0; i < SBX_COUNT(names); i++) {
        if (below(2) == 0) {
            sbx_buf_printf(out, "%s\"%s\"", n++ > 0 ? "," : "", names[i]);
        }
    }
    sbx_buf_puts(out, "]");
}

static void
random_limits(struct sbx_buf *out)
{
    unsigned i, n = 0;

    sbx_buf_puts(out, ",\"limits\":{");
    for (i = 0; i < SBX_N_LIMITS; i++) {
        enum sbx_limit limit = (enum sbx_limit)i;
        uint64_t max = sbx_limit_floor(limit) + below(sbx_limit_ceiling(limit) - sbx_limit_floor(limit));
        uint64_t fallback = sbx_limit_floor(limit) + below(max - sbx_limit_floor(limit) + 1);
        char max_text[32], fallback_text[32];

        sbx_limit_text(max_text, sizeof(max_text), limit, max);
        sbx_limit_text(fallback_text, sizeof(fallback_text), limit, fallback);
        switch (below(4)) {
        case 0:
            break;
        case 1:
            sbx_buf_printf(out, "%s\"%s\":{\"max\":%s}", n++ > 0 ? "," : "", sbx_limit_key(limit), max_text);
            break;
        case 2:
            sbx_buf_printf(out, "%s\"%s\":{\"default\":%s}", n++ > 0 ? "," : "", sbx_limit_key(limit),
                           fallback_text);
            break;
        case 3:
            sbx_buf_printf(out, "%s\"%s\":{\"default\":%s,\"max\":%s}", n++ > 0 ? "," : "",
                           sbx_limit_key(limit), fallback_text, max_text);
            break;
        }
    }
    sbx_buf_puts(out, "}");
}

static void
random_sessions(struct sbx_buf *out)
{
    unsigned i;

    sbx_buf_printf(out, ",\"sessions\":{\"max\":%u", (unsigned)below(10001));
    if (below(2) == 0) {
        sbx_buf_printf(out, ",\"max_lifetime\":%u", (unsigned)below(86400) + 1);
    }
    for (i = 0; i < SBX_N_SESSION_TIMES; i++) {
        unsigned max = (unsigned)below(86400) + 1;

        if (below(3) > 0) {
            sbx_buf_printf(out, ",\"%s\":{\"default\":%u", sbx_session_time_key((enum sbx_session_time)i),
                           (unsigned)below(max) + 1);
            sbx_buf_printf(out, below(2) == 0 ? "}" : ",\"max\":%u}", max);
        }
    }
    sbx_buf_printf(out, "},\"retention\":{\"records\":%u%s", (unsigned)below(316224000) + 1,
                   below(2) == 0 ? ",\"artifacts\":\"2h\"}" : "}");
    sbx_buf_printf(out, ",\"uploads\":{\"max_bytes\":%u},\"artifacts\":{\"total_bytes\":\"%uGi\"}",
                   (unsigned)below(1u << 31), (unsigned)below(1025));
}

static struct sbx_policy
random_policy(void)
{
    struct sbx_buf text = SBX_BUF_INIT(1 << 16);
    struct sbx_policy policy;

    sbx_buf_puts(&text, "{\"version\":1");
    if (below(4) > 0) {
        random_limits(&text);
    }
    if (below(2) == 0) {
        random_names(&text, "languages");
    }
    if (below(2) == 0) {
        random_names(&text, "templates");
    }
    if (below(2) == 0) {
        sbx_buf_printf(&text, ",\"env\":{\"max\":%u},\"files\":{\"max\":%u,\"max_bytes\":%u}",
                       (unsigned)below(1025), (unsigned)below(1025), (unsigned)below(1u << 30));
    }
    if (below(2) == 0) {
        random_sessions(&text);
    } else if (below(2) == 0) {
        sbx_buf_printf(&text, ",\"artifacts\":{\"max\":%u,\"max_bytes\":%u},\"max_wait\":%u",
                       (unsigned)below(1025), (unsigned)below(1u << 30), (unsigned)below(601));
    }
    if (below(2) == 0) {
        random_rates(&text);
    }
    if (below(2) == 0) {
        sbx_buf_printf(&text, ",\"concurrency\":{\"tenant\":%u,\"agent\":%u}", (unsigned)below(100) + 1,
                       (unsigned)below(100) + 1);
    }
    sbx_buf_putc(&text, '}');
    policy = read_policy(text.data);
    sbx_buf_deinit(&text);
    return policy;
}

static bool
within_set(const struct sbx_name_set *narrow, const struct sbx_name_set *wide)
{
    unsigned i;

    for (i = 0; i < narrow->n; i++) {
        if (wide->set && !sbx_name_set_has(wide, narrow->name[i])) {
            return false;
        }
    }
    return narrow->set || !wide->set;
}

static bool
within_rate(struct sbx_rate narrow, struct sbx_rate wide)
{
    return wide.per_second_milli == 0 ||
           (narrow.per_second_milli != 0 && narrow.per_second_milli <= wide.per_second_milli &&
            narrow.burst <= wide.burst);
}

static bool
within_said(uint64_t narrow, uint64_t wide)
{
    return wide == 0 || (narrow != 0 && narrow <= wide);
}

/* A route of `wide` binds in `narrow` by its own entry or, where the table was full, through the agent's
 * rate. */
static bool
within_routes(const struct sbx_policy *narrow, const struct sbx_policy *wide)
{
    unsigned i, k;

    for (i = 0; i < wide->n_routes; i++) {
        bool bound = within_rate(narrow->rate[SBX_SCOPE_AGENT], wide->route[i].rate);

        for (k = 0; k < narrow->n_routes; k++) {
            bound = bound || (strcmp(narrow->route[k].route, wide->route[i].route) == 0 &&
                              within_rate(narrow->route[k].rate, wide->route[i].rate));
        }
        if (!bound) {
            return false;
        }
    }
    return true;
}

static bool
within_sessions(const struct sbx_policy *narrow, const struct sbx_policy *wide)
{
    const struct sbx_session_policy *a = &narrow->sessions, *b = &wide->sessions;
    bool fine = a->max <= b->max && within_said(a->max_lifetime_ms, b->max_lifetime_ms) &&
                within_said(narrow->retention_records_ms, wide->retention_records_ms) &&
                within_said(narrow->retention_artifacts_ms, wide->retention_artifacts_ms) &&
                narrow->max_upload_bytes <= wide->max_upload_bytes &&
                narrow->max_stored_bytes <= wide->max_stored_bytes &&
                a->longest[SBX_SESSION_TTL] <= a->max_lifetime_ms;
    unsigned i;

    for (i = 0; i < SBX_N_SESSION_TIMES; i++) {
        fine = fine && within_said(a->fallback[i], b->fallback[i]) &&
               within_said(a->longest[i], b->longest[i]) && a->fallback[i] <= a->longest[i];
    }
    return fine;
}

static bool
within(const struct sbx_policy *narrow, const struct sbx_policy *wide)
{
    bool fine =
        within_sessions(narrow, wide) && within_set(&narrow->languages, &wide->languages) &&
        within_set(&narrow->templates, &wide->templates) && within_routes(narrow, wide) &&
        narrow->max_env <= wide->max_env && narrow->max_files <= wide->max_files &&
        narrow->max_artifacts <= wide->max_artifacts && narrow->max_file_bytes <= wide->max_file_bytes &&
        narrow->max_artifact_bytes <= wide->max_artifact_bytes && narrow->max_wait_ms <= wide->max_wait_ms;
    unsigned i;

    for (i = 0; i < SBX_N_LIMITS; i++) {
        fine = fine && within_said(narrow->max.value[i], wide->max.value[i]) &&
               within_said(narrow->fallback.value[i], wide->fallback.value[i]) &&
               narrow->fallback.value[i] <= narrow->max.value[i];
    }
    for (i = 0; i < SBX_N_SCOPES; i++) {
        fine = fine && within_rate(narrow->rate[i], wide->rate[i]) &&
               within_said(narrow->concurrency[i], wide->concurrency[i]);
    }
    return fine;
}

/* Four layers at random: the result is within the base and within every layer, and so is each step. */
static void
test_never_widens(void)
{
    unsigned round, widened = 0, k;
    const char *given = getenv("SEED");

    seed = given != NULL ? strtoull(given, NULL, 10) : (sbx_now_unix_ms() | 1);
    note("SEED=%" PRIu64, seed);
    seed = seed != 0 ? seed : 1;
    for (round = 0; round < N_RANDOM / 4; round++) {
        struct sbx_policy first = random_policy(), policy, before, layer;

        sbx_policy_base(&policy, &first);
        for (k = 0; k < 3; k++) {
            before = policy;
            layer = random_policy();
            sbx_policy_narrow(&policy, &layer);
            widened += !within(&policy, &before) || !within(&policy, &layer);
        }
    }
    is_uint(widened, 0, "%u documents in layers of four: none widens", N_RANDOM);
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
    test_unmerged();
    test_long_names();
    test_aliases();
    test_never_widens();
    return done_testing();
}
