/* Tokens that a tenant takes back before their time: rows, the change that gateways hear of, and the audit event in one
 * transaction. What a revocation means is for the gateways to hold to; here nobody shows a token. */
#pragma once

#include "executor/core/audit.h"
#include "executor/core/changes.h"
#include "lib/sbx_id.h"

#define REVOCATIONS_PER_TENANT 10000 /* that are not over */
#define REVOCATION_REASON_MAX 512

enum {
    REVOCATIONS_E_FULL = DB_E_OWN,
    REVOCATIONS_E_NOT_FOUND,
};

/* Of one token, or of a subject's, or of all the tenant's. Text members are "" when there is nothing. */
struct revocation {
    struct sbx_id id;
    char tenant[SBX_NAME_MAX + 1];
    char token_id[SBX_SUBJECT_MAX + 1];
    char revoked_subject[SBX_SUBJECT_MAX + 1];
    uint64_t issued_before_s;        /* Unix; tokens of before it. Of one token it says nothing */
    uint64_t created_ms, expires_ms; /* Unix */
    char created_by[SBX_SUBJECT_MAX + 1];
    char reason[REVOCATION_REASON_MAX + 1];
};

/* A row of enum db_revocation_column. */
_must_check_ int revocation_load(struct revocation *ret, const char *tenant, const struct db_result *result,
                                 unsigned row);
/* Transactions for changes_submit, to which more may be added. */
_must_check_ int revocations_prepare(struct db_tx **ret, struct changes *changes,
                                     const struct revocation *revocation, const struct audit_origin *origin);
_must_check_ int revocations_prepare_delete(struct db_tx **ret, struct changes *changes,
                                            const struct revocation *revocation,
                                            const struct audit_origin *origin);
