/* Audit events of sessions and steps. */
#include <string.h>

#include "executor/core/audit_inside.h"
#include "executor/core/session_inside.h"
#include "executor/core/step_inside.h"
#include "executor/core/usage.h"

void
audit_session_created(struct db_tx *tx, const struct session *session, const struct job_spec *spec,
                      const struct audit_origin *origin)
{
    const struct session_record *record = &session->record;
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_who(&event.w, record->app, record->agent, record->subject);
    sbx_jsonw_str(&event.w, "language", record->language);
    sbx_jsonw_str(&event.w, "template", record->template_name);
    sbx_jsonw_str(&event.w, "isolation", sbx_isolation_name(record->isolation));
    sbx_jsonw_uint(&event.w, "ttl_ms", record->ttl_ms);
    sbx_jsonw_uint(&event.w, "idle_timeout_ms", record->idle_timeout_ms);
    sbx_jsonw_uint(&event.w, "max_lifetime_ms", record->max_lifetime_ms);
    audit_write_input(&event.w, spec);
    sbx_limits_write(&event.w, "limits", &session->limits);
    audit_write_origin(&event.w, origin);
    audit_event_end(&event, tx,
                    &(struct db_audit){
                        .tenant = record->tenant,
                        .kind = "session.created",
                        .object = record->id.text,
                        .request_id = record->request_id,
                        .decision = "allow",
                        .keep_ms = origin->context->retention_audit_ms,
                    });
}

void
audit_session_extended(struct db_tx *tx, const struct session *session, const struct audit_origin *origin)
{
    const struct session_record *record = &session->record;
    const struct sbx_context *context = origin->context;
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_who(&event.w, context->app, context->agent, context->subject);
    sbx_jsonw_uint(&event.w, "ttl_ms", record->ttl_ms);
    sbx_jsonw_uint(&event.w, "idle_timeout_ms", record->idle_timeout_ms);
    sbx_jsonw_uint(&event.w, "expires_ms", record->expires_ms);
    audit_write_origin(&event.w, origin);
    audit_event_end(&event, tx,
                    &(struct db_audit){
                        .tenant = record->tenant,
                        .kind = "session.extended",
                        .object = record->id.text,
                        .request_id = context->request_id,
                        .decision = "allow",
                        .keep_ms = origin->context->retention_audit_ms,
                    });
}

/* Of a session or a step. */
static void
write_usage(struct sbx_jsonw *w, const char *json)
{
    if (json != NULL) {
        sbx_jsonw_raw_canonical(w, "usage", json, strlen(json));
    }
}

static struct usage_owner
owner_of(const struct session_record *record)
{
    return (struct usage_owner){ .tenant = record->tenant, .app = record->app, .agent = record->agent };
}

void
audit_session_used(struct db_tx *tx, const struct session *session, const struct usage *usage)
{
    const struct session_record *record = &session->record;
    const struct usage_owner owner = owner_of(record);
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_who(&event.w, record->app, record->agent, record->subject);
    audit_write_means(&event.w, &session->means);
    usage_account(tx, &event.w, &owner, usage);
    audit_write_network(&event.w);
    audit_event_end(&event, tx,
                    &(struct db_audit){
                        .tenant = record->tenant,
                        .kind = "session.used",
                        .object = record->id.text,
                        .request_id = record->request_id,
                        .decision = "allow",
                        .keep_ms = session->means.keep_ms,
                    });
}

static void
event_end(struct audit_event *event, struct db_tx *tx, const struct session *session, const char *kind,
          const char *request_id)
{
    audit_event_end(event, tx,
                    &(struct db_audit){
                        .tenant = session->record.tenant,
                        .kind = kind,
                        .object = session->record.id.text,
                        .request_id = request_id,
                        .decision = "allow",
                        .keep_ms = session->means.keep_ms,
                    });
}

void
audit_session_started(struct db_tx *tx, const struct session *session)
{
    const struct session_record *record = &session->record;
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_who(&event.w, record->app, record->agent, record->subject);
    audit_write_means(&event.w, &session->means);
    sbx_jsonw_str(&event.w, "language", record->language);
    sbx_jsonw_str(&event.w, "template", record->template_name);
    sbx_jsonw_str(&event.w, "isolation", sbx_isolation_name(record->isolation));
    audit_write_network(&event.w);
    event_end(&event, tx, session, "session.started", record->request_id);
}

void
audit_session_paused(struct db_tx *tx, const struct session *session)
{
    const struct session_record *record = &session->record;
    const struct audit_asker *asker = session->pause_by;
    struct audit_event event;

    audit_event_begin(&event);
    if (asker != NULL) {
        audit_write_who(&event.w, asker->app, asker->agent, asker->subject);
        audit_write_means(&event.w, &asker->means);
    } else {
        audit_write_who(&event.w, record->app, record->agent, record->subject);
        audit_write_means(&event.w, &session->means);
    }
    event_end(&event, tx, session, record->state == SESSION_PAUSED ? "session.paused" : "session.resumed",
              asker != NULL ? asker->request_id : record->request_id);
}

void
audit_session_ended(struct db_tx *tx, const struct session *session)
{
    const struct session_record *record = &session->record;
    const struct usage_owner owner = owner_of(record);
    struct audit_event event;
    struct usage usage;

    audit_event_begin(&event);
    audit_write_who(&event.w, record->app, record->agent, record->subject);
    audit_write_means(&event.w, &session->means);
    sbx_jsonw_str(&event.w, "isolation", sbx_isolation_name(record->isolation));
    sbx_jsonw_str(&event.w, "reason", session_reason_name(record->reason));
    audit_write_asker(&event.w, "cancelled_by", session->ended_by);
    sbx_jsonw_uint(&event.w, "steps", record->n_steps);
    session_usage_due(session, &usage);
    usage.sessions = 1;
    usage_account(tx, &event.w, &owner, &usage);
    audit_write_network(&event.w);
    audit_write_violation(&event.w, record->violation_json);
    write_usage(&event.w, record->usage_json);
    if (record->message[0] != '\0') {
        sbx_jsonw_str(&event.w, "message", record->message);
    }
    audit_event_end(&event, tx,
                    &(struct db_audit){
                        .tenant = record->tenant,
                        .kind = "session.ended",
                        .object = record->id.text,
                        .request_id = record->request_id,
                        .decision = session_reason_name(record->reason),
                        .keep_ms = session->means.keep_ms,
                    });
}

void
audit_step_accepted(struct db_tx *tx, const struct step *step, const struct audit_origin *origin)
{
    const struct session_record *session = &step->session->record;
    const struct step_record *record = &step->record;
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_who(&event.w, origin->context->app, origin->context->agent, record->subject);
    sbx_jsonw_str(&event.w, "session", session->id.text);
    sbx_jsonw_uint(&event.w, "number", record->number);
    sbx_jsonw_str(&event.w, "context", record->context);
    sbx_jsonw_str(&event.w, "language", record->language);
    sbx_jsonw_str(&event.w, "code_sha256", record->code_sha256);
    audit_write_input(&event.w, step->spec);
    audit_write_origin(&event.w, origin);
    audit_event_end(&event, tx,
                    &(struct db_audit){
                        .tenant = record->tenant,
                        .kind = "step.accepted",
                        .object = record->id.text,
                        .request_id = record->request_id,
                        .decision = "allow",
                        .keep_ms = origin->context->retention_audit_ms,
                    });
}

void
audit_step_ended(struct db_tx *tx, const struct step *step)
{
    const struct session_record *session = &step->session->record;
    const struct step_record *record = &step->record;
    const char *status = step_state_status(record->state);
    const struct usage_owner owner = owner_of(session);
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_who(&event.w, step->app, step->agent, record->subject);
    audit_write_means(&event.w, &step->means);
    sbx_jsonw_str(&event.w, "session", session->id.text);
    sbx_jsonw_str(&event.w, "code_sha256", record->code_sha256);
    sbx_jsonw_str(&event.w, "status", status);
    if (record->state == STEP_CANCELLED) {
        audit_write_asker(&event.w, "cancelled_by", step->cancelled_by);
    }
    audit_write_violation(&event.w, record->violation_json);
    write_usage(&event.w, record->usage_json);
    audit_write_stream(&event.w, "stdout", &record->stream[JOB_STDOUT]);
    audit_write_stream(&event.w, "stderr", &record->stream[JOB_STDERR]);
    sbx_jsonw_uint(&event.w, "displays", step->n_displays);
    usage_account(tx, &event.w, &owner,
                  &(struct usage){ .steps = 1,
                                   .stdout_bytes = record->stream[JOB_STDOUT].total,
                                   .stderr_bytes = record->stream[JOB_STDERR].total });
    audit_write_network(&event.w);
    if (record->message[0] != '\0') {
        sbx_jsonw_str(&event.w, "message", record->message);
    }
    audit_event_end(&event, tx,
                    &(struct db_audit){
                        .tenant = record->tenant,
                        .kind = "step.ended",
                        .object = record->id.text,
                        .request_id = record->request_id,
                        .decision = status,
                        .keep_ms = step->means.keep_ms,
                    });
}

void
audit_step_started(struct db_tx *tx, const struct step *step)
{
    const struct step_record *record = &step->record;
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_who(&event.w, step->app, step->agent, record->subject);
    audit_write_means(&event.w, &step->means);
    sbx_jsonw_str(&event.w, "session", record->session_id.text);
    sbx_jsonw_str(&event.w, "context", record->context);
    sbx_jsonw_str(&event.w, "language", record->language);
    sbx_jsonw_str(&event.w, "code_sha256", record->code_sha256);
    audit_write_network(&event.w);
    audit_event_end(&event, tx,
                    &(struct db_audit){
                        .tenant = record->tenant,
                        .kind = "step.started",
                        .object = record->id.text,
                        .request_id = record->request_id,
                        .decision = "allow",
                        .keep_ms = step->means.keep_ms,
                    });
}
