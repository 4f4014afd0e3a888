/* Catalogues: what is told of them in each era, and what a document may not say. */
#include "t/unit/mcp_fixture.h"

static void
check_text(struct sbx_buf *out, const char *expected, const char *what)
{
    is_str(out->failed ? "failed" : out->data, expected, "%s", what);
    sbx_buf_reset(out);
}

static void
test_lists(void)
{
    struct sbx_mcp_catalogue *catalogue = mcp_load(mcp_document);
    struct sbx_buf out = SBX_BUF_INIT(1 << 20);

    is_str(catalogue->server_info, "{\"name\":\"test\",\"version\":\"1\"}", "the server");
    ok(catalogue->lists_change && catalogue->legacy_logging && catalogue->legacy_subscribe,
       "what was declared");
    is_uint(catalogue->ttl_ms, 5000, "how long it holds");

    sbx_mcp_catalogue_discover(catalogue, &out);
    check_text(
        &out,
        "\"supportedVersions\":[\"2026-07-28\",\"2025-11-25\",\"2025-06-18\",\"2025-03-26\"],"
        "\"capabilities\":{"
        "\"tools\":{\"listChanged\":true},\"resources\":{},\"prompts\":{},\"completions\":{},\"extensions\":{"
        "\"io.modelcontextprotocol/tasks\":{}}},\"instructions\":\"Do "
        "\\\"this\\\".\",\"ttlMs\":5000,\"cacheScope\":\"private\"",
        "discover");
    sbx_mcp_catalogue_initialize(catalogue, &out, "2025-06-18");
    check_text(&out,
               "\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"tools\":{},\"resources\":{"
               "\"subscribe\":true},\"prompts\":{},"
               "\"completions\":{},\"logging\":{}},\"serverInfo\":{\"name\":\"test\",\"version\":\"1\"},"
               "\"instructions\":"
               "\"Do \\\"this\\\".\"",
               "initialize: nothing of what only the newest revision has");

    sbx_mcp_catalogue_tools(catalogue, &out, SBX_MCP_MODERN, 1u << 3);
    check_text(&out,
               "\"tools\":[{\"name\":\"get\",\"description\":\"Get.\",\"inputSchema\":{\"type\":\"object\","
               "\"required\":[\"job_id\"],"
               "\"properties\":{\"job_id\":{\"type\":\"string\"}}},\"annotations\":{\"readOnlyHint\":true}}],"
               "\"ttlMs\":5000,"
               "\"cacheScope\":\"private\"",
               "one tool");
    sbx_mcp_catalogue_tools(catalogue, &out, SBX_MCP_LEGACY, 6);
    check_text(
        &out, "\"tools\":[{\"name\":\"all\",\"description\":\"All.\",\"inputSchema\":{\"type\":\"object\"}}]",
        "legacy clients are not told of one that needs tasks");
    sbx_mcp_catalogue_tools(catalogue, &out, SBX_MCP_MODERN, 6);
    check_text(&out,
               "\"tools\":[{\"name\":\"all\",\"description\":\"All.\",\"inputSchema\":{\"type\":\"object\"}},"
               "{\"name\":\"later\","
               "\"description\":\"Later.\",\"inputSchema\":{\"type\":\"object\"}}],\"ttlMs\":5000,"
               "\"cacheScope\":\"private\"",
               "two tools");
    sbx_mcp_catalogue_tools(catalogue, &out, SBX_MCP_MODERN, 0);
    check_text(&out, "\"tools\":[],\"ttlMs\":5000,\"cacheScope\":\"private\"", "no tool");

    sbx_mcp_catalogue_resources(catalogue, &out, SBX_MCP_LEGACY);
    check_text(&out,
               "\"resources\":[{\"uri\":\"doc://guide\",\"name\":\"guide\",\"mimeType\":\"text/"
               "plain\"},{\"uri\":\"doc://blob\","
               "\"name\":\"blob\"},{\"uri\":\"doc://live\",\"name\":\"live\"}]",
               "resources");
    sbx_mcp_catalogue_templates(catalogue, &out, SBX_MCP_MODERN);
    check_text(&out,
               "\"resourceTemplates\":[{\"uriTemplate\":\"sandbox://job/{job_id}/"
               "{+path}\",\"name\":\"file\"}],\"ttlMs\":5000,"
               "\"cacheScope\":\"private\"",
               "templates");
    sbx_mcp_catalogue_prompts(catalogue, &out, SBX_MCP_LEGACY);
    check_text(&out,
               "\"prompts\":[{\"name\":\"debug\",\"description\":\"Debugs.\",\"arguments\":[{\"name\":"
               "\"job\",\"required\":true},"
               "{\"name\":\"language\"}]},{\"name\":\"ask\"}]",
               "prompts, without the values of arguments");
    sbx_buf_deinit(&out);
    catalogue = sbx_mcp_catalogue_free(catalogue);
}

static void
test_tools(void)
{
    struct sbx_mcp_catalogue *catalogue = mcp_load(mcp_document);
    const struct sbx_mcp_tool *tool;

    is_uint(catalogue->n_tools, 4, "tools");
    tool = sbx_mcp_catalogue_tool(catalogue, "run_code and more", 8);
    ok(tool == &catalogue->tool[0], "found by name");
    is_str(sbx_mcp_tool_location(tool, 0), "/_mcp/step", "where it leads");
    is_str(sbx_mcp_tool_location(tool, 1), "/_mcp/job", "and where else");
    ok(sbx_mcp_tool_location(tool, 2) == NULL, "no third");
    is_str(tool->mirrors[0].header, "mcp-param-session", "a mirror's header");
    is_str(tool->mirrors[0].property, "session_id", "and property");
    ok(tool->mirrors[1].header == NULL, "no second");
    is_str(tool->tool, "run_code", "called as it is named");
    ok(!tool->answers_tasks && tool->needs == 0, "needs nothing");
    tool = sbx_mcp_catalogue_tool(catalogue, "all", 3);
    is_str(tool->tool, "other", "policy knows it by another name");
    is_uint(tool->needs, SBX_MCP_CAN_SAMPLE, "needs sampling");
    tool = sbx_mcp_catalogue_tool(catalogue, "later", 5);
    ok(tool->answers_tasks && tool->needs_tasks, "needs tasks");
    ok(sbx_mcp_catalogue_tool(catalogue, "late", 4) == NULL, "no such tool");
    ok(sbx_mcp_catalogue_tool(catalogue, "later2", 6) == NULL, "nor this");
    ok(sbx_mcp_catalogue_tool(catalogue, "", 0) == NULL, "nor none");
    catalogue = sbx_mcp_catalogue_free(catalogue);
    ok(sbx_mcp_catalogue_free(NULL) == NULL, "nothing to free");
}

/* A document with nothing but the server, and one member more. */
#define WITH(member) "{\"serverInfo\":{\"name\":\"a\",\"version\":\"1\"}," member "}"
#define B "\"backend\":{\"location\":\"/_l\",\"method\":\"POST\",\"path\":\"/p\"}"
#define TOOL(rest)                                                                                           \
    WITH("\"tools\":[{\"name\":\"a\",\"description\":\"d\",\"inputSchema\":{\"type\":\"object\","            \
         "\"properties\":"                                                                                   \
         "{\"x\":{\"type\":\"string\"},\"y\":{\"type\":\"string\"}},\"required\":[\"x\"]}," rest "}]")
#define TOOL_B(rest) TOOL("\"backend\":{" rest "}")
#define TOOL_IN(schema)                                                                                      \
    WITH("\"tools\":[{\"name\":\"a\",\"description\":\"d\",\"inputSchema\":" schema "," B "}]")
#define TEMPLATE(uri) WITH("\"resourceTemplates\":[{\"uriTemplate\":\"" uri "\",\"name\":\"a\"," B "}]")
#define PROMPT(rest) WITH("\"prompts\":[{\"name\":\"a\"," rest "}]")

static void
test_refused(void)
{
    static const struct {
        const char *document, *field;
    } bad[] = {
        { "", "" },
        { "[]", "" },
        { "{", "" },
        { "{}", "/serverInfo" },
        { "{\"serverInfo\":{}}", "/serverInfo/name" },
        { "{\"serverInfo\":{\"name\":\"a\"}}", "/serverInfo/version" },
        { "{\"serverInfo\":{\"name\":1,\"version\":\"1\"}}", "/serverInfo/name" },
        { "{\"serverInfo\":{\"name\":\"a\",\"version\":\"1\",\"b\":1}}", "/serverInfo/b" },
        { "{\"serverInfo\":{\"name\":\"a\",\"version\":\"1\"},\"serverInfo\":{}}", "" },
        { WITH("\"tool\":[]"), "/tool" },
        { WITH("\"instructions\":1"), "/instructions" },
        { WITH("\"ttlMs\":-1"), "/ttlMs" },
        { WITH("\"ttlMs\":1.5"), "/ttlMs" },
        { WITH("\"cacheScope\":\"none\""), "/cacheScope" },
        { WITH("\"legacy\":{\"tools\":true}"), "/legacy/tools" },
        { WITH("\"legacy\":{\"logging\":1}"), "/legacy/logging" },
        { WITH("\"capabilities\":[]"), "/capabilities" },
        { WITH("\"capabilities\":{\"tasks\":{}}"), "/capabilities/tasks" },
        { WITH("\"capabilities\":{\"tools\":{}}"), "/capabilities/tools" },
        { WITH("\"capabilities\":{\"prompts\":{\"listChanged\":true}}"), "/capabilities/prompts" },
        { WITH("\"capabilities\":{\"logging\":{\"a\":1}}"), "/capabilities/logging/a" },
        { WITH("\"capabilities\":{\"completions\":{}}"), "/capabilities/completions" },
        { WITH("\"tools\":{}"), "/tools" },
        { WITH("\"tools\":[1]"), "/tools/0" },
        { WITH("\"tools\":[{}]"), "/tools/0/name" },
        { WITH("\"tools\":[{\"name\":\"a b\"}]"), "/tools/0/name" },
        { WITH("\"tools\":[{\"name\":\"a/b\"}]"), "/tools/0/name" },
        { WITH("\"tools\":[{\"name\":\"\\u00e4\"}]"), "/tools/0/name" },
        { WITH("\"tools\":[{\"name\":\"\"}]"), "/tools/0/name" },
        { WITH("\"tools\":[{\"name\":\"a\"}]"), "/tools/0/description" },
        { WITH("\"tools\":[{\"name\":\"a\",\"description\":\"d\"}]"), "/tools/0/inputSchema" },
        { WITH("\"tools\":[{\"name\":\"a\",\"schema\":{}}]"), "/tools/0/schema" },
        { TOOL_IN("{}"), "/tools/0/inputSchema" },
        { TOOL_IN("true"), "/tools/0/inputSchema" },
        { TOOL_IN("{\"type\":[\"object\"]}"), "/tools/0/inputSchema" },
        { TOOL_IN("{\"type\":\"object\",\"contains\":{}}"), "/tools/0/inputSchema/contains" },
        { TOOL_IN("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"x\"}}}"),
          "/tools/0/inputSchema/properties/a/type" },
        { TOOL_IN(
              "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"number\",\"x-mcp-header\":\"A\"}}}"),
          "/tools/0/inputSchema/properties/a" },
        { TOOL_IN("{\"type\":\"object\",\"properties\":{\"a\":{\"x-mcp-header\":\"A\"}}}"),
          "/tools/0/inputSchema/properties/a" },
        { TOOL_IN("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"\"}}}"),
          "/tools/0/inputSchema/properties/a" },
        { TOOL_IN(
              "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"A: b\"}}}"),
          "/tools/0/inputSchema/properties/a" },
        { TOOL_IN("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":1}}}"),
          "/tools/0/inputSchema/properties/a" },
        { TOOL_IN("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"x-mcp-header\":\"A\"},"
                  "\"b\":{\"type\":\"string\",\"x-mcp-header\":\"a\"}}}"),
          "/tools/0/inputSchema/properties/b" },
        { TOOL_IN("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"object\",\"properties\":{\"b\":{"
                  "\"type\":\"string\",\"x-mcp-header\":\"A\"}}}}}"),
          "/tools/0/inputSchema/properties/a" },
        { TOOL("\"outputSchema\":true," B), "/tools/0/outputSchema" },
        { TOOL("\"outputSchema\":{\"type\":1}," B), "/tools/0/outputSchema/type" },
        { TOOL("\"needs\":[\"logging\"]," B), "/tools/0/needs" },
        { TOOL("\"needs\":[1]," B), "/tools/0/needs" },
        { TOOL("\"tasks\":\"no\"," B), "/tools/0/tasks" },
        { TOOL("\"tasks\":\"may\"," B), "/tasks" },
        { TOOL("\"tool\":\"\"," B), "/tools/0/tool" },
        { TOOL("\"title\":\"t\""), "/tools/0/backend" },
        { TOOL("\"backend\":1"), "/tools/0/backend" },
        { TOOL("\"backend\":[]"), "/tools/0/backend" },
        { TOOL_B("\"x\":1"), "/tools/0/backend/x" },
        { TOOL_B("\"method\":\"GET\",\"path\":\"/\""), "/tools/0/backend/location" },
        { TOOL_B("\"location\":\"l\",\"method\":\"GET\",\"path\":\"/\""), "/tools/0/backend/location" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"get\",\"path\":\"/\""), "/tools/0/backend/method" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"CONNECT\",\"path\":\"/\""), "/tools/0/backend/method" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"GET\",\"path\":\"a\""), "/tools/0/backend/path" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"GET\",\"path\":\"/a?b\""), "/tools/0/backend/path" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"GET\",\"path\":\"/a b\""), "/tools/0/backend/path" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"GET\",\"path\":\"/../b\""), "/tools/0/backend/path" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"GET\",\"path\":\"/{z}\""), "/tools/0/backend/path" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"GET\",\"path\":\"/{y}\""), "/tools/0/backend/path" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"GET\",\"path\":\"/{x\""), "/tools/0/backend/path" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"GET\",\"path\":\"/x}\""), "/tools/0/backend/path" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"GET\",\"path\":\"/{}\""), "/tools/0/backend/path" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"GET\",\"path\":\"/{*}\""), "/tools/0/backend/path" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"GET\",\"path\":\"/{message}\""), "/tools/0/backend/path" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"GET\",\"path\":\"/\",\"body\":{}"),
          "/tools/0/backend/body" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"GET\",\"path\":\"/\",\"query\":[]"),
          "/tools/0/backend/query" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"GET\",\"path\":\"/\",\"query\":{\"A\":\"b\"}"),
          "/tools/0/backend/query/A" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"GET\",\"path\":\"/\",\"query\":{\"a\":1}"),
          "/tools/0/backend/query/a" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"GET\",\"path\":\"/\",\"query\":{\"a\":\"{z}\"}"),
          "/tools/0/backend/query/a" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"POST\",\"path\":\"/\",\"body\":{\"a\":{\"b\":[\"{z}\"]}}"),
          "/tools/0/backend/body/a/b/0" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"POST\",\"path\":\"/\",\"body\":{\"a\":\"{x} \"}"),
          "/tools/0/backend/body/a" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"POST\",\"path\":\"/\",\"stream\":\"no\""),
          "/tools/0/backend/stream" },
        { TOOL_B("\"location\":\"/l\",\"method\":\"POST\",\"path\":\"/\",\"idempotency_key\":\"{z}\""),
          "/tools/0/backend/idempotency_key" },
        { TOOL_B("\"when\":\"x\",\"location\":\"/l\",\"method\":\"POST\",\"path\":\"/\""),
          "/tools/0/backend/when" },
        { TOOL("\"backend\":[{\"when\":\"z\",\"location\":\"/l\",\"method\":\"POST\",\"path\":\"/"
               "\"},{\"location\":\"/l\",\"method\":\"POST\",\"path\":\"/\"}]"),
          "/tools/0/backend/0/when" },
        { TOOL("\"backend\":[{\"location\":\"/l\",\"method\":\"POST\",\"path\":\"/\"},{\"location\":\"/"
               "l\",\"method\":\"POST\",\"path\":\"/\"}]"),
          "/tools/0/backend/0/when" },
        { TOOL("\"backend\":[{\"when\":\"y\",\"location\":\"/l\",\"method\":\"POST\",\"path\":\"/"
               "{y}\"},{\"location\":\"/l\",\"method\":\"POST\",\"path\":\"/{y}\"}]"),
          "/tools/0/backend/1/path" },
        { WITH("\"tools\":[{\"name\":\"a\",\"description\":\"d\",\"inputSchema\":{\"type\":\"object\"}," B
               "},{\"name\":\"a\",\"description\":\"d\","
               "\"inputSchema\":{\"type\":\"object\"}," B "}]"),
          "/tools" },
        { WITH("\"resources\":[{\"name\":\"a\",\"text\":\"t\"}]"), "/resources/0/uri" },
        { WITH("\"resources\":[{\"uri\":\"a\",\"name\":\"a\",\"text\":\"t\"}]"), "/resources/0/uri" },
        { WITH("\"resources\":[{\"uri\":\"a:\",\"name\":\"a\",\"text\":\"t\"}]"), "/resources/0/uri" },
        { WITH("\"resources\":[{\"uri\":\"a:b c\",\"name\":\"a\",\"text\":\"t\"}]"), "/resources/0/uri" },
        { WITH("\"resources\":[{\"uri\":\"a:b\",\"text\":\"t\"}]"), "/resources/0/name" },
        { WITH("\"resources\":[{\"uri\":\"a:b\",\"name\":\"a\"}]"), "/resources/0" },
        { WITH("\"resources\":[{\"uri\":\"a:b\",\"name\":\"a\",\"text\":\"t\",\"blob\":\"AA==\"}]"),
          "/resources/0" },
        { WITH("\"resources\":[{\"uri\":\"a:b\",\"name\":\"a\",\"text\":1}]"), "/resources/0/text" },
        { WITH("\"resources\":[{\"uri\":\"a:b\",\"name\":\"a\",\"blob\":\"?\"}]"), "/resources/0/blob" },
        { WITH("\"resources\":[{\"uri\":\"a:b\",\"name\":\"a\",\"text\":\"\"},{\"uri\":\"a:b\",\"name\":"
               "\"a\",\"text\":\"\"}]"),
          "/resources/1/uri" },
        { TEMPLATE("a"), "/resourceTemplates/0/uriTemplate" },
        { TEMPLATE("a:b"), "/resourceTemplates/0/uriTemplate" },
        { TEMPLATE("a:{b"), "/resourceTemplates/0/uriTemplate" },
        { TEMPLATE("a:b}"), "/resourceTemplates/0/uriTemplate" },
        { TEMPLATE("a:{}"), "/resourceTemplates/0/uriTemplate" },
        { TEMPLATE("a:{b}{c}"), "/resourceTemplates/0/uriTemplate" },
        { TEMPLATE("a:{/b}"), "/resourceTemplates/0/uriTemplate" },
        { TEMPLATE("a:{b*}"), "/resourceTemplates/0/uriTemplate" },
        { TEMPLATE("a:{+b}/c"), "/resourceTemplates/0/uriTemplate" },
        { TEMPLATE("a:{a}.{b}.{c}.{d}.{e}.{f}.{g}.{h}.{i}"), "/resourceTemplates/0/uriTemplate" },
        { WITH("\"resourceTemplates\":[{\"uriTemplate\":\"a:{b}\",\"name\":\"a\"}]"),
          "/resourceTemplates/0/backend" },
        { WITH("\"resourceTemplates\":[{\"uriTemplate\":\"a:{b}\",\"name\":\"a\",\"backend\":{\"location\":"
               "\"/l\",\"method\":\"GET\",\"path\":\"/{c}\"}}]"),
          "/resourceTemplates/0/backend/path" },
        { WITH("\"resourceTemplates\":[{\"uriTemplate\":\"a:{b}\",\"name\":\"a\",\"complete\":{\"c\":{}}," B
               "}]"),
          "/resourceTemplates/0/complete/c" },
        { WITH("\"resourceTemplates\":[{\"uriTemplate\":\"a:{b}\",\"name\":\"a\",\"complete\":{\"b\":{}}," B
               "}]"),
          "/resourceTemplates/0/complete/b/location" },
        { PROMPT("\"description\":\"d\""), "/prompts/0" },
        { PROMPT("\"messages\":[]," B), "/prompts/0" },
        { PROMPT("\"messages\":[{}]"), "/prompts/0/messages/0" },
        { PROMPT("\"messages\":[{\"role\":\"system\",\"content\":{\"type\":\"text\"}}]"),
          "/prompts/0/messages/0" },
        { PROMPT("\"messages\":[{\"role\":\"user\",\"content\":\"text\"}]"), "/prompts/0/messages/0" },
        { PROMPT("\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"text\",\"text\":\"{{a}}\"}}]"),
          "/prompts/0/messages/0" },
        { PROMPT("\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"text\",\"text\":\"{{a\"}}]"),
          "/prompts/0/messages/0" },
        { PROMPT("\"messages\":[{\"role\":\"user\",\"content\":{\"type\":\"text\"},\"x\":1}]"),
          "/prompts/0/messages/0/x" },
        { PROMPT("\"arguments\":[{\"name\":\"a\"},{\"name\":\"a\"}],\"messages\":[]"),
          "/prompts/0/arguments/1/name" },
        { PROMPT("\"arguments\":[1],\"messages\":[]"), "/prompts/0/arguments/0" },
        { PROMPT("\"arguments\":[{\"name\":\"a\",\"values\":[1]}],\"messages\":[]"),
          "/prompts/0/arguments/0/values" },
        { PROMPT("\"arguments\":[{\"name\":\"a\",\"type\":\"b\"}],\"messages\":[]"),
          "/prompts/0/arguments/0/type" },
        { WITH("\"prompts\":[{\"name\":\"a\",\"messages\":[]},{\"name\":\"a\",\"messages\":[]}]"),
          "/prompts/1/name" },
        { WITH("\"tasks\":{}"), "/tasks" },
        { WITH("\"tasks\":{\"list\":{}}"), "/tasks/list" },
        { WITH("\"tasks\":{\"get\":{\"location\":\"/l\",\"method\":\"GET\",\"path\":\"/{id}\"}}"),
          "/tasks/get/path" },
        { WITH("\"cancelled\":{\"location\":\"/l\",\"method\":\"POST\",\"path\":\"/\",\"body\":\"{key}\"}"),
          "/cancelled/body" },
    };
    struct sbx_mcp_catalogue *catalogue = NULL;
    struct sbx_field_error err;
    size_t i;

    for (i = 0; i < SBX_COUNT(bad); i++) {
        is_int(sbx_mcp_catalogue_load(&catalogue, bad[i].document, strlen(bad[i].document), &err),
               SBX_MCP_CATALOGUE_E_FORM, "refused: %s", bad[i].document);
        is_str(err.field, bad[i].field, "at %s: %s", err.field, err.message);
        ok(catalogue == NULL, "and nothing returned");
    }
    is_int(sbx_mcp_catalogue_load(&catalogue, " ", SBX_MCP_CATALOGUE_MAX + 1, &err), SBX_MCP_CATALOGUE_E_FORM,
           "refused: too long");
}

/* What says nothing but who the server is has no capability, and its lists are empty. */
static void
test_least(void)
{
    struct sbx_mcp_catalogue *catalogue = mcp_load(WITH("\"cacheScope\":\"public\""));
    struct sbx_buf out = SBX_BUF_INIT(1 << 20);

    sbx_mcp_catalogue_discover(catalogue, &out);
    check_text(&out,
               "\"supportedVersions\":[\"2026-07-28\",\"2025-11-25\",\"2025-06-18\",\"2025-03-26\"],"
               "\"capabilities\":{},\"ttlMs\":0,"
               "\"cacheScope\":\"public\"",
               "discover");
    sbx_mcp_catalogue_initialize(catalogue, &out, "2025-11-25");
    check_text(&out,
               "\"protocolVersion\":\"2025-11-25\",\"capabilities\":{},\"serverInfo\":{\"name\":\"a\","
               "\"version\":\"1\"}",
               "initialize");
    sbx_mcp_catalogue_tools(catalogue, &out, SBX_MCP_LEGACY, UINT64_MAX);
    check_text(&out, "\"tools\":[]", "tools");
    sbx_mcp_catalogue_resources(catalogue, &out, SBX_MCP_MODERN);
    check_text(&out, "\"resources\":[],\"ttlMs\":0,\"cacheScope\":\"public\"", "resources");
    sbx_mcp_catalogue_templates(catalogue, &out, SBX_MCP_LEGACY);
    check_text(&out, "\"resourceTemplates\":[]", "templates");
    sbx_mcp_catalogue_prompts(catalogue, &out, SBX_MCP_LEGACY);
    check_text(&out, "\"prompts\":[]", "prompts");
    sbx_buf_deinit(&out);
    catalogue = sbx_mcp_catalogue_free(catalogue);
}

int
main(void)
{
    test_lists();
    test_tools();
    test_refused();
    test_least();
    return done_testing();
}
