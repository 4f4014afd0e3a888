/* Audit events of what tenants change in their policies and revocations. */
#include "executor/core/audit_policy.h"

#include "executor/core/audit_inside.h"
#include "executor/core/policies.h"
#include "executor/core/revocations.h"

static void
event_begin(struct audit_event *event, const struct audit_origin *origin)
{
    const struct sbx_context *context = origin->context;

    audit_event_begin(event);
    audit_write_who(&event->w, context->app, context->agent, context->subject);
}

static void
event_end(struct audit_event *event, struct db_tx *tx, const char *kind, const char *object,
          const struct audit_origin *origin)
{
    audit_write_origin(&event->w, origin);
    audit_event_end(event, tx,
                    &(struct db_audit){
                        .tenant = origin->context->tenant,
                        .kind = kind,
                        .object = object,
                        .request_id = origin->context->request_id,
                        .decision = "allow",
                        .keep_ms = origin->context->retention_audit_ms,
                    });
}

/* Not the document: its digest says which it was, and whoever kept a version can show that it is the one. */
static void
write_policy(struct sbx_jsonw *w, const struct policy_record *record)
{
    sbx_jsonw_str(w, "name", record->name);
    sbx_jsonw_uint(w, "version", record->version);
    sbx_jsonw_str(w, "document_sha256", record->sha256);
    policy_targets_write(w, "applies_to", record->target, record->n_targets);
}

void
audit_policy_changed(struct db_tx *tx, const struct policy_edit *edit)
{
    const struct policy_record *record = edit->record;
    struct audit_event event;

    event_begin(&event, edit->origin);
    write_policy(&event.w, record);
    if (record->message != NULL && *record->message != '\0') {
        sbx_jsonw_str(&event.w, "message", record->message);
    }
    if (edit->rolled_back != 0) {
        sbx_jsonw_uint(&event.w, "rolled_back_from", edit->before);
        sbx_jsonw_uint(&event.w, "rolled_back_to", edit->rolled_back);
    }
    event_end(&event, tx, edit->before == 0 ? "policy.created" : "policy.updated", record->id.text,
              edit->origin);
}

void
audit_policy_deleted(struct db_tx *tx, const struct policy_record *record, const struct audit_origin *origin)
{
    struct audit_event event;

    event_begin(&event, origin);
    write_policy(&event.w, record);
    event_end(&event, tx, "policy.deleted", record->id.text, origin);
}

void
audit_revocation(struct db_tx *tx, const char *kind, const struct revocation *revocation,
                 const struct audit_origin *origin)
{
    struct audit_event event;

    event_begin(&event, origin);
    if (revocation->token_id[0] != '\0') {
        sbx_jsonw_str(&event.w, "revoked_token_id", revocation->token_id);
    } else if (revocation->revoked_subject[0] != '\0') {
        sbx_jsonw_str(&event.w, "revoked_subject", revocation->revoked_subject);
    } else {
        sbx_jsonw_bool(&event.w, "revoked_all", true);
    }
    sbx_jsonw_uint(&event.w, "issued_before", revocation->issued_before_s);
    sbx_jsonw_uint(&event.w, "expires_ms", revocation->expires_ms);
    if (revocation->reason[0] != '\0') {
        sbx_jsonw_str(&event.w, "reason", revocation->reason);
    }
    event_end(&event, tx, kind, revocation->id.text, origin);
}
