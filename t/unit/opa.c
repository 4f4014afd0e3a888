/* What a policy service is asked, and what its answers may say: mostly answers that are none. */
#include "lib/sbx_opa.h"

#include "t/unit/tap.h"

static int
answer(struct sbx_opa_answer *ret, const char *text)
{
    const char *why = NULL;
    int r;

    memset(ret, 0x55, sizeof(*ret));
    r = sbx_opa_answer_read(ret, text, strlen(text), &why);
    if (r != 0 && why == NULL) {
        return -EIO;
    }
    return r;
}

static void
test_bad_answers(void)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "[]",
        "true",
        "null",
        "{}",
        "{\"result\":null}",
        "{\"result\":true}",
        "{\"result\":[]}",
        "{\"result\":\"allow\"}",
        "{\"result\":{}}",
        "{\"result\":{\"allow\":null}}",
        "{\"result\":{\"allow\":1}}",
        "{\"result\":{\"allow\":\"true\"}}",
        "{\"result\":{\"allow\":[]}}",
        "{\"result\":{\"Allow\":true}}",
        "{\"result\":{\"allow\":true}}x",
        "{\"result\":{\"allow\":true},\"result\":{\"allow\":true}}",
        "{\"result\":{\"allow\":false,\"allow\":true}}",
        "{\"result\":{\"allow\":true,\"violations\":{}}}",
        "{\"result\":{\"allow\":true,\"violations\":null}}",
        "{\"result\":{\"allow\":false,\"violations\":\"x\"}}",
        "{\"result\":{\"allow\":true,\"limits\":7}}",
        "{\"result\":{\"allow\":true,\"limits\":[]}}",
        "{\"result\":{\"allow\":true,\"limits\":null}}",
        "{\"result\":{\"allow\":true,\"limits\":{\"memory\":-1}}}",
        "{\"result\":{\"allow\":true,\"limits\":{\"memory\":\"1Pi\"}}}",
        "{\"result\":{\"allow\":true,\"limits\":{\"x\":1}}}",
        "{\"result\":{\"allow\":true,\"limits\":{\"time\":1,\"timeout\":1}}}",
    };
    struct sbx_opa_answer got, before;
    static char large[SBX_OPA_ANSWER_MAX + 64];
    const char *why = NULL;
    size_t i;

    memset(&before, 0x55, sizeof(before));
    for (i = 0; i < SBX_COUNT(bad); i++) {
        is_int(answer(&got, bad[i]), SBX_OPA_E_FORM, "no answer: %s", bad[i]);
        ok(memcmp(&got, &before, sizeof(got)) == 0, "and nothing is said");
    }
    memset(large, ' ', sizeof(large));
    memcpy(large, "{\"result\":{\"allow\":true}}", 25);
    is_int(sbx_opa_answer_read(&got, large, SBX_OPA_ANSWER_MAX, &why), 0, "as large as may be");
    is_int(sbx_opa_answer_read(&got, large, SBX_OPA_ANSWER_MAX + 1, &why), SBX_OPA_E_FORM, "a byte more");
    is_int(sbx_opa_answer_read(&got, "{\"result\":{\"allow\":true}}\0", 26, &why), SBX_OPA_E_FORM,
           "a NUL behind it");
}

static void
test_answers(void)
{
    struct sbx_opa_answer got;

    is_int(answer(&got, "{\"result\":{\"allow\":true}}"), 0, "allowed");
    ok(got.allowed && got.n_violations == 0 && got.limits.value[SBX_LIMIT_MEMORY] == 0,
       "with nothing besides");
    is_int(answer(&got, "{\"decision_id\":\"x\",\"result\":{\"allow\":true,\"violations\":[],\"why\":{}}}"),
           0, "what we do not know");
    ok(got.allowed, "is no harm");
    is_int(answer(&got, "{\"result\":{\"allow\":false,\"limits\":\"junk\"}}"), 0, "denied");
    ok(!got.allowed && got.n_violations == 0, "whatever else it says");
    is_int(answer(&got, "{\"result\":{\"allow\":true,\"violations\":[{\"rule\":\"a\"}]}}"), 0,
           "allowed with violations");
    ok(!got.allowed && got.n_violations == 1, "is denied");
    is_int(answer(&got, "{\"result\":{\"allow\":true,\"violations\":[0]}}"), 0,
           "with violations that are none");
    ok(!got.allowed && got.n_violations == 0, "too");
    is_int(answer(&got, "{\"result\":{\"allow\":true,\"limits\":{\"memory\":\"64Mi\",\"cpu\":0.25}}}"), 0,
           "limits");
    is_uint(got.limits.value[SBX_LIMIT_MEMORY], 64u << 20, "in bytes");
    is_uint(got.limits.value[SBX_LIMIT_CPU_RATE], 250, "and thousandths of a core");
}

static void
test_violations(void)
{
    struct sbx_opa_answer got;
    struct sbx_buf text = SBX_BUF_INIT(SBX_OPA_ANSWER_MAX);
    unsigned i;

    is_int(answer(&got, "{\"result\":{\"allow\":false,\"violations\":[{\"rule\":\"r.1\",\"limit\":[{\"b\":1,"
                        "\"a\":[2]}],\"observed\":\"x\\ny\",\"hint\":\"h\"}]}}"),
           0, "reasons");
    is_str(got.violation[0].rule, "r.1", "a rule");
    is_str(got.violation[0].limit, "[{\"a\":[2],\"b\":1}]", "any value");
    is_str(got.violation[0].observed, "\"x\\ny\"", "escaped");
    is_str(got.violation[0].hint, "h", "and a hint");

    sbx_buf_puts(&text, "{\"result\":{\"allow\":false,\"violations\":[");
    for (i = 0; i < 40; i++) {
        sbx_buf_printf(&text, "%s{\"rule\":\"%s\"}", i > 0 ? "," : "", i % 2 == 0 ? "Bad" : "good");
    }
    sbx_buf_puts(&text, "]}}");
    is_int(answer(&got, text.data), 0, "many, half of them without a name");
    is_uint(got.n_violations, SBX_OPA_VIOLATIONS, "as many as there is room for");
    is_str(got.violation[SBX_OPA_VIOLATIONS - 1].rule, "good", "and only those with one");
    is_str(got.violation[0].limit, "null", "what is absent is null");
    is_str(got.violation[0].hint, "", "or empty");
    sbx_buf_deinit(&text);
}

/* The largest question there can be is one. */
static void
test_question(void)
{
    static struct sbx_context context = { .tenant = "acme", .scopes = "a:b  c:d", .policy_id = "pol_x" };
    struct sbx_policy_input input = { .kind = SBX_POLICY_TOOL };
    struct sbx_decision decision = { .allowed = true };
    struct sbx_opa_question question = {
        .context = &context, .route = "jobs.create", .route_len = 4, .input = &input, .decision = &decision
    };
    struct sbx_buf out = SBX_BUF_INIT(SBX_OPA_QUESTION_MAX), again = SBX_BUF_INIT(SBX_OPA_QUESTION_MAX);
    struct sbx_field_error err;
    json_t *list = json_array(), *document = NULL, *json;
    char entry[257];
    unsigned i;

    sbx_opa_question_write(&out, &question);
    sbx_opa_question_write(&again, &question);
    ok(!out.failed && strcmp(out.data, again.data) == 0, "the same question in the same bytes");
    is_int(sbx_json_parse(&document, out.data, out.len, &err), 0, "it is JSON");
    json = json_object_get(document, "input");
    is_str(json_string_value(json_object_get(json, "kind")), "tool", "of that kind");
    is_str(json_string_value(json_object_get(json, "route")), "jobs", "with its route");
    is_uint(json_array_size(json_object_get(json, "scopes")), 2, "and its scopes");

    memset(entry, '"', 256);
    entry[256] = '\0';
    for (i = 0; i < 64; i++) {
        json_array_append_new(list, json_string(entry));
    }
    input.pip = input.npm = input.egress = input.secrets = input.services = list;
    sbx_buf_reset(&out);
    sbx_opa_question_write(&out, &question);
    ok(!out.failed, "the largest of all has room: %zu bytes", out.len);
    json_decref(list);
    json_decref(document);
    sbx_buf_deinit(&out);
    sbx_buf_deinit(&again);
}

int
main(void)
{
    test_bad_answers();
    test_answers();
    test_violations();
    test_question();
    return done_testing();
}
