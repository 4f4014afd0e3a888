/* Documents at the agent's door: each refusal names its field; and the registry. */
#include "session-agent/request.h"

#include <stdio.h>
#include <string.h>

#include "session-agent/runtimes.h"
#include "t/unit/tap.h"

#define S "{\"sessionId\":\"s\",\"runtime\":\"python\""
#define T "{\"sessionId\":\"s\",\"stepId\":\"t\",\"code\":\"\""

struct bad {
    const char *body;
    const char *field;
};

static const struct bad sessions[] = {
    { "[]", "" },
    { "1", "" },
    { "{}", "/sessionId" },
    { "{\"sessionId\":1,\"runtime\":\"python\"}", "/sessionId" },
    { "{\"sessionId\":\"\",\"runtime\":\"python\"}", "/sessionId" },
    { "{\"sessionId\":\"..\",\"runtime\":\"python\"}", "/sessionId" },
    { "{\"sessionId\":\"a/b\",\"runtime\":\"python\"}", "/sessionId" },
    { "{\"sessionId\":\"a b\",\"runtime\":\"python\"}", "/sessionId" },
    { "{\"sessionId\":\"s\"}", "/runtime" },
    { "{\"sessionId\":\"s\",\"runtime\":[]}", "/runtime" },
    { S ",\"x\":1}", "/x" },
    { S ",\"token\":7}", "/token" },
    { S ",\"token\":\"short\"}", "/token" },
    { S ",\"env\":[]}", "/env" },
    { S ",\"env\":{\"A\":1}}", "/env/A" },
    { S ",\"env\":{\"A\":null}}", "/env/A" },
    { S ",\"env\":{\"\":\"x\"}}", "/env/" },
    { S ",\"env\":{\"1A\":\"x\"}}", "/env/1A" },
    { S ",\"env\":{\"A-B\":\"x\"}}", "/env/A-B" },
    { S ",\"env\":{\"A=B\":\"x\"}}", "/env/A=B" },
    { S ",\"env\":{\"LD_PRELOAD\":\"x\"}}", "/env/LD_PRELOAD" },
    { S ",\"env\":{\"LD_\":\"x\"}}", "/env/LD_" },
    { S ",\"env\":{\"GLIBC_TUNABLES\":\"x\"}}", "/env/GLIBC_TUNABLES" },
    { S ",\"env\":{\"BASH_ENV\":\"x\"}}", "/env/BASH_ENV" },
    { S ",\"env\":{\"BASH_FUNC_a\":\"x\"}}", "/env/BASH_FUNC_a" },
    { S ",\"env\":{\"ENV\":\"x\"}}", "/env/ENV" },
    { S ",\"env\":{\"PYTHONPATH\":\"x\"}}", "/env/PYTHONPATH" },
    { S ",\"env\":{\"NODE_OPTIONS\":\"x\"}}", "/env/NODE_OPTIONS" },
    { S ",\"env\":{\"SANDBOX_RESULT_FILE\":\"x\"}}", "/env/SANDBOX_RESULT_FILE" },
    { S ",\"files\":{}}", "/files" },
    { S ",\"files\":[1]}", "/files/0" },
    { S ",\"files\":[{}]}", "/files/0" },
    { S ",\"files\":[{\"path\":\"a\"}]}", "/files/0" },
    { S ",\"files\":[{\"path\":\"a\",\"content\":1}]}", "/files/0/content" },
    { S ",\"files\":[{\"path\":\"a\",\"content\":\"\",\"mode\":1}]}", "/files/0/mode" },
    { S ",\"files\":[{\"path\":\"a\",\"content\":\"\",\"encoding\":\"hex\"}]}", "/files/0" },
    { S ",\"files\":[{\"path\":\"\",\"content\":\"\"}]}", "/files/0" },
    { S ",\"files\":[{\"path\":\"/etc/passwd\",\"content\":\"\"}]}", "/files/0" },
    { S ",\"files\":[{\"path\":\"../a\",\"content\":\"\"}]}", "/files/0" },
    { S ",\"files\":[{\"path\":\"a/../b\",\"content\":\"\"}]}", "/files/0" },
    { S ",\"files\":[{\"path\":\"a//b\",\"content\":\"\"}]}", "/files/0" },
    { S ",\"files\":[{\"path\":\"a/\",\"content\":\"\"}]}", "/files/0" },
    { S ",\"files\":[{\"path\":\".\",\"content\":\"\"}]}", "/files/0" },
    { S ",\"files\":[{\"path\":\"ok\",\"content\":\"\"},{\"path\":\"..\",\"content\":\"\"}]}", "/files/1" },
    { S ",\"files\":[{\"path\":\"1/2/3/4/5/6/7/8/9/a/b/c/d/e/f/g/h\",\"content\":\"\"}]}", "/files/0" },
};

static const struct bad steps[] = {
    { "null", "" },
    { "{}", "/sessionId" },
    { "{\"sessionId\":\"s\"}", "/stepId" },
    { "{\"sessionId\":\"s\",\"stepId\":\"t\"}", "/code" },
    { "{\"sessionId\":\"s\",\"stepId\":\"t\",\"code\":5}", "/code" },
    { "{\"sessionId\":\"s\",\"stepId\":\"t\",\"code\":null}", "/code" },
    { T ",\"y\":1}", "/y" },
    { T ",\"session\":[]}", "/session" },
    { T ",\"session\":\"s\"}", "/session" },
    { T ",\"is_last\":1}", "/is_last" },
    { T ",\"is_last\":\"true\"}", "/is_last" },
    { T ",\"runtime\":1}", "/runtime" },
    { T ",\"args\":\"a\"}", "/args" },
    { T ",\"args\":[\"a\",1]}", "/args/1" },
    { T ",\"env\":{\"LD_AUDIT\":\"x\"}}", "/env/LD_AUDIT" },
    { T ",\"stdin\":1}", "/stdin" },
    { T ",\"stdin_encoding\":\"rot13\"}", "/stdin_encoding" },
    { T ",\"timeout_ms\":0}", "/timeout_ms" },
    { T ",\"timeout_ms\":-1}", "/timeout_ms" },
    { T ",\"timeout_ms\":1.5}", "/timeout_ms" },
    { T ",\"timeout_ms\":\"1s\"}", "/timeout_ms" },
    { T ",\"timeout_ms\":9999999999}", "/timeout_ms" },
    { T ",\"artifacts\":\"a\"}", "/artifacts" },
    { T ",\"artifacts\":[1]}", "/artifacts/0" },
    { T ",\"artifacts\":[\"a\",\"/b\"]}", "/artifacts/1" },
    { T ",\"artifacts\":[\"../b\"]}", "/artifacts/0" },
    { T ",\"artifacts\":[\"[b\"]}", "/artifacts/0" },
    { T ",\"max_artifacts\":-1}", "/max_artifacts" },
    { T ",\"max_artifacts\":1001}", "/max_artifacts" },
    { T ",\"max_artifact_bytes\":-1}", "/max_artifact_bytes" },
    { T ",\"limits\":[]}", "/limits" },
    { T ",\"limits\":{\"memory\":1}}", "/limits/memory" },
    { T ",\"limits\":{\"processes\":-1}}", "/limits/processes" },
};

static const char *const no_json[] = { "",           "{",
                                       "{\"a\":1,}", "{\"sessionId\":\"s\",\"sessionId\":\"s\"}",
                                       "{} {}",      "{\"a\":\"\\u0000\"}",
                                       "\xff",       "nul" };

static const struct bad registries[] = {
    { "[]", "" },
    { "{}", "/runtimes" },
    { "{\"runtimes\":[]}", "/runtimes" },
    { "{\"runtimes\":[1]}", "/runtimes/0" },
    { "{\"runtimes\":[{}]}", "/runtimes/0" },
    { "{\"runtimes\":[{\"name\":\"A\",\"argv\":[\"/b\"],\"source\":\"m\"}]}", "/runtimes/0" },
    { "{\"runtimes\":[{\"name\":\"a\",\"argv\":[],\"source\":\"m\"}]}", "/runtimes/0" },
    { "{\"runtimes\":[{\"name\":\"a\",\"argv\":[\"b\"],\"source\":\"m\"}]}", "/runtimes/0" },
    { "{\"runtimes\":[{\"name\":\"a\",\"argv\":[\"/b\",1],\"source\":\"m\"}]}", "/runtimes/0" },
    { "{\"runtimes\":[{\"name\":\"a\",\"argv\":[\"/b\"],\"repl\":[],\"source\":\"m\"}]}", "/runtimes/0" },
    { "{\"runtimes\":[{\"name\":\"a\",\"argv\":[\"/b\"],\"repl\":[\"b\"],\"source\":\"m\"}]}",
      "/runtimes/0" },
    { "{\"runtimes\":[{\"name\":\"a\",\"argv\":[\"/b\"],\"repl\":\"/b\",\"source\":\"m\"}]}",
      "/runtimes/0/repl" },
    { "{\"runtimes\":[{\"name\":\"a\",\"argv\":[\"/b\"],\"source\":\"../m\"}]}", "/runtimes/0" },
    { "{\"runtimes\":[{\"name\":\"a\",\"argv\":[\"/b\"],\"source\":\"x/m\"}]}", "/runtimes/0" },
    { "{\"runtimes\":[{\"name\":\"a\",\"argv\":[\"/b\"]}]}", "/runtimes/0" },
    { "{\"runtimes\":[{\"name\":\"a\",\"argv\":[\"/b\"],\"source\":\"m\",\"env\":{\"A\":1}}]}",
      "/runtimes/0" },
    { "{\"runtimes\":[{\"name\":\"a\",\"argv\":[\"/b\"],\"source\":\"m\",\"aliases\":[\"\"]}]}",
      "/runtimes/0" },
    { "{\"runtimes\":[{\"name\":\"a\",\"argv\":[\"/b\"],\"source\":\"m\",\"aliases\":[\"a\"]}]}",
      "/runtimes" },
    { "{\"runtimes\":[{\"name\":\"a\",\"argv\":[\"/b\"],\"source\":\"m\"},"
      "{\"name\":\"b\",\"argv\":[\"/b\"],\"source\":\"m\",\"aliases\":[\"a\"]}]}",
      "/runtimes" },
};

static void
test_bodies(void)
{
    struct session_request session;
    struct step_request step;
    struct sbx_field_error err;
    size_t i;

    for (i = 0; i < SBX_COUNT(sessions); i++) {
        is_int(session_request_parse(&session, sessions[i].body, strlen(sessions[i].body), &err),
               REQUEST_E_INVALID, "%s", sessions[i].body);
        is_str(err.field, sessions[i].field, "  by its field");
        session_request_deinit(&session);
    }
    for (i = 0; i < SBX_COUNT(steps); i++) {
        is_int(step_request_parse(&step, steps[i].body, strlen(steps[i].body), &err), REQUEST_E_INVALID, "%s",
               steps[i].body);
        is_str(err.field, steps[i].field, "  by its field");
        step_request_deinit(&step);
    }
    for (i = 0; i < SBX_COUNT(no_json); i++) {
        is_int(step_request_parse(&step, no_json[i], strlen(no_json[i]), &err), REQUEST_E_SYNTAX,
               "no JSON %zu", i);
        step_request_deinit(&step);
    }
}

static void
test_large(void)
{
    struct sbx_buf body = SBX_BUF_INIT(8 << 20);
    struct step_request step;
    struct session_request session;
    struct sbx_field_error err;
    int i;

    sbx_buf_puts(&body, "{\"sessionId\":\"s\",\"stepId\":\"t\",\"code\":\"");
    for (i = 0; i < REQUEST_MAX_CODE + 1; i++) {
        sbx_buf_putc(&body, 'a');
    }
    sbx_buf_puts(&body, "\"}");
    is_int(step_request_parse(&step, body.data, body.len, &err), REQUEST_E_INVALID, "code past its ceiling");
    ok(err.too_large && strcmp(err.field, "/code") == 0, "  is too large, by its field");
    step_request_deinit(&step);

    sbx_buf_reset(&body);
    sbx_buf_puts(&body, T ",\"args\":[\"\"");
    for (i = 0; i < REQUEST_MAX_ARGS; i++) {
        sbx_buf_puts(&body, ",\"\"");
    }
    sbx_buf_puts(&body, "]}");
    ok(step_request_parse(&step, body.data, body.len, &err) == REQUEST_E_INVALID &&
           strcmp(err.field, "/args") == 0,
       "more arguments than allowed");
    step_request_deinit(&step);

    sbx_buf_reset(&body);
    sbx_buf_puts(&body, S ",\"env\":{\"A\":\"\"");
    for (i = 0; i < REQUEST_MAX_ENV; i++) {
        sbx_buf_printf(&body, ",\"A%d\":\"\"", i);
    }
    sbx_buf_puts(&body, "}}");
    ok(session_request_parse(&session, body.data, body.len, &err) == REQUEST_E_INVALID && err.too_large,
       "more variables than allowed");
    session_request_deinit(&session);
    sbx_buf_deinit(&body);
}

static void
test_good(void)
{
    static const char full[] = T
        ",\"runtime\":\"js\",\"args\":[\"a\",\"\"],\"event\":null,\"env\":{\"A_1\":\"\"},\"stdin\":\"eA==\","
        "\"stdin_encoding\":\"base64\",\"timeout_ms\":5,\"artifacts\":[\"**\"],\"max_artifacts\":3,"
        "\"max_artifact_bytes\":4,\"limits\":{\"processes\":7}}";
    struct session_request session;
    struct step_request step;
    struct sbx_field_error err;

    is_int(session_request_parse(&session, S "}", strlen(S "}"), &err), 0, "a session of two members");
    ok(strcmp(session.id, "s") == 0 && session.token == NULL && session.env == NULL, "  is read");
    session_request_deinit(&session);
    is_int(step_request_parse(&step, T "}", strlen(T "}"), &err), 0, "a step of three members");
    ok(step.timeout_ms == REQUEST_DEFAULT_TIMEOUT_MS && step.event == NULL && step.runtime == NULL,
       "  has defaults");
    step_request_deinit(&step);
    is_int(step_request_parse(&step, full, strlen(full), &err), 0, "a step of all members");
    ok(step.timeout_ms == 5 && json_is_null(step.event) && step.stdin_base64 && step.max_artifacts == 3 &&
           step.max_artifact_bytes == 4 && step.processes == 7,
       "  is read, null being an event");
    step_request_deinit(&step);
    step_request_deinit(&step);
    pass("deinit may be called twice");
}

/* A session within a step's document is refused as one that stands alone is, at its own place. */
static void
test_within(void)
{
    static const char good[] = T ",\"session\":" S ",\"token\":\"0123456789abcdef\"}}";
    struct sbx_buf text = SBX_BUF_INIT(4096);
    struct session_request session;
    struct step_request step;
    struct sbx_field_error err;
    char field[160];

    is_int(step_request_parse(&step, good, strlen(good), &err), 0, "a step with its session");
    is_int(session_request_read(&session, step.session, &err), 0, "  which is read");
    step_request_deinit(&step);
    ok(strcmp(session.id, "s") == 0 && strcmp(session.token, "0123456789abcdef") == 0,
       "  and stays when the step has gone");
    session_request_deinit(&session);
    for (size_t i = 0; i < SBX_COUNT(sessions); i++) {
        if (sessions[i].body[0] != '{') {
            continue; /* no object is refused with the step */
        }
        sbx_buf_reset(&text);
        sbx_buf_printf(&text, T ",\"session\":%s}", sessions[i].body);
        (void)snprintf(field, sizeof(field), "/session%s", sessions[i].field);
        if (step_request_parse(&step, text.data, text.len, &err) != 0) {
            fail("%s", text.data);
            continue;
        }
        is_int(session_request_read(&session, step.session, &err), REQUEST_E_INVALID, "%s", text.data);
        is_str(err.field, field, "  by its field");
        session_request_deinit(&session);
        step_request_deinit(&step);
    }
    sbx_buf_deinit(&text);
}

static void
test_registry(void)
{
    struct runtimes *runtimes = NULL;
    struct runtime_entry entry;
    struct sbx_field_error err;
    size_t i;

    for (i = 0; i < SBX_COUNT(registries); i++) {
        is_int(runtimes_parse(&runtimes, registries[i].body, strlen(registries[i].body), &err),
               RUNTIMES_E_INVALID, "%s", registries[i].body);
        is_str(err.field, registries[i].field, "  by its place");
    }
    ok(runtimes == NULL, "none of them gives a registry");
    ok(runtimes_load(&runtimes, "/nonexistent", &err) < 0, "a file that is not there");
    is_int(runtimes_load(&runtimes, "session-agent/runtimes.json", &err), 0, "our own file");
    is_int(runtimes_count(runtimes), 3, "  has three languages");
    ok(runtimes_find(runtimes, "js", &entry) && strcmp(entry.name, "javascript") == 0, "  found by alias");
    ok(runtimes_find(runtimes, "bash", &entry) && strcmp(entry.source, "main.sh") == 0, "  and by name");
    ok(!runtimes_find(runtimes, "", &entry) && !runtimes_find(runtimes, "Python", &entry) &&
           !runtimes_find(runtimes, "perl", &entry),
       "  and by nothing else");
    ok(runtimes_free(runtimes) == NULL && runtimes_free(NULL) == NULL, "freed");
}

int
main(void)
{
    test_bodies();
    test_large();
    test_good();
    test_within();
    test_registry();
    return done_testing();
}
