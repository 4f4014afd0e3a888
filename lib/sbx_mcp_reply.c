/* Answers that carry a backend's object: what goes around it, and the two kinds that are read because the client may not have them so. */
#include "sbx_mcp_reply.h"

#include <string.h>

static const struct {
    const char *name;
    enum sbx_mcp_reply_kind kind;
} kinds[] = {
    { "complete", SBX_MCP_REPLY_COMPLETE },
    { "task", SBX_MCP_REPLY_TASK },
    { "input_required", SBX_MCP_REPLY_INPUT_REQUIRED },
    { "error", SBX_MCP_REPLY_ERROR },
    { "progress", SBX_MCP_REPLY_PROGRESS },
    { "notification", SBX_MCP_REPLY_NOTIFICATION },
};

enum sbx_mcp_reply_kind
sbx_mcp_reply_kind(const char *name, size_t len)
{
    unsigned i;

    for (i = 0; i < SBX_COUNT(kinds); i++) {
        if (strlen(kinds[i].name) == len && memcmp(kinds[i].name, name, len) == 0) {
            return kinds[i].kind;
        }
    }
    return SBX_MCP_REPLY_NONE;
}

static bool
may_ask(enum sbx_mcp_method method)
{
    return method == SBX_MCP_TOOLS_CALL || method == SBX_MCP_PROMPTS_GET || method == SBX_MCP_RESOURCES_READ;
}

bool
sbx_mcp_reply_may_be(const struct sbx_mcp_message *message, enum sbx_mcp_reply_kind kind)
{
    bool modern = message->era == SBX_MCP_MODERN;

    switch (kind) {
    case SBX_MCP_REPLY_NONE:
        return false;
    case SBX_MCP_REPLY_COMPLETE:
    case SBX_MCP_REPLY_ERROR:
    case SBX_MCP_REPLY_PROGRESS:
    case SBX_MCP_REPLY_NOTIFICATION:
        return true;
    case SBX_MCP_REPLY_TASK:
        return modern && message->method == SBX_MCP_TOOLS_CALL && (message->can & SBX_MCP_CAN_TASKS) != 0;
    case SBX_MCP_REPLY_INPUT_REQUIRED:
        return modern && may_ask(message->method);
    }
    return false;
}

static void
put_envelope(struct sbx_buf *out, const struct sbx_mcp_reply_to *to, const char *member)
{
    sbx_buf_puts(out, "{\"jsonrpc\":\"2.0\"");
    if (to->message->id_len > 0) {
        sbx_buf_puts(out, ",\"id\":");
        sbx_buf_append(out, to->message->id, to->message->id_len);
    }
    sbx_buf_puts(out, ",\"");
    sbx_buf_puts(out, member);
    sbx_buf_puts(out, "\":{");
}

/* What each result of the newest revision has; nothing for older ones. True when something was written. */
static bool
put_result_head(struct sbx_buf *out, const struct sbx_mcp_reply_to *to, const char *type)
{
    put_envelope(out, to, "result");
    if (to->message->era == SBX_MCP_LEGACY) {
        return false;
    }
    sbx_buf_puts(out, "\"resultType\":\"");
    sbx_buf_puts(out, type);
    sbx_buf_puts(out, "\",\"_meta\":{\"io.modelcontextprotocol/serverInfo\":");
    sbx_buf_puts(out, to->server_info);
    sbx_buf_putc(out, '}');
    return true;
}

/* The same with what the catalogue adds to a result of this call. */
static bool
put_complete_head(struct sbx_buf *out, const struct sbx_mcp_reply_to *to)
{
    bool has = put_result_head(out, to, "complete");

    if (to->members == NULL || to->members[0] == '\0') {
        return has;
    }
    if (has) {
        sbx_buf_putc(out, ',');
    }
    sbx_buf_puts(out, to->members);
    return true;
}

bool
sbx_mcp_reply_head(struct sbx_buf *out, const struct sbx_mcp_reply_to *to, enum sbx_mcp_reply_kind kind)
{
    switch (kind) {
    case SBX_MCP_REPLY_NONE:
    case SBX_MCP_REPLY_INPUT_REQUIRED:
        out->failed = true;
        return false;
    case SBX_MCP_REPLY_COMPLETE:
        return put_complete_head(out, to);
    case SBX_MCP_REPLY_TASK:
        return put_result_head(out, to, "task");
    case SBX_MCP_REPLY_ERROR:
        put_envelope(out, to, "error");
        return false;
    case SBX_MCP_REPLY_PROGRESS:
        sbx_buf_printf(
            out,
            "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":%s",
            to->message->progress);
        return true;
    case SBX_MCP_REPLY_NOTIFICATION:
        sbx_buf_puts(out, "{\"jsonrpc\":\"2.0\"");
        return true;
    }
    return false;
}

const char *
sbx_mcp_reply_tail(enum sbx_mcp_reply_kind kind)
{
    return kind == SBX_MCP_REPLY_NOTIFICATION ? "" : "}";
}

/* What a client must have declared to be asked this; 0 when nobody may ask it. */
static unsigned
capability_of(const json_t *request)
{
    const char *method = json_string_value(json_object_get(request, "method"));
    const char *mode = json_string_value(json_object_get(json_object_get(request, "params"), "mode"));

    if (method == NULL) {
        return 0;
    }
    if (strcmp(method, "elicitation/create") == 0) {
        return mode != NULL && strcmp(mode, "url") == 0 ? SBX_MCP_CAN_ELICIT_URL : SBX_MCP_CAN_ELICIT;
    }
    if (strcmp(method, "sampling/createMessage") == 0) {
        return SBX_MCP_CAN_SAMPLE;
    }
    return strcmp(method, "roots/list") == 0 ? SBX_MCP_CAN_ROOTS : 0;
}

/* False when there are none, or one of a kind that does not exist. *ret_needed: what a client must have declared to be asked all. */
static bool
are_requests(json_t *requests, unsigned *ret_needed)
{
    const char *key;
    json_t *request;
    unsigned need;

    if (!json_is_object(requests) || json_object_size(requests) == 0) {
        return false;
    }
    json_object_foreach (requests, key, request) {
        need = capability_of(request);
        if (need == 0) {
            return false;
        }
        *ret_needed |= need;
    }
    return true;
}

static void
put_missing(struct sbx_buf *out, const struct sbx_mcp_message *message, unsigned missing)
{
    struct sbx_mcp_error err;

    memset(&err, 0, sizeof(err));
    memcpy(err.id, message->id, message->id_len + 1);
    err.id_len = message->id_len;
    sbx_mcp_error_capability(&err, missing);
    sbx_mcp_error_write(out, &err);
}

static int
put_state(struct sbx_buf *out, const struct sbx_mcp_reply_to *to, const json_t *state)
{
    int r;

    if (state == NULL || json_is_null(state)) {
        return 0;
    }
    if (!json_is_string(state)) {
        return SBX_MCP_REPLY_E_FORM;
    }
    sbx_buf_puts(out, ",\"requestState\":\"");
    r = sbx_mcp_state_seal(to->keeper, out, to->principal, to->request, json_string_value(state),
                           json_string_length(state), to->now_ms);
    sbx_buf_putc(out, '"');
    return r;
}

int
sbx_mcp_reply_input(struct sbx_buf *out, const struct sbx_mcp_reply_to *to, const char *text, size_t len,
                    int *ret_status)
{
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    struct sbx_field_error err;
    json_t *requests, *state;
    unsigned needed = 0;
    int r;

    *ret_status = 200;
    r = sbx_json_parse(&json, text, len, &err);
    if (r != 0) {
        return r < 0 ? r : SBX_MCP_REPLY_E_FORM;
    }
    requests = json_object_get(json, "inputRequests");
    state = json_object_get(json, "requestState");
    /* A state alone: the client shall only come again. */
    if (!sbx_mcp_reply_may_be(to->message, SBX_MCP_REPLY_INPUT_REQUIRED) ||
        (requests == NULL && state == NULL) || (requests != NULL && !are_requests(requests, &needed))) {
        return SBX_MCP_REPLY_E_FORM;
    }
    if ((needed & ~to->message->can) != 0) {
        *ret_status = 400;
        put_missing(out, to->message, needed & ~to->message->can);
        return 0;
    }
    (void)put_result_head(out, to, "input_required"); /* true: this era has members there */
    if (requests != NULL) {
        sbx_buf_puts(out, ",\"inputRequests\":");
        sbx_json_dump(out, requests, false);
    }
    r = put_state(out, to, state);
    sbx_buf_puts(out, "}}");
    return r;
}

/* The newest revision has a status of HTTP for some; all others are answers like any. */
static int
status_of(const struct sbx_mcp_message *message, json_int_t code)
{
    if (message->era == SBX_MCP_LEGACY) {
        return 200;
    }
    if (code == SBX_MCP_METHOD_NOT_FOUND) {
        return 404;
    }
    return code == SBX_MCP_CAPABILITY_MISSING ? 400 : 200;
}

int
sbx_mcp_reply_error(struct sbx_buf *out, const struct sbx_mcp_reply_to *to, const char *text, size_t len,
                    int *ret_status)
{
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    struct sbx_field_error err;
    json_t *code, *data;
    int r;

    *ret_status = 200;
    r = sbx_json_parse(&json, text, len, &err);
    if (r != 0) {
        return r < 0 ? r : SBX_MCP_REPLY_E_FORM;
    }
    code = json_object_get(json, "code");
    if (!json_is_integer(code) || !json_is_string(json_object_get(json, "message"))) {
        return SBX_MCP_REPLY_E_FORM;
    }
    *ret_status = status_of(to->message, json_integer_value(code));
    put_envelope(out, to, "error");
    sbx_buf_printf(out, "\"code\":%lld,\"message\":", (long long)json_integer_value(code));
    sbx_json_dump(out, json_object_get(json, "message"), false);
    data = json_object_get(json, "data");
    if (data != NULL) {
        sbx_buf_puts(out, ",\"data\":");
        sbx_json_dump(out, data, false);
    }
    sbx_buf_puts(out, "}}");
    return 0;
}
