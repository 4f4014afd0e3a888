#include "executor/api/reply_parts.h"

#include <string.h>

#include "lib/sbx_utf8.h"

void
reply_text(struct sbx_jsonw *w, const char *key, const char *text)
{
    sbx_jsonw_str(w, key, *text != '\0' ? text : NULL);
}

void
reply_time(struct sbx_jsonw *w, const char *key, uint64_t unix_ms)
{
    sbx_jsonw_time(w, key, unix_ms);
}

void
reply_raw(struct sbx_jsonw *w, const char *key, const char *json, const char *without)
{
    const char *value = json != NULL ? json : without;

    sbx_jsonw_raw(w, key, value, strlen(value));
}

static void
write_base64(struct sbx_jsonw *w, const char *key, const struct job_stream *stream)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(stream->len * 2 + 8);

    sbx_buf_putc(&text, '"');
    sbx_b64_encode(&text, stream->data, stream->len);
    sbx_buf_putc(&text, '"');
    if (text.failed) {
        w->buf->failed = true;
        return;
    }
    sbx_jsonw_raw(w, key, text.data, text.len);
}

void
reply_stream(struct sbx_jsonw *w, const char *key, const char *key_base64, const struct job_stream *stream)
{
    const char *data = stream->data == NULL ? "" : stream->data;

    sbx_jsonw_strn(w, key, data, stream->len);
    /* The text has replacement characters then: whoever needs the bytes gets them. */
    if (stream->len > 0 && !sbx_utf8_valid(data, stream->len)) {
        write_base64(w, key_base64, stream);
    }
}
