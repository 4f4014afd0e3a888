#pragma once

#include "executor/core/audit.h"

struct policy_edit;
struct policy_record;
struct revocation;

/* policy.created or policy.updated */
void audit_policy_changed(struct db_tx *tx, const struct policy_edit *edit);
void audit_policy_deleted(struct db_tx *tx, const struct policy_record *record,
                          const struct audit_origin *origin);
/* `kind`: "revocation.created" or "revocation.deleted" */
void audit_revocation(struct db_tx *tx, const char *kind, const struct revocation *revocation,
                      const struct audit_origin *origin);
