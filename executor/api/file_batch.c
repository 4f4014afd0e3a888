/*
 * POST of several files at once: one write after the other, each atomic. What goes wrong names the file, and those that were
 * written before it.
 *
 *   handle_files_write -> inputs_load -> batch_begin -> batch_write -> (batch_on_writable ...) -> batch_on_done -> batch_write
 *   ... -> batch_answer
 */
#include "executor/api/file_batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/file.h"
#include "executor/api/handlers.h"
#include "executor/api/inputs.h"
#include "executor/api/sandbox_uri.h"
#include "executor/api/session_call.h"
#include "executor/api/session_work.h"
#include "executor/api/tool_reply.h"

#define REPLY_MAX (1u << 20)
#define DETAIL_MAX 16384u /* beyond it, names are left out */

struct file_batch {
    unsigned next;
    size_t sent; /* of the one that is written */
    char (*sha256)[SBX_SHA256_HEX];
};

static void batch_write(struct call *call);

struct file_batch *
file_batch_free(struct file_batch *batch)
{
    if (batch != NULL) {
        free(batch->sha256);
        free(batch);
    }
    return NULL;
}

static void
write_file(struct sbx_jsonw *w, const struct call *call, unsigned i)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(2ul * SANDBOX_URI_MAX);
    const struct runtime_file *file = &call->spec->files[i];
    struct sandbox_uri uri = { .kind = SANDBOX_URI_SESSION };

    memcpy(uri.id, call->id, sizeof(uri.id));
    memcpy(uri.path, file->path, strlen(file->path) + 1); /* checked to fit */
    sandbox_uri_write(&text, &uri);
    w->buf->failed = w->buf->failed || text.failed;
    sbx_jsonw_object(w, NULL);
    sbx_jsonw_str(w, "path", file->path);
    sbx_jsonw_str(w, "uri", text.failed ? "" : text.data);
    sbx_jsonw_uint(w, "size", file->len);
    sbx_jsonw_str(w, "sha256", call->batch->sha256[i]);
    sbx_jsonw_object_end(w);
}

static void
write_files(struct sbx_jsonw *w, const char *key, const struct call *call)
{
    sbx_jsonw_object(w, key);
    sbx_jsonw_str(w, "session_id", call->id);
    sbx_jsonw_array(w, "files");
    for (unsigned i = 0; i < call->spec->n_files; i++) {
        write_file(w, call, i);
    }
    sbx_jsonw_array_end(w);
    sbx_jsonw_object_end(w);
}

static void
write_text(struct sbx_jsonw *w, const struct call *call)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(REPLY_MAX);
    const struct job_spec *spec = call->spec;

    sbx_buf_printf(&text, "Wrote %u file%s to the workspace of %s:\n", spec->n_files,
                   spec->n_files == 1 ? "" : "s", call->id);
    for (unsigned i = 0; i < spec->n_files; i++) {
        sbx_buf_printf(&text, "%s  %zu byte%s  sha256 %s\n", spec->files[i].path, spec->files[i].len,
                       spec->files[i].len == 1 ? "" : "s", call->batch->sha256[i]);
    }
    w->buf->failed = w->buf->failed || text.failed;
    tool_text(w, text.failed ? "" : text.data, text.failed ? 0 : text.len);
}

static void
batch_answer(struct call *call)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(2ul * REPLY_MAX);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &body);
    if (!tool_wanted(call)) {
        write_files(&w, NULL, call);
        call_reply_json(call, 200, NULL, 0, &body);
        return;
    }
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_array(&w, "content");
    write_text(&w, call);
    sbx_jsonw_array_end(&w);
    write_files(&w, "structuredContent", call);
    sbx_jsonw_bool(&w, "isError", false);
    sbx_jsonw_object_end(&w);
    tool_reply(call, NULL, &body);
}

/* Which one it was, why, and what was done before. */
static void
batch_describe(struct sbx_buf *out, const struct call *call, const char *why)
{
    const struct job_spec *spec = call->spec;
    const unsigned n = call->batch->next;

    sbx_buf_printf(out, "%s was not written", spec->files[n].path);
    if (why != NULL) {
        sbx_buf_printf(out, ": %s", why);
    }
    if (n == 0) {
        sbx_buf_puts(out, "; nothing was written");
        return;
    }
    sbx_buf_puts(out, "; written before it:");
    for (unsigned i = 0; i < n; i++) {
        if (out->len + strlen(spec->files[i].path) + 32 > DETAIL_MAX) {
            sbx_buf_printf(out, " and %u more", n - i);
            return;
        }
        sbx_buf_printf(out, "%s %s", i == 0 ? "" : ",", spec->files[i].path);
    }
}

static bool
batch_refuse(struct call *call, const struct sbx_problem *problem)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf detail = SBX_BUF_INIT(DETAIL_MAX + 2048);
    struct sbx_problem full = *problem;

    call->refuse = NULL;
    batch_describe(&detail, call, problem->detail);
    full.detail = detail.failed ? problem->detail : detail.data;
    call_reply_problem(call, &full);
    return true;
}

static void
batch_send(struct call *call)
{
    struct file_batch *batch = call->batch;
    const struct runtime_file *file = &call->spec->files[batch->next];
    const char *data = file->data;

    while (batch->sent < file->len) {
        size_t n = sbx_channel_write(call->file->channel, 0, data + batch->sent, file->len - batch->sent);

        if (n == 0) {
            return; /* batch_on_writable goes on */
        }
        batch->sent += n;
        file_progress(call->file);
    }
    sbx_channel_shut(call->file->channel);
}

static void
batch_on_writable(struct call *call)
{
    if (call->batch->sent < call->spec->files[call->batch->next].len) {
        batch_send(call);
    }
}

static void
batch_on_done(struct call *call, const json_t *end)
{
    struct file_batch *batch = call->batch;
    const struct runtime_file *written = &call->spec->files[batch->next];
    struct file *file = call->file;
    struct file_entry entry;
    uint64_t offset;

    if (!file_entry_take(&entry, end) || strcmp(entry.path, written->path) != 0 || entry.etag == NULL ||
        batch->sent != written->len || !file_count_take(end, "offset", &offset) || offset != written->len) {
        file_nonsense(file, "how a file was written");
        return;
    }
    file_audit(call, "file.uploaded", written->path, NULL, written->len, batch->sha256[batch->next]);
    batch->next++;
    batch_write(call);
}

/* The next one. */
static void
batch_write(struct call *call)
{
    static const struct file_events events = { .writable = batch_on_writable, .done = batch_on_done };
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(FILE_JSON_MAX);
    struct file_batch *batch = call->batch;
    const struct runtime_file *next;
    struct file *file = call->file;
    struct sbx_jsonw w;

    if (batch->next == call->spec->n_files) {
        batch_answer(call);
        return;
    }
    next = &call->spec->files[batch->next];
    batch->sent = 0;
    memcpy(file->path, next->path, strlen(next->path) + 1); /* checked to fit */
    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "op", "fs.write");
    sbx_jsonw_str(&w, "path", next->path);
    sbx_jsonw_uint(&w, "max_bytes", next->len);
    sbx_jsonw_str(&w, "mode", "replace");
    sbx_jsonw_uint(&w, "total", next->len);
    sbx_jsonw_object_end(&w);
    if (file_ask(call, &json, &events)) {
        batch_send(call);
    }
}

/* False: answered. */
static bool
batch_digest(struct call *call)
{
    const struct job_spec *spec = call->spec;
    struct file_batch *batch = call->batch;

    batch->sha256 = calloc(spec->n_files, sizeof(*batch->sha256));
    for (unsigned i = 0; i < spec->n_files; i++) {
        uint8_t digest[SBX_SHA256_LEN];
        int r = batch->sha256 == NULL ? -ENOMEM : sbx_sha256(spec->files[i].data, spec->files[i].len, digest);

        if (r) {
            call_problem_internal(call, r);
            return false;
        }
        sbx_hex(batch->sha256[i], digest, sizeof(digest));
    }
    return true;
}

/* What one upload may be, by the policy, each of them may be. */
static bool
batch_fits(struct call *call)
{
    const uint64_t most = call->context.max_upload_bytes;
    struct sbx_field_error err = { 0 };

    for (unsigned i = 0; i < call->spec->n_files; i++) {
        if (most != 0 && call->spec->files[i].len > most) {
            char field[32];

            (void)snprintf(field, sizeof(field), "/files/%u", i); /* fits */
            sbx_field_error_set(&err, field, "must have at most %" PRIu64 " bytes", most);
            err.too_large = true;
            call_problem_field(call, &err);
            return false;
        }
    }
    return true;
}

static void
batch_begin(struct call *call)
{
    struct file_batch *batch;

    if (!batch_fits(call)) {
        return;
    }
    batch = calloc(1, sizeof(*batch));
    if (batch == NULL) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    call->batch = batch;
    if (!batch_digest(call) || !file_begin(call, call->spec->files[0].path, false)) {
        return;
    }
    call->refuse = batch_refuse;
    batch_write(call);
}

void
handle_files_write(struct call *call)
{
    struct session_work *work = session_work(call);

    /* The session first: of one that is not there nothing is read. */
    if (work != NULL && session_call(call, SESSION_CALL_RUNNING) != NULL &&
        session_request_take(call, files_body_parse, &work->request)) {
        inputs_load(call, batch_begin);
    }
}
