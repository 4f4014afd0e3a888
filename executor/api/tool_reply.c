#include "executor/api/tool_reply.h"

#include <string.h>

#include "executor/api/accept.h"
#include "executor/api/api_inside.h"

bool
tool_wanted(const struct call *call)
{
    return accept_prefers(sbx_http_request_header(call->request, "Accept"), TOOL_TYPE, "application/json");
}

bool
tool_is_legacy(const struct call *call)
{
    static const char word[] = "legacy";
    const char *p = sbx_http_request_header(call->request, "Sandbox-Tool-Call");

    while (p != NULL && *(p += strspn(p, ", ")) != '\0') {
        size_t len = strcspn(p, ", ");

        if (len == sizeof(word) - 1 && strncmp(p, word, len) == 0) {
            return true;
        }
        p += len;
    }
    return false;
}

void
tool_reply(struct call *call, const char *result, const struct sbx_buf *body)
{
    const struct sbx_http_header header = { "Sandbox-Tool-Result", result };

    if (body->failed) {
        call_problem(call, SBX_PROBLEM_UNAVAILABLE, "the answer is too large for the memory there is");
        return;
    }
    call_reply(call, 200, TOOL_TYPE, &header, result == NULL ? 0 : 1, body->data, body->len);
}

void
tool_text(struct sbx_jsonw *w, const char *text, size_t len)
{
    sbx_jsonw_object(w, NULL);
    sbx_jsonw_str(w, "type", "text");
    sbx_jsonw_strn(w, "text", text, len);
    sbx_jsonw_object_end(w);
}

void
tool_image(struct sbx_jsonw *w, const char *mime, const void *data, size_t len)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT((len + 2) / 3 * 4 + 1);

    sbx_b64_encode(&text, data, len);
    w->buf->failed = w->buf->failed || text.failed;
    sbx_jsonw_object(w, NULL);
    sbx_jsonw_str(w, "type", "image");
    sbx_jsonw_strn(w, "data", text.failed ? "" : text.data, text.failed ? 0 : text.len);
    sbx_jsonw_str(w, "mimeType", mime);
    sbx_jsonw_object_end(w);
}

void
tool_link(struct sbx_jsonw *w, const struct tool_link *link)
{
    sbx_jsonw_object(w, NULL);
    sbx_jsonw_str(w, "type", "resource_link");
    sbx_jsonw_str(w, "uri", link->uri);
    sbx_jsonw_str(w, "name", link->name);
    sbx_jsonw_str(w, "mimeType", link->mime);
    sbx_jsonw_uint(w, "size", link->size);
    sbx_jsonw_object_end(w);
}

const char *
tool_image_type(const void *data, size_t len)
{
    static const struct {
        const char *mime;
        size_t at, len;
        const char *bytes;
    } kinds[] = {
        { "image/png", 0, 8, "\x89PNG\r\n\x1a\n" },
        { "image/jpeg", 0, 3, "\xff\xd8\xff" },
        { "image/gif", 0, 6, "GIF87a" },
        { "image/gif", 0, 6, "GIF89a" },
        { "image/webp", 8, 4, "WEBP" },
    };
    const char *text = data;

    for (size_t i = 0; i < SBX_COUNT(kinds); i++) {
        /* A RIFF file says its kind behind its length. */
        if (len >= kinds[i].at + kinds[i].len &&
            memcmp(text + kinds[i].at, kinds[i].bytes, kinds[i].len) == 0 &&
            (kinds[i].at == 0 || memcmp(text, "RIFF", 4) == 0)) {
            return kinds[i].mime;
        }
    }
    return NULL;
}
