/* What is written around a backend's object, the two kinds that are read, and refusals in words. */
#include "lib/sbx_mcp_reply.h"
#include "lib/sbx_problem.h"
#include "t/unit/tap.h"

#define INFO "{\"name\":\"x\",\"version\":\"1\"}"
#define META "\"_meta\":{\"io.modelcontextprotocol/serverInfo\":" INFO "}"

static struct sbx_mcp_state_keeper *keeper;
static char digest[] = "0123";
static struct sbx_buf request = { .data = digest, .len = 4, .cap = 5, .max = 4 };

static struct sbx_mcp_message
message_of(enum sbx_mcp_era era, enum sbx_mcp_method method, unsigned can)
{
    struct sbx_mcp_message message = { .era = era,
                                       .method = method,
                                       .can = can,
                                       .is_request = true,
                                       .id = "\"a\"",
                                       .id_len = 3,
                                       .progress = "7" };

    return message;
}

static struct sbx_mcp_reply_to
to_of(const struct sbx_mcp_message *message)
{
    struct sbx_mcp_reply_to to = {
        .message = message,
        .server_info = INFO,
        .keeper = keeper,
        .principal = "acme",
        .request = &request,
        .request_id = "req_1",
        .now_ms = 1000,
    };

    return to;
}

static void
test_heads(void)
{
    static const struct {
        enum sbx_mcp_era era;
        enum sbx_mcp_method method;
        enum sbx_mcp_reply_kind kind;
        bool comma;
        const char *head, *tail;
    } heads[] = {
        { SBX_MCP_MODERN, SBX_MCP_TOOLS_CALL, SBX_MCP_REPLY_COMPLETE, true,
          "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{\"resultType\":\"complete\"," META, "}" },
        { SBX_MCP_MODERN, SBX_MCP_RESOURCES_READ, SBX_MCP_REPLY_COMPLETE, true,
          "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{\"resultType\":\"complete\"," META ",\"ttlMs\":0",
          "}" },
        { SBX_MCP_MODERN, SBX_MCP_TOOLS_CALL, SBX_MCP_REPLY_TASK, true,
          "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{\"resultType\":\"task\"," META, "}" },
        { SBX_MCP_LEGACY, SBX_MCP_TOOLS_CALL, SBX_MCP_REPLY_COMPLETE, false,
          "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{", "}" },
        { SBX_MCP_LEGACY, SBX_MCP_RESOURCES_READ, SBX_MCP_REPLY_COMPLETE, true,
          "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{\"ttlMs\":0", "}" },
        { SBX_MCP_MODERN, SBX_MCP_TOOLS_CALL, SBX_MCP_REPLY_ERROR, false,
          "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"error\":{", "}" },
        { SBX_MCP_MODERN, SBX_MCP_TOOLS_CALL, SBX_MCP_REPLY_PROGRESS, true,
          "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":7", "}" },
        { SBX_MCP_MODERN, SBX_MCP_TOOLS_CALL, SBX_MCP_REPLY_NOTIFICATION, true, "{\"jsonrpc\":\"2.0\"", "" },
    };
    unsigned i;

    for (i = 0; i < SBX_COUNT(heads); i++) {
        _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(4096);
        struct sbx_mcp_message message = message_of(heads[i].era, heads[i].method, SBX_MCP_CAN_TASKS);
        struct sbx_mcp_reply_to to = to_of(&message);

        to.members = heads[i].method == SBX_MCP_RESOURCES_READ ? "\"ttlMs\":0" : "";
        is_int(sbx_mcp_reply_head(&out, &to, heads[i].kind), heads[i].comma, "head %u: a comma follows", i);
        is_str(out.data, heads[i].head, "its text");
        is_str(sbx_mcp_reply_tail(heads[i].kind), heads[i].tail, "its tail");
    }
}

static void
test_kinds(void)
{
    struct sbx_mcp_message modern = message_of(SBX_MCP_MODERN, SBX_MCP_TOOLS_CALL, SBX_MCP_CAN_TASKS);
    struct sbx_mcp_message legacy = message_of(SBX_MCP_LEGACY, SBX_MCP_TOOLS_CALL, SBX_MCP_CAN_TASKS);
    struct sbx_mcp_message bare = message_of(SBX_MCP_MODERN, SBX_MCP_TOOLS_CALL, 0);
    struct sbx_mcp_message read = message_of(SBX_MCP_MODERN, SBX_MCP_RESOURCES_READ, SBX_MCP_CAN_TASKS);
    struct sbx_mcp_message complete = message_of(SBX_MCP_MODERN, SBX_MCP_COMPLETE, SBX_MCP_CAN_TASKS);

    is_int(sbx_mcp_reply_kind("complete", 8), SBX_MCP_REPLY_COMPLETE, "a kind");
    is_int(sbx_mcp_reply_kind("complete", 7), SBX_MCP_REPLY_NONE, "a part of its name is none");
    is_int(sbx_mcp_reply_kind("completes", 9), SBX_MCP_REPLY_NONE, "more than its name is none");
    is_int(sbx_mcp_reply_kind("", 0), SBX_MCP_REPLY_NONE, "nothing is none");
    ok(sbx_mcp_reply_may_be(&modern, SBX_MCP_REPLY_TASK), "a task for who declared them");
    ok(!sbx_mcp_reply_may_be(&bare, SBX_MCP_REPLY_TASK), "and not for who did not");
    ok(!sbx_mcp_reply_may_be(&legacy, SBX_MCP_REPLY_TASK), "nor for the legacy era");
    ok(!sbx_mcp_reply_may_be(&read, SBX_MCP_REPLY_TASK), "nor of a resource");
    ok(sbx_mcp_reply_may_be(&read, SBX_MCP_REPLY_INPUT_REQUIRED), "a question of a resource");
    ok(!sbx_mcp_reply_may_be(&complete, SBX_MCP_REPLY_INPUT_REQUIRED), "not of a completion");
    ok(!sbx_mcp_reply_may_be(&legacy, SBX_MCP_REPLY_INPUT_REQUIRED), "nor in the legacy era");
    ok(!sbx_mcp_reply_may_be(&modern, SBX_MCP_REPLY_NONE), "nothing is no answer");
}

#define ELICIT "{\"method\":\"elicitation/create\",\"params\":{\"message\":\"?\"}}"
#define ELICIT_URL                                                                                           \
    "{\"method\":\"elicitation/create\",\"params\":{\"mode\":\"url\",\"url\":\"https://a.example\"}}"
#define SAMPLE "{\"method\":\"sampling/createMessage\",\"params\":{}}"

static void
test_questions(void)
{
    static const struct {
        const char *name, *text;
        unsigned can;
        int rc, status;
        const char *has;
    } questions[] = {
        { "a question", "{\"inputRequests\":{\"q\":" ELICIT "}}", SBX_MCP_CAN_ELICIT, 0, 200,
          "\"resultType\":\"input_required\"," META ",\"inputRequests\":{\"q\":" ELICIT "}}}" },
        { "with a state", "{\"inputRequests\":{\"q\":" ELICIT "},\"requestState\":\"s\"}", SBX_MCP_CAN_ELICIT,
          0, 200, ",\"requestState\":\"" },
        { "a state alone", "{\"requestState\":\"s\"}", 0, 0, 200, META ",\"requestState\":\"" },
        { "a null for a state", "{\"inputRequests\":{\"q\":" ELICIT "},\"requestState\":null}",
          SBX_MCP_CAN_ELICIT, 0, 200, "}}}" },
        { "of two kinds", "{\"inputRequests\":{\"q\":" ELICIT ",\"r\":" SAMPLE "}}",
          SBX_MCP_CAN_ELICIT | SBX_MCP_CAN_SAMPLE, 0, 200, "sampling/createMessage" },
        { "not declared", "{\"inputRequests\":{\"q\":" ELICIT "}}", 0, 0, 400, "\"code\":-32021" },
        { "one of two not declared", "{\"inputRequests\":{\"q\":" ELICIT ",\"r\":" SAMPLE "}}",
          SBX_MCP_CAN_ELICIT, 0, 400, "\"requiredCapabilities\":{\"sampling\":{}}" },
        { "a URL for who has forms", "{\"inputRequests\":{\"q\":" ELICIT_URL "}}", SBX_MCP_CAN_ELICIT, 0, 400,
          "\"elicitation\":{\"url\":{}}" },
        { "roots", "{\"inputRequests\":{\"q\":{\"method\":\"roots/list\"}}}", 0, 0, 400, "\"roots\":{}" },
        { "an unknown request", "{\"inputRequests\":{\"q\":{\"method\":\"tools/call\"}}}", 31,
          SBX_MCP_REPLY_E_FORM, 200, NULL },
        { "a request without a method", "{\"inputRequests\":{\"q\":{}}}", 31, SBX_MCP_REPLY_E_FORM, 200,
          NULL },
        { "a request that is none", "{\"inputRequests\":{\"q\":1}}", 31, SBX_MCP_REPLY_E_FORM, 200, NULL },
        { "no requests", "{\"inputRequests\":{}}", 31, SBX_MCP_REPLY_E_FORM, 200, NULL },
        { "a list of requests", "{\"inputRequests\":[" ELICIT "]}", 31, SBX_MCP_REPLY_E_FORM, 200, NULL },
        { "a state that is none", "{\"requestState\":1}", 31, SBX_MCP_REPLY_E_FORM, 200, NULL },
        { "neither", "{}", 31, SBX_MCP_REPLY_E_FORM, 200, NULL },
        { "no object", "[]", 31, SBX_MCP_REPLY_E_FORM, 200, NULL },
        { "no JSON", "{", 31, SBX_MCP_REPLY_E_FORM, 200, NULL },
        { "nothing", "", 31, SBX_MCP_REPLY_E_FORM, 200, NULL },
    };
    unsigned i;
    int status;

    for (i = 0; i < SBX_COUNT(questions); i++) {
        _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(65536);
        struct sbx_mcp_message message = message_of(SBX_MCP_MODERN, SBX_MCP_TOOLS_CALL, questions[i].can);
        struct sbx_mcp_reply_to to = to_of(&message);

        is_int(sbx_mcp_reply_input(&out, &to, questions[i].text, strlen(questions[i].text), &status),
               questions[i].rc, "%s", questions[i].name);
        if (questions[i].rc == 0) {
            is_int(status, questions[i].status, "its status");
            ok(strstr(out.data, questions[i].has) != NULL, "what it says") || (diag("%s", out.data), 0);
            ok(strstr(out.data, "\"id\":\"a\"") != NULL, "whose it is");
        }
    }
}

/* What was sealed for one is opened for the same alone. */
static void
test_state(void)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(65536), plain = SBX_BUF_INIT(65536);
    static const char text[] = "{\"requestState\":\"what \\u00fc was\"}";
    struct sbx_mcp_message message = message_of(SBX_MCP_MODERN, SBX_MCP_TOOLS_CALL, 0);
    struct sbx_mcp_reply_to to = to_of(&message);
    char *at, *end;
    int status;

    is_int(sbx_mcp_reply_input(&out, &to, text, strlen(text), &status), 0, "sealed");
    at = strstr(out.data, "\"requestState\":\"");
    if (!ok(at != NULL, "it is there")) {
        return;
    }
    at += strlen("\"requestState\":\"");
    end = strchr(at, '"');
    ok(memmem(out.data, out.len, "was", 3) == NULL, "and can't be read");
    is_int(sbx_mcp_state_open(keeper, &plain, "acme", &request, at, (size_t)(end - at), 2000), 0, "opened");
    is_str(plain.data, "what \xc3\xbc was", "as it was");
    is_int(sbx_mcp_state_open(keeper, &plain, "other", &request, at, (size_t)(end - at), 2000), -EBADMSG,
           "not for another");
}

static void
test_errors(void)
{
    static const struct {
        const char *name, *text;
        enum sbx_mcp_era era;
        int rc, status;
        const char *is;
    } errors[] = {
        { "plain", "{\"code\":-32602,\"message\":\"no\"}", SBX_MCP_MODERN, 0, 200,
          "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"error\":{\"code\":-32602,\"message\":\"no\"}}" },
        { "with data", "{\"data\":{\"uri\":\"x\"},\"code\":-32602,\"message\":\"no\",\"more\":1}",
          SBX_MCP_MODERN, 0, 200,
          "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"error\":{\"code\":-32602,\"message\":\"no\",\"data\":{\"uri\":"
          "\"x\"}}}" },
        { "a capability", "{\"code\":-32021,\"message\":\"no\"}", SBX_MCP_MODERN, 0, 400,
          "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"error\":{\"code\":-32021,\"message\":\"no\"}}" },
        { "a method", "{\"code\":-32601,\"message\":\"no\"}", SBX_MCP_MODERN, 0, 404,
          "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"error\":{\"code\":-32601,\"message\":\"no\"}}" },
        { "a method, before", "{\"code\":-32601,\"message\":\"no\"}", SBX_MCP_LEGACY, 0, 200,
          "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"error\":{\"code\":-32601,\"message\":\"no\"}}" },
        { "no code", "{\"message\":\"no\"}", SBX_MCP_MODERN, SBX_MCP_REPLY_E_FORM, 200, NULL },
        { "a code that is text", "{\"code\":\"1\",\"message\":\"no\"}", SBX_MCP_MODERN, SBX_MCP_REPLY_E_FORM,
          200, NULL },
        { "a fractional code", "{\"code\":1.5,\"message\":\"no\"}", SBX_MCP_MODERN, SBX_MCP_REPLY_E_FORM, 200,
          NULL },
        { "no message", "{\"code\":1}", SBX_MCP_MODERN, SBX_MCP_REPLY_E_FORM, 200, NULL },
        { "no object", "1", SBX_MCP_MODERN, SBX_MCP_REPLY_E_FORM, 200, NULL },
        { "nothing", "", SBX_MCP_MODERN, SBX_MCP_REPLY_E_FORM, 200, NULL },
    };
    unsigned i;
    int status;

    for (i = 0; i < SBX_COUNT(errors); i++) {
        _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(65536);
        struct sbx_mcp_message message = message_of(errors[i].era, SBX_MCP_TOOLS_CALL, 0);
        struct sbx_mcp_reply_to to = to_of(&message);

        is_int(sbx_mcp_reply_error(&out, &to, errors[i].text, strlen(errors[i].text), &status), errors[i].rc,
               "%s", errors[i].name);
        if (errors[i].rc == 0) {
            is_int(status, errors[i].status, "its status");
            is_str(out.data, errors[i].is, "its text");
        }
    }
}

/* The whole of a refusal, parsed; the text block's words in *ret_text. */
static json_t *
refused(const struct sbx_mcp_message *message, int status, const char *text, const char **ret_text)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(1 << 20);
    const struct sbx_mcp_refusal refusal = {
        .status = status, .text = text, .len = strlen(text), .retry_after_s = 9
    };
    struct sbx_mcp_reply_to to = to_of(message);
    struct sbx_field_error err;
    json_t *json = NULL;

    sbx_mcp_reply_refusal(&out, &to, &refusal);
    if (!ok(!out.failed && sbx_json_parse(&json, out.data, out.len, &err) == 0, "a refusal is JSON")) {
        diag("%s", out.data);
        exit(1);
    }
    *ret_text = json_string_value(json_object_get(
        json_array_get(json_object_get(json_object_get(json, "result"), "content"), 0), "text"));
    return json;
}

static const json_t *
at(const json_t *json, const char *a, const char *b, const char *c)
{
    json = json_object_get(json, a);
    json = b == NULL ? json : json_object_get(json, b);
    return c == NULL ? json : json_object_get(json, c);
}

static void
test_refusals(void)
{
    static const char denied[] =
        "{\"title\":\"The policy refuses this "
        "request\",\"status\":403,\"code\":\"policy_violation\",\"request_id\":\"req_2\","
        "\"violations\":[{\"rule\":\"limits.memory\",\"limit\":\"1Gi\",\"observed\":\"2Gi\",\"hint\":\"Ask "
        "for less.\"}]}";
    struct sbx_mcp_message call = message_of(SBX_MCP_MODERN, SBX_MCP_TOOLS_CALL, 0);
    struct sbx_mcp_message legacy = message_of(SBX_MCP_LEGACY, SBX_MCP_RESOURCES_READ, 0);
    struct sbx_mcp_message read = message_of(SBX_MCP_MODERN, SBX_MCP_RESOURCES_READ, 0);
    struct sbx_mcp_message task = message_of(SBX_MCP_MODERN, SBX_MCP_TASKS_GET, 0);
    const char *text;
    json_t *json;

    json = refused(&call, 403, denied, &text);
    ok(json_is_true(at(json, "result", "isError", NULL)), "of a call it is a result that is an error");
    ok(strstr(text, "policy_violation") &&
           strstr(text, "limits.memory: limit \"1Gi\", asked for \"2Gi\". Ask for less."),
       "whose words name the rule, the limit, what was asked for and the hint");
    ok(strstr(text, "Next: ") && strstr(text, "req_2"), "what to do next, and the request");
    ok(at(json, "result", "structuredContent", NULL) == NULL,
       "nothing structured: it would not be as the tool's schema says");
    json_decref(json);

    json = refused(&call, 429, "{\"code\":\"rate_limited\",\"title\":\"Too many\",\"retry_after_seconds\":3}",
                   &text);
    ok(strstr(text, "Try again in 3 s.") != NULL, "when to try again: the document's");
    json_decref(json);

    json = refused(&call, 502, "<html>", &text);
    ok(strstr(text, "bad_gateway") && strstr(text, "Try again in 9 s.") && strstr(text, "req_1"),
       "no document: by the status");
    json_decref(json);
    json = refused(&call, 599, "", &text);
    ok(strstr(text, "(internal)") != NULL, "a status that is none of ours");
    json_decref(json);
    json = refused(&call, 422, "[1]", &text);
    ok(strstr(text, "invalid_request") != NULL, "a document that is no object");
    json_decref(json);
    json = refused(&call, 422,
                   "{\"code\":5,\"title\":[],\"violations\":{},\"errors\":[1,{\"field\":\"/"
                   "code\",\"message\":\"is missing\"}]}",
                   &text);
    ok(strstr(text, "- /code: is missing") != NULL, "one of odd types");
    json_decref(json);

    json = refused(&task, 404, "{\"code\":\"not_found\",\"title\":\"No\"}", &text);
    is_int(json_integer_value(at(json, "error", "code", NULL)), -32602,
           "of anything but a call it is an error: unknown");
    json_decref(json);
    json = refused(&task, 503, "", &text);
    is_int(json_integer_value(at(json, "error", "code", NULL)), -32603, "or internal");
    is_int(json_integer_value(at(json, "error", "data", "retry_after_s")), 9, "with when to try again");
    json_decref(json);
    read.name = "a://b";
    read.name_len = 5;
    json = refused(&read, 404, "", &text);
    is_int(json_integer_value(at(json, "error", "code", NULL)), -32602, "a resource that is not there");
    is_str(json_string_value(at(json, "error", "data", "uri")), "a://b", "is named");
    json_decref(json);
    json = refused(&legacy, 404, "", &text);
    is_int(json_integer_value(at(json, "error", "code", NULL)), -32002, "with the code it had before");
    json_decref(json);
}

static void
test_large(void)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(1 << 20), text = SBX_BUF_INIT(1 << 20);
    struct sbx_mcp_message call = message_of(SBX_MCP_MODERN, SBX_MCP_TOOLS_CALL, 0);
    struct sbx_mcp_reply_to to = to_of(&call);
    struct sbx_mcp_refusal refusal = { .status = 403 };
    unsigned i;

    sbx_buf_puts(&text, "{\"code\":\"policy_violation\",\"violations\":[{\"rule\":\"a\"}");
    for (i = 0; i < 3000; i++) {
        sbx_buf_puts(&text, ",{\"rule\":\"egress\"}");
    }
    sbx_buf_puts(&text, "]}");
    refusal.text = text.data;
    refusal.len = text.len;
    sbx_mcp_reply_refusal(&out, &to, &refusal);
    ok(!out.failed && strstr(out.data, "- and more") != NULL, "of many rules the first are told in words");
    sbx_buf_reset(&out);
    refusal.len = SBX_MCP_REPLY_PARSED_MAX + 1;
    sbx_mcp_reply_refusal(&out, &to, &refusal);
    ok(!out.failed && strstr(out.data, "(forbidden)") != NULL,
       "of a document that is too large the status alone");
    sbx_buf_reset(&out);
    sbx_mcp_reply_lost(&out, &to);
    ok(strstr(out.data, "\"isError\":true") && strstr(out.data, "(lost)."), "one that broke off");
}

int
main(void)
{
    if (sbx_mcp_state_keeper_new(&keeper, "0123456789abcdef0123456789abcdef", 32) != 0) {
        BAIL_OUT("no keeper");
    }
    test_heads();
    test_kinds();
    test_questions();
    test_state();
    test_errors();
    test_refusals();
    test_large();
    keeper = sbx_mcp_state_keeper_free(keeper);
    return done_testing();
}
