/* The product's own catalogue: what it asks the executor for each call, and that no bad argument gets as far. */
#include "t/unit/mcp_fixture.h"

#define DOCUMENT "conf/gateway/mcp.json"
#define LIST_MAX 14336 /* of tools/list: what a model reads before it does anything */

#define SES "ses_0123456789abcdefghjkmnpqrs"
#define JOB "job_0123456789abcdefghjkmnpqrs"
#define STEP SES ".stp_0123456789abcdefghjkmnpqrs"

static struct sbx_mcp_catalogue *catalogue;
static char text[SBX_MCP_CATALOGUE_MAX];

static void
load(void)
{
    FILE *in = fopen(DOCUMENT, "r");
    size_t len;

    if (in == NULL) {
        BAIL_OUT("cannot open " DOCUMENT);
    }
    len = fread(text, 1, sizeof(text) - 1, in);
    (void)fclose(in); /* only read */
    text[len] = '\0';
    catalogue = mcp_load(text);
}

static int
ask(const char *name, const char *arguments, struct sbx_buf *out, struct sbx_mcp_call *call)
{
    const struct sbx_mcp_caller caller = { .tools = UINT64_MAX };
    struct sbx_buf params = SBX_BUF_INIT(1 << 20);
    struct sbx_mcp_message message;
    struct sbx_mcp_error err = { 0 };
    int r;

    sbx_buf_printf(&params, "\"name\":\"%s\",\"arguments\":%s", name, arguments);
    mcp_message(&message, "{}", "tools/call", params.data, name);
    r = sbx_mcp_catalogue_answer(catalogue, &message, &caller, out, call, &err);
    sbx_mcp_message_deinit(&message);
    sbx_buf_deinit(&params);
    return r;
}

static void
test_calls(void)
{
    static const struct {
        const char *tool, *arguments, *location, *request, *body, *key;
    } table[] = {
        { "run_code", "{\"language\":\"python\",\"code\":\"print(1)\"}", "/_mcp/run_code", "POST /tools/jobs",
          "{\"language\":\"python\",\"code\":\"print(1)\",\"artifacts\":[\"**\"]}", "" },
        { "run_code",
          "{\"language\":\"bash\",\"code\":\"cat\",\"stdin\":\"x\",\"timeout_seconds\":5,\"wait_seconds\":0,"
          "\"idempotency_key\":\"k1\","
          "\"files\":[{\"path\":\"a\",\"content\":\"\"}]}",
          "/_mcp/run_code", "POST /tools/jobs",
          "{\"language\":\"bash\",\"code\":\"cat\",\"files\":[{\"path\":\"a\",\"content\":\"\"}],\"stdin\":"
          "\"x\",\"limits\":{\"timeout\":5},\"artifacts\":[\"**\"],\"wait\":0}",
          "k1" },
        { "run_code",
          "{\"language\":\"python\",\"code\":\"1\",\"session_id\":\"" SES "\",\"timeout_seconds\":2.5}",
          "/_mcp/run_step", "POST /tools/sessions/" SES "/steps",
          "{\"language\":\"python\",\"code\":\"1\",\"timeout\":2.5}", "" },
        { "get_job", "{\"job_id\":\"" JOB "\"}", "/_mcp/get_job", "GET /tools/runs/" JOB, "", "" },
        { "get_job", "{\"job_id\":\"" STEP "\",\"wait_seconds\":50,\"stdout_offset\":8192}", "/_mcp/get_job",
          "GET /tools/runs/" STEP "?wait=50&stdout_offset=8192", "", "" },
        { "cancel_job", "{\"job_id\":\"" JOB "\"}", "/_mcp/cancel_job", "DELETE /tools/runs/" JOB, "", "" },
        { "create_session", "{}", "/_mcp/create_session", "POST /tools/sessions", "{}", "" },
        { "create_session", "{\"language\":\"python\",\"ttl_seconds\":600,\"idempotency_key\":\"k\"}",
          "/_mcp/create_session", "POST /tools/sessions", "{\"language\":\"python\",\"ttl\":600}", "k" },
        { "close_session", "{\"session_id\":\"" SES "\"}", "/_mcp/close_session",
          "DELETE /tools/sessions/" SES, "", "" },
        { "write_files",
          "{\"session_id\":\"" SES "\",\"files\":[{\"path\":\"a\",\"uri\":\"sandbox://job/" JOB "/b\"}]}",
          "/_mcp/write_files", "POST /tools/sessions/" SES "/files",
          "{\"files\":[{\"path\":\"a\",\"uri\":\"sandbox://job/" JOB "/b\"}]}", "" },
        { "read_file", "{\"uri\":\"sandbox://job/" JOB "/a b\"}", "/_mcp/read_file",
          "GET /tools/files?uri=sandbox%3A%2F%2Fjob%2F" JOB "%2Fa%20b", "", "" },
        { "read_file",
          "{\"session_id\":\"" SES "\",\"path\":\"../x&as=link\",\"offset\":1,\"limit\":2,\"as\":\"text\"}",
          "/_mcp/read_file",
          "GET /tools/files?session=" SES "&path=..%2Fx%26as%3Dlink&offset=1&limit=2&as=text", "", "" },
        { "status", "{}", "/_mcp/status", "GET /tools/status", "", "" },
    };
    struct sbx_buf out = SBX_BUF_INIT(1 << 20);
    struct sbx_mcp_call call;
    char request[1024];
    size_t i;

    for (i = 0; i < SBX_COUNT(table); i++) {
        sbx_mcp_call_init(&call);
        is_int(ask(table[i].tool, table[i].arguments, &out, &call), SBX_MCP_FORWARD, "%s %s", table[i].tool,
               table[i].arguments);
        is_str(call.location, table[i].location, "goes to %s", table[i].location);
        (void)snprintf(request, sizeof(request), "%s %s", call.method, call.path.data);
        is_str(request, table[i].request, "as %s", table[i].request);
        is_str(call.body.len == 0 ? "" : call.body.data, table[i].body, "with this body");
        is_str(call.idempotency_key.len == 0 ? "" : call.idempotency_key.data, table[i].key, "and this key");
        sbx_mcp_call_deinit(&call);
    }
    sbx_buf_deinit(&out);
}

/* A value that no schema of an argument takes, by its type. */
static json_t *
wrong(const json_t *schema)
{
    const char *type = json_string_value(json_object_get(schema, "type"));

    if (type == NULL) {
        BAIL_OUT("an argument without a type");
    }
    return strcmp(type, "string") == 0 ? json_integer(1) : json_string("1");
}

static void
expect_refused(const char *name, json_t *arguments, const char *what, const char *property)
{
    struct sbx_buf out = SBX_BUF_INIT(1 << 20);
    struct sbx_mcp_call call;
    char *dumped = json_dumps(arguments, JSON_COMPACT), pointer[128];

    sbx_mcp_call_init(&call);
    is_int(ask(name, dumped, &out, &call), SBX_MCP_TOOL_ERROR, "%s with %s %s", name, what, property);
    (void)snprintf(pointer, sizeof(pointer), "- /%s ", property);
    ok(out.len > 0 && strstr(out.data, pointer) != NULL, "which is named");
    ok(call.location == NULL, "and nobody is asked");
    sbx_mcp_call_deinit(&call);
    sbx_buf_deinit(&out);
    free(dumped);
    json_decref(arguments);
}

/* Each tool with each argument of another type, each that is required left out, and one that there is not. */
static void
test_bad_arguments(void)
{
    const struct sbx_mcp_tool *tool;
    const json_t *input;
    const char *key;
    json_t *document = NULL, *list, *schema, *arguments, *name;
    struct sbx_field_error err;
    size_t i, k;

    if (sbx_json_parse(&document, text, strlen(text), &err) != 0) {
        BAIL_OUT(DOCUMENT);
    }
    list = json_object_get(document, "tools");
    json_array_foreach (list, i, schema) {
        tool = &catalogue->tool[i];
        input = json_object_get(schema, "inputSchema");
        ok(json_is_false(json_object_get(input, "additionalProperties")), "%s takes what it knows only",
           tool->name);
        json_object_foreach (json_object_get(input, "properties"), key, schema) {
            arguments = json_object();
            (void)json_object_set_new(arguments, key, wrong(schema));
            expect_refused(tool->name, arguments, "a wrong", key);
        }
        json_array_foreach (json_object_get(input, "required"), k, name) {
            expect_refused(tool->name, json_object(), "no", json_string_value(name));
        }
        arguments = json_object();
        (void)json_object_set_new(arguments, "packages", json_array());
        expect_refused(tool->name, arguments, "an unknown", "packages");
    }
    json_decref(document);
}

static void
test_lists(void)
{
    struct sbx_buf out = SBX_BUF_INIT(1 << 20);
    struct sbx_buf legacy = SBX_BUF_INIT(1 << 20);

    is_uint(catalogue->n_tools, 8, "eight tools");
    ok(catalogue->lists_change, "a client can be told when they change");
    sbx_mcp_catalogue_tools(catalogue, &out, SBX_MCP_MODERN, UINT64_MAX);
    sbx_mcp_catalogue_tools(catalogue, &legacy, SBX_MCP_LEGACY, UINT64_MAX);
    ok(out.len <= LIST_MAX && legacy.len <= out.len, "tools/list has %zu bytes, at most %d", out.len,
       LIST_MAX);
    sbx_buf_deinit(&out);
    sbx_buf_deinit(&legacy);
}

static void
test_resources(void)
{
    static const struct {
        const char *uri, *path; /* NULL: there is none */
    } table[] = {
        { "sandbox://session/" SES "/a/b.png",
          "/tools/resource?uri=sandbox%3A%2F%2Fsession%2F" SES "%2Fa%2Fb.png" },
        { "sandbox://job/" JOB "/out.txt", "/tools/resource?uri=sandbox%3A%2F%2Fjob%2F" JOB "%2Fout.txt" },
        { "sandbox://job/" JOB "/../../x", NULL },
        { "sandbox://job/" JOB "/%2e%2e/x", NULL },
        { "sandbox://job//x", NULL },
        { "sandbox://artifacts/" JOB "/x", NULL },
        { "sandbox://guide/x", NULL },
    };
    const struct sbx_mcp_caller caller = { .tools = 0 };
    struct sbx_buf out = SBX_BUF_INIT(1 << 20);
    struct sbx_mcp_message message;
    struct sbx_mcp_error err = { 0 };
    struct sbx_mcp_call call;
    char params[256];
    size_t i;

    for (i = 0; i < SBX_COUNT(table); i++) {
        (void)snprintf(params, sizeof(params), "\"uri\":\"%s\"", table[i].uri);
        mcp_message(&message, "{}", "resources/read", params, table[i].uri);
        sbx_mcp_call_init(&call);
        is_int(sbx_mcp_catalogue_answer(catalogue, &message, &caller, &out, &call, &err),
               table[i].path == NULL ? SBX_MCP_REFUSED : SBX_MCP_FORWARD, "%s", table[i].uri);
        if (table[i].path != NULL) {
            is_str(call.path.data, table[i].path, "is asked for");
        }
        sbx_mcp_call_deinit(&call);
        sbx_mcp_message_deinit(&message);
    }
    sbx_buf_deinit(&out);
}

/* The example that docs/mcp.md gives of a tool of one's own does what is said of it. */
static void
test_documented(void)
{
    static const char heading[] = "### A tool of one's own";
    struct sbx_mcp_catalogue *product = catalogue;
    struct sbx_buf document = SBX_BUF_INIT(1 << 20), out = SBX_BUF_INIT(1 << 20);
    FILE *in = fopen("docs/mcp.md", "r");
    const char *begin, *end;
    struct sbx_mcp_call call;

    if (in == NULL) {
        BAIL_OUT("cannot open docs/mcp.md");
    }
    text[fread(text, 1, sizeof(text) - 1, in)] = '\0';
    (void)fclose(in); /* only read */
    begin = strstr(text, heading);
    begin = begin == NULL ? NULL : strstr(begin, "```json");
    end = begin == NULL ? NULL : strstr(begin + 7, "```");
    if (end == NULL) {
        BAIL_OUT("docs/mcp.md has no example under %s", heading);
    }
    sbx_buf_puts(&document, "{\"serverInfo\":{\"name\":\"a\",\"version\":\"1\"},\"tools\":[");
    sbx_buf_append(&document, begin + 7, (size_t)(end - begin) - 7);
    sbx_buf_puts(&document, "]}");
    catalogue = mcp_load(document.data);
    sbx_mcp_call_init(&call);
    is_int(ask("weather", "{\"city\":\"S\xc3\xa3o Paulo\"}", &out, &call), SBX_MCP_FORWARD,
           "the documented tool can be called");
    is_str(call.location, "/_mcp/weather", "where it says");
    is_str(call.path.data, "/weather/S%C3%A3o%20Paulo", "as it says");
    sbx_mcp_call_deinit(&call);
    sbx_mcp_call_init(&call);
    is_int(ask("weather", "{\"city\":\"Oslo\",\"day\":\"tomorrow\"}", &out, &call), SBX_MCP_TOOL_ERROR,
           "and not with any day");
    sbx_mcp_call_deinit(&call);
    catalogue = sbx_mcp_catalogue_free(catalogue);
    catalogue = product;
    sbx_buf_deinit(&out);
    sbx_buf_deinit(&document);
}

int
main(void)
{
    load();
    test_lists();
    test_calls();
    test_bad_arguments();
    test_resources();
    test_documented();
    catalogue = sbx_mcp_catalogue_free(catalogue);
    return done_testing();
}
