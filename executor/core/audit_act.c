/* Events of what was done and leaves no other record: who, what, to which thing. */
#include "executor/core/audit_inside.h"
#include "executor/log.h"

void
audit_act(struct db_tx *tx, const struct audit_act *act)
{
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_context(&event.w, act->context);
    for (unsigned i = 0; i < act->n_members; i++) {
        const struct audit_member *member = &act->members[i];

        if (member->text != NULL) {
            sbx_jsonw_str(&event.w, member->key, member->text);
        } else {
            sbx_jsonw_uint(&event.w, member->key, member->number);
        }
    }
    audit_event_end(&event, tx,
                    &(struct db_audit){
                        .tenant = act->context->tenant,
                        .kind = act->kind,
                        .object = act->object,
                        .request_id = act->context->request_id,
                        .decision = "allow",
                        .keep_ms = act->context->retention_audit_ms,
                    });
}

static void
on_stored(void *arg _unused_, int rc, const struct db_result *result _unused_)
{
    if (rc) {
        log_error("audit.event_failed", LOG_INT("code", rc));
    }
}

void
audit_submit_later(struct db_tx *tx)
{
    db_tx_submit_later(tx, on_stored, NULL);
}

void
audit_act_submit(struct db *db, const struct audit_act *act)
{
    struct db_tx *tx;

    if (db_tx_new(&tx, db) != 0) {
        log_error("audit.event_failed", LOG_INT("code", -ENOMEM));
        return;
    }
    audit_act(tx, act);
    audit_submit_later(tx);
}
