#include "executor/core/revocations.h"

#include <string.h>

#include "executor/core/audit_policy.h"
#include "executor/core/rows.h"
#include "executor/store/stmts.h"
#include "lib/sbx_time.h"

#define CHANGE_BYTES 768 /* of one in the feed, at most about */

int
revocation_load(struct revocation *ret, const char *tenant, const struct db_result *result, unsigned row)
{
    const struct db_value *at = db_at(result, row, 0);
    const size_t tenant_len = strlen(tenant);
    int r = tenant_len < sizeof(ret->tenant) ? 0 : -EINVAL;

    *ret = (struct revocation){ 0 };
    if (r == 0) {
        memcpy(ret->tenant, tenant, tenant_len + 1);
    }
    row_take_text(ret->id.text, sizeof(ret->id.text), &at[DB_REVOCATION_ID], &r);
    row_take_text(ret->token_id, sizeof(ret->token_id), &at[DB_REVOCATION_TOKEN_ID], &r);
    row_take_text(ret->revoked_subject, sizeof(ret->revoked_subject), &at[DB_REVOCATION_SUBJECT], &r);
    row_take_text(ret->created_by, sizeof(ret->created_by), &at[DB_REVOCATION_CREATED_BY], &r);
    row_take_text(ret->reason, sizeof(ret->reason), &at[DB_REVOCATION_REASON], &r);
    ret->issued_before_s = row_take_number(&at[DB_REVOCATION_ISSUED_BEFORE_S]);
    ret->created_ms = row_take_number(&at[DB_REVOCATION_CREATED_MS]);
    ret->expires_ms = row_take_number(&at[DB_REVOCATION_EXPIRES_MS]);
    return r;
}

int
revocations_prepare(struct db_tx **ret, struct changes *changes, const struct revocation *revocation,
                    const struct audit_origin *origin)
{
    const struct db_value values[] = {
        DB_VTEXT(revocation->id.text),          DB_VTEXT(revocation->tenant),
        row_text_or_null(revocation->token_id), row_text_or_null(revocation->revoked_subject),
        DB_VINT(revocation->issued_before_s),   DB_VINT(revocation->created_ms),
        DB_VINT(revocation->expires_ms),        DB_VTEXT(revocation->created_by),
        row_text_or_null(revocation->reason),   DB_VINT(REVOCATIONS_PER_TENANT),
    };
    const struct change change = {
        .kind = "revocation",
        .tenant = revocation->tenant,
        .object = revocation->id.text,
        .bytes = CHANGE_BYTES,
    };
    struct db_tx *tx;
    int r;

    r = db_tx_new(&tx, changes_db(changes));
    if (r) {
        return r;
    }
    db_tx_add(tx, DB_REVOCATION_INSERT, values, SBX_COUNT(values));
    db_tx_expect(tx, REVOCATIONS_E_FULL);
    changes_add(tx, &change);
    audit_revocation(tx, "revocation.created", revocation, origin);
    *ret = tx;
    return 0;
}

int
revocations_prepare_delete(struct db_tx **ret, struct changes *changes, const struct revocation *revocation,
                           const struct audit_origin *origin)
{
    const uint64_t now = sbx_now_unix_ms();
    const struct db_value values[] = { DB_VTEXT(revocation->tenant), DB_VTEXT(revocation->id.text),
                                       DB_VINT(now) };
    const struct change change = {
        .kind = "revocation",
        .tenant = revocation->tenant,
        .object = revocation->id.text,
        .bytes = CHANGE_BYTES,
        .gone_ms = now,
    };
    struct db_tx *tx;
    int r;

    r = db_tx_new(&tx, changes_db(changes));
    if (r) {
        return r;
    }
    db_tx_add(tx, DB_REVOCATION_DELETE, values, SBX_COUNT(values));
    db_tx_expect(tx, REVOCATIONS_E_NOT_FOUND);
    changes_add(tx, &change);
    audit_revocation(tx, "revocation.deleted", revocation, origin);
    *ret = tx;
    return 0;
}
