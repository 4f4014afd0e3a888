/* A small catalogue that has one of everything, and messages to ask it with. */
#pragma once

#include "lib/sbx_mcp_catalogue.h"

#include "t/unit/tap.h"

static const char mcp_document[] =
    "{\"serverInfo\":{\"name\":\"test\",\"version\":\"1\"},\"instructions\":\"Do "
    "\\\"this\\\".\",\"ttlMs\":5000,"
    "\"capabilities\":{\"tools\":{\"listChanged\":true}},\"legacy\":{\"logging\":true,\"subscribe\":true},"
    "\"tools\":["
    "{\"name\":\"run_code\",\"title\":\"Run\",\"description\":\"Runs.\",\"inputSchema\":{\"type\":\"object\","
    "\"required\":[\"code\"],\"additionalProperties\":false,\"properties\":{\"code\":{\"type\":\"string\"},"
    "\"session_id\":{\"type\":\"string\",\"x-mcp-header\":\"Session\"},\"wait\":{\"type\":\"number\"},"
    "\"key\":{\"type\":\"string\"},\"limits\":{\"type\":\"object\"},\"memory\":{\"type\":[\"integer\","
    "\"null\"]}}},"
    "\"backend\":[{\"when\":\"session_id\",\"location\":\"/_mcp/step\",\"method\":\"POST\","
    "\"path\":\"/sessions/{session_id}/steps\",\"body\":{\"code\":\"{code}\"}},"
    "{\"location\":\"/_mcp/job\",\"method\":\"POST\",\"path\":\"/"
    "jobs\",\"query\":{\"wait\":\"{wait}\",\"fixed\":\"a b\","
    "\"both\":\"{wait}-{key}\"},\"idempotency_key\":\"{key}\",\"stream\":\"always\","
    "\"body\":{\"code\":\"{code}\",\"limits\":{\"memory\":\"{memory}\",\"all\":\"{limits}\"},\"kept\":{},"
    "\"list\":[1,\"{wait}\","
    "\"x\"]}}]},"
    "{\"name\":\"all\",\"description\":\"All.\",\"inputSchema\":{\"type\":\"object\"},\"tool\":\"other\","
    "\"needs\":[\"sampling\"],"
    "\"backend\":{\"location\":\"/_mcp/all\",\"method\":\"POST\",\"path\":\"/all\",\"body\":\"{message}\"}},"
    "{\"name\":\"later\",\"description\":\"Later.\",\"inputSchema\":{\"type\":\"object\"},\"tasks\":\"must\","
    "\"backend\":{\"location\":\"/_mcp/all\",\"method\":\"POST\",\"path\":\"/"
    "all\",\"body\":{\"args\":\"{*}\"}}},"
    "{\"name\":\"get\",\"description\":\"Get.\",\"inputSchema\":{\"type\":\"object\",\"required\":[\"job_"
    "id\"],"
    "\"properties\":{\"job_id\":{\"type\":\"string\"}}},\"annotations\":{\"readOnlyHint\":true},"
    "\"backend\":{\"location\":\"/_mcp/get\",\"method\":\"GET\",\"path\":\"/jobs/{job_id}\"}}],"
    "\"resources\":[{\"uri\":\"doc://guide\",\"name\":\"guide\",\"mimeType\":\"text/plain\",\"text\":\"Read "
    "\\u00e4.\"},"
    "{\"uri\":\"doc://blob\",\"name\":\"blob\",\"blob\":\"AAEC\"},"
    "{\"uri\":\"doc://live\",\"name\":\"live\",\"backend\":{\"location\":\"/_mcp/"
    "live\",\"method\":\"GET\",\"path\":\"/live\","
    "\"query\":{\"uri\":\"{uri}\"}}}],"
    "\"resourceTemplates\":[{\"uriTemplate\":\"sandbox://job/{job_id}/"
    "{+path}\",\"name\":\"file\",\"backend\":"
    "{\"location\":\"/_mcp/file\",\"method\":\"GET\",\"path\":\"/files/"
    "{job_id}\",\"query\":{\"path\":\"{path}\"}},"
    "\"complete\":{\"job_id\":{\"location\":\"/_mcp/complete\",\"method\":\"GET\",\"path\":\"/"
    "complete\",\"query\":"
    "{\"value\":\"{value}\",\"argument\":\"{argument}\"}}}}],"
    "\"prompts\":[{\"name\":\"debug\",\"description\":\"Debugs.\",\"arguments\":[{\"name\":\"job\","
    "\"required\":true},"
    "{\"name\":\"language\",\"values\":[\"python\",\"perl\",\"bash\"]}],\"messages\":[{\"role\":\"user\","
    "\"content\":{\"type\":"
    "\"text\",\"text\":\"Look at {{job}} in "
    "{{language}}.\"}},{\"role\":\"user\",\"content\":{\"type\":\"resource\",\"resource\":"
    "{\"uri\":\"sandbox://job/{{job}}/log\",\"text\":\"\"}}}]},"
    "{\"name\":\"ask\",\"backend\":{\"location\":\"/_mcp/all\",\"method\":\"POST\",\"path\":\"/"
    "all\",\"body\":\"{message}\"}}],"
    "\"tasks\":{\"get\":{\"location\":\"/_mcp/task\",\"method\":\"GET\",\"path\":\"/tasks/{taskId}\"},"
    "\"cancel\":{\"location\":\"/_mcp/task\",\"method\":\"DELETE\",\"path\":\"/tasks/{taskId}\"}},"
    "\"cancelled\":{\"location\":\"/_mcp/cancelled\",\"method\":\"POST\",\"path\":\"/"
    "cancellations\",\"body\":"
    "{\"key\":\"{cancel_key}\"}}}";

#define MCP_META                                                                                             \
    "\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/"       \
    "clientCapabilities\":"

__attribute__((unused)) static struct sbx_mcp_catalogue *
mcp_load(const char *text)
{
    struct sbx_mcp_catalogue *catalogue = NULL;
    struct sbx_field_error err;

    if (sbx_mcp_catalogue_load(&catalogue, text, strlen(text), &err) != 0) {
        BAIL_OUT("the catalogue: %s %s", err.field, err.message);
    }
    return catalogue;
}

/* `params`: without braces. `can`: JSON of the client's capabilities; NULL for a legacy message. */
__attribute__((unused)) static void
mcp_message(struct sbx_mcp_message *ret, const char *can, const char *method, const char *params,
            const char *name)
{
    struct sbx_buf body = SBX_BUF_INIT(1 << 24);
    struct sbx_mcp_headers headers = { 0 };
    struct sbx_mcp_error err = { 0 };

    if (can == NULL) {
        sbx_buf_printf(&body, "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"%s\",\"params\":{%s}}", method,
                       params);
    } else {
        sbx_buf_printf(&body,
                       "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"%s\",\"params\":{%s%s" MCP_META "%s}}}",
                       method, params, params[0] == '\0' ? "" : ",", can);
        headers.version = (struct sbx_mcp_header){ "2026-07-28", 10, 1 };
        headers.method = (struct sbx_mcp_header){ method, strlen(method), 1 };
        if (name != NULL) {
            headers.name = (struct sbx_mcp_header){ name, strlen(name), 1 };
        }
    }
    if (body.failed || sbx_mcp_message_parse(ret, body.data, body.len, &headers, &err) != 0) {
        BAIL_OUT("the message %s: %d %s", body.data, err.code, err.message);
    }
    sbx_buf_deinit(&body);
}
