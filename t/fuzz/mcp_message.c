/*
 * Headers MCP-Protocol-Version, Mcp-Method and Mcp-Name, then the body, a NUL after each header; a header of "-" alone was not sent. What is
 * refused has an answer that is JSON, what is taken is within its bounds.
 */
#include "lib/sbx_mcp_message.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
take(const char **p, const char *end, struct sbx_mcp_header *ret)
{
    const char *nul = *p == end ? NULL : memchr(*p, '\0', (size_t)(end - *p));

    ret->value = *p;
    ret->len = (size_t)((nul == NULL ? end : nul) - *p);
    ret->n = ret->len == 1 && (*p)[0] == '-' ? 0 : 1;
    if (ret->n == 0) {
        *ret = (struct sbx_mcp_header){ 0 };
    }
    *p = nul == NULL ? end : nul + 1;
}

static void
check(bool holds)
{
    if (!holds) {
        abort();
    }
}

static bool
is_id(const char *text, size_t len)
{
    struct sbx_field_error why;
    json_t *json = NULL;
    bool is;

    check(strlen(text) == len);
    is = sbx_json_parse(&json, text, len, &why) == 0 && (json_is_string(json) || json_is_integer(json));
    json_decref(json);
    return is;
}

static void
check_error(const struct sbx_mcp_error *err)
{
    struct sbx_buf out = SBX_BUF_INIT(4096);
    struct sbx_field_error why;
    json_t *json = NULL;

    check(err->status == 200 || err->status == 400 || err->status == 404);
    check(err->id_len == 0 || is_id(err->id, err->id_len));
    check(err->status == 400 || err->id_len > 0);
    sbx_mcp_error_write(&out, err);
    check(!out.failed && sbx_json_parse(&json, out.data, out.len, &why) == 0);
    json_decref(json);
    sbx_buf_deinit(&out);
}

static void
check_message(const struct sbx_mcp_message *message)
{
    check(message->version != NULL && message->method != SBX_MCP_UNKNOWN);
    check(message->is_request == (message->id_len > 0) &&
          message->is_request == (message->method < SBX_MCP_INITIALIZED));
    check(message->id_len == 0 || is_id(message->id, message->id_len));
    check(message->progress[0] == '\0' || is_id(message->progress, strlen(message->progress)));
    check(message->cancels[0] == '\0' || is_id(message->cancels, strlen(message->cancels)));
    check(message->name == NULL || !message->is_request ||
          (message->name_len > 0 && message->name_len <= SBX_MCP_URI_MAX));
    check(message->era == SBX_MCP_MODERN || message->can == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data, *end = p + size;
    struct sbx_mcp_headers headers;
    struct sbx_mcp_message message;
    struct sbx_mcp_error err;
    int r;

    if (size == 0) {
        return 0;
    }
    take(&p, end, &headers.version);
    take(&p, end, &headers.method);
    take(&p, end, &headers.name);

    r = sbx_mcp_message_parse(&message, p, (size_t)(end - p), &headers, &err);
    if (r == SBX_MCP_E_REFUSED) {
        check_error(&err);
    } else if (r == 0) {
        check_message(&message);
        if (message.arguments != NULL) {
            /* Only that it reads within its bounds. */
            (void)sbx_mcp_header_agrees(&headers.name, json_object_iter_value(json_object_iter(
                                                           (json_t *)(uintptr_t)message.arguments)));
        }
        sbx_mcp_message_deinit(&message);
    }
    return 0;
}
