/* Older forms of sessions and steps: what their bodies become, how errors name them, what answers have besides. */
#include "executor/api/document_shapes.h"

#include <stdlib.h>

#include "executor/api/job_request.h"
#include "t/unit/tap.h"

static struct sbx_field_error err;

static void
test_paths(void)
{
    is_int(document_shape_of("/v1/sessions"), DOCUMENT_NONE, "/v1/sessions");
    is_int(document_shape_of("/v1/jobs/{id}"), DOCUMENT_NONE, "/v1/jobs");
    is_int(document_shape_of("/sessions/{id}/steps"), DOCUMENT_SHORT, "/sessions");
    is_int(document_shape_of("/api/v1/sessions/{id}/execute"), DOCUMENT_CONSOLE, "/api/v1/sessions");
}

static const struct {
    const char *sent, *becomes; /* NULL: refused, and how is in field */
    const char *field;
} sessions[] = {
    { "{}", "{}", NULL },
    { "{\"runtime\":\"node\"}", "{\"language\":\"node\"}", NULL },
    { "{\"template_id\":\"python-basic\",\"timeout\":300,\"resources\":{\"cpu\":\"1\",\"memory\":\"512Mi\","
      "\"disk\":\"1Gi\"}}",
      "{\"template\":\"python-basic\",\"ttl\":300,\"limits\":{\"cpu\":\"1\",\"memory\":\"512Mi\",\"disk\":"
      "\"1Gi\"}}",
      NULL },
    { "{\"language\":\"bash\",\"ttl\":\"1m\",\"idle_timeout\":5}",
      "{\"language\":\"bash\",\"ttl\":\"1m\",\"idle_timeout\":5}", NULL },
    { "{\"runtime\":null,\"timeout\":null}", "{}", NULL },
    { "{\"runtime\":\"node\",\"language\":null}", "{\"language\":\"node\"}", NULL },
    { "{\"runtime\":7,\"nobody\":{\"knows\":[1]}}", "{\"nobody\":{\"knows\":[1]},\"language\":7}", NULL },
    { "{\"runtime\":\"node\",\"language\":\"node\"}", NULL, "/runtime" },
    { "{\"template\":\"a\",\"template_id\":\"a\"}", NULL, "/template_id" },
    { "{\"ttl\":1,\"timeout\":1}", NULL, "/timeout" },
    { "{\"limits\":{},\"resources\":{}}", NULL, "/resources" },
    { "[]", NULL, "" },
    { "null", NULL, "" },
    { "\"x\"", NULL, "" },
    { "", NULL, "syntax" },
    { "{", NULL, "syntax" },
    { "{\"runtime\":1,\"runtime\":2}", NULL, "syntax" },
    { "{} {}", NULL, "syntax" },
};

static void
test_sessions(void)
{
    for (size_t i = 0; i < SBX_COUNT(sessions); i++) {
        struct sbx_buf out = SBX_BUF_INIT(1 << 16);
        struct document_names names;
        int r = document_session_body(&out, &names, sessions[i].sent, strlen(sessions[i].sent), &err);

        if (sessions[i].becomes != NULL) {
            is_int(r, 0, "%s", sessions[i].sent);
            is_str(out.data == NULL ? "" : out.data, sessions[i].becomes, "becomes what it means");
        } else if (strcmp(sessions[i].field, "syntax") == 0) {
            is_int(r, DOCUMENT_E_SYNTAX, "%s is no document", sessions[i].sent);
        } else {
            is_int(r, DOCUMENT_E_FIELD, "%s is refused", sessions[i].sent);
            is_str(err.field, sessions[i].field, "by its name there");
        }
        sbx_buf_deinit(&out);
    }
}

static void
test_errors(void)
{
    static const struct {
        const char *sent, *field, *named;
    } cases[] = {
        { "{\"runtime\":7}", "/language", "/runtime" },
        { "{\"resources\":{\"memory\":1}}", "/limits/memory", "/resources/memory" },
        { "{\"resources\":{}}", "/limitsx", "/limitsx" },
        { "{\"language\":7}", "/language", "/language" },
        { "{\"timeout\":-1}", "/ttl", "/timeout" },
        { "{\"timeout\":1}", "/language", "/language" },
        { "{\"runtime\":\"x\"}", "", "" },
    };

    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        struct sbx_buf out = SBX_BUF_INIT(1 << 16);
        struct document_names names;

        is_int(document_session_body(&out, &names, cases[i].sent, strlen(cases[i].sent), &err), 0, "%s",
               cases[i].sent);
        sbx_field_error_set(&err, cases[i].field, "is wrong");
        document_error(&names, &err);
        is_str(err.field, cases[i].named, "\"%s\" is named as it was sent", cases[i].field);
        sbx_buf_deinit(&out);
    }
}

/* What is executed: code and what stands behind it. */
static char *
execute(const char *sent)
{
    struct sbx_buf out = SBX_BUF_INIT(1 << 22);
    json_t *json = NULL;
    char *code;

    if (document_execute_body(&out, sent, strlen(sent), &err) != 0 ||
        sbx_json_parse(&json, out.data, out.len, &err) != 0) {
        BAIL_OUT("refused: %s", sent);
    }
    ok(json_object_get(json, "event") == NULL, "no event is left");
    code = strdup(json_string_value(json_object_get(json, "code")));
    json_decref(json);
    sbx_buf_deinit(&out);
    return code;
}

static void
test_handlers(void)
{
    static const struct {
        const char *sent, *ends; /* NULL: as it was */
    } cases[] = {
        { "{\"code\":\"def handler(event):\\n    return {}\"}",
          "(handler(*[__import__(\"json\").loads(\"{}\"), None][:handler.__code__.co_argcount]))\n" },
        { "{\"code\":\"import os\\ndef handler(event, context):\\n\\n  return 1\\n# "
          "end\\n\",\"language\":\"py\"}",
          "loads(\"{}\"), None][:handler.__code__.co_argcount]))\n" },
        { "{\"code\":\"def handler(e): return "
          "e\\n\",\"event\":{\"a\":\"\\\"\\\\\\u00e9\\n\"},\"language\":\"python\"}",
          "loads(\"{\\\"a\\\":\\\"\\\\\\\"\\\\\\\\\xc3\xa9\\\\n\\\"}\"), "
          "None][:handler.__code__.co_argcount]))\n" },
        { "{\"code\":\"def handler(e): return e\\nx = 1\",\"event\":[1]}",
          "loads(\"[1]\"), None][:handler.__code__.co_argcount]))\n" },
        { "{\"code\":\"def handler(e): return e\\nx = 1\"}", NULL },
        { "{\"code\":\"def handler(e): return e\\nhandler({})\",\"event\":null}", NULL },
        { "{\"code\":\"x = 1\",\"event\":{}}", NULL },
        { "{\"code\":\" def handler(e): return e\",\"event\":{}}", NULL },
        { "{\"code\":\"def handlers(e): return e\"}", NULL },
        { "{\"code\":\"def handler(e)\",\"language\":\"bash\"}", NULL },
        { "{\"code\":\"\"}", NULL },
    };

    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        char *code = execute(cases[i].sent);
        size_t len = strlen(code), n = cases[i].ends == NULL ? 0 : strlen(cases[i].ends);

        if (cases[i].ends == NULL) {
            ok(strstr(code, "co_argcount") == NULL, "nothing is called in %s", cases[i].sent);
        } else {
            is_str(len >= n ? code + len - n : code, cases[i].ends, "the handler is called in %s",
                   cases[i].sent);
        }
        free(code);
    }
}

static void
test_refused_steps(void)
{
    struct sbx_buf out = SBX_BUF_INIT(1 << 16), large = SBX_BUF_INIT(3 << 20);

    is_int(document_execute_body(&out, "[]", 2, &err), DOCUMENT_E_FIELD, "a step that is no object");
    is_int(document_execute_body(&out, "{\"code\":", 8, &err), DOCUMENT_E_SYNTAX, "one that is no document");
    is_int(document_execute_body(&out, "{\"code\":7}", 10, &err), 0,
           "what is no code is for the parser to refuse");
    is_str(out.data, "{\"code\":7}", "as it is");
    sbx_buf_puts(&large, "{\"code\":\"def handler(e): return e\",\"event\":\"");
    for (unsigned i = 0; i < JOB_MAX_EVENT; i++) {
        sbx_buf_putc(&large, 'x');
    }
    sbx_buf_puts(&large, "\"}");
    is_int(document_execute_body(&out, large.data, large.len, &err), DOCUMENT_E_FIELD,
           "an event that is too large");
    ok(strcmp(err.field, "/event") == 0 && err.too_large, "is named, and too large");
    sbx_buf_deinit(&out);
    sbx_buf_deinit(&large);
}

static struct sbx_buf
body(const char *text)
{
    struct sbx_buf buf = SBX_BUF_INIT(1 << 16);

    sbx_buf_puts(&buf, text);
    return buf;
}

static void
test_answers(void)
{
    static char results[] =
        "[{\"kind\":\"display\",\"data\":{\"text/plain\":\"no\"}},"
        "{\"kind\":\"result\",\"data\":{\"text/plain\":\"{'a': 1}\",\"application/json\":{\"a\":1}}}]",
                text_only[] = "[{\"kind\":\"result\",\"data\":{\"text/plain\":\"7\"}}]", broken[] = "[{",
                other[] = "[[],{\"kind\":\"display\",\"data\":{}}]";
    static char limits[] = "{\"cpu\":\"1000m\"}";
    struct session_record session = { .id.text = "ses_1",
                                      .language = "python",
                                      .template_name = "default",
                                      .ttl_ms = 1500,
                                      .limits_json = limits };
    struct step_record step = {
        .id.text = "stp_1", .session_id.text = "ses_1", .started_ms = 5, .finished_ms = 9
    };
    static const struct {
        const char *results, *result;
    } cases[] = { { results, "{\"a\":1}" },
                  { text_only, "\"7\"" },
                  { broken, "null" },
                  { other, "null" },
                  { NULL, "null" } };
    struct sbx_buf buf = body("{\"session_id\":\"ses_1\"}");

    document_session_answer(&buf, DOCUMENT_NONE, &session);
    is_str(buf.data, "{\"session_id\":\"ses_1\"}", "this interface's own form stays");
    document_session_answer(&buf, DOCUMENT_SHORT, &session);
    is_str(buf.data, "{\"session_id\":\"ses_1\",\"sessionId\":\"ses_1\",\"runtime\":\"python\"}",
           "the short form");
    sbx_buf_deinit(&buf);
    buf = body("{\"a\":1}");
    document_session_answer(&buf, DOCUMENT_CONSOLE, &session);
    is_str(buf.data,
           "{\"a\":1,\"id\":\"ses_1\",\"template_id\":\"default\",\"timeout\":1,\"resources\":{\"cpu\":"
           "\"1000m\"}}",
           "the console's");
    sbx_buf_deinit(&buf);
    buf = body("{\"a\":1}");
    document_step_answer(&buf, DOCUMENT_SHORT, &step);
    is_str(buf.data, "{\"a\":1,\"sessionId\":\"ses_1\",\"stepId\":\"stp_1\"}", "a step in the short form");
    sbx_buf_deinit(&buf);
    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        char expected[256];

        (void)snprintf(
            expected, sizeof(expected),
            "{\"a\":1,\"id\":\"stp_1\",\"execution_id\":\"stp_1\",\"execution_time_ms\":4,\"result\":%s}",
            cases[i].result);
        step.results_json = cases[i].results == NULL ? NULL : (char *)(uintptr_t)cases[i].results;
        buf = body("{\"a\":1}");
        document_step_answer(&buf, DOCUMENT_CONSOLE, &step);
        is_str(buf.data, expected, "a step of the console, %zu", i);
        sbx_buf_deinit(&buf);
    }
    buf = (struct sbx_buf)SBX_BUF_INIT(4);
    document_step_answer(&buf, DOCUMENT_SHORT, &step);
    ok(buf.failed, "nothing cannot be added to");
    sbx_buf_deinit(&buf);
}

int
main(void)
{
    test_paths();
    test_sessions();
    test_errors();
    test_handlers();
    test_refused_steps();
    test_answers();
    return done_testing();
}
