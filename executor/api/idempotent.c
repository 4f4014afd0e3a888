#include "executor/api/idempotent.h"

#include <string.h>

#include "executor/api/api_inside.h"
#include "lib/sbx_time.h"

bool
idempotent_hash_body(struct call *call)
{
    uint8_t digest[SBX_SHA256_LEN];
    const char *body;
    size_t len;
    int r;

    body = sbx_http_request_body(call->request, &len);
    r = sbx_sha256(body, len, digest);
    if (r) {
        call_problem_internal(call, r);
        return false;
    }
    sbx_hex(call->body_sha256, digest, sizeof(digest));
    return true;
}

static void
idempotent_replay(struct call *call, const char *id)
{
    call->replayed = true;
    call->replay(call, id);
}

static void
idempotent_on_read(struct call *call, int rc, const struct db_result *result)
{
    const struct db_value *row;

    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
        return;
    }
    row = result->n_rows == 0 ? NULL : db_at(result, 0, 0);
    if (row == NULL ||
        (uint64_t)row[2].integer + engine_key_ttl_ms(call->api->spec.engine) < sbx_now_unix_ms()) {
        call->fresh(call);
    } else if (strcmp(row[0].data, call->body_sha256) != 0) {
        call_problem(call, SBX_PROBLEM_IDEMPOTENCY_MISMATCH, NULL);
    } else {
        idempotent_replay(call, row[1].data);
    }
}

static void
idempotent_with_key(struct call *call, const char *route, const char *key)
{
    const struct idempotency_key full = {
        .tenant = call->context.tenant,
        .subject = call->context.subject,
        .route = route,
        .key = key,
        .body_sha256 = call->body_sha256,
    };
    const struct db_value values[] = {
        DB_VTEXT(full.tenant),
        DB_VTEXT(full.subject),
        DB_VTEXT(full.route),
        DB_VTEXT(full.key),
    };
    struct idempotency_entry *entry = NULL;
    int r;

    r = idempotency_begin(engine_idempotency(call->api->spec.engine), &full, &entry);
    if (r == IDEMPOTENCY_E_MISMATCH) {
        call_problem(call, SBX_PROBLEM_IDEMPOTENCY_MISMATCH, NULL);
    } else if (r == IDEMPOTENCY_E_IN_FLIGHT) {
        call_reply_problem(call, &(struct sbx_problem){
                                     .code = SBX_PROBLEM_IDEMPOTENCY_IN_FLIGHT,
                                     .retry_after_s = 1,
                                 });
    } else if (r == IDEMPOTENCY_E_KNOWN) {
        idempotent_replay(call, entry->object_id.text);
    } else if (r) {
        call_problem_internal(call, r);
    } else {
        call->idempotency = entry;
        call_read(call, DB_IDEM_GET, values, SBX_COUNT(values), idempotent_on_read);
    }
}

void
idempotent(struct call *call, const char *route, void (*fresh)(struct call *call),
           void (*replay)(struct call *call, const char *id))
{
    const char *key = sbx_http_request_header(call->request, "Idempotency-Key");

    if (sbx_http_request_header_count(call->request, "Idempotency-Key") > 1 ||
        (key != NULL && !idempotency_key_valid(key))) {
        call_problem(call, SBX_PROBLEM_BAD_REQUEST,
                     "Idempotency-Key must be 1 to 255 visible ASCII characters, once");
        return;
    }
    if (!idempotent_hash_body(call)) {
        return;
    }
    call->fresh = fresh;
    call->replay = replay;
    if (key != NULL) {
        idempotent_with_key(call, route, key);
    } else {
        fresh(call);
    }
}

void
idempotent_store(struct db_tx *tx, const struct call *call, const char *id, uint64_t created_ms)
{
    const struct idempotency_entry *entry = call->idempotency;
    const struct db_value before[] = { DB_VINT(created_ms - engine_key_ttl_ms(call->api->spec.engine)) };

    if (entry == NULL) {
        return;
    }
    const struct db_value values[] = {
        DB_VTEXT(entry->tenant), DB_VTEXT(entry->subject),     DB_VTEXT(entry->route),
        DB_VTEXT(entry->key),    DB_VTEXT(entry->body_sha256), DB_VTEXT(id),
        DB_VINT(created_ms),
    };
    /* A key that outlived its time would conflict with its own renewal. */
    db_tx_add(tx, DB_IDEM_PURGE, before, SBX_COUNT(before));
    db_tx_add(tx, DB_IDEM_INSERT, values, SBX_COUNT(values));
}
