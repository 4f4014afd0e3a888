/*
 * One message of the Model Context Protocol over HTTP (modelcontextprotocol.io, revisions 2026-07-28, 2025-11-25, 2025-06-18 and
 * 2025-03-26): the body of a POST and the headers that must agree with it. Pure: nothing is answered here.
 */
#pragma once

#include "sbx_json.h"

#pragma GCC visibility push(hidden)

#define SBX_MCP_ID_MAX 256   /* of an id as JSON text */
#define SBX_MCP_NAME_MAX 128 /* of a tool, a prompt or a task */
#define SBX_MCP_URI_MAX 2048
#define SBX_MCP_TOKEN_MAX 256   /* of a progress token as JSON text */
#define SBX_MCP_HEADER_MAX 4096 /* of the value of a header that repeats something of the body */
#define SBX_MCP_WATCHED_MAX 64  /* resources that one subscriptions/listen names */

#define SBX_MCP_VERSION "2026-07-28"        /* of the modern era */
#define SBX_MCP_LEGACY_VERSION "2025-11-25" /* the newest of the legacy era: what initialize is offered */
#define SBX_MCP_LEGACY_VERSION_OLDEST "2025-03-26" /* what a legacy request without a header speaks */

/* JSON-RPC 2.0, 5.1, and the protocol's own. */
#define SBX_MCP_PARSE_ERROR (-32700)
#define SBX_MCP_INVALID_REQUEST (-32600)
#define SBX_MCP_METHOD_NOT_FOUND (-32601)
#define SBX_MCP_INVALID_PARAMS (-32602)
#define SBX_MCP_INTERNAL_ERROR (-32603)
#define SBX_MCP_HEADER_MISMATCH (-32020)
#define SBX_MCP_CAPABILITY_MISSING (-32021)
#define SBX_MCP_VERSION_UNSUPPORTED (-32022)

enum sbx_mcp_era { SBX_MCP_LEGACY, SBX_MCP_MODERN };

/* What a message asks for. */
enum sbx_mcp_method {
    SBX_MCP_UNKNOWN,
    SBX_MCP_DISCOVER,   /* server/discover */
    SBX_MCP_INITIALIZE, /* legacy */
    SBX_MCP_PING,       /* legacy */
    SBX_MCP_TOOLS_LIST,
    SBX_MCP_TOOLS_CALL,
    SBX_MCP_RESOURCES_LIST,
    SBX_MCP_RESOURCE_TEMPLATES_LIST,
    SBX_MCP_RESOURCES_READ,
    SBX_MCP_RESOURCES_SUBSCRIBE,   /* legacy */
    SBX_MCP_RESOURCES_UNSUBSCRIBE, /* legacy */
    SBX_MCP_PROMPTS_LIST,
    SBX_MCP_PROMPTS_GET,
    SBX_MCP_COMPLETE,          /* completion/complete */
    SBX_MCP_LISTEN,            /* subscriptions/listen */
    SBX_MCP_LOGGING_SET_LEVEL, /* legacy */
    SBX_MCP_TASKS_GET,
    SBX_MCP_TASKS_UPDATE,
    SBX_MCP_TASKS_CANCEL,
    SBX_MCP_INITIALIZED, /* notifications/initialized, legacy */
    SBX_MCP_CANCELLED,   /* notifications/cancelled */
    SBX_MCP_NOTIFICATION /* any other notification: taken, and nothing is done */
};

/* The client's headers, each NULL when it was not sent; `n` how often. Names are compared by who fills this in. */
struct sbx_mcp_header {
    const char *value; /* not NUL-terminated */
    size_t len;
    unsigned n;
};

struct sbx_mcp_headers {
    struct sbx_mcp_header version; /* MCP-Protocol-Version */
    struct sbx_mcp_header method;  /* Mcp-Method */
    struct sbx_mcp_header name;    /* Mcp-Name */
};

/* Capabilities that this request's client declared. */
#define SBX_MCP_CAN_ELICIT (1u << 0) /* form mode */
#define SBX_MCP_CAN_ELICIT_URL (1u << 1)
#define SBX_MCP_CAN_SAMPLE (1u << 2)
#define SBX_MCP_CAN_ROOTS (1u << 3)
#define SBX_MCP_CAN_TASKS (1u << 4) /* the extension io.modelcontextprotocol/tasks */

struct sbx_mcp_message {
    enum sbx_mcp_era era;
    enum sbx_mcp_method method;
    bool is_request;             /* else a notification */
    char id[SBX_MCP_ID_MAX + 1]; /* JSON text: a string or an integer; "" without one */
    size_t id_len;
    const char *version; /* one of ours, constant; of initialize: the one agreed on */
    const char *name; /* of tools/call, prompts/get; uri of resources/read and subscribe; taskId; else NULL */
    size_t name_len;
    unsigned can;                         /* SBX_MCP_CAN_* */
    char progress[SBX_MCP_TOKEN_MAX + 1]; /* JSON text of params._meta.progressToken; "" without one */
    char cancels[SBX_MCP_ID_MAX + 1];     /* JSON text of the id that SBX_MCP_CANCELLED names */
    char traceparent[56];                 /* of params._meta; "" without a valid one */
    /* Borrow from `json`: an object each, or NULL. */
    const json_t *params;
    const json_t *arguments;       /* params.arguments */
    const json_t *input_responses; /* params.inputResponses */
    const json_t *notifications;   /* params.notifications of subscriptions/listen */
    const char *request_state;     /* params.requestState, NUL-terminated; NULL without */
    json_t *json;                  /* all of it */
};

/* What a JSON-RPC error needs. `message` is constant or in `text`; `data` is JSON text, "" for none. */
struct sbx_mcp_error {
    int status; /* of the HTTP reply: 200, 400, 404; a refused notification's is never 200 */
    int code;
    char message[224];
    char data[512];
    char id[SBX_MCP_ID_MAX + 1]; /* of the request it answers; "": unknown, left out of the reply */
    size_t id_len;
};

enum {
    SBX_MCP_E_REFUSED = 1, /* *err is the answer */
};

/*
 * Parses and checks a message in the order that the newest revision wants: JSON, shape, _meta, agreement of headers and body,
 * version, method, capability (tasks), params. 0: sbx_mcp_message_deinit later; SBX_MCP_E_REFUSED: *ret has nothing to free;
 * -ENOMEM. `headers` of a legacy message count no further than its version. A list's cursor is refused, whatever it says: every list
 * is one page. A notification of a method that is none (tools/call without an id) is refused, one that is not known is taken.
 */
_must_check_ int sbx_mcp_message_parse(struct sbx_mcp_message *ret, const char *body, size_t len,
                                       const struct sbx_mcp_headers *headers, struct sbx_mcp_error *err);
void sbx_mcp_message_deinit(struct sbx_mcp_message *message);

/* Constant text of the method, for logs and metrics: "tools/call"; "unknown" for SBX_MCP_UNKNOWN. */
const char *sbx_mcp_method_name(enum sbx_mcp_method method);

/*
 * Whether the header of a value that a tool's schema mirrors (x-mcp-header) says the same as the argument: plain or in the form
 * =?base64?...?=, numbers by value. `value` NULL or null: there must be no header.
 */
_must_check_ bool sbx_mcp_header_agrees(const struct sbx_mcp_header *header, const json_t *value);

/* Whether the header's value, plain or in that form, is this text. Not when it was not sent, or more than once. */
_must_check_ bool sbx_mcp_header_is(const struct sbx_mcp_header *header, const char *text, size_t len);

/* Writes an error as the whole body of a reply; sticky failure in the buffer. */
void sbx_mcp_error_write(struct sbx_buf *out, const struct sbx_mcp_error *err);
/* All of *err but its id, which stays as it is: an err of the caller's own starts as {0}. */
void _printf_(4, 5) sbx_mcp_error_set(struct sbx_mcp_error *err, int status, int code, const char *fmt, ...);
/* The error of a client that did not declare what is needed, with data.requiredCapabilities; SBX_MCP_CAN_*. */
void sbx_mcp_error_capability(struct sbx_mcp_error *err, unsigned needed);

#pragma GCC visibility pop
