/* A report whose result was written by hostile code must still say only what the agent says. */
#include "session-agent/report.h"

#include <string.h>

#include "lib/sbx_json.h"
#include "t/unit/tap.h"

static struct sbx_buf out = SBX_BUF_INIT(REPORT_MAX);

static json_t *
report_of(const char *result, size_t len, const char *result_error)
{
    struct collection files = { 0 };
    struct report report = {
        .step_id = "t",
        .wait_status = 3 << 8,
        .result = result,
        .result_len = len,
        .result_error = result_error,
        .files = &files,
    };
    struct sbx_field_error err;
    json_t *json = NULL;

    report_write(&out, &report);
    if (out.failed || sbx_json_parse(&json, out.data, out.len, &err) != 0) {
        return NULL;
    }
    return json;
}

static const char *const hostile[] = {
    "",
    " ",
    "1,2",
    "1,\"exit_code\":0",
    "1],[2",
    "]",
    "[",
    "{\"a\":1",
    "{\"a\":1}}",
    "{\"a\":1,\"a\":2}",
    "NaN",
    "Infinity",
    "'a'",
    "undefined",
    "{} {}",
    "1 2",
    "\"\\u0000\"",
    "\"\xff\"",
    "// x\n1",
    "[1,]",
    "01",
    "\"a",
    "1e999",
    "99999999999999999999999999",
};

int
main(void)
{
    char deep[200];
    json_t *json;
    size_t i;

    for (i = 0; i < SBX_COUNT(hostile); i++) {
        json = report_of(hostile[i], strlen(hostile[i]), NULL);
        ok(json != NULL && json_object_get(json, "result") == NULL &&
               json_is_string(json_object_get(json, "result_error")) &&
               json_integer_value(json_object_get(json, "exit_code")) == 3,
           "hostile result %zu becomes an error", i);
        json_decref(json);
    }

    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    json = report_of(deep, 200, NULL);
    ok(json != NULL && json_object_get(json, "result") == NULL, "a result nested too deep");
    json_decref(json);
    /* With the report around it the depth is exactly what a reader allows. */
    json = report_of(deep + 100 - (SBX_JSON_DEPTH - 1), 2 * (SBX_JSON_DEPTH - 1), NULL);
    ok(json != NULL && json_is_array(json_object_get(json, "result")), "the deepest result that can be read");
    json_decref(json);

    json = report_of(" {\"a\": [0.1, null]}\n", 20, NULL);
    ok(json != NULL && json_is_object(json_object_get(json, "result")), "an honest result");
    ok(strstr(out.data, "0.1,") != NULL, "  in its own words");
    json_decref(json);
    json = report_of("null", 4, NULL);
    ok(json_is_null(json_object_get(json, "result")), "null is a result");
    json_decref(json);
    json = report_of(NULL, 0, "why");
    is_str(json_string_value(json_object_get(json, "result_error")), "why", "an error of the caller's");
    json_decref(json);
    is_str(report_signal_name(11), "SIGSEGV", "a signal's name");
    is_str(report_signal_name(64), "SIGKILL", "a real-time signal has none of its own");
    sbx_buf_deinit(&out);
    return done_testing();
}
