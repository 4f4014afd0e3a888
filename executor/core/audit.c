#include "executor/core/audit_inside.h"

#include <string.h>

#include "executor/core/usage.h"
#include "lib/sbx_problem.h"
#include "lib/sbx_wall.h"

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
                        .keep_ms = origin->context->retention_audit_ms,
                    });
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
        sbx_jsonw_str(w, "artifact_id", record->artifacts[i].id.text);
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
    case JOB_DENIED:
        return "job.stopped";
    case JOB_QUEUED:
    case JOB_STARTING:
    case JOB_RUNNING:
    case JOB_FINISHING:
    case JOB_SUCCEEDED:
    case JOB_FAILED:
    case JOB_TIMED_OUT:
    case JOB_LIMIT_EXCEEDED:
    case JOB_N_STATES:
        break;
    }
    return "job.finished";
}

static void
account_job(struct db_tx *tx, struct sbx_jsonw *w, const struct job *job)
{
    const struct job_record *record = &job->record;
    const struct job_used *used = &job->used;
    struct usage usage = {
        .jobs = 1,
        .cpu_ms = used->cpu_ms,
        .wall_ms = used->wall_ms,
        .memory_mib_ms = usage_memory(used->peak_memory_bytes, used->wall_ms),
        .stdout_bytes = record->stream[JOB_STDOUT].total,
        .stderr_bytes = record->stream[JOB_STDERR].total,
    };

    for (unsigned i = 0; i < record->n_artifacts; i++) {
        usage.artifact_out_bytes += record->artifacts[i].size;
    }
    usage_account(
        tx, w, &(struct usage_owner){ .tenant = record->tenant, .app = record->app, .agent = record->agent },
        &usage);
}

void
audit_job_ended(struct db_tx *tx, const struct job *job)
{
    const struct job_record *record = &job->record;
    const char *status = job_state_status(job->verdict.state);
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_who(&event.w, record->app, record->agent, record->subject);
    audit_write_means(&event.w, &job->means);
    sbx_jsonw_str(&event.w, "isolation", sbx_isolation_name(record->isolation));
    sbx_jsonw_str(&event.w, "code_sha256", record->code_sha256);
    sbx_jsonw_str(&event.w, "status", status);
    if (job->verdict.state == JOB_CANCELLED) {
        audit_write_asker(&event.w, "cancelled_by", job->cancelled_by);
    }
    write_exit(&event.w, record);
    audit_write_violation(&event.w, record->violation_json);
    if (record->usage_json != NULL) {
        sbx_jsonw_raw_canonical(&event.w, "usage", record->usage_json, strlen(record->usage_json));
    }
    audit_write_stream(&event.w, "stdout", &record->stream[JOB_STDOUT]);
    audit_write_stream(&event.w, "stderr", &record->stream[JOB_STDERR]);
    if (record->result_json != NULL) {
        audit_write_digest(&event.w, "result_sha256", record->result_json, strlen(record->result_json));
    }
    write_artifacts(&event.w, record);
    account_job(tx, &event.w, job);
    audit_write_network(&event.w);
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
                        .keep_ms = job->means.keep_ms,
                    });
}

void
audit_job_started(struct db_tx *tx, const struct job *job)
{
    const struct job_record *record = &job->record;
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_who(&event.w, record->app, record->agent, record->subject);
    audit_write_means(&event.w, &job->means);
    sbx_jsonw_str(&event.w, "language", record->language);
    sbx_jsonw_str(&event.w, "template", record->template_name);
    sbx_jsonw_str(&event.w, "isolation", sbx_isolation_name(record->isolation));
    sbx_jsonw_str(&event.w, "code_sha256", record->code_sha256);
    sbx_jsonw_uint(&event.w, "waited_ms", job->running_ms - job->admitted_ms);
    audit_write_network(&event.w);
    audit_event_end(&event, tx,
                    &(struct db_audit){
                        .tenant = record->tenant,
                        .kind = "job.started",
                        .object = record->id.text,
                        .request_id = record->request_id,
                        .decision = "allow",
                        .keep_ms = job->means.keep_ms,
                    });
}

/* It ran, and nobody knows any more what it used. */
static void
account_orphan(struct db_tx *tx, struct sbx_jsonw *w, const struct audit_orphan *orphan)
{
    struct usage usage = { 0 };

    if (orphan->session_id != NULL) {
        usage.steps = 1;
    } else if (strcmp(orphan->kind, "session.ended") == 0) {
        usage.sessions = 1;
    } else {
        usage.jobs = 1;
    }
    usage_account(
        tx, w, &(struct usage_owner){ .tenant = orphan->tenant, .app = orphan->app, .agent = orphan->agent },
        &usage);
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
    account_orphan(tx, &event.w, orphan);
    audit_write_network(&event.w);
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
    audit_write_context(&event.w, context);
    sbx_jsonw_str(&event.w, "method", method);
    sbx_jsonw_str(&event.w, "route", route);
    audit_event_end(&event, tx,
                    &(struct db_audit){
                        .tenant = context->tenant,
                        .kind = "authz.bypass",
                        .request_id = context->request_id,
                        .decision = "allow",
                        .keep_ms = context->retention_audit_ms,
                    });
}

void
audit_file(struct db_tx *tx, const struct audit_file *file)
{
    const struct sbx_context *context = file->context;
    const bool deleted = strcmp(file->kind, "file.deleted") == 0;
    const bool sized =
        strcmp(file->kind, "file.watched") != 0 && strcmp(file->kind, "directory.created") != 0;
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_context(&event.w, context);
    sbx_jsonw_str(&event.w, "path", file->path);
    if (file->to != NULL) {
        sbx_jsonw_str(&event.w, "to", file->to);
    }
    if (sized) {
        sbx_jsonw_uint(&event.w, deleted ? "entries" : "size", file->size);
    }
    if (file->sha256 != NULL) {
        sbx_jsonw_str(&event.w, "sha256", file->sha256);
    }
    if (strcmp(file->kind, "file.uploaded") == 0) {
        usage_account(
            tx, &event.w,
            &(struct usage_owner){ .tenant = context->tenant, .app = context->app, .agent = context->agent },
            &(struct usage){ .uploads = 1, .upload_bytes = file->size });
    }
    audit_event_end(&event, tx,
                    &(struct db_audit){
                        .tenant = context->tenant,
                        .kind = file->kind,
                        .object = file->session,
                        .request_id = context->request_id,
                        .decision = "allow",
                        .keep_ms = context->retention_audit_ms,
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
audit_denied(struct db_tx *tx, const struct audit_denial *denial)
{
    db_tx_audit(tx, &(struct db_audit){
                        .tenant = denial->tenant,
                        .kind = "request.denied",
                        .request_id = denial->request_id,
                        .decision = "deny",
                        .body = denial->body,
                        .body_len = denial->body_len,
                        .keep_ms = denial->keep_ms,
                    });
}

/* The first violation in columns, as the edge does, and all when there are several. */
static void
write_violations(struct sbx_jsonw *w, const struct sbx_problem *problem)
{
    const struct sbx_violation *first = problem->violation;

    if (first == NULL || problem->n_violations == 0) {
        return;
    }
    sbx_jsonw_str(w, "rule", first->rule);
    sbx_jsonw_raw(w, "limit", first->limit, strlen(first->limit));
    sbx_jsonw_raw(w, "observed", first->observed, strlen(first->observed));
    sbx_violations_write(w, first, problem->n_violations);
}

void
audit_refused(struct db_tx *tx, const struct sbx_context *context, const char *route,
              const struct sbx_problem *problem)
{
    struct audit_event event;

    audit_event_begin(&event);
    sbx_jsonw_str(&event.w, "source", "executor");
    audit_write_context(&event.w, context);
    sbx_jsonw_str(&event.w, "route", route);
    sbx_jsonw_str(&event.w, "code", sbx_problem_name(problem->code));
    write_violations(&event.w, problem);
    audit_event_end(&event, tx,
                    &(struct db_audit){
                        .tenant = context->tenant,
                        .kind = "request.denied",
                        .request_id = context->request_id,
                        .decision = "deny",
                        .keep_ms = context->retention_audit_ms,
                    });
}
