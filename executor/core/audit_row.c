/* Events on their way to whoever may read them. */
#include <string.h>

#include "executor/core/audit_inside.h"
#include "executor/store/stmts.h"
#include "lib/sbx_time.h"

static const char *
value_text(const struct db_value *value)
{
    return value->type == DB_TEXT ? value->data : NULL;
}

static void
write_body(struct sbx_jsonw *w, const struct db_value *body)
{
    if (body->type == DB_TEXT) {
        sbx_jsonw_raw(w, "body", body->data, body->len);
    } else {
        sbx_jsonw_null(w, "body");
    }
}

static void
write_time(struct sbx_jsonw *w, const char *key, const struct db_value *value)
{
    char text[SBX_RFC3339_LEN];

    if (value->type != DB_INT) {
        sbx_jsonw_null(w, key);
        return;
    }
    sbx_rfc3339(text, (uint64_t)value->integer);
    sbx_jsonw_str(w, key, text);
}

/* The order of the members is that of executor/store/audit_chain.h: who hashes the line finds its hash. */
void
audit_row_write(struct sbx_buf *out, const struct db_result *rows, unsigned row)
{
    const struct db_value *value = db_at(rows, row, 0);
    const bool whole = value[DB_AUDIT_BODY_SHA256].type != DB_TEXT;
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_int(&w, "seq", value[DB_AUDIT_SEQ].integer);
    write_time(&w, "ts", &value[DB_AUDIT_TS_MS]);
    sbx_jsonw_str(&w, "tenant", value_text(&value[DB_AUDIT_TENANT]));
    sbx_jsonw_str(&w, "kind", value_text(&value[DB_AUDIT_KIND]));
    sbx_jsonw_str(&w, "object", value_text(&value[DB_AUDIT_OBJECT]));
    sbx_jsonw_str(&w, "request_id", value_text(&value[DB_AUDIT_REQUEST_ID]));
    sbx_jsonw_str(&w, "decision", value_text(&value[DB_AUDIT_DECISION]));
    if (whole) {
        write_body(&w, &value[DB_AUDIT_BODY]);
    } else {
        write_time(&w, "keep_until", &value[DB_AUDIT_KEEP_UNTIL_MS]);
        sbx_jsonw_str(&w, "body_sha256", value_text(&value[DB_AUDIT_BODY_SHA256]));
    }
    sbx_jsonw_str(&w, "prev", value_text(&value[DB_AUDIT_PREV]));
    sbx_jsonw_str(&w, "hash", value_text(&value[DB_AUDIT_HASH]));
    if (!whole) {
        write_body(&w, &value[DB_AUDIT_BODY]);
    }
    sbx_jsonw_object_end(&w);
}

void
audit_exported(struct db_tx *tx, const struct sbx_context *context)
{
    struct audit_event event;

    audit_event_begin(&event);
    audit_write_context(&event.w, context);
    audit_event_end(&event, tx,
                    &(struct db_audit){
                        .tenant = context->tenant,
                        .kind = "audit.exported",
                        .request_id = context->request_id,
                        .decision = "allow",
                        .keep_ms = context->retention_audit_ms,
                    });
}
