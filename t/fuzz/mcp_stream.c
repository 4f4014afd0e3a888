/*
 * Events of a backend: the first byte says how they are cut. What comes out is the same however it was cut, and lines of it are comments, nothing,
 * or data that begins as a message does; whole events are JSON.
 */
#include "lib/sbx_mcp_stream.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ALL (SBX_MCP_CAN_TASKS | SBX_MCP_CAN_ELICIT | SBX_MCP_CAN_SAMPLE | SBX_MCP_CAN_ROOTS)

static const struct sbx_mcp_message message = { .era = SBX_MCP_MODERN,
                                                .method = SBX_MCP_TOOLS_CALL,
                                                .can = ALL,
                                                .is_request = true,
                                                .id = "5",
                                                .id_len = 1,
                                                .progress = "\"t\"" };

/* What it gives out, and how it ended: 0, E_FORM, over. */
static int
translate(struct sbx_buf *out, const uint8_t *data, size_t size, size_t piece)
{
    static struct sbx_mcp_state_keeper *keeper;
    static char digest[] = "0";
    const struct sbx_buf request = { .data = digest, .len = 1, .cap = 2, .max = 1 };
    struct sbx_mcp_reply_to to = {
        .message = &message, .server_info = "{}", .principal = "p", .request = &request, .now_ms = 1
    };
    struct sbx_mcp_stream *stream;
    size_t at, n;
    int rc = 0;

    if (keeper == NULL && sbx_mcp_state_keeper_new(&keeper, "0123456789abcdef0123456789abcdef", 32) != 0) {
        abort();
    }
    to.keeper = keeper;
    if (sbx_mcp_stream_new(&stream, &to) != 0) {
        abort();
    }
    for (at = 0; at < size && rc == 0; at += n) {
        n = size - at < piece ? size - at : piece;
        rc = sbx_mcp_stream_feed(stream, out, (const char *)data + at, n);
    }
    if (rc == 0 && sbx_mcp_stream_is_over(stream)) {
        rc = 100;
    }
    if (sbx_mcp_stream_is_open(stream)) {
        rc += 1000;
    }
    sbx_mcp_stream_free(stream);
    return rc;
}

static void
check_lines(const struct sbx_buf *out)
{
    static const char start[] = "data: {\"jsonrpc\":\"2.0\"";
    const char *line = out->data, *end;

    for (; line < out->data + out->len; line = end + 1) {
        end = memchr(line, '\n', (size_t)(out->data + out->len - line));
        if (end == NULL || memchr(line, '\r', (size_t)(end - line)) != NULL) {
            abort();
        }
        if (end != line && !(end == line + 1 && *line == ':') &&
            strncmp(line, start, sizeof(start) - 1) != 0) {
            abort();
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sbx_buf whole = SBX_BUF_INIT(64u << 20), cut = SBX_BUF_INIT(64u << 20);
    int rc, again;

    if (size < 2) {
        return 0;
    }
    rc = translate(&whole, data + 1, size - 1, SBX_MCP_STREAM_PIECE_MAX);
    again = translate(&cut, data + 1, size - 1, (size_t)data[0] % 64 + 1);
    if (rc != again) {
        abort();
    }
    if (rc < 1000 && whole.data != NULL) {
        check_lines(&whole);
    }
    /* A sealed state is another each time. */
    if (rc < 1000 && memmem(data, size, "requestState", 12) == NULL && memmem(data, size, "\\u", 2) == NULL &&
        (whole.len != cut.len || (whole.len > 0 && memcmp(whole.data, cut.data, whole.len) != 0))) {
        abort();
    }
    sbx_buf_deinit(&whole);
    sbx_buf_deinit(&cut);
    return 0;
}
