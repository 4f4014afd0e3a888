/* Lines of the gateway's denial log, kind and hostile. */
#include "executor/denial_line.h"

#include "t/unit/tap.h"

static void
check(const char *line, const char *tenant, const char *request_id, const char *body)
{
    struct denial denial = { 0 };

    is_int(denial_line_parse(&denial, line, strlen(line)), 0, "always an event");
    is_str(denial.tenant, tenant, "tenant of %.40s", line);
    is_str(denial.request_id, request_id, "request id");
    is_str(denial.body, body, "body");
    is_int((long)denial.body_len, (long)strlen(denial.body), "its length");
    free(denial.body);
}

int
main(void)
{
    static const char *const malformed[] = {
        "x",
        "{",
        "[]",
        "5",
        "null",
        "\"a\"",
        "{}x",
        "{\"a\":1,\"a\":2}",
        "{\"a\":\"\\u0000\"}",
        "\xff",
        "{\"a\":\"\xc0\xaf\"}",
    };
    char want[96];

    check("{\"tenant\":\"acme\",\"request_id\":\"req_1\",\"code\":\"x\"}", "acme", "req_1",
          "{\"code\":\"x\",\"source\":\"edge\"}");
    check("{}", "-", "", "{\"source\":\"edge\"}");
    check("{\"tenant\":\"\"}", "-", "", "{\"source\":\"edge\"}");
    check("{\"tenant\":\"a/b\"}", "-", "", "{\"source\":\"edge\"}");
    check("{\"tenant\":5}", "-", "", "{\"source\":\"edge\"}");
    check("{\"request_id\":\"a b\"}", "-", "", "{\"source\":\"edge\"}");
    check("{\"source\":\"me\"}", "-", "", "{\"source\":\"edge\"}");
    check("{\"b\":[1,{\"c\":null}],\"a\":\"\\n\"}", "-", "",
          "{\"a\":\"\\n\",\"b\":[1,{\"c\":null}],\"source\":\"edge\"}");
    for (size_t i = 0; i < SBX_COUNT(malformed); i++) {
        (void)snprintf(want, sizeof(want), "{\"source\":\"edge\",\"malformed\":true,\"bytes\":%zu}",
                       strlen(malformed[i]));
        check(malformed[i], "-", "", want);
    }
    return done_testing();
}
