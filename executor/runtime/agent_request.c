#include "executor/runtime/agent_request.h"

#include <string.h>

#include "lib/sbx_crypto.h"
#include "lib/sbx_jsonw.h"
#include "lib/sbx_utf8.h"

static void
write_env(struct sbx_jsonw *w, const struct runtime_run *run)
{
    sbx_jsonw_object(w, "env");
    for (unsigned i = 0; i < run->n_env; i++) {
        sbx_jsonw_str(w, run->env[i].name, run->env[i].value);
    }
    sbx_jsonw_object_end(w);
}

static void
write_base64(struct sbx_jsonw *w, const char *key, const void *data, size_t len)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf content = SBX_BUF_INIT(w->buf->max);

    sbx_buf_putc(&content, '"');
    sbx_b64_encode(&content, data, len);
    sbx_buf_putc(&content, '"');
    if (content.failed) {
        w->buf->failed = true;
        return;
    }
    sbx_jsonw_raw(w, key, content.data, content.len);
}

/* Always base64: a file may hold NUL, and what is not UTF-8 would not survive a JSON string. */
static void
write_file(struct sbx_jsonw *w, const struct runtime_file *file)
{
    sbx_jsonw_object(w, NULL);
    sbx_jsonw_str(w, "path", file->path);
    write_base64(w, "content", file->data, file->len);
    sbx_jsonw_str(w, "encoding", "base64");
    sbx_jsonw_object_end(w);
}

/* The agent's parser takes no NUL in a string, and escapes may make text longer than base64 would. */
static bool
is_plain_text(const char *data, size_t len)
{
    size_t longer = 0;

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)data[i];

        if (c == '\0') {
            return false;
        }
        longer += c < 0x20 && c != '\n' && c != '\r' && c != '\t' ? 5
                  : c < 0x20 || c == '"' || c == '\\'             ? 1
                                                                  : 0;
    }
    return longer <= len / 3 && sbx_utf8_valid(data, len);
}

static void
write_stdin(struct sbx_jsonw *w, const struct runtime_run *run)
{
    if (run->stdin_len == 0) {
        return;
    }
    if (is_plain_text(run->stdin_data, run->stdin_len)) {
        sbx_jsonw_strn(w, "stdin", run->stdin_data, run->stdin_len);
        return;
    }
    write_base64(w, "stdin", run->stdin_data, run->stdin_len);
    sbx_jsonw_str(w, "stdin_encoding", "base64");
}

void
agent_request_prepare(struct sbx_buf *out, const struct agent_prepare *prepare)
{
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "runtime", prepare->language);
    if (prepare->is_forked) {
        sbx_jsonw_str(&w, "origin", "forked");
    }
    sbx_jsonw_object_end(&w);
}

static void
write_session(struct sbx_jsonw *w, const struct runtime_run *run, const char *token)
{
    sbx_jsonw_object(w, "session");
    sbx_jsonw_str(w, "sessionId", run->id);
    sbx_jsonw_str(w, "runtime", run->language);
    sbx_jsonw_str(w, "token", token);
    write_env(w, run);
    sbx_jsonw_array(w, "files");
    for (unsigned i = 0; i < run->n_files && !w->buf->failed; i++) {
        write_file(w, &run->files[i]);
    }
    sbx_jsonw_array_end(w);
    sbx_jsonw_object_end(w);
}

static void
write_strings(struct sbx_jsonw *w, const char *key, const char *const *strings, unsigned n)
{
    sbx_jsonw_array(w, key);
    for (unsigned i = 0; i < n; i++) {
        sbx_jsonw_str(w, NULL, strings[i]);
    }
    sbx_jsonw_array_end(w);
}

void
agent_request_run(struct sbx_buf *out, const struct runtime_run *run, const char *token,
                  enum agent_stdin input)
{
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "sessionId", run->id);
    sbx_jsonw_str(&w, "stepId", run->id);
    write_session(&w, run, token);
    sbx_jsonw_bool(&w, "is_last", true); /* whatever may follow is to fetch its files */
    sbx_jsonw_strn(&w, "code", run->code, run->code_len);
    write_strings(&w, "args", run->args, run->n_args);
    if (run->event_json != NULL) {
        sbx_jsonw_raw(&w, "event", run->event_json, run->event_len);
    }
    if (input == AGENT_STDIN_BODY) {
        write_stdin(&w, run);
    }
    sbx_jsonw_uint(&w, "timeout_ms", run->limits.value[SBX_LIMIT_TIME] + AGENT_BACKSTOP_MS);
    write_strings(&w, "artifacts", run->artifacts, run->n_artifacts);
    sbx_jsonw_uint(&w, "max_artifacts", run->max_artifacts);
    sbx_jsonw_uint(&w, "max_artifact_bytes", run->max_artifact_bytes);
    sbx_jsonw_object(&w, "limits");
    sbx_jsonw_uint(&w, "processes", run->limits.value[SBX_LIMIT_PROCESSES]);
    sbx_jsonw_object_end(&w);
    sbx_jsonw_object_end(&w);
}

static void
percent_encode(struct sbx_buf *out, const char *text)
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";

    for (const char *c = text; *c != '\0'; c++) {
        if (strchr(unreserved, *c) != NULL) {
            sbx_buf_putc(out, *c);
        } else {
            sbx_buf_printf(out, "%%%02X", (unsigned)(unsigned char)*c);
        }
    }
}

void
agent_request_file_path(struct sbx_buf *out, const char *id, const char *path)
{
    sbx_buf_puts(out, "/v1/sessions/");
    percent_encode(out, id);
    sbx_buf_puts(out, "/files/");
    percent_encode(out, path);
}
