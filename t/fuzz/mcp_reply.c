/*
 * What a backend, or whoever refused, says in a body: the first byte says of what kind, in which era, of which method. What is written of it is one
 * JSON-RPC message with the request's id, whatever it was.
 */
#include "lib/sbx_mcp_reply.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct sbx_buf *out)
{
    struct sbx_field_error err;
    json_t *json = NULL;

    if (out->failed || sbx_json_parse(&json, out->data, out->len, &err) != 0) {
        abort();
    }
    if (!json_is_integer(json_object_get(json, "id")) ||
        json_is_object(json_object_get(json, "result")) == json_is_object(json_object_get(json, "error"))) {
        abort();
    }
    json_decref(json);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum sbx_mcp_method methods[] = { SBX_MCP_TOOLS_CALL, SBX_MCP_RESOURCES_READ,
                                                   SBX_MCP_TASKS_GET, SBX_MCP_COMPLETE };
    static struct sbx_mcp_state_keeper *keeper;
    static char digest[] = "0";
    const struct sbx_buf request = { .data = digest, .len = 1, .cap = 2, .max = 1 };
    struct sbx_buf out = SBX_BUF_INIT(16u << 20);
    struct sbx_mcp_message message = { .is_request = true, .id = "5", .id_len = 1 };
    struct sbx_mcp_reply_to to = {
        .message = &message, .server_info = "{}", .principal = "p", .request = &request, .now_ms = 1
    };
    struct sbx_mcp_refusal refusal = { .status = 422 };
    int rc = 0, status = 0;

    if (size < 1 ||
        (keeper == NULL && sbx_mcp_state_keeper_new(&keeper, "0123456789abcdef0123456789abcdef", 32) != 0)) {
        return 0;
    }
    to.keeper = keeper;
    message.era = data[0] & 1 ? SBX_MCP_MODERN : SBX_MCP_LEGACY;
    message.method = methods[data[0] >> 1 & 3];
    message.can = data[0] >> 5;
    switch (data[0] >> 3 & 3) {
    case 0:
        rc = sbx_mcp_reply_input(&out, &to, (const char *)data + 1, size - 1, &status);
        break;
    case 1:
        rc = sbx_mcp_reply_error(&out, &to, (const char *)data + 1, size - 1, &status);
        break;
    default:
        refusal.text = (const char *)data + 1;
        refusal.len = size - 1;
        sbx_mcp_reply_refusal(&out, &to, &refusal);
        status = 200;
    }
    if (rc == 0) {
        if (status != 200 && status != 400 && status != 404) {
            abort();
        }
        check(&out);
    }
    sbx_buf_deinit(&out);
    return 0;
}
