/* Sessions and steps to rows of the database and back. */
#pragma once

#include "executor/core/audit.h"
#include "executor/core/session.h"
#include "executor/core/step.h"
#include "executor/store/db.h"

/* The key and what it made, into what records that; entry NULL: none. */
void key_store(struct db_tx *tx, const struct idempotency_entry *entry, const struct sbx_id *id,
               uint64_t now_ms, uint64_t key_ttl_ms);
/* The row, the key and session.created in one transaction. The session's idempotency entry is the key. */
_must_check_ int session_store_create(struct db *db, const struct session *session,
                                      const struct job_spec *spec, const struct audit_origin *origin,
                                      uint64_t key_ttl_ms, db_done_fn done, void *arg);
/* What PATCH changed, and session.extended: for the caller to submit. */
_must_check_ int session_store_extend(struct db_tx **ret, struct db *db, const struct session *session,
                                      const struct audit_origin *origin);
/* The end and session.ended. */
_must_check_ int session_store_end(struct db *db, const struct session *session, db_done_fn done, void *arg);
/* A row of DB_SESSION_GET or DB_SESSION_LIST. -EINVAL when it makes no sense. */
_must_check_ int session_store_load(struct session_record *ret, const struct db_result *result, unsigned row);

/* The row, the key and step.accepted. */
_must_check_ int step_store_accept(struct db *db, const struct step *step, const struct audit_origin *origin,
                                   uint64_t key_ttl_ms, db_done_fn done, void *arg);
/* The result and step.ended. */
_must_check_ int step_store_finish(struct db *db, const struct step *step, db_done_fn done, void *arg);
/* A row of DB_STEP_GET, or of DB_STEP_LIST: then brief. */
_must_check_ int step_store_load(struct step_record *ret, const struct db_result *result, unsigned row);
