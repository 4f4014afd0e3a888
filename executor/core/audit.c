#include "executor/core/audit_inside.h"

#include <string.h>

#include "lib/sbx_wall.h"

#define AUDIT_BODY_MAX 262144

void
audit_event_begin(struct audit_event *event)
{
    event->body = (struct sbx_buf)SBX_BUF_INIT(AUDIT_BODY_MAX);
    sbx_jsonw_init(&event->w, &event->body);
    sbx_jsonw_object(&event->w, NULL);
}

/* A body that could not be made is no JSON: the store then fails the whole transaction, as it must. */
void
audit_event_end(struct audit_event *event, struct db_tx *tx, struct db_audit *head)
{
    sbx_jsonw_object_end(&event->w);
    head->body = event->body.failed ? "" : event->body.data;
    head->body_len = event->body.failed ? 0 : event->body.len;
    db_tx_audit(tx, head);
    sbx_buf_deinit(&event->body);
}

void
audit_write_who(struct sbx_jsonw *w, const char *app, const char *agent, const char *subject)
{
    if (app != NULL && *app != '\0') {
        sbx_jsonw_str(w, "app", app);
    }
    if (agent != NULL && *agent != '\0') {
        sbx_jsonw_str(w, "agent", agent);
    }
    sbx_jsonw_str(w, "subject", subject);
}

static void
write_digest(struct sbx_jsonw *w, const char *key, const void *data, size_t len)
{
    uint8_t digest[SBX_SHA256_LEN];
    char hex[SBX_SHA256_HEX];

    if (sbx_sha256(data, len, digest) != 0) {
        sbx_jsonw_null(w, key);
        return;
    }
    sbx_hex(hex, digest, sizeof(digest));
    sbx_jsonw_str(w, key, hex);
}

void
audit_write_input(struct sbx_jsonw *w, const struct job_spec *spec)
{
    sbx_jsonw_uint(w, "code_bytes", spec->code_len);
    sbx_jsonw_uint(w, "args", spec->n_args);
    sbx_jsonw_uint(w, "env", spec->n_env);
    if (spec->stdin_len > 0) {
        sbx_jsonw_uint(w, "stdin_bytes", spec->stdin_len);
        write_digest(w, "stdin_sha256", spec->stdin_data, spec->stdin_len);
    }
    if (spec->event_json != NULL) {
        write_digest(w, "event_sha256", spec->event_json, spec->event_len);
    }
    if (spec->n_files == 0) {
        return;
    }
    sbx_jsonw_array(w, "files");
    for (unsigned i = 0; i < spec->n_files; i++) {
        sbx_jsonw_object(w, NULL);
        sbx_jsonw_str(w, "path", spec->files[i].path);
        sbx_jsonw_uint(w, "size", spec->files[i].len);
        write_digest(w, "sha256", spec->files[i].data, spec->files[i].len);
        sbx_jsonw_object_end(w);
    }
    sbx_jsonw_array_end(w);
}

void
audit_write_origin(struct sbx_jsonw *w, const struct audit_origin *origin)
{
    const struct sbx_context *context = origin->context;

    sbx_jsonw_str(w, "request_sha256", origin->request_sha256);
    if (origin->idempotency_key != NULL) {
        sbx_jsonw_str(w, "idempotency_key", origin->idempotency_key);
    }
    if (context->token_id[0] != '\0') {
        sbx_jsonw_str(w, "token_id", context->token_id);
    }
    if (context->client[0] != '\0') {
        sbx_jsonw_str(w, "client", context->client);
    }
    sbx_jsonw_object(w, "policy");
    sbx_jsonw_str(w, "id", context->policy_id);
    sbx_jsonw_uint(w, "version", context->policy_version);
    sbx_jsonw_object_end(w);
    if (context->bypass) {
        sbx_jsonw_bool(w, "authorization_bypassed", true);
    }
}

void
audit_job_accepted(struct db_tx *tx, const struct job *job, const struct audit_origin *origin)
{
    const struct job_record *record = &job->record;
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_who(&event.w, record->app, record->agent, record->subject);
    sbx_jsonw_str(&event.w, "language", record->language);
    sbx_jsonw_str(&event.w, "template", record->template_name);
    sbx_jsonw_str(&event.w, "isolation", sbx_isolation_name(record->isolation));
    sbx_jsonw_str(&event.w, "code_sha256", record->code_sha256);
    audit_write_input(&event.w, job->spec);
    sbx_limits_write(&event.w, "limits", &job->limits);
    audit_write_origin(&event.w, origin);
    audit_event_end(&event, tx,
                    &(struct db_audit){
                        .tenant = record->tenant,
                        .kind = "job.accepted",
                        .object = record->id.text,
                        .request_id = record->request_id,
                        .decision = "allow",
                    });
}

void
audit_write_stream(struct sbx_jsonw *w, const char *key, const struct job_stream *stream)
{
    sbx_jsonw_object(w, key);
    sbx_jsonw_uint(w, "bytes", stream->total);
    sbx_jsonw_str(w, "sha256", stream->sha256[0] != '\0' ? stream->sha256 : NULL);
    sbx_jsonw_object_end(w);
}

static void
write_artifacts(struct sbx_jsonw *w, const struct job_record *record)
{
    if (record->n_artifacts == 0) {
        return;
    }
    sbx_jsonw_array(w, "artifacts");
    for (unsigned i = 0; i < record->n_artifacts; i++) {
        sbx_jsonw_object(w, NULL);
        sbx_jsonw_str(w, "path", record->artifacts[i].path);
        sbx_jsonw_uint(w, "size", record->artifacts[i].size);
        sbx_jsonw_str(w, "sha256", record->artifacts[i].sha256);
        sbx_jsonw_object_end(w);
    }
    sbx_jsonw_array_end(w);
}

static void
write_exit(struct sbx_jsonw *w, const struct job_record *record)
{
    if (record->has_exit_code) {
        sbx_jsonw_int(w, "exit_code", record->exit_code);
    }
    if (record->signal[0] != '\0') {
        sbx_jsonw_str(w, "signal", record->signal);
    }
}

static const char *
ended_kind(enum job_state state)
{
    switch (state) {
    case JOB_CANCELLED:
        return "job.cancelled";
    case JOB_LOST:
        return "job.lost";
    case JOB_QUEUED:
    case JOB_STARTING:
    case JOB_RUNNING:
    case JOB_FINISHING:
    case JOB_SUCCEEDED:
    case JOB_FAILED:
    case JOB_TIMED_OUT:
    case JOB_LIMIT_EXCEEDED:
    case JOB_DENIED:
    case JOB_N_STATES:
        break;
    }
    return "job.finished";
}

void
audit_job_ended(struct db_tx *tx, const struct job *job)
{
    const struct job_record *record = &job->record;
    const char *status = job_state_status(job->verdict.state);
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_who(&event.w, record->app, record->agent, record->subject);
    sbx_jsonw_str(&event.w, "isolation", sbx_isolation_name(record->isolation));
    sbx_jsonw_str(&event.w, "status", status);
    write_exit(&event.w, record);
    if (record->violation_json != NULL) {
        sbx_jsonw_raw(&event.w, "violation", record->violation_json, strlen(record->violation_json));
    }
    if (record->usage_json != NULL) {
        sbx_jsonw_raw(&event.w, "usage", record->usage_json, strlen(record->usage_json));
    }
    audit_write_stream(&event.w, "stdout", &record->stream[JOB_STDOUT]);
    audit_write_stream(&event.w, "stderr", &record->stream[JOB_STDERR]);
    if (record->result_json != NULL) {
        write_digest(&event.w, "result_sha256", record->result_json, strlen(record->result_json));
    }
    write_artifacts(&event.w, record);
    if (record->message[0] != '\0') {
        sbx_jsonw_str(&event.w, "message", record->message);
    }
    audit_event_end(&event, tx,
                    &(struct db_audit){
                        .tenant = record->tenant,
                        .kind = ended_kind(job->verdict.state),
                        .object = record->id.text,
                        .request_id = record->request_id,
                        .decision = status,
                    });
}

void
audit_orphaned(struct db_tx *tx, const struct audit_orphan *orphan)
{
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_who(&event.w, orphan->app, orphan->agent, orphan->subject);
    sbx_jsonw_str(&event.w, "isolation", orphan->isolation);
    if (orphan->session_id != NULL) {
        sbx_jsonw_str(&event.w, "session", orphan->session_id);
    }
    sbx_jsonw_str(&event.w, "status", "lost");
    sbx_jsonw_str(&event.w, "message", orphan->message);
    audit_event_end(&event, tx,
                    &(struct db_audit){
                        .tenant = orphan->tenant,
                        .kind = orphan->kind,
                        .object = orphan->id,
                        .request_id = orphan->request_id,
                        .decision = "lost",
                    });
}

void
audit_bypass(struct db_tx *tx, const struct sbx_context *context, const char *method, const char *route)
{
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_who(&event.w, context->app, context->agent, context->subject);
    sbx_jsonw_str(&event.w, "method", method);
    sbx_jsonw_str(&event.w, "route", route);
    if (context->client[0] != '\0') {
        sbx_jsonw_str(&event.w, "client", context->client);
    }
    audit_event_end(&event, tx,
                    &(struct db_audit){
                        .tenant = context->tenant,
                        .kind = "authz.bypass",
                        .request_id = context->request_id,
                        .decision = "allow",
                    });
}

void
audit_file(struct db_tx *tx, const struct audit_file *file)
{
    const struct sbx_context *context = file->context;
    bool deleted = strcmp(file->kind, "file.deleted") == 0;
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_who(&event.w, context->app, context->agent, context->subject);
    sbx_jsonw_str(&event.w, "path", file->path);
    if (file->to != NULL) {
        sbx_jsonw_str(&event.w, "to", file->to);
    }
    sbx_jsonw_uint(&event.w, deleted ? "entries" : "size", file->size);
    if (file->sha256 != NULL) {
        sbx_jsonw_str(&event.w, "sha256", file->sha256);
    }
    audit_event_end(&event, tx,
                    &(struct db_audit){
                        .tenant = context->tenant,
                        .kind = file->kind,
                        .object = file->session,
                        .request_id = context->request_id,
                        .decision = "allow",
                    });
}

void
audit_walls_accepted(struct db_tx *tx, uint64_t missing)
{
    struct audit_event event;

    audit_event_begin(&event);
    sbx_jsonw_array(&event.w, "walls");
    for (unsigned i = 0; i < SBX_N_WALLS; i++) {
        if (missing & SBX_WALL_BIT(i)) {
            sbx_jsonw_str(&event.w, NULL, sbx_wall_name((enum sbx_wall)i));
        }
    }
    sbx_jsonw_array_end(&event.w);
    audit_event_end(&event, tx,
                    &(struct db_audit){ .tenant = "", .kind = "walls.accepted", .decision = "allow" });
}

void
audit_denied(struct db_tx *tx, const char *tenant, const char *request_id, const char *body, size_t body_len)
{
    db_tx_audit(tx, &(struct db_audit){
                        .tenant = tenant,
                        .kind = "request.denied",
                        .request_id = request_id,
                        .decision = "deny",
                        .body = body,
                        .body_len = body_len,
                    });
}
