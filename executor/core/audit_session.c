/* Audit events of sessions and steps. */
#include <string.h>

#include "executor/core/audit_inside.h"
#include "executor/core/session.h"
#include "executor/core/step_inside.h"

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
                    });
}

static void
write_raw(struct sbx_jsonw *w, const char *key, const char *json)
{
    if (json != NULL) {
        sbx_jsonw_raw(w, key, json, strlen(json));
    }
}

void
audit_session_ended(struct db_tx *tx, const struct session *session)
{
    const struct session_record *record = &session->record;
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_who(&event.w, record->app, record->agent, record->subject);
    sbx_jsonw_str(&event.w, "isolation", sbx_isolation_name(record->isolation));
    sbx_jsonw_str(&event.w, "reason", session_reason_name(record->reason));
    sbx_jsonw_uint(&event.w, "steps", record->n_steps);
    write_raw(&event.w, "violation", record->violation_json);
    write_raw(&event.w, "usage", record->usage_json);
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
                    });
}

void
audit_step_ended(struct db_tx *tx, const struct step *step)
{
    const struct session_record *session = &step->session->record;
    const struct step_record *record = &step->record;
    const char *status = step_state_status(record->state);
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_who(&event.w, session->app, session->agent, record->subject);
    sbx_jsonw_str(&event.w, "session", session->id.text);
    sbx_jsonw_str(&event.w, "status", status);
    write_raw(&event.w, "violation", record->violation_json);
    write_raw(&event.w, "usage", record->usage_json);
    audit_write_stream(&event.w, "stdout", &record->stream[JOB_STDOUT]);
    audit_write_stream(&event.w, "stderr", &record->stream[JOB_STDERR]);
    sbx_jsonw_uint(&event.w, "displays", step->n_displays);
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
                    });
}
