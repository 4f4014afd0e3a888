/* What becomes of messages that ask for something of a catalogue. */
#include "t/unit/mcp_fixture.h"

static struct sbx_mcp_catalogue *catalogue;

struct asked {
    const char *can; /* NULL: legacy */
    const char *method, *params, *name;
    int result;
    const char *text;  /* of the answer, of the path, or the error's message */
    const char *extra; /* body, or data */
};

static void
check(const struct asked *asked, const struct sbx_mcp_caller *caller)
{
    struct sbx_buf out = SBX_BUF_INIT(1 << 24);
    struct sbx_mcp_message message;
    struct sbx_mcp_error err = { 0 };
    struct sbx_mcp_call call;
    int r;

    mcp_message(&message, asked->can, asked->method, asked->params, asked->name);
    sbx_mcp_call_init(&call);
    r = sbx_mcp_catalogue_answer(catalogue, &message, caller, &out, &call, &err);
    is_int(r, asked->result, "%s %s%s", asked->method, asked->params, asked->can == NULL ? " (legacy)" : "");
    if (r == SBX_MCP_FORWARD) {
        is_str(call.path.data, asked->text, "asks for %s", asked->text);
        is_str(call.body.len == 0 ? "" : call.body.data, asked->extra == NULL ? "" : asked->extra,
               "with what is asked");
    } else if (r == SBX_MCP_REFUSED) {
        is_str(err.message, asked->text, "%d: %s", err.code, err.message);
        is_str(err.data, asked->extra == NULL ? "" : asked->extra, "data: %s", err.data);
    } else {
        is_str(out.len == 0 ? "" : out.data, asked->text, "answers");
    }
    sbx_mcp_call_deinit(&call);
    sbx_mcp_message_deinit(&message);
    sbx_buf_deinit(&out);
}

#define CALL(can, name, arguments)                                                                           \
    can, "tools/call", "\"name\":\"" name "\",\"arguments\":{" arguments "}", name
#define BAD(text)                                                                                            \
    "\"content\":[{\"type\":\"text\",\"text\":\"Invalid arguments of " text                                  \
    "\\nCorrect them and call the tool again.\"}],\"isError\":true"

static void
test_tools(void)
{
    static const struct asked table[] = {
        { CALL("{}", "run_code", "\"code\":\"1\""), SBX_MCP_FORWARD, "/jobs?fixed=a%20b",
          "{\"code\":\"1\",\"kept\":{},\"list\":[1,\"x\"]}" },
        { CALL(NULL, "run_code", "\"code\":\"1\""), SBX_MCP_FORWARD, "/jobs?fixed=a%20b",
          "{\"code\":\"1\",\"kept\":{},\"list\":[1,\"x\"]}" },
        { CALL("{}", "run_code", "\"code\":\"\",\"wait\":2.5,\"key\":\"k1\",\"memory\":5,\"limits\":{}"),
          SBX_MCP_FORWARD, "/jobs?wait=2.5&fixed=a%20b&both=2.5-k1",
          "{\"code\":\"\",\"limits\":{\"memory\":5,\"all\":{}},\"kept\":{},\"list\":[1,2.5,\"x\"]}" },
        { CALL("{}", "run_code", "\"code\":\"1\",\"memory\":null"), SBX_MCP_FORWARD, "/jobs?fixed=a%20b",
          "{\"code\":\"1\",\"kept\":{},\"list\":[1,\"x\"]}" },
        { CALL("{}", "run_code", "\"code\":\"\\u00e4\\n\\\"\\u007f\",\"session_id\":\"ses_1\""),
          SBX_MCP_FORWARD, "/sessions/ses_1/steps", "{\"code\":\"\xc3\xa4\\n\\\"\\u007f\"}" },
        { CALL("{}", "run_code", "\"code\":\"1\",\"session_id\":\"a/../b?x#%\\u00e4 \\n\""), SBX_MCP_FORWARD,
          "/sessions/a%2F..%2Fb%3Fx%23%25%C3%A4%20%0A/steps", "{\"code\":\"1\"}" },
        { CALL("{}", "run_code", "\"code\":\"1\",\"session_id\":\"\""), SBX_MCP_TOOL_ERROR,
          BAD("run_code: nothing was done.\\n- /session_id has characters or a form that it can't have"),
          NULL },
        { CALL("{}", "run_code", "\"code\":\"1\",\"session_id\":\".\""), SBX_MCP_TOOL_ERROR,
          BAD("run_code: nothing was done.\\n- /session_id has characters or a form that it can't have"),
          NULL },
        { CALL("{}", "run_code", "\"code\":\"1\",\"session_id\":\"..\""), SBX_MCP_TOOL_ERROR,
          BAD("run_code: nothing was done.\\n- /session_id has characters or a form that it can't have"),
          NULL },
        { CALL("{}", "run_code", "\"code\":\"1\",\"key\":\"a\\r\\nX: y\""), SBX_MCP_TOOL_ERROR,
          BAD("run_code: nothing was done.\\n- /idempotency_key has characters or a form that it can't have"),
          NULL },
        { CALL("{}", "run_code", "\"code\":\"1\",\"key\":\"\\u00e4\""), SBX_MCP_TOOL_ERROR,
          BAD("run_code: nothing was done.\\n- /idempotency_key has characters or a form that it can't have"),
          NULL },
        { CALL("{}", "run_code", ""), SBX_MCP_TOOL_ERROR,
          BAD("run_code: nothing was done.\\n- /code is required: a string"), NULL },
        { CALL(NULL, "run_code", "\"kode\":1"), SBX_MCP_TOOL_ERROR,
          BAD("run_code: nothing was done.\\n- /code is required: a string\\n- /kode is not known here; did "
              "you mean \\\"code\\\"?"),
          NULL },
        { "{}", "tools/call", "\"name\":\"run_code\"", "run_code", SBX_MCP_TOOL_ERROR,
          BAD("run_code: nothing was done.\\n- /code is required: a string"), NULL },
        { "{}", "tools/call", "\"name\":\"run_code\",\"arguments\":null", "run_code", SBX_MCP_TOOL_ERROR,
          BAD("run_code: nothing was done.\\n- /code is required: a string"), NULL },
        { CALL("{}", "get", "\"job_id\":\"job_1\""), SBX_MCP_FORWARD, "/jobs/job_1", NULL },
        { CALL("{}", "nothing", ""), SBX_MCP_REFUSED, "Unknown tool: \"nothing\"", NULL },
        { CALL("{}", "run_cod", ""), SBX_MCP_REFUSED, "Unknown tool: \"run_cod\"", NULL },
        { CALL("{}", "run_code2", ""), SBX_MCP_REFUSED, "Unknown tool: \"run_code2\"", NULL },
        { CALL(NULL, "RUN_CODE", ""), SBX_MCP_REFUSED, "Unknown tool: \"RUN_CODE\"", NULL },
        { NULL, "tools/call", "\"name\":\"a\\u001b[0m\\n\"", NULL, SBX_MCP_REFUSED,
          "Unknown tool: \"a\\u001b[0m\\n\"", NULL },
        { CALL("{}", "all", ""), SBX_MCP_REFUSED, "The client did not declare a capability that this needs",
          "{\"requiredCapabilities\":{\"sampling\":{}}}" },
        { CALL("{\"sampling\":{}}", "all", "\"a\":[1]"), SBX_MCP_FORWARD, "/all",
          "{\"method\":\"tools/call\",\"params\":{\"name\":\"all\",\"arguments\":{\"a\":[1]},\"_meta\":{"
          "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/"
          "clientCapabilities\":{\"sampling\":{}}}},"
          "\"era\":\"modern\",\"version\":\"2026-07-28\",\"capabilities\":[\"sampling\"]}" },
        { CALL(NULL, "all", ""), SBX_MCP_TOOL_ERROR,
          "\"content\":[{\"type\":\"text\",\"text\":\"all needs a client of protocol revision 2026-07-28: it "
          "asks the client for more, or answers later.\"}],"
          "\"isError\":true",
          NULL },
        { CALL("{}", "later", ""), SBX_MCP_REFUSED, "The client did not declare a capability that this needs",
          "{\"requiredCapabilities\":{\"extensions\":{\"io.modelcontextprotocol/tasks\":{}}}}" },
        { CALL("{\"extensions\":{\"io.modelcontextprotocol/tasks\":{}}}", "later", "\"b\":true"),
          SBX_MCP_FORWARD, "/all", "{\"args\":{\"b\":true}}" },
        { "{\"extensions\":{\"io.modelcontextprotocol/tasks\":{}}}", "tools/call", "\"name\":\"later\"",
          "later", SBX_MCP_FORWARD, "/all", "{\"args\":{}}" },
    };
    const struct sbx_mcp_caller caller = { .tools = UINT64_MAX };
    size_t i;

    for (i = 0; i < SBX_COUNT(table); i++) {
        check(&table[i], &caller);
    }
}

static void
test_tool_sets(void)
{
    static const struct asked unknown = { CALL("{}", "get", "\"job_id\":\"a\""), SBX_MCP_REFUSED,
                                          "Unknown tool: \"get\"", NULL };
    static const struct asked known = { CALL("{}", "run_code", "\"code\":\"1\""), SBX_MCP_FORWARD,
                                        "/jobs?fixed=a%20b",
                                        "{\"code\":\"1\",\"kept\":{},\"list\":[1,\"x\"]}" };
    const struct sbx_mcp_caller first = { .tools = 1 };

    check(&unknown, &first);
    check(&known, &first);
}

static void
test_state(void)
{
    static const struct asked opened = {
        "{\"sampling\":{}}",
        "tools/call",
        "\"name\":\"all\",\"requestState\":\"sealed\",\"inputResponses\":{\"a\":{}}",
        "all",
        SBX_MCP_FORWARD,
        "/all",
        "{\"method\":\"tools/"
        "call\",\"params\":{\"name\":\"all\",\"requestState\":\"op\\\"en\",\"inputResponses\":{\"a\":{}},\"_"
        "meta\":{"
        "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/"
        "clientCapabilities\":{\"sampling\":{}}}},"
        "\"era\":\"modern\",\"version\":\"2026-07-28\",\"capabilities\":[\"sampling\"]}"
    };
    const struct sbx_mcp_caller caller = { .tools = UINT64_MAX, .state = "op\"en" };

    check(&opened, &caller);
}

static void
test_call(void)
{
    struct sbx_buf out = SBX_BUF_INIT(1 << 20);
    const struct sbx_mcp_caller caller = { .tools = UINT64_MAX };
    struct sbx_mcp_message message;
    struct sbx_mcp_error err = { 0 };
    struct sbx_mcp_call call;

    mcp_message(&message, "{}", "tools/call",
                "\"name\":\"run_code\",\"arguments\":{\"code\":\"1\",\"key\":\"k-1\"}", "run_code");
    sbx_mcp_call_init(&call);
    is_int(sbx_mcp_catalogue_answer(catalogue, &message, &caller, &out, &call, &err), SBX_MCP_FORWARD,
           "a call");
    is_str(call.location, "/_mcp/job", "location");
    is_str(call.method, "POST", "method");
    is_str(call.idempotency_key.data, "k-1", "idempotency key");
    is_str(call.members, "", "nothing before its result");
    ok(call.stream && call.tool == &catalogue->tool[0] && call.backend == call.tool->backend,
       "tool and stream");
    sbx_mcp_call_deinit(&call);
    sbx_mcp_message_deinit(&message);

    mcp_message(&message, "{}", "resources/read", "\"uri\":\"doc://live\"", "doc://live");
    sbx_mcp_call_init(&call);
    is_int(sbx_mcp_catalogue_answer(catalogue, &message, &caller, &out, &call, &err), SBX_MCP_FORWARD,
           "a resource");
    is_str(call.members, "\"ttlMs\":5000,\"cacheScope\":\"private\"", "is told how long it holds");
    ok(!call.stream && call.tool == NULL, "no tool's");
    sbx_mcp_call_deinit(&call);
    sbx_mcp_message_deinit(&message);

    mcp_message(&message, NULL, "resources/read", "\"uri\":\"doc://live\"", NULL);
    sbx_mcp_call_init(&call);
    is_int(sbx_mcp_catalogue_answer(catalogue, &message, &caller, &out, &call, &err), SBX_MCP_FORWARD,
           "a resource");
    is_str(call.members, "", "an older client is not");
    sbx_mcp_call_deinit(&call);
    sbx_mcp_message_deinit(&message);
    sbx_buf_deinit(&out);
}

#define READ(can, uri) can, "resources/read", "\"uri\":\"" uri "\"", uri

static void
test_resources(void)
{
    static const struct asked table[] = {
        { READ("{}", "doc://guide"), SBX_MCP_ANSWERED,
          "\"contents\":[{\"uri\":\"doc://guide\",\"mimeType\":\"text/plain\",\"text\":\"Read "
          "\xc3\xa4.\"}],\"ttlMs\":5000,\"cacheScope\":\"private\"",
          NULL },
        { READ(NULL, "doc://guide"), SBX_MCP_ANSWERED,
          "\"contents\":[{\"uri\":\"doc://guide\",\"mimeType\":\"text/plain\",\"text\":\"Read \xc3\xa4.\"}]",
          NULL },
        { READ("{}", "doc://blob"), SBX_MCP_ANSWERED,
          "\"contents\":[{\"uri\":\"doc://"
          "blob\",\"blob\":\"AAEC\"}],\"ttlMs\":5000,\"cacheScope\":\"private\"",
          NULL },
        { READ("{}", "doc://live"), SBX_MCP_FORWARD, "/live?uri=doc%3A%2F%2Flive", NULL },
        { READ("{}", "sandbox://job/j1/a/b.txt"), SBX_MCP_FORWARD, "/files/j1?path=a%2Fb.txt", NULL },
        { READ("{}", "sandbox://job/j%31/a%20b"), SBX_MCP_FORWARD, "/files/j1?path=a%20b", NULL },
        { READ("{}", "sandbox://job/j1/%252e"), SBX_MCP_FORWARD, "/files/j1?path=%252e", NULL },
        { READ("{}", "sandbox://job/j1/..."), SBX_MCP_FORWARD, "/files/j1?path=...", NULL },
        { READ("{}", "doc://guid"), SBX_MCP_REFUSED, "Resource not found", "{\"uri\":\"doc://guid\"}" },
        { READ(NULL, "doc://guide2"), SBX_MCP_REFUSED, "Resource not found", "{\"uri\":\"doc://guide2\"}" },
        { READ("{}", "DOC://guide"), SBX_MCP_REFUSED, "Resource not found", "{\"uri\":\"DOC://guide\"}" },
        { READ("{}", "sandbox://job/j1"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/j1\"}" },
        { READ("{}", "sandbox://job/j1/"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/j1/\"}" },
        { READ("{}", "sandbox://job//a"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job//a\"}" },
        { READ("{}", "sandbox://job/../a"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/../a\"}" },
        { READ("{}", "sandbox://job/%2e%2E/a"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/%2e%2E/a\"}" },
        { READ("{}", "sandbox://job/a%2Fb/a"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/a%2Fb/a\"}" },
        { READ("{}", "sandbox://job/.../a"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/.../a\"}" },
        { READ("{}", "sandbox://job/j1/../x"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/j1/../x\"}" },
        { READ("{}", "sandbox://job/j1/a/.."), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/j1/a/..\"}" },
        { READ("{}", "sandbox://job/j1/a/./b"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/j1/a/./b\"}" },
        { READ("{}", "sandbox://job/j1/a//b"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/j1/a//b\"}" },
        { READ("{}", "sandbox://job/j1//etc/passwd"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/j1//etc/passwd\"}" },
        { READ("{}", "sandbox://job/j1/%2e%2e/x"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/j1/%2e%2e/x\"}" },
        { READ("{}", "sandbox://job/j1/a%2f%2e%2e%2fb"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/j1/a%2f%2e%2e%2fb\"}" },
        { READ("{}", "sandbox://job/j1/a%00b"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/j1/a%00b\"}" },
        { READ("{}", "sandbox://job/j1/a%0Ab"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/j1/a%0Ab\"}" },
        { READ("{}", "sandbox://job/j1/a%7f"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/j1/a%7f\"}" },
        { READ("{}", "sandbox://job/j1/%ff"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/j1/%ff\"}" },
        { READ("{}", "sandbox://job/j1/%2"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/j1/%2\"}" },
        { READ("{}", "sandbox://job/j1/%zz"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/j1/%zz\"}" },
        { READ("{}", "sandbox://job/j?1/a"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"sandbox://job/j?1/a\"}" },
        { READ("{}", "file:///etc/passwd"), SBX_MCP_REFUSED, "Resource not found",
          "{\"uri\":\"file:///etc/passwd\"}" },
    };
    const struct sbx_mcp_caller caller = { .tools = 0 };
    struct sbx_buf out = SBX_BUF_INIT(1 << 20);
    struct sbx_mcp_message message;
    struct sbx_mcp_error err = { 0 };
    struct sbx_mcp_call call;
    size_t i;
    int era;

    for (i = 0; i < SBX_COUNT(table); i++) {
        check(&table[i], &caller);
    }
    for (era = 0; era < 2; era++) {
        mcp_message(&message, era == 0 ? NULL : "{}", "resources/read", "\"uri\":\"doc://x\"", "doc://x");
        sbx_mcp_call_init(&call);
        is_int(sbx_mcp_catalogue_answer(catalogue, &message, &caller, &out, &call, &err), SBX_MCP_REFUSED,
               "unknown");
        is_int(err.code, era == 0 ? -32002 : -32602, "as the era has it");
        is_int(err.status, 200, "over HTTP a reply like another");
        sbx_mcp_call_deinit(&call);
        sbx_mcp_message_deinit(&message);
    }
    sbx_buf_deinit(&out);
}

#define GET(can, name, arguments) can, "prompts/get", "\"name\":\"" name "\",\"arguments\":" arguments, name

static void
test_prompts(void)
{
    static const struct asked table[] = {
        { GET("{}", "debug", "{\"job\":\"j\\\"1\",\"language\":\"perl\"}"), SBX_MCP_ANSWERED,
          "\"description\":\"Debugs.\",\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"text\","
          "\"text\":\"Look at j\\\"1 in perl.\"}},"
          "{\"role\":\"user\",\"content\":{\"type\":\"resource\",\"resource\":{\"uri\":\"sandbox://job/"
          "j\\\"1/log\",\"text\":\"\"}}}]",
          NULL },
        { GET(NULL, "debug", "{\"job\":\"{{language}}\"}"), SBX_MCP_ANSWERED,
          "\"description\":\"Debugs.\",\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"text\","
          "\"text\":\"Look at {{language}} in .\"}},"
          "{\"role\":\"user\",\"content\":{\"type\":\"resource\",\"resource\":{\"uri\":\"sandbox://job/"
          "{{language}}/log\",\"text\":\"\"}}}]",
          NULL },
        { GET("{}", "debug", "{}"), SBX_MCP_REFUSED, "Invalid params: the argument job is required", NULL },
        { "{}", "prompts/get", "\"name\":\"debug\"", "debug", SBX_MCP_REFUSED,
          "Invalid params: the argument job is required", NULL },
        { GET("{}", "debug", "{\"job\":1}"), SBX_MCP_REFUSED,
          "Invalid params: arguments of a prompt must be strings", NULL },
        { GET("{}", "debug", "{\"job\":\"\",\"x\":null}"), SBX_MCP_REFUSED,
          "Invalid params: arguments of a prompt must be strings", NULL },
        { GET("{}", "nothing", "{}"), SBX_MCP_REFUSED, "Unknown prompt: \"nothing\"", NULL },
        { GET(NULL, "ask", "{\"a\":\"b\"}"), SBX_MCP_FORWARD, "/all",
          "{\"method\":\"prompts/"
          "get\",\"params\":{\"name\":\"ask\",\"arguments\":{\"a\":\"b\"}},\"era\":\"legacy\",\"version\":"
          "\"2025-03-26\","
          "\"capabilities\":[]}" },
    };
    const struct sbx_mcp_caller caller = { .tools = 0 };
    size_t i;

    for (i = 0; i < SBX_COUNT(table); i++) {
        check(&table[i], &caller);
    }
}

#define COMPLETE(ref, name, value)                                                                           \
    "{}", "completion/complete", "\"ref\":{" ref "},\"argument\":{\"name\":" name ",\"value\":" value "}",   \
        NULL
#define DEBUG "\"type\":\"ref/prompt\",\"name\":\"debug\""
#define FILE_REF "\"type\":\"ref/resource\",\"uri\":\"sandbox://job/{job_id}/{+path}\""

static void
test_completion(void)
{
    static const struct asked table[] = {
        { COMPLETE(DEBUG, "\"language\"", "\"p\""), SBX_MCP_ANSWERED,
          "\"completion\":{\"values\":[\"python\",\"perl\"],\"total\":2,\"hasMore\":false}", NULL },
        { COMPLETE(DEBUG, "\"language\"", "\"PY\""), SBX_MCP_ANSWERED,
          "\"completion\":{\"values\":[\"python\"],\"total\":1,\"hasMore\":false}", NULL },
        { COMPLETE(DEBUG, "\"language\"", "\"pythons\""), SBX_MCP_ANSWERED,
          "\"completion\":{\"values\":[],\"total\":0,\"hasMore\":false}", NULL },
        { COMPLETE(DEBUG, "\"job\"", "\"\""), SBX_MCP_ANSWERED,
          "\"completion\":{\"values\":[],\"total\":0,\"hasMore\":false}", NULL },
        { COMPLETE(DEBUG, "\"no\"", "\"\""), SBX_MCP_REFUSED, "Unknown argument: \"no\"", NULL },
        { COMPLETE(FILE_REF, "\"job_id\"", "\"job&\""), SBX_MCP_FORWARD,
          "/complete?value=job%26&argument=job_id", NULL },
        { COMPLETE(FILE_REF, "\"path\"", "\"a\""), SBX_MCP_ANSWERED,
          "\"completion\":{\"values\":[],\"total\":0,\"hasMore\":false}", NULL },
        { COMPLETE(FILE_REF, "\"other\"", "\"a\""), SBX_MCP_REFUSED, "Unknown argument: \"other\"", NULL },
        { COMPLETE("\"type\":\"ref/prompt\",\"name\":\"x\"", "\"a\"", "\"\""), SBX_MCP_REFUSED,
          "Unknown prompt: \"x\"", NULL },
        { COMPLETE("\"type\":\"ref/resource\",\"uri\":\"x:y\"", "\"a\"", "\"\""), SBX_MCP_REFUSED,
          "Unknown resource template: \"x:y\"", NULL },
        { COMPLETE("\"type\":\"ref/prompt\"", "\"a\"", "\"\""), SBX_MCP_REFUSED,
          "Invalid params: ref.name must be a string", NULL },
        { COMPLETE("\"type\":\"ref/resource\"", "\"a\"", "\"\""), SBX_MCP_REFUSED,
          "Invalid params: ref.uri must be a string", NULL },
        { COMPLETE("\"type\":\"ref/tool\"", "\"a\"", "\"\""), SBX_MCP_REFUSED,
          "Invalid params: ref.type must be \"ref/prompt\" or \"ref/resource\"", NULL },
        { COMPLETE("", "\"a\"", "\"\""), SBX_MCP_REFUSED,
          "Invalid params: ref.type must be \"ref/prompt\" or \"ref/resource\"", NULL },
        { COMPLETE(DEBUG, "1", "\"\""), SBX_MCP_REFUSED,
          "Invalid params: argument must have a name and a value, both strings", NULL },
        { COMPLETE(DEBUG, "\"language\"", "null"), SBX_MCP_REFUSED,
          "Invalid params: argument must have a name and a value, both strings", NULL },
        { "{}", "completion/complete", "\"ref\":[]", NULL, SBX_MCP_REFUSED,
          "Invalid params: argument must have a name and a value, both strings", NULL },
    };
    const struct sbx_mcp_caller caller = { .tools = 0 };
    size_t i;

    for (i = 0; i < SBX_COUNT(table); i++) {
        check(&table[i], &caller);
    }
}

#define TASKS "{\"extensions\":{\"io.modelcontextprotocol/tasks\":{}}}"

static void
test_tasks(void)
{
    static const struct asked table[] = {
        { TASKS, "tasks/get", "\"taskId\":\"job_1\"", "job_1", SBX_MCP_FORWARD, "/tasks/job_1", NULL },
        { TASKS, "tasks/cancel", "\"taskId\":\"a/b\"", "a/b", SBX_MCP_FORWARD, "/tasks/a%2Fb", NULL },
        { TASKS, "tasks/get", "\"taskId\":\"..\"", "..", SBX_MCP_REFUSED, "Unknown task: \"..\"", NULL },
        { TASKS, "tasks/update", "\"taskId\":\"job_1\"", "job_1", SBX_MCP_REFUSED, "Method not found", NULL },
    };
    const struct sbx_mcp_caller caller = { .tools = 0 };
    size_t i;

    for (i = 0; i < SBX_COUNT(table); i++) {
        check(&table[i], &caller);
    }
}

static void
test_cancelled(void)
{
    static const char body[] =
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":7}}";
    struct sbx_mcp_caller caller = { .tools = 0 };
    const struct sbx_mcp_headers headers = { 0 };
    struct sbx_buf out = SBX_BUF_INIT(1 << 20);
    struct sbx_mcp_message message;
    struct sbx_mcp_error err = { 0 };
    struct sbx_mcp_call call;

    is_int(sbx_mcp_message_parse(&message, body, strlen(body), &headers, &err), 0, "a cancellation");
    sbx_mcp_call_init(&call);
    is_int(sbx_mcp_catalogue_answer(catalogue, &message, &caller, &out, &call, &err), SBX_MCP_ANSWERED,
           "without a key nobody is asked");
    ok(out.len == 0, "and nothing said");
    caller.cancel_key = "0123456789abcdef";
    is_int(sbx_mcp_catalogue_answer(catalogue, &message, &caller, &out, &call, &err), SBX_MCP_FORWARD,
           "with one the backend is");
    is_str(call.body.data, "{\"key\":\"0123456789abcdef\"}", "by the key");
    sbx_mcp_call_deinit(&call);
    sbx_mcp_message_deinit(&message);
    sbx_buf_deinit(&out);
}

/* What does not fit a request is refused, not cut. */
static void
test_long(void)
{
    struct sbx_buf params = SBX_BUF_INIT(1 << 20), out = SBX_BUF_INIT(1 << 20);
    const struct sbx_mcp_caller caller = { .tools = UINT64_MAX };
    struct sbx_mcp_message message;
    struct sbx_mcp_error err = { 0 };
    struct sbx_mcp_call call;
    int i;

    sbx_buf_puts(&params, "\"name\":\"get\",\"arguments\":{\"job_id\":\"");
    for (i = 0; i < 20000; i++) {
        sbx_buf_puts(&params, "a");
    }
    sbx_buf_puts(&params, "\"}");
    mcp_message(&message, NULL, "tools/call", params.data, NULL);
    sbx_mcp_call_init(&call);
    is_int(sbx_mcp_catalogue_answer(catalogue, &message, &caller, &out, &call, &err), SBX_MCP_TOOL_ERROR,
           "a long path");
    is_str(out.data, BAD("get: nothing was done.\\n- the arguments are too long"), "is said");
    sbx_mcp_call_deinit(&call);
    sbx_mcp_message_deinit(&message);
    sbx_buf_deinit(&out);
    sbx_buf_deinit(&params);
}

int
main(void)
{
    catalogue = mcp_load(mcp_document);
    test_tools();
    test_tool_sets();
    test_state();
    test_call();
    test_resources();
    test_prompts();
    test_completion();
    test_tasks();
    test_cancelled();
    test_long();
    catalogue = sbx_mcp_catalogue_free(catalogue);
    return done_testing();
}
