/*
 * Messages of the Model Context Protocol: what each malformed one is answered with, and in which order faults count; what is taken out of
 * a good one. Rows of the requirements (T5, H1-H6, M1-M9) are named where they are tested.
 */
#include "lib/sbx_mcp_message.h"

#include "t/unit/tap.h"

#define MV "2026-07-28"
#define CAP "\"io.modelcontextprotocol/clientCapabilities\":"
#define VER "\"io.modelcontextprotocol/protocolVersion\":"
#define META "\"_meta\":{" VER "\"" MV "\"," CAP "{}}"
#define RPC(rest) "{\"jsonrpc\":\"2.0\"," rest "}"
/* A modern request without other params. */
#define ASK(method) RPC("\"id\":1,\"method\":\"" method "\",\"params\":{" META "}")
#define ASK_WITH(method, params) RPC("\"id\":1,\"method\":\"" method "\",\"params\":{" META "," params "}")
/* A legacy one. */
#define OLD(method, params) RPC("\"id\":1,\"method\":\"" method "\",\"params\":{" params "}")
#define CALL_META(method, meta) RPC("\"id\":1,\"method\":\"" method "\",\"params\":{\"_meta\":{" meta "}}")

static struct sbx_mcp_message message;
static struct sbx_mcp_error err;

static void
set_header(struct sbx_mcp_header *header, const char *value)
{
    *header = (struct sbx_mcp_header){ .value = value,
                                       .len = value == NULL ? 0 : strlen(value),
                                       .n = value == NULL ? 0 : 1 };
}

static int
parse(const char *body, const char *version, const char *method, const char *name)
{
    struct sbx_mcp_headers headers;

    set_header(&headers.version, version);
    set_header(&headers.method, method);
    set_header(&headers.name, name);
    memset(&err, 'x', sizeof(err)); /* all that is read of it has to be written */
    return sbx_mcp_message_parse(&message, body, strlen(body), &headers, &err);
}

struct bad {
    const char *what, *body, *version, *method, *name;
    int status, code;
    const char *id; /* NULL: none */
};

static const struct bad malformed[] = {
    /* JSON; 1.5: no id */
    { "nothing", "", NULL, NULL, NULL, 400, -32700, NULL },
    { "no JSON", "hello", NULL, NULL, NULL, 400, -32700, NULL },
    { "no JSON, modern headers", "{", MV, "tools/list", NULL, 400, -32700, NULL },
    { "half an object", "{\"jsonrpc\":\"2.0\",\"id\":1", NULL, NULL, NULL, 400, -32700, NULL },
    { "bytes after it", ASK("tools/list") "x", MV, "tools/list", NULL, 400, -32700, NULL },
    { "two messages", ASK("tools/list") ASK("tools/list"), MV, "tools/list", NULL, 400, -32700, NULL },
    { "a member twice", RPC("\"id\":1,\"id\":2,\"method\":\"ping\""), NULL, NULL, NULL, 400, -32700, NULL },
    { "a method twice", RPC("\"id\":1,\"method\":\"ping\",\"method\":\"tools/call\""), NULL, NULL, NULL, 400,
      -32700, NULL },
    { "an argument twice", OLD("tools/call", "\"name\":\"a\",\"arguments\":{\"x\":1,\"x\":2}"), NULL, NULL,
      NULL, 400, -32700, NULL },
    { "no UTF-8", RPC("\"id\":1,\"method\":\"ping\xff\""), NULL, NULL, NULL, 400, -32700, NULL },
    { "a lone surrogate", RPC("\"id\":\"\\ud800\",\"method\":\"ping\""), NULL, NULL, NULL, 400, -32700,
      NULL },
    { "a NUL in a string", RPC("\"id\":\"a\\u0000\",\"method\":\"ping\""), NULL, NULL, NULL, 400, -32700,
      NULL },
    { "an id beyond 64 bits", RPC("\"id\":99999999999999999999,\"method\":\"ping\""), NULL, NULL, NULL, 400,
      -32700, NULL },
    { "a byte order mark", "\xef\xbb\xbf" OLD("ping", ""), NULL, NULL, NULL, 400, -32700, NULL },
    { "a comment", "/**/" OLD("ping", ""), NULL, NULL, NULL, 400, -32700, NULL },

    /* shape */
    { "an empty batch", "[]", NULL, NULL, NULL, 400, -32600, NULL },
    { "a batch of one", "[" OLD("ping", "") "]", NULL, NULL, NULL, 400, -32600, NULL },
    { "a batch, of 2025-03-26", "[" OLD("ping", "") "]", "2025-03-26", NULL, NULL, 400, -32600, NULL },
    { "a batch, modern", "[" ASK("tools/list") "]", MV, "tools/list", NULL, 400, -32600, NULL },
    { "null", "null", NULL, NULL, NULL, 400, -32600, NULL },
    { "a string", "\"ping\"", NULL, NULL, NULL, 400, -32600, NULL },
    { "a number", "1", NULL, NULL, NULL, 400, -32600, NULL },
    { "an empty object", "{}", NULL, NULL, NULL, 400, -32600, NULL },
    { "no jsonrpc", "{\"id\":1,\"method\":\"ping\"}", NULL, NULL, NULL, 400, -32600, "1" },
    { "jsonrpc 1.0", "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"ping\"}", NULL, NULL, NULL, 400, -32600,
      "1" },
    { "jsonrpc a number", "{\"jsonrpc\":2.0,\"id\":1,\"method\":\"ping\"}", NULL, NULL, NULL, 400, -32600,
      "1" },
    { "jsonrpc 2.0 and more", "{\"jsonrpc\":\"2.0 \",\"id\":1,\"method\":\"ping\"}", NULL, NULL, NULL, 400,
      -32600, "1" },
    { "no method", RPC("\"id\":1"), NULL, NULL, NULL, 400, -32600, "1" },
    { "no method, no id", RPC("\"params\":{}"), NULL, NULL, NULL, 400, -32600, NULL },
    { "an empty method", RPC("\"id\":1,\"method\":\"\""), NULL, NULL, NULL, 400, -32600, "1" },
    { "method null", RPC("\"id\":1,\"method\":null"), NULL, NULL, NULL, 400, -32600, "1" },
    { "method a number", RPC("\"id\":1,\"method\":1"), NULL, NULL, NULL, 400, -32600, "1" },
    { "method an array", RPC("\"id\":1,\"method\":[\"ping\"]"), NULL, NULL, NULL, 400, -32600, "1" },
    { "id null (M7)", RPC("\"id\":null,\"method\":\"ping\""), NULL, NULL, NULL, 400, -32600, NULL },
    { "id null, modern (M7)", RPC("\"id\":null,\"method\":\"tools/list\",\"params\":{" META "}"), MV,
      "tools/list", NULL, 400, -32600, NULL },
    { "id a fraction (M7)", RPC("\"id\":1.5,\"method\":\"ping\""), NULL, NULL, NULL, 400, -32600, NULL },
    { "id with an exponent (M7)", RPC("\"id\":1e3,\"method\":\"ping\""), NULL, NULL, NULL, 400, -32600,
      NULL },
    { "id true (M7)", RPC("\"id\":true,\"method\":\"ping\""), NULL, NULL, NULL, 400, -32600, NULL },
    { "id an object (M7)", RPC("\"id\":{},\"method\":\"ping\""), NULL, NULL, NULL, 400, -32600, NULL },
    { "id an array (M7)", RPC("\"id\":[1],\"method\":\"ping\""), NULL, NULL, NULL, 400, -32600, NULL },
    { "params an array", RPC("\"id\":1,\"method\":\"ping\",\"params\":[]"), NULL, NULL, NULL, 400, -32600,
      "1" },
    { "params null", RPC("\"id\":1,\"method\":\"ping\",\"params\":null"), NULL, NULL, NULL, 400, -32600,
      "1" },
    { "params a string", RPC("\"id\":1,\"method\":\"ping\",\"params\":\"x\""), NULL, NULL, NULL, 400, -32600,
      "1" },
    { "a response (T5)", RPC("\"id\":1,\"result\":{}"), NULL, NULL, NULL, 400, -32600, "1" },
    { "a response, modern headers (T5)", RPC("\"id\":1,\"result\":{}"), MV, NULL, NULL, 400, -32600, "1" },
    { "an error (T5)", RPC("\"id\":\"a\",\"error\":{\"code\":1,\"message\":\"\"}"), NULL, NULL, NULL, 400,
      -32600, "\"a\"" },
    { "an error without id (T5)", RPC("\"error\":{\"code\":1,\"message\":\"\"}"), NULL, NULL, NULL, 400,
      -32600, NULL },
    { "request and response at once (T5)", RPC("\"id\":1,\"method\":\"ping\",\"result\":{}"), NULL, NULL,
      NULL, 400, -32600, "1" },
    { "a call without id", RPC("\"method\":\"tools/call\",\"params\":{\"name\":\"a\"}"), NULL, NULL, NULL,
      400, -32600, NULL },
    { "a modern call without id", RPC("\"method\":\"tools/list\",\"params\":{" META "}"), MV, "tools/list",
      NULL, 400, -32600, NULL },

    /* _meta (M1), before what the headers say */
    { "modern header, no params", RPC("\"id\":101,\"method\":\"server/discover\""), MV, "server/discover",
      NULL, 400, -32602, "101" },
    { "modern header, no _meta", RPC("\"id\":101,\"method\":\"server/discover\",\"params\":{}"), MV,
      "server/discover", NULL, 400, -32602, "101" },
    { "modern header, no _meta, no other header", RPC("\"id\":101,\"method\":\"tools/list\""), MV, NULL, NULL,
      400, -32602, "101" },
    { "_meta an array", RPC("\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":[]}"), MV, "tools/list",
      NULL, 400, -32602, "1" },
    { "_meta null", RPC("\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":null}"), MV, "tools/list",
      NULL, 400, -32602, "1" },
    { "_meta without a version", CALL_META("tools/list", CAP "{}"), MV, "tools/list", NULL, 400, -32602,
      "1" },
    { "_meta without capabilities", CALL_META("tools/list", VER "\"" MV "\""), MV, "tools/list", NULL, 400,
      -32602, "1" },
    { "the same, no header", CALL_META("tools/list", VER "\"" MV "\""), NULL, NULL, NULL, 400, -32602, "1" },
    { "version a number", CALL_META("tools/list", VER "20260728," CAP "{}"), MV, "tools/list", NULL, 400,
      -32602, "1" },
    { "version null", CALL_META("tools/list", VER "null," CAP "{}"), NULL, NULL, NULL, 400, -32602, "1" },
    { "capabilities an array", CALL_META("tools/list", VER "\"" MV "\"," CAP "[]"), MV, "tools/list", NULL,
      400, -32602, "1" },
    { "capabilities null", CALL_META("tools/list", VER "\"" MV "\"," CAP "null"), MV, "tools/list", NULL, 400,
      -32602, "1" },
    { "capabilities true", CALL_META("tools/list", VER "\"" MV "\"," CAP "true"), MV, "tools/list", NULL, 400,
      -32602, "1" },
    { "a later header, no _meta", OLD("tools/list", ""), "2027-01-01", "tools/list", NULL, 400, -32602, "1" },
    { "a header that is no date, no _meta", OLD("tools/list", ""), "v999.0.0", NULL, NULL, 400, -32602, "1" },
    { "initialize with a modern header", OLD("initialize", "\"protocolVersion\":\"2025-11-25\""), MV, NULL,
      NULL, 400, -32602, "1" },

    /* headers (H1, H3, H4, H5), before the version */
    { "no version header (H1)", ASK("tools/list"), NULL, "tools/list", NULL, 400, -32020, "1" },
    { "an empty version header (H1)", ASK("tools/list"), "", "tools/list", NULL, 400, -32020, "1" },
    { "another version header (H1)", ASK("tools/list"), "2025-11-25", "tools/list", NULL, 400, -32020, "1" },
    { "a version in the body that is none, another header (H1)",
      CALL_META("tools/list", VER "\"v999\"," CAP "{}"), MV, "tools/list", NULL, 400, -32020, "1" },
    { "a version header cut off (H1)", ASK("tools/list"), "2026-07-2", "tools/list", NULL, 400, -32020, "1" },
    { "a version header with more (H1)", ASK("tools/list"), "2026-07-28x", "tools/list", NULL, 400, -32020,
      "1" },
    { "no method header (H3)", ASK("tools/list"), MV, NULL, NULL, 400, -32020, "1" },
    { "an empty method header (H3)", ASK("tools/list"), MV, "", NULL, 400, -32020, "1" },
    { "another method header (H3)", ASK("tools/list"), MV, "prompts/list", NULL, 400, -32020, "1" },
    { "a method header in capitals (H3)", ASK("tools/list"), MV, "TOOLS/LIST", NULL, 400, -32020, "1" },
    { "a method header that is encoded (H3)", ASK("tools/list"), MV, "=?base64?dG9vbHMvbGlzdA==?=", NULL, 400,
      -32020, "1" },
    { "no method header to a method of none", ASK("no/such"), MV, NULL, NULL, 400, -32020, "1" },
    { "no name header (H4)", ASK_WITH("tools/call", "\"name\":\"run\""), MV, "tools/call", NULL, 400, -32020,
      "1" },
    { "an empty name header (H4)", ASK_WITH("tools/call", "\"name\":\"run\""), MV, "tools/call", "", 400,
      -32020, "1" },
    { "another name header (H4)", ASK_WITH("tools/call", "\"name\":\"run\""), MV, "tools/call", "ruN", 400,
      -32020, "1" },
    { "a name header, no name (H4)", ASK_WITH("tools/call", "\"arguments\":{}"), MV, "tools/call", "run", 400,
      -32020, "1" },
    { "a name header, a name that is a number (H4)", ASK_WITH("tools/call", "\"name\":1"), MV, "tools/call",
      "1", 400, -32020, "1" },
    { "no name header of a prompt (H4)", ASK_WITH("prompts/get", "\"name\":\"p\""), MV, "prompts/get", NULL,
      400, -32020, "1" },
    { "no name header of a resource (H4)", ASK_WITH("resources/read", "\"uri\":\"a:b\""), MV,
      "resources/read", NULL, 400, -32020, "1" },
    { "another name header of a resource (H4)", ASK_WITH("resources/read", "\"uri\":\"a:b\""), MV,
      "resources/read", "a:c", 400, -32020, "1" },
    { "no name header of a task (H4)", ASK_WITH("tasks/get", "\"taskId\":\"t\""), MV, "tasks/get", NULL, 400,
      -32020, "1" },
    { "another name header of a task (H4)", ASK_WITH("tasks/cancel", "\"taskId\":\"t\""), MV, "tasks/cancel",
      "u", 400, -32020, "1" },
    { "base64 without padding (H5)", ASK_WITH("tools/call", "\"name\":\"Hello\""), MV, "tools/call",
      "=?base64?SGVsbG8?=", 400, -32020, "1" },
    { "base64 of other digits (H5)", ASK_WITH("tools/call", "\"name\":\"Hello\""), MV, "tools/call",
      "=?base64?SGVs!!!bG8=?=", 400, -32020, "1" },
    { "base64 with bits left over (H5)", ASK_WITH("tools/call", "\"name\":\"Hello\""), MV, "tools/call",
      "=?base64?SGVsbG9=?=", 400, -32020, "1" },
    { "base64url (H5)", ASK_WITH("tools/call", "\"name\":\"\xc3\xbf\xc3\xbe?\""), MV, "tools/call",
      "=?base64?w7_Dvj8=?=", 400, -32020, "1" },
    { "base64 of another name (H5)", ASK_WITH("tools/call", "\"name\":\"Hello\""), MV, "tools/call",
      "=?base64?SGVsbG8h?=", 400, -32020, "1" },
    { "the sentinel in capitals is the name itself (H5)", ASK_WITH("tools/call", "\"name\":\"Hello\""), MV,
      "tools/call", "=?BASE64?SGVsbG8=?=", 400, -32020, "1" },
    { "a name that looks encoded, as it is (H5)", ASK_WITH("tools/call", "\"name\":\"=?base64?SGVsbG8=?=\""),
      MV, "tools/call", "=?base64?SGVsbG8=?=", 400, -32020, "1" },
    { "a name header beyond ASCII (H5)", ASK_WITH("tools/call", "\"name\":\"\xc3\xa4\""), MV, "tools/call",
      "\xc3\xa4", 400, -32020, "1" },
    { "a name header with a control (H5)", ASK_WITH("tools/call", "\"name\":\"a\\u0001\""), MV, "tools/call",
      "a\x01", 400, -32020, "1" },

    /* version (H2) */
    { "a version that is none (H2)", CALL_META("server/discover", VER "\"v999.0.0\"," CAP "{}"), "v999.0.0",
      "server/discover", NULL, 400, -32022, "1" },
    { "a later version (H2)", CALL_META("tools/list", VER "\"2027-01-01\"," CAP "{}"), "2027-01-01",
      "tools/list", NULL, 400, -32022, "1" },
    { "a legacy version in _meta (H2)", CALL_META("tools/list", VER "\"2025-11-25\"," CAP "{}"), "2025-11-25",
      "tools/list", NULL, 400, -32022, "1" },
    { "a version of nothing (H2)", CALL_META("tools/list", VER "\"\"," CAP "{}"), "", "tools/list", NULL, 400,
      -32022, "1" },
    { "an unknown method of an unknown version (H2)", CALL_META("no/such", VER "\"v9\"," CAP "{}"), "v9",
      "no/such", NULL, 400, -32022, "1" },
    { "a legacy header that is none of ours", OLD("ping", ""), "2024-11-05", NULL, NULL, 400, -32022, "1" },
    { "the same, to a notification", RPC("\"method\":\"notifications/initialized\""), "1.0", NULL, NULL, 400,
      -32022, NULL },
    { "an empty legacy header", OLD("ping", ""), "", NULL, NULL, 400, -32022, "1" },

    /* methods (M6) */
    { "an unknown method (M6)", ASK("unknown/method"), MV, "unknown/method", NULL, 404, -32601, "1" },
    { "initialize is gone (M6)", ASK("initialize"), MV, "initialize", NULL, 404, -32601, "1" },
    { "ping is gone (M6)", ASK("ping"), MV, "ping", NULL, 404, -32601, "1" },
    { "logging/setLevel is gone (M6)", ASK("logging/setLevel"), MV, "logging/setLevel", NULL, 404, -32601,
      "1" },
    { "resources/subscribe is gone (M6)", ASK("resources/subscribe"), MV, "resources/subscribe", NULL, 404,
      -32601, "1" },
    { "resources/unsubscribe is gone (M6)", ASK("resources/unsubscribe"), MV, "resources/unsubscribe", NULL,
      404, -32601, "1" },
    { "tasks/list never was (K6)", ASK("tasks/list"), MV, "tasks/list", NULL, 404, -32601, "1" },
    { "tasks/result never was (K6)", ASK("tasks/result"), MV, "tasks/result", NULL, 404, -32601, "1" },
    { "a method cut off", ASK("tools/lis"), MV, "tools/lis", NULL, 404, -32601, "1" },
    { "a method and more", ASK("tools/list/"), MV, "tools/list/", NULL, 404, -32601, "1" },
    { "a method in capitals", ASK("Tools/List"), MV, "Tools/List", NULL, 404, -32601, "1" },
    { "a notification with an id", ASK("notifications/cancelled"), MV, "notifications/cancelled", NULL, 404,
      -32601, "1" },
    { "an unknown method, legacy", OLD("unknown/method", ""), "2025-11-25", NULL, NULL, 200, -32601, "1" },
    { "discover, legacy", OLD("server/discover", ""), NULL, NULL, NULL, 200, -32601, "1" },
    { "subscriptions/listen, legacy", OLD("subscriptions/listen", "\"notifications\":{}"), NULL, NULL, NULL,
      200, -32601, "1" },
    { "tasks/get, legacy (K9)", OLD("tasks/get", "\"taskId\":\"t\""), "2025-11-25", NULL, NULL, 200, -32601,
      "1" },
    { "a legacy notification with an id", OLD("notifications/initialized", ""), NULL, NULL, NULL, 200, -32601,
      "1" },

    /* capability (K7), before params */
    { "tasks/get undeclared (K7)", ASK_WITH("tasks/get", "\"taskId\":\"t\""), MV, "tasks/get", "t", 400,
      -32021, "1" },
    { "tasks/cancel undeclared, without id (K7)", ASK("tasks/cancel"), MV, "tasks/cancel", NULL, 400, -32021,
      "1" },

    /* params */
    { "tools/call without a name", ASK("tools/call"), MV, "tools/call", NULL, 200, -32602, "1" },
    { "tools/call with an empty name", ASK_WITH("tools/call", "\"name\":\"\""), MV, "tools/call", "", 200,
      -32602, "1" },
    { "a legacy tools/call without a name", OLD("tools/call", ""), NULL, NULL, NULL, 200, -32602, "1" },
    { "a legacy tools/call without params", RPC("\"id\":1,\"method\":\"tools/call\""), NULL, NULL, NULL, 200,
      -32602, "1" },
    { "a name that is null", OLD("tools/call", "\"name\":null"), NULL, NULL, NULL, 200, -32602, "1" },
    { "a name that is an object", OLD("prompts/get", "\"name\":{}"), NULL, NULL, NULL, 200, -32602, "1" },
    { "arguments an array", OLD("tools/call", "\"name\":\"a\",\"arguments\":[]"), NULL, NULL, NULL, 200,
      -32602, "1" },
    { "arguments a string", OLD("prompts/get", "\"name\":\"a\",\"arguments\":\"{}\""), NULL, NULL, NULL, 200,
      -32602, "1" },
    { "resources/read without a URI", OLD("resources/read", "\"name\":\"a\""), NULL, NULL, NULL, 200, -32602,
      "1" },
    { "resources/subscribe without a URI", OLD("resources/subscribe", ""), NULL, NULL, NULL, 200, -32602,
      "1" },
    { "a cursor (P2)", ASK_WITH("tools/list", "\"cursor\":\"abc\""), MV, "tools/list", NULL, 200, -32602,
      "1" },
    { "an empty cursor (P1, P2)", ASK_WITH("prompts/list", "\"cursor\":\"\""), MV, "prompts/list", NULL, 200,
      -32602, "1" },
    { "a cursor that is null", ASK_WITH("resources/list", "\"cursor\":null"), MV, "resources/list", NULL, 200,
      -32602, "1" },
    { "a legacy cursor", OLD("resources/templates/list", "\"cursor\":\"2\""), NULL, NULL, NULL, 200, -32602,
      "1" },
    { "initialize without a version", OLD("initialize", "\"capabilities\":{}"), NULL, NULL, NULL, 200, -32602,
      "1" },
    { "initialize of a version that is a number", OLD("initialize", "\"protocolVersion\":1"), NULL, NULL,
      NULL, 200, -32602, "1" },
    { "initialize with capabilities that are none",
      OLD("initialize", "\"protocolVersion\":\"2025-11-25\",\"capabilities\":[]"), NULL, NULL, NULL, 200,
      -32602, "1" },
    { "initialize with a client that is none",
      OLD("initialize", "\"protocolVersion\":\"2025-11-25\",\"clientInfo\":\"x\""), NULL, NULL, NULL, 200,
      -32602, "1" },
    { "a level that is none", OLD("logging/setLevel", "\"level\":\"loud\""), NULL, NULL, NULL, 200, -32602,
      "1" },
    { "a level that is a number", OLD("logging/setLevel", "\"level\":1"), NULL, NULL, NULL, 200, -32602,
      "1" },
    { "a fractional progress token",
      CALL_META("tools/list", VER "\"" MV "\"," CAP "{},\"progressToken\":1.5"), MV, "tools/list", NULL, 200,
      -32602, "1" },
    { "a progress token null", OLD("ping", "\"_meta\":{\"progressToken\":null}"), NULL, NULL, NULL, 200,
      -32602, "1" },
    { "a legacy _meta that is none", OLD("ping", "\"_meta\":1"), NULL, NULL, NULL, 200, -32602, "1" },
    { "inputResponses an array", ASK_WITH("tools/call", "\"name\":\"a\",\"inputResponses\":[]"), MV,
      "tools/call", "a", 200, -32602, "1" },
    { "requestState an object", ASK_WITH("tools/call", "\"name\":\"a\",\"requestState\":{}"), MV,
      "tools/call", "a", 200, -32602, "1" },
    { "requestState null", ASK_WITH("tools/call", "\"name\":\"a\",\"requestState\":null"), MV, "tools/call",
      "a", 200, -32602, "1" },
    { "listen without a filter (S1)", ASK("subscriptions/listen"), MV, "subscriptions/listen", NULL, 200,
      -32602, "1" },
    { "a filter that is an array (S1)", ASK_WITH("subscriptions/listen", "\"notifications\":[]"), MV,
      "subscriptions/listen", NULL, 200, -32602, "1" },
    { "a filter of 1 (S1)", ASK_WITH("subscriptions/listen", "\"notifications\":{\"toolsListChanged\":1}"),
      MV, "subscriptions/listen", NULL, 200, -32602, "1" },
    { "a filter of null (S1)",
      ASK_WITH("subscriptions/listen", "\"notifications\":{\"promptsListChanged\":null}"), MV,
      "subscriptions/listen", NULL, 200, -32602, "1" },
    { "a filter of one URI that is no list (S1)",
      ASK_WITH("subscriptions/listen", "\"notifications\":{\"resourceSubscriptions\":\"a:b\"}"), MV,
      "subscriptions/listen", NULL, 200, -32602, "1" },
    { "a filter of URIs that are numbers (S1)",
      ASK_WITH("subscriptions/listen", "\"notifications\":{\"resourceSubscriptions\":[\"a:b\",1]}"), MV,
      "subscriptions/listen", NULL, 200, -32602, "1" },
};

static bool
is_text_of(const char *got, size_t len, const char *expected)
{
    return strlen(got) == len && strcmp(got, expected == NULL ? "" : expected) == 0;
}

static void
test_malformed(void)
{
    size_t i;

    for (i = 0; i < SBX_COUNT(malformed); i++) {
        const struct bad *bad = &malformed[i];
        const int r = parse(bad->body, bad->version, bad->method, bad->name);

        if (!ok(r == SBX_MCP_E_REFUSED && err.status == bad->status && err.code == bad->code &&
                    is_text_of(err.id, err.id_len, bad->id) && message.json == NULL,
                "refused: %s", bad->what)) {
            diag("returned %d, status %d, code %d, id %.*s, %s", r, err.status, err.code, (int)err.id_len,
                 err.id, err.message);
        }
    }
    ok(SBX_COUNT(malformed) >= 80, "%zu malformed messages", SBX_COUNT(malformed));
}

/* M8: of the codes that the protocol keeps for itself only its own three, and none of those that are gone. */
static void
test_codes(void)
{
    size_t i, others = 0;

    for (i = 0; i < SBX_COUNT(malformed); i++) {
        (void)parse(malformed[i].body, malformed[i].version, malformed[i].method, malformed[i].name);
        others += !(err.code == -32700 || (err.code <= -32600 && err.code >= -32603) ||
                    (err.code <= -32020 && err.code >= -32022));
    }
    is_uint(others, 0, "no other code");
}

/* `format` with one %s, which is n times the character. */
static int
parse_long(const char *format, char c, int n)
{
    static char body[65536], text[16384];

    if ((size_t)n >= sizeof(text)) {
        BAIL_OUT("%d is too long", n);
    }
    memset(text, c, (size_t)n);
    text[n] = '\0';
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(body, sizeof(body), format, text);
#pragma GCC diagnostic pop
    return parse(body, NULL, NULL, NULL);
}

static void
test_sizes(void)
{
    static const struct {
        const char *what, *format;
        int max, code;
    } sizes[] = {
        { "id", "{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"method\":\"ping\"}", SBX_MCP_ID_MAX - 2, -32600 },
        { "method", RPC("\"method\":\"notifications/%s\""), 128 - 14, -32600 },
        { "name", OLD("tools/call", "\"name\":\"%s\""), SBX_MCP_NAME_MAX, -32602 },
        { "URI", OLD("resources/read", "\"uri\":\"%s\""), SBX_MCP_URI_MAX, -32602 },
        { "progress token", OLD("ping", "\"_meta\":{\"progressToken\":\"%s\"}"), SBX_MCP_TOKEN_MAX - 2,
          -32602 },
    };
    size_t i;
    int r;

    for (i = 0; i < SBX_COUNT(sizes); i++) {
        is_int(parse_long(sizes[i].format, 'a', sizes[i].max), 0, "%s of %d bytes", sizes[i].what,
               sizes[i].max);
        sbx_mcp_message_deinit(&message);
        r = parse_long(sizes[i].format, 'a', sizes[i].max + 1);
        ok(r == SBX_MCP_E_REFUSED && err.code == sizes[i].code, "one byte more is refused");
    }
    r = parse_long(sizes[0].format, 'a', SBX_MCP_ID_MAX - 1);
    ok(r == SBX_MCP_E_REFUSED && err.id_len == 0, "an id that is too long is not told again");
    ok(parse_long("%s", '[', 40) == SBX_MCP_E_REFUSED && err.code == -32700, "forty arrays in each other");
}

/* A good one; the caller takes it apart. */
static bool
taken(const char *what, const char *body, const char *version, const char *method, const char *name)
{
    const int r = parse(body, version, method, name);

    if (r != 0) {
        diag("%s: returned %d, code %d, %s", what, r, err.code, err.message);
    }
    return ok(r == 0, "taken: %s", what);
}

#define TAKEN_AS(expected, ...)                                                                              \
    do {                                                                                                     \
        if (taken(__VA_ARGS__)) {                                                                            \
            is_str(sbx_mcp_method_name(message.method), sbx_mcp_method_name(expected), "as what it is");     \
            sbx_mcp_message_deinit(&message);                                                                \
        }                                                                                                    \
    } while (0)

static void
test_methods(void)
{
    TAKEN_AS(SBX_MCP_DISCOVER, "discover", ASK("server/discover"), MV, "server/discover", NULL);
    TAKEN_AS(SBX_MCP_TOOLS_LIST, "tools/list", ASK("tools/list"), MV, "tools/list", NULL);
    TAKEN_AS(SBX_MCP_TOOLS_LIST, "white space around headers", ASK("tools/list"), " \t" MV " ",
             "  tools/list\t", NULL);
    TAKEN_AS(SBX_MCP_TOOLS_CALL, "tools/call", ASK_WITH("tools/call", "\"name\":\"run\""), MV, "tools/call",
             " run ");
    TAKEN_AS(SBX_MCP_TOOLS_CALL, "an encoded name (H5)", ASK_WITH("tools/call", "\"name\":\"Hello\""), MV,
             "tools/call", "=?base64?SGVsbG8=?=");
    TAKEN_AS(SBX_MCP_TOOLS_CALL, "a name beyond ASCII (H5)", ASK_WITH("tools/call", "\"name\":\"\xc3\xa4\""),
             MV, "tools/call", "=?base64?w6Q=?=");
    TAKEN_AS(SBX_MCP_TOOLS_CALL, "a sentinel without its end is the name (H5)",
             ASK_WITH("tools/call", "\"name\":\"=?base64?SGVsbG8=\""), MV, "tools/call", "=?base64?SGVsbG8=");
    TAKEN_AS(SBX_MCP_TOOLS_CALL, "a name that looks encoded, encoded (H5)",
             ASK_WITH("tools/call", "\"name\":\"=?base64?literal?=\""), MV, "tools/call",
             "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=");
    TAKEN_AS(SBX_MCP_RESOURCES_LIST, "resources/list", ASK("resources/list"), MV, "resources/list", NULL);
    TAKEN_AS(SBX_MCP_RESOURCE_TEMPLATES_LIST, "templates", ASK("resources/templates/list"), MV,
             "resources/templates/list", NULL);
    TAKEN_AS(SBX_MCP_RESOURCES_READ, "resources/read", ASK_WITH("resources/read", "\"uri\":\"a:b\""), MV,
             "resources/read", "a:b");
    TAKEN_AS(SBX_MCP_PROMPTS_LIST, "prompts/list", ASK("prompts/list"), MV, "prompts/list", NULL);
    TAKEN_AS(SBX_MCP_PROMPTS_GET, "prompts/get", ASK_WITH("prompts/get", "\"name\":\"p\""), MV, "prompts/get",
             "p");
    TAKEN_AS(SBX_MCP_COMPLETE, "completion", ASK("completion/complete"), MV, "completion/complete", NULL);
    TAKEN_AS(SBX_MCP_TOOLS_LIST, "a name header where none is asked for", ASK("tools/list"), MV, "tools/list",
             "x");
    TAKEN_AS(SBX_MCP_PING, "legacy ping", OLD("ping", ""), "2025-11-25", NULL, NULL);
    TAKEN_AS(SBX_MCP_PING, "legacy, without params", RPC("\"id\":1,\"method\":\"ping\""), "2025-06-18", NULL,
             NULL);
    TAKEN_AS(SBX_MCP_PING, "legacy, whatever other headers say", OLD("ping", ""), "2025-06-18", "tools/call",
             "x");
    TAKEN_AS(SBX_MCP_LOGGING_SET_LEVEL, "legacy level", OLD("logging/setLevel", "\"level\":\"info\""), NULL,
             NULL, NULL);
    TAKEN_AS(SBX_MCP_RESOURCES_SUBSCRIBE, "legacy subscribe", OLD("resources/subscribe", "\"uri\":\"a:b\""),
             NULL, NULL, NULL);
    TAKEN_AS(SBX_MCP_RESOURCES_UNSUBSCRIBE, "legacy unsubscribe",
             OLD("resources/unsubscribe", "\"uri\":\"a:b\""), NULL, NULL, NULL);
    TAKEN_AS(SBX_MCP_INITIALIZED, "initialized", RPC("\"method\":\"notifications/initialized\""),
             "2025-11-25", NULL, NULL);
    TAKEN_AS(SBX_MCP_NOTIFICATION, "a notification nobody knows", RPC("\"method\":\"notifications/x/y\""),
             NULL, NULL, NULL);
    TAKEN_AS(SBX_MCP_NOTIFICATION, "initialized, modern", RPC("\"method\":\"notifications/initialized\""), MV,
             NULL, NULL);
    TAKEN_AS(SBX_MCP_NOTIFICATION, "a cancellation of nothing", RPC("\"method\":\"notifications/cancelled\""),
             NULL, NULL, NULL);
    TAKEN_AS(SBX_MCP_NOTIFICATION, "a cancellation of a fraction",
             RPC("\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":1.5}"), NULL, NULL, NULL);
    TAKEN_AS(SBX_MCP_PING, "members nobody knows", RPC("\"id\":1,\"method\":\"ping\",\"x\":[1]"), NULL, NULL,
             NULL);
    is_str(sbx_mcp_method_name(SBX_MCP_UNKNOWN), "unknown", "the name of no method");
    is_str(sbx_mcp_method_name(SBX_MCP_TASKS_UPDATE), "tasks/update", "the name of a method");
}

static void
test_call(void)
{
    static const char body[] = RPC(
        "\"id\":\"a\\\"\\u00e4\\u007f\",\"method\":\"tools/"
        "call\",\"params\":{\"name\":\"run\",\"arguments\":{\"code\":\"1\"},"
        "\"inputResponses\":{\"k\":{}},\"requestState\":\"s\",\"_meta\":{\"progressToken\":7,"
        "\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01\"," VER "\"" MV "\"," CAP
        "{\"elicitation\":{},\"sampling\":{},\"extensions\":{\"io.modelcontextprotocol/tasks\":{}}}}}");

    if (!taken("a call with everything", body, MV, "tools/call", "run")) {
        return;
    }
    ok(message.era == SBX_MCP_MODERN && message.is_request, "a modern request");
    is_str(message.id, "\"a\\\"\xc3\xa4\\u007f\"", "the id, as JSON again");
    is_uint(message.id_len, strlen(message.id), "and how long it is");
    is_str(message.version, MV, "its version");
    ok(message.name_len == 3 && strcmp(message.name, "run") == 0, "its name");
    ok(json_is_string(json_object_get(message.arguments, "code")), "its arguments");
    ok(json_object_get(message.input_responses, "k") != NULL, "the answers");
    is_str(message.request_state, "s", "the state");
    is_str(message.progress, "7", "the progress token");
    is_str(message.traceparent, "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01", "the trace (M9)");
    is_uint(message.can, SBX_MCP_CAN_ELICIT | SBX_MCP_CAN_SAMPLE | SBX_MCP_CAN_TASKS, "what the client can");
    sbx_mcp_message_deinit(&message);
    ok(message.json == NULL && message.name == NULL, "and nothing after it");
    sbx_mcp_message_deinit(&message);
    pass("which may be done twice");
}

static unsigned
capabilities(const char *declared)
{
    char body[512];
    unsigned can;

    snprintf(body, sizeof(body), CALL_META("tools/list", VER "\"" MV "\"," CAP "%s"), declared);
    if (parse(body, MV, "tools/list", NULL) != 0) {
        BAIL_OUT("%s: %s", declared, err.message);
    }
    can = message.can;
    sbx_mcp_message_deinit(&message);
    return can;
}

static void
test_capabilities(void)
{
    is_uint(capabilities("{}"), 0, "nothing declared");
    is_uint(capabilities("{\"elicitation\":{}}"), SBX_MCP_CAN_ELICIT, "elicitation is the form");
    is_uint(capabilities("{\"elicitation\":{\"form\":{}}}"), SBX_MCP_CAN_ELICIT, "said");
    is_uint(capabilities("{\"elicitation\":{\"url\":{}}}"), SBX_MCP_CAN_ELICIT_URL, "a URL alone is no form");
    is_uint(capabilities("{\"elicitation\":{\"form\":{},\"url\":{}}}"),
            SBX_MCP_CAN_ELICIT | SBX_MCP_CAN_ELICIT_URL, "both");
    is_uint(capabilities("{\"roots\":{}}"), SBX_MCP_CAN_ROOTS, "roots");
    is_uint(capabilities("{\"elicitation\":true,\"sampling\":null,\"roots\":[],\"extensions\":[],\"x\":{}}"),
            0, "what is no object is not declared");
    is_uint(capabilities("{\"extensions\":{\"io.modelcontextprotocol/tasks\":true}}"), 0,
            "nor such an extension");
    if (taken("a legacy call that declares", OLD("ping", "\"_meta\":{" CAP "{\"sampling\":{}}}"), NULL, NULL,
              NULL)) {
        is_uint(message.can, 0, "declares nothing");
        sbx_mcp_message_deinit(&message);
    }
}

static void
test_tasks(void)
{
    static const char meta[] =
        "\"_meta\":{" VER "\"" MV "\"," CAP "{\"extensions\":{\"io.modelcontextprotocol/tasks\":{}}}}";
    char body[512];

    snprintf(body, sizeof(body),
             RPC("\"id\":1,\"method\":\"tasks/get\",\"params\":{\"taskId\":\"job_1\",%s}"), meta);
    if (taken("tasks/get", body, MV, "tasks/get", "job_1")) {
        ok(message.method == SBX_MCP_TASKS_GET && strcmp(message.name, "job_1") == 0, "with its task");
        sbx_mcp_message_deinit(&message);
    }
    snprintf(body, sizeof(body), RPC("\"id\":1,\"method\":\"tasks/update\",\"params\":{%s}"), meta);
    ok(parse(body, MV, "tasks/update", NULL) == SBX_MCP_E_REFUSED && err.code == -32602,
       "of no task: refused");
}

static void
test_traces(void)
{
    static const char *const bad[] = {
        "\"\"",
        "1",
        "null",
        "\"00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-0\"",
        "\"00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01-\"",
        "\"00-0AF7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01\"",
        "\"00-00000000000000000000000000000000-00f067aa0ba902b7-01\"",
        "\"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01\"",
        "\"00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-0\\n\"",
    };
    char body[512];
    size_t i;

    for (i = 0; i < SBX_COUNT(bad); i++) {
        snprintf(body, sizeof(body), OLD("ping", "\"_meta\":{\"traceparent\":%s}"), bad[i]);
        if (taken("a trace that is none", body, NULL, NULL, NULL)) {
            is_str(message.traceparent, "", "is as none: %s", bad[i]);
            sbx_mcp_message_deinit(&message);
        }
    }
}

static void
test_versions(void)
{
    static const struct {
        const char *header, *expected;
    } headers[] = {
        { NULL, "2025-03-26" },
        { "2025-03-26", "2025-03-26" },
        { "2025-06-18", "2025-06-18" },
        { " 2025-11-25", "2025-11-25" },
    };
    static const struct {
        const char *asked, *header, *expected;
    } initials[] = {
        { "2025-11-25", NULL, "2025-11-25" }, { "2025-06-18", NULL, "2025-06-18" },
        { "2025-03-26", NULL, "2025-03-26" }, { "1.0", NULL, "2025-11-25" },
        { "2026-07-28", NULL, "2025-11-25" }, { "2024-11-05", NULL, "2025-11-25" },
        { "", NULL, "2025-11-25" },           { "2025-06-18", "1.0", "2025-06-18" },
    };
    char body[256];
    size_t i;

    for (i = 0; i < SBX_COUNT(headers); i++) {
        if (taken("a legacy version", OLD("ping", ""), headers[i].header, NULL, NULL)) {
            ok(message.era == SBX_MCP_LEGACY, "legacy");
            is_str(message.version, headers[i].expected, "of %s", headers[i].expected);
            sbx_mcp_message_deinit(&message);
        }
    }
    for (i = 0; i < SBX_COUNT(initials); i++) {
        snprintf(body, sizeof(body), OLD("initialize", "\"protocolVersion\":\"%s\""), initials[i].asked);
        if (taken("initialize", body, initials[i].header, NULL, NULL)) {
            is_str(message.version, initials[i].expected, "\"%s\" is offered %s", initials[i].asked,
                   initials[i].expected);
            sbx_mcp_message_deinit(&message);
        }
    }
}

/* Each of the headers twice, whatever they say. */
static void
test_twice(void)
{
    struct sbx_mcp_headers headers;
    struct sbx_mcp_header *all[] = { &headers.version, &headers.method, &headers.name };
    static const char body[] = ASK_WITH("tools/call", "\"name\":\"run\"");
    size_t i;

    for (i = 0; i < SBX_COUNT(all); i++) {
        set_header(&headers.version, MV);
        set_header(&headers.method, "tools/call");
        set_header(&headers.name, "run");
        all[i]->n = 2;
        ok(sbx_mcp_message_parse(&message, body, strlen(body), &headers, &err) == SBX_MCP_E_REFUSED &&
               err.code == -32020 && err.status == 400,
           "a header sent twice is refused");
    }
    set_header(&headers.version, "2025-11-25");
    headers.version.n = 2;
    ok(sbx_mcp_message_parse(&message, OLD("ping", ""), strlen(OLD("ping", "")), &headers, &err) ==
               SBX_MCP_E_REFUSED &&
           err.status == 400,
       "a legacy version twice too");
}

/* H6. */
static void
test_mirrors(void)
{
    static const struct {
        const char *value, *header; /* JSON; NULL: none */
        bool agrees;
    } mirrors[] = {
        { NULL, NULL, true },
        { "null", NULL, true },
        { "null", "null", false },
        { NULL, "", false },
        { "\"eu\"", "eu", true },
        { "\"eu\"", " eu\t", true },
        { "\"eu\"", NULL, false },
        { "\"eu\"", "EU", false },
        { "\"eu\"", "e", false },
        { "\"\"", "", true },
        { "\"\"", NULL, false },
        { "\" padded \"", "=?base64?IHBhZGRlZCA=?=", true },
        { "\" padded \"", " padded ", false },
        { "\"line1\\nline2\"", "=?base64?bGluZTEKbGluZTI=?=", true },
        { "\"Hello\"", "=?base64?SGVsbG8=?=", true },
        { "\"Hello\"", "=?base64?SGVsbG8?=", false },
        { "\"Hello\"", "=?base64?SGVs!!!bG8=?=", false },
        { "\"SGVsbG8=\"", "SGVsbG8=", true },
        { "\"=?base64?SGVsbG8=\"", "=?base64?SGVsbG8=", true },
        { "\"\"",
          "=?base64?"
          "?=",
          true },
        { "\"?=\"", "=?base64?=", false },
        { "42", "42", true },
        { "42", "42.0", true },
        { "42", "4.2e1", true },
        { "42", "042", false },
        { "42", "+42", false },
        { "42", "43", false },
        { "42", "42 1", false },
        { "42", "0x2a", false },
        { "42", "\"42\"", false },
        { "42", "[42]", false },
        { "42", "", false },
        { "42", NULL, false },
        { "42", "=?base64?NDI=?=", true },
        { "-7", "-7", true },
        { "0", "-0", true },
        { "9007199254740993", "9007199254740992", false },
        { "42.0", "42", true },
        { "true", "true", true },
        { "true", "TRUE", false },
        { "true", "1", false },
        { "false", "false", true },
        { "false", "", false },
        { "[]", "[]", false },
        { "{}", "{}", false },
        { "{}", NULL, false },
    };
    size_t i;

    for (i = 0; i < SBX_COUNT(mirrors); i++) {
        struct sbx_mcp_header header;
        struct sbx_field_error unused;
        json_t *value = NULL;

        if (mirrors[i].value != NULL &&
            sbx_json_parse(&value, mirrors[i].value, strlen(mirrors[i].value), &unused) != 0) {
            BAIL_OUT("%s is no JSON", mirrors[i].value);
        }
        set_header(&header, mirrors[i].header);
        ok(sbx_mcp_header_agrees(&header, value) == mirrors[i].agrees, "%s %s %s",
           mirrors[i].value == NULL ? "nothing" : mirrors[i].value, mirrors[i].agrees ? "is" : "is not",
           mirrors[i].header == NULL ? "nothing" : mirrors[i].header);
        if (header.n == 1) {
            header.n = 2;
            ok(!sbx_mcp_header_agrees(&header, value), "and never when sent twice");
        }
        json_decref(value);
    }
}

static const char *
written(void)
{
    static char text[2048];
    struct sbx_buf out = SBX_BUF_OVER(text);

    sbx_mcp_error_write(&out, &err);
    if (out.failed) {
        BAIL_OUT("the error does not fit");
    }
    return text;
}

static void
test_errors(void)
{
    (void)parse("{", NULL, NULL, NULL);
    is_str(written(),
           "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32700,\"message\":\"Parse error: the document ends too "
           "early "
           "(line 1, column 1)\"}}",
           "no id is left out, not null (M5)");
    (void)parse(ASK("no/such"), MV, "no/such", NULL);
    is_str(written(),
           "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32601,\"message\":\"Method not found\"}}",
           "an id is told again (M5)");
    (void)parse(CALL_META("ping", VER "\"v\\n\xc3\xa4\"," CAP "{}"), NULL, "ping", NULL);
    is_int(err.code, -32020, "no header");
    (void)parse(CALL_META("tools/list", VER "\"v999.0.0\"," CAP "{}"), "v999.0.0", "tools/list", NULL);
    is_str(err.data, "{\"supported\":[\"2026-07-28\"],\"requested\":\"v999.0.0\"}",
           "what was asked for (H2)");
    (void)parse(OLD("ping", ""), "1900-01-01", NULL, NULL);
    is_str(err.data,
           "{\"supported\":[\"2026-07-28\",\"2025-11-25\",\"2025-06-18\",\"2025-03-26\"],\"requested\":"
           "\"1900-01-01\"}",
           "and in the legacy era");

    err = (struct sbx_mcp_error){ 0 };
    sbx_mcp_error_capability(&err, ~0u);
    ok(err.status == 400 && err.code == -32021, "the error of what was not declared");
    is_str(err.data,
           "{\"requiredCapabilities\":{\"elicitation\":{\"form\":{},\"url\":{}},\"sampling\":{},\"roots\":{},"
           "\"extensions\":{\"io.modelcontextprotocol/tasks\":{}}}}",
           "names all, as objects");
    sbx_mcp_error_capability(&err, SBX_MCP_CAN_SAMPLE);
    is_str(err.data, "{\"requiredCapabilities\":{\"sampling\":{}}}", "or one");
    sbx_mcp_error_set(&err, 200, -32602, "%s", "\"<\n\xff");
    is_str(written(),
           "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32602,\"message\":\"\\\"<\\n\xef\xbf\xbd\"}}",
           "a message is escaped, and has no data of the last");
}

/* A version of any bytes, however long, leaves data that is JSON, and no half of a character. */
static void
test_requested(void)
{
    static const char *const pieces[] = { "a",    "\xc3\xa4", "\xf0\x9f\x98\x80", "\xff",
                                          "\x01", "\"",       "\xe2\x82" };
    char version[1024], body[4096];
    struct sbx_field_error why;
    struct sbx_buf out = SBX_BUF_OVER(body);
    json_t *data, *requested;
    size_t i, n, begin;

    for (i = 0; i < 4 * SBX_COUNT(pieces); i++) {
        begin = i / SBX_COUNT(pieces);
        memset(version, '1', begin);
        for (n = begin; n < 900; n += strlen(pieces[i % SBX_COUNT(pieces)])) {
            memcpy(version + n, pieces[i % SBX_COUNT(pieces)], strlen(pieces[i % SBX_COUNT(pieces)]) + 1);
        }
        version[0] = '1'; /* of the legacy era: a modern one would have to be in the body too */

        data = NULL;
        sbx_buf_reset(&out);
        ok(parse(OLD("ping", ""), version, NULL, NULL) == SBX_MCP_E_REFUSED && err.code == -32022 &&
               err.status == 400,
           "a long version, case %zu", i);
        sbx_mcp_error_write(&out, &err);
        ok(!out.failed && sbx_json_parse(&data, out.data, out.len, &why) == 0, "is told again as JSON");
        requested = json_object_get(json_object_get(json_object_get(data, "error"), "data"), "requested");
        ok(json_string_length(requested) >= 60, "and in part");
        json_decref(data);
    }
}

static void
test_cancelled(void)
{
    if (taken("a cancellation",
              RPC("\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"a\\n\"}"), "2025-11-25",
              NULL, NULL)) {
        ok(message.method == SBX_MCP_CANCELLED && !message.is_request && message.id_len == 0,
           "a notification");
        is_str(message.cancels, "\"a\\n\"", "says what, as that request's id would be told");
        sbx_mcp_message_deinit(&message);
    }
}

static void
test_listen(void)
{
    if (taken(
            "subscriptions/listen",
            ASK_WITH(
                "subscriptions/listen",
                "\"notifications\":{\"toolsListChanged\":true,\"resourceSubscriptions\":[\"a:b\"],\"x\":1}"),
            MV, "subscriptions/listen", NULL)) {
        ok(json_is_true(json_object_get(message.notifications, "toolsListChanged")), "has its filter");
        sbx_mcp_message_deinit(&message);
    }
}

int
main(void)
{
    test_malformed();
    test_codes();
    test_sizes();
    test_methods();
    test_call();
    test_capabilities();
    test_tasks();
    test_traces();
    test_versions();
    test_twice();
    test_mirrors();
    test_errors();
    test_requested();
    test_cancelled();
    test_listen();
    return done_testing();
}
