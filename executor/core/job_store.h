/* Jobs to rows of the database and back. */
#pragma once

#include "executor/core/audit.h"
#include "executor/core/job.h"
#include "executor/store/db.h"

/*
 * The key and job.accepted, not submitted: what follows goes into the same transaction. It is the caller's until one of
 * the two below takes it; both call `done` as db_tx_submit does.
 */
_must_check_ int job_store_admit(struct db_tx **ret, struct db *db, const struct job *job,
                                 const struct audit_origin *origin, uint64_t key_ttl_ms);
/* The job is queued. */
void job_store_accept(struct db_tx *tx, const struct job *job, db_done_fn done, void *arg);
/* The job was queued, ran and ended, without files, before anybody was told of it. */
void job_store_record(struct db_tx *tx, const struct job *job, db_done_fn done, void *arg);
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
