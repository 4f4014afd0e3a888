/*
 * Messages against the product's catalogue: a body, whose headers are made to agree with it. What is answered is JSON; what goes to a
 * backend has a path that is one line without spaces, in the part of the executor that is for tools.
 */
#include "lib/sbx_mcp_catalogue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sbx_mcp_catalogue *catalogue;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char text[SBX_MCP_CATALOGUE_MAX];
    struct sbx_field_error err;
    FILE *in = fopen("conf/gateway/mcp.json", "r");

    (void)argc, (void)argv; /* libFuzzer's */
    if (in == NULL || sbx_mcp_catalogue_load(&catalogue, text, fread(text, 1, sizeof(text), in), &err) != 0) {
        abort();
    }
    return fclose(in);
}

static struct sbx_mcp_header
header(const json_t *value)
{
    return json_is_string(value)
               ? (struct sbx_mcp_header){ json_string_value(value), json_string_length(value), 1 }
               : (struct sbx_mcp_header){ 0 };
}

static void
check_members(struct sbx_buf *out)
{
    struct sbx_buf whole = SBX_BUF_INIT(1 << 26);
    struct sbx_field_error err;
    json_t *json = NULL;

    sbx_buf_puts(&whole, "{");
    sbx_buf_append(&whole, out->data, out->len);
    sbx_buf_puts(&whole, "}");
    if (out->failed || whole.failed || sbx_json_parse(&json, whole.data, whole.len, &err) != 0) {
        abort();
    }
    json_decref(json);
    sbx_buf_deinit(&whole);
}

static void
check_call(const struct sbx_mcp_call *call)
{
    struct sbx_field_error err;
    json_t *json = NULL;
    size_t i;

    if (call->location == NULL || call->method == NULL || strncmp(call->path.data, "/tools/", 7) != 0 ||
        strstr(call->path.data, "/../") != NULL || strstr(call->path.data, "//") != NULL) {
        abort();
    }
    for (i = 0; i < call->path.len; i++) {
        if (call->path.data[i] <= ' ' || call->path.data[i] >= 0x7f) {
            abort();
        }
    }
    for (i = 0; i < call->idempotency_key.len; i++) {
        if (call->idempotency_key.data[i] < ' ' || call->idempotency_key.data[i] >= 0x7f) {
            abort();
        }
    }
    if (call->body.len > 0 && sbx_json_parse(&json, call->body.data, call->body.len, &err) != 0) {
        abort();
    }
    json_decref(json);
}

static void
ask(const struct sbx_mcp_message *message)
{
    static const struct sbx_mcp_caller caller = { .tools = UINT64_MAX, .state = "s", .cancel_key = "0123" };
    struct sbx_buf out = SBX_BUF_INIT(1 << 26);
    struct sbx_mcp_error err = { 0 };
    struct sbx_mcp_call call;
    int r;

    sbx_mcp_call_init(&call);
    r = sbx_mcp_catalogue_answer(catalogue, message, &caller, &out, &call, &err);
    if (r == SBX_MCP_FORWARD) {
        check_call(&call);
    } else if (r == SBX_MCP_ANSWERED || r == SBX_MCP_TOOL_ERROR) {
        check_members(&out);
    } else if (r != SBX_MCP_REFUSED || err.code == 0) {
        abort();
    }
    sbx_mcp_call_deinit(&call);
    sbx_buf_deinit(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = { "name", "uri", "taskId" };
    struct sbx_mcp_headers headers = { 0 };
    struct sbx_mcp_message message;
    struct sbx_mcp_error err = { 0 };
    struct sbx_field_error ignored;
    const json_t *params;
    json_t *json = NULL;
    size_t i;

    if (sbx_json_parse(&json, (const char *)data, size, &ignored) != 0) {
        return 0;
    }
    params = json_object_get(json, "params");
    headers.version =
        header(json_object_get(json_object_get(params, "_meta"), "io.modelcontextprotocol/protocolVersion"));
    headers.method = header(json_object_get(json, "method"));
    for (i = 0; i < SBX_COUNT(names) && headers.name.n == 0; i++) {
        headers.name = header(json_object_get(params, names[i]));
    }
    if (sbx_mcp_message_parse(&message, (const char *)data, size, &headers, &err) == 0) {
        ask(&message);
        sbx_mcp_message_deinit(&message);
    }
    json_decref(json);
    return 0;
}
