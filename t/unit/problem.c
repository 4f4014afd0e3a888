/* Problem documents: the table is sound, and what is written is JSON whatever the detail holds. */
#include "lib/sbx_problem.h"

#include "t/unit/tap.h"

static struct sbx_field_error parse_error;

static json_t *
write(const struct sbx_problem *problem)
{
    struct sbx_buf buf = SBX_BUF_INIT(1 << 16);
    json_t *json = NULL;

    sbx_problem_write(&buf, problem);
    ok(!buf.failed && sbx_json_parse(&json, buf.data, buf.len, &parse_error) == 0, "%s is JSON",
       sbx_problem_name(problem->code));
    sbx_buf_deinit(&buf);
    return json;
}

static const char *
str(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

static void
test_table(void)
{
    unsigned i, k, wrong = 0, twins = 0;
    char type[128];

    for (i = 0; i < SBX_N_PROBLEMS; i++) {
        enum sbx_problem_code code = (enum sbx_problem_code)i;
        struct sbx_problem problem = { .code = code };
        json_t *json = write(&problem);

        (void)snprintf(type, sizeof(type), "urn:ngx-sandbox:problem:%s", sbx_problem_name(code));
        is_str(str(json, "type"), type, "its type");
        is_int(json_integer_value(json_object_get(json, "status")), sbx_problem_status(code), "its status");
        is_str(str(json, "code"), sbx_problem_name(code), "its code");
        is_str(str(json, "title"), sbx_problem_title(code), "its title");
        is_uint(json_object_size(json), 4, "and nothing else");
        json_decref(json);

        wrong += sbx_problem_status(code) < 400 || sbx_problem_status(code) > 599;
        wrong +=
            strspn(sbx_problem_name(code), "abcdefghijklmnopqrstuvwxyz_") != strlen(sbx_problem_name(code));
        for (k = 0; k < i; k++) {
            twins += strcmp(sbx_problem_name(code), sbx_problem_name((enum sbx_problem_code)k)) == 0;
        }
    }
    is_uint(wrong, 0, "every status is an error's, every code a word");
    is_uint(twins, 0, "no code is there twice");
}

static void
test_by_status(void)
{
    static const struct {
        int status;
        enum sbx_problem_code code;
    } cases[] = {
        { 400, SBX_PROBLEM_BAD_REQUEST },
        { 401, SBX_PROBLEM_UNAUTHORIZED },
        { 403, SBX_PROBLEM_FORBIDDEN },
        { 404, SBX_PROBLEM_NOT_FOUND },
        { 405, SBX_PROBLEM_METHOD_NOT_ALLOWED },
        { 409, SBX_PROBLEM_CONFLICT },
        { 413, SBX_PROBLEM_PAYLOAD_TOO_LARGE },
        { 422, SBX_PROBLEM_INVALID_REQUEST },
        { 429, SBX_PROBLEM_RATE_LIMITED },
        { 500, SBX_PROBLEM_INTERNAL },
        { 503, SBX_PROBLEM_UNAVAILABLE },
        { 504, SBX_PROBLEM_GATEWAY_TIMEOUT },
        { 418, SBX_PROBLEM_INTERNAL },
        { 0, SBX_PROBLEM_INTERNAL },
        { -1, SBX_PROBLEM_INTERNAL },
    };
    size_t i;

    for (i = 0; i < SBX_COUNT(cases); i++) {
        is_int(sbx_problem_by_status(cases[i].status), cases[i].code, "the problem of %d", cases[i].status);
    }
}

static void
test_members(void)
{
    static const struct sbx_violation violations[] = {
        { "limits.memory", "\"1Gi\"", "\"2Gi\"", "ask for less" },
        { "languages", "[\"python\"]", "\"perl\"", "use another" },
    };
    struct sbx_field_error field;
    struct sbx_problem problem = {
        .code = SBX_PROBLEM_POLICY_VIOLATION,
        .detail = "\"</script>\r\n\xff\xe2\x80\xa8\x01",
        .request_id = "req_1",
        .field = &field,
        .violation = violations,
        .n_violations = 2,
        .retry_after_s = 7,
    };
    const json_t *item;
    json_t *json;

    sbx_field_error_set(&field, "/limits/memory", "must be %s", "smaller");
    json = write(&problem);
    is_str(str(json, "request_id"), "req_1", "the request");
    is_str(str(json, "detail"), "\"</script>\r\n\xef\xbf\xbd\xe2\x80\xa8\x01",
           "a hostile detail is only text");
    is_int(json_integer_value(json_object_get(json, "retry_after_seconds")), 7, "when to come back");
    item = json_array_get(json_object_get(json, "errors"), 0);
    is_str(str(item, "field"), "/limits/memory", "the field");
    is_str(str(item, "message"), "must be smaller", "its error");
    is_uint(json_array_size(json_object_get(json, "violations")), 2, "both violations");
    item = json_array_get(json_object_get(json, "violations"), 0);
    is_str(str(item, "rule"), "limits.memory", "the rule");
    is_str(str(item, "limit"), "1Gi", "the limit");
    is_str(str(item, "observed"), "2Gi", "what was asked");
    is_str(str(item, "hint"), "ask for less", "what to do");
    json_decref(json);
}

static void
test_full_buffer(void)
{
    struct sbx_problem problem = { .code = SBX_PROBLEM_INTERNAL };
    struct sbx_buf small = SBX_BUF_INIT(20);

    sbx_problem_write(&small, &problem);
    ok(small.failed, "a full buffer fails");
    sbx_buf_deinit(&small);
}

int
main(void)
{
    test_table();
    test_by_status();
    test_members();
    test_full_buffer();
    return done_testing();
}
