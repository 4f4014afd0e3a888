#include "executor/api/job_reply.h"

#include <string.h>

#include "executor/api/reply_parts.h"
#include "executor/api/sandbox_uri.h"

/* How much of a job an answer tells. */
enum reply_form {
    REPLY_FULL,
    REPLY_BRIEF, /* without output, result and files */
    REPLY_END,   /* without output and result */
};

#define NO_USAGE "{\"wall_ms\":0,\"cpu_ms\":0,\"cpu_throttled_ms\":0,\"peak_memory_bytes\":0}"

static void
write_output(struct sbx_jsonw *w, const struct job_record *record, enum reply_form form)
{
    if (form == REPLY_FULL) {
        reply_stream(w, "stdout", "stdout_base64", &record->stream[JOB_STDOUT]);
        reply_stream(w, "stderr", "stderr_base64", &record->stream[JOB_STDERR]);
    }
    sbx_jsonw_uint(w, "stdout_bytes", record->stream[JOB_STDOUT].total);
    sbx_jsonw_uint(w, "stderr_bytes", record->stream[JOB_STDERR].total);
    sbx_jsonw_bool(w, "truncated", record->truncated);
}

static void
write_url(struct sbx_jsonw *w, const char *key, const char *before, const char *id, const char *between,
          const char *path)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf url = SBX_BUF_INIT(16384);

    sbx_buf_puts(&url, before);
    sbx_buf_puts(&url, id);
    sbx_buf_puts(&url, between);
    sandbox_uri_write_path(&url, path);
    if (url.failed) {
        w->buf->failed = true;
        return;
    }
    sbx_jsonw_str(w, key, url.data);
}

void
artifact_reply_write(struct sbx_jsonw *w, const char *key, const struct job_record *record,
                     const struct job_artifact *artifact)
{
    sbx_jsonw_object(w, key);
    sbx_jsonw_str(w, "path", artifact->path);
    write_url(w, "uri", "sandbox://job/", record->id.text, "/", artifact->path);
    sbx_jsonw_uint(w, "size", artifact->size);
    sbx_jsonw_str(w, "sha256", artifact->sha256);
    sbx_jsonw_str(w, "mime_type", artifact->mime);
    write_url(w, "download_url", "/v1/jobs/", record->id.text, "/artifacts/", artifact->path);
    sbx_jsonw_object_end(w);
}

static void
write_exit(struct sbx_jsonw *w, const struct job_record *record)
{
    if (record->has_exit_code) {
        sbx_jsonw_int(w, "exit_code", record->exit_code);
    } else {
        sbx_jsonw_null(w, "exit_code");
    }
    reply_text(w, "signal", record->signal);
}

/* A result may be told only when it is durable: until then the members are there and empty. */
static void
write_no_end(struct sbx_jsonw *w, const struct job_record *record)
{
    sbx_jsonw_null(w, "exit_code");
    sbx_jsonw_null(w, "signal");
    if (!record->brief) {
        sbx_jsonw_null(w, "result");
        sbx_jsonw_array(w, "files");
        sbx_jsonw_array_end(w);
    }
    sbx_jsonw_null(w, "violation");
    reply_raw(w, "usage", NULL, NO_USAGE);
}

static void
write_files(struct sbx_jsonw *w, const struct job_record *record, enum reply_form form)
{
    if (form == REPLY_BRIEF) {
        return;
    }
    if (form == REPLY_FULL) {
        reply_raw(w, "result", record->result_json, "null");
    }
    sbx_jsonw_array(w, "files");
    for (unsigned i = 0; i < record->n_artifacts; i++) {
        artifact_reply_write(w, NULL, record, &record->artifacts[i]);
    }
    sbx_jsonw_array_end(w);
    if (record->skipped_json != NULL) {
        reply_raw(w, "files_skipped", record->skipped_json, "[]");
    }
}

static void
write_end(struct sbx_jsonw *w, const struct job_record *record, enum reply_form form)
{
    if (!job_state_final(record->state)) {
        write_no_end(w, record);
        return;
    }
    write_exit(w, record);
    write_files(w, record, form);
    reply_raw(w, "violation", record->violation_json, "null");
    reply_raw(w, "usage", record->usage_json, NO_USAGE);
    if (record->message[0] != '\0') {
        sbx_jsonw_str(w, "message", record->message);
    }
}

static void
write_job(struct sbx_jsonw *w, const char *key, const struct job_record *record, enum reply_form form)
{
    sbx_jsonw_object(w, key);
    sbx_jsonw_str(w, "job_id", record->id.text);
    sbx_jsonw_null(w, "session_id");
    sbx_jsonw_str(w, "status", job_state_status(record->state));
    if (record->state == JOB_QUEUED && record->queue_position > 0) {
        sbx_jsonw_uint(w, "queue_position", record->queue_position);
    }
    sbx_jsonw_str(w, "language", record->language);
    sbx_jsonw_str(w, "template", record->template_name);
    sbx_jsonw_str(w, "isolation", sbx_isolation_name(record->isolation));
    reply_text(w, "app", record->app);
    reply_text(w, "agent", record->agent);
    write_output(w, record, form);
    write_end(w, record, form);
    reply_raw(w, "metadata", record->metadata_json, "{}");
    reply_time(w, "created_at", record->created_ms);
    reply_time(w, "started_at", record->started_ms);
    reply_time(w, "finished_at", job_state_final(record->state) ? record->finished_ms : 0);
    sbx_jsonw_object_end(w);
}

void
job_reply_write(struct sbx_jsonw *w, const char *key, const struct job_record *record)
{
    write_job(w, key, record, record->brief ? REPLY_BRIEF : REPLY_FULL);
}

void
job_reply_describe(struct sbx_buf *out, const struct job_record *record)
{
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, out);
    write_job(&w, NULL, record, REPLY_END);
}
