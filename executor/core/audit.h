/*
 * The executor's audit events: who, what, decision, digests of input and output,
 * usage. Each is appended inside the transaction that makes its fact true, so one
 * is never there without the other. Code, values of env and output never are in one.
 */
#pragma once

#include "executor/core/job.h"
#include "executor/store/db.h"

/* What the accept event says besides the record. Borrows. */
struct audit_origin {
    const struct sbx_context *context;
    const char *request_sha256;
    const char *idempotency_key; /* NULL: none */
};

void audit_job_accepted(struct db_tx *tx, const struct job *job, const struct audit_origin *origin);
/* job.finished, job.cancelled or job.lost, by the verdict. */
void audit_job_ended(struct db_tx *tx, const struct job *job);
/* A job that an earlier process left unfinished. */
struct audit_orphan {
    const char *id, *tenant, *app, *agent, *subject, *request_id, *isolation, *message;
};
void audit_job_orphaned(struct db_tx *tx, const struct audit_orphan *orphan);
/* A request that passed while authorization was off. */
void audit_bypass(struct db_tx *tx, const struct sbx_context *context, const char *method, const char *route);
/* Production that runs without required walls because its configuration says so. */
void audit_walls_accepted(struct db_tx *tx, uint64_t missing);
/* `body` is the edge's own JSON object, validated by the caller. */
void audit_denied(struct db_tx *tx, const char *tenant, const char *request_id, const char *body,
                  size_t body_len);
