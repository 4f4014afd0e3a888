/* Jobs to rows of the database and back. */
#pragma once

#include "executor/core/audit.h"
#include "executor/core/job.h"
#include "executor/store/db.h"

/* Queued row, key and job.accepted in one transaction; `done` as db_tx_submit's, with job as argument. */
_must_check_ int job_store_accept(struct db *db, const struct job *job, const struct audit_origin *origin,
                                  uint64_t key_ttl_ms, db_done_fn done, void *arg);
/* The result, its artifacts and the audit event in one transaction. */
struct artifacts;
/* Without a place for its files (NULL) a job has none. */
_must_check_ int job_store_finish(struct db *db, struct artifacts *artifacts, const struct job *job,
                                  db_done_fn done, void *arg);
/* A row of DB_JOB_GET. The artifacts are read apart. -EINVAL when the row makes no sense. */
_must_check_ int job_store_load(struct job_record *ret, const struct db_result *result, unsigned row);
/* A row of DB_JOB_LIST: the record is brief. */
_must_check_ int job_store_load_brief(struct job_record *ret, const char *tenant,
                                      const struct db_result *result, unsigned row);
/* Rows of DB_ARTIFACT_LIST. */
_must_check_ int job_store_load_artifacts(struct job_record *ret, const struct db_result *result);
