/* Errors of JSON-RPC 2.0 (5.1) as the Model Context Protocol has them. */
#include "sbx_mcp_inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sbx_jsonw.h"
#include "sbx_utf8.h"

#define REQUESTED_MAX 64 /* bytes of a version that are told again: any version is ten */

void
sbx_mcp_error_set(struct sbx_mcp_error *err, int status, int code, const char *fmt, ...)
{
    va_list args;

    err->status = status;
    err->code = code;
    err->data[0] = '\0';

    va_start(args, fmt);
    (void)vsnprintf(err->message, sizeof(err->message), fmt, args); /* a longer one is cut */
    va_end(args);
}

/* As much of the text as fits whole characters. */
static size_t
cut(const char *text, size_t len)
{
    size_t n, step;

    for (n = 0; n < len && n < REQUESTED_MAX; n += step) {
        step = sbx_utf8_sequence(text + n, len - n);
        if (step == 0) {
            step = 1; /* the writer makes it U+FFFD */
        }
        if (n + step > REQUESTED_MAX) {
            break;
        }
    }
    return n;
}

void
sbx_mcp_error_version(struct sbx_mcp_error *err, const char *requested, size_t len, bool legacy)
{
    struct sbx_buf data = SBX_BUF_OVER(err->data);
    struct sbx_jsonw w;

    sbx_mcp_error_set(err, 400, SBX_MCP_VERSION_UNSUPPORTED, "Unsupported protocol version");

    sbx_jsonw_init(&w, &data);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_array(&w, "supported");
    sbx_jsonw_str(&w, NULL, SBX_MCP_VERSION);
    if (legacy) {
        sbx_jsonw_str(&w, NULL, SBX_MCP_LEGACY_VERSION);
        sbx_jsonw_str(&w, NULL, "2025-06-18");
        sbx_jsonw_str(&w, NULL, SBX_MCP_LEGACY_VERSION_OLDEST);
    }
    sbx_jsonw_array_end(&w);
    sbx_jsonw_strn(&w, "requested", requested, cut(requested, len));
    sbx_jsonw_object_end(&w);
    if (data.failed) {
        err->data[0] = '\0';
    }
}

void
sbx_mcp_error_capability(struct sbx_mcp_error *err, unsigned needed)
{
    struct sbx_buf data = SBX_BUF_OVER(err->data);
    struct sbx_jsonw w;

    sbx_mcp_error_set(err, 400, SBX_MCP_CAPABILITY_MISSING,
                      "The client did not declare a capability that this needs");

    sbx_jsonw_init(&w, &data);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_object(&w, "requiredCapabilities");
    if ((needed & (SBX_MCP_CAN_ELICIT | SBX_MCP_CAN_ELICIT_URL)) != 0) {
        sbx_jsonw_object(&w, "elicitation");
        if ((needed & SBX_MCP_CAN_ELICIT) != 0) {
            sbx_jsonw_raw(&w, "form", "{}", 2);
        }
        if ((needed & SBX_MCP_CAN_ELICIT_URL) != 0) {
            sbx_jsonw_raw(&w, "url", "{}", 2);
        }
        sbx_jsonw_object_end(&w);
    }
    if ((needed & SBX_MCP_CAN_SAMPLE) != 0) {
        sbx_jsonw_raw(&w, "sampling", "{}", 2);
    }
    if ((needed & SBX_MCP_CAN_ROOTS) != 0) {
        sbx_jsonw_raw(&w, "roots", "{}", 2);
    }
    if ((needed & SBX_MCP_CAN_TASKS) != 0) {
        sbx_jsonw_object(&w, "extensions");
        sbx_jsonw_raw(&w, "io.modelcontextprotocol/tasks", "{}", 2);
        sbx_jsonw_object_end(&w);
    }
    sbx_jsonw_object_end(&w);
    sbx_jsonw_object_end(&w);
    if (data.failed) {
        err->data[0] = '\0';
    }
}

void
sbx_mcp_error_write(struct sbx_buf *out, const struct sbx_mcp_error *err)
{
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "jsonrpc", "2.0");
    if (err->id_len > 0) {
        sbx_jsonw_raw(&w, "id", err->id, err->id_len);
    }
    sbx_jsonw_object(&w, "error");
    sbx_jsonw_int(&w, "code", err->code);
    sbx_jsonw_str(&w, "message", err->message);
    if (err->data[0] != '\0') {
        sbx_jsonw_raw(&w, "data", err->data, strlen(err->data));
    }
    sbx_jsonw_object_end(&w);
    sbx_jsonw_object_end(&w);
}
