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
/* Something that an earlier process left unfinished; kind: "job.lost", "session.ended" or "step.ended". */
struct audit_orphan {
    const char *kind, *id, *tenant, *app, *agent, *subject, *request_id, *isolation, *message;
    const char *session_id; /* of a step; else NULL */
};
void audit_orphaned(struct db_tx *tx, const struct audit_orphan *orphan);

struct session;
struct step;
/* session.created: `spec` says what it begins with. */
void audit_session_created(struct db_tx *tx, const struct session *session, const struct job_spec *spec,
                           const struct audit_origin *origin);
void audit_session_extended(struct db_tx *tx, const struct session *session,
                            const struct audit_origin *origin);
void audit_session_ended(struct db_tx *tx, const struct session *session);
void audit_step_accepted(struct db_tx *tx, const struct step *step, const struct audit_origin *origin);
void audit_step_ended(struct db_tx *tx, const struct step *step);
/* A request that passed while authorization was off. */
void audit_bypass(struct db_tx *tx, const struct sbx_context *context, const char *method, const char *route);
/* Production that runs without required walls because its configuration says so. */
void audit_walls_accepted(struct db_tx *tx, uint64_t missing);
/* Something was done to a session's files. Borrows. */
struct audit_file {
    const struct sbx_context *context;
    const char *session, *kind; /* "file.uploaded" "file.read" "file.moved" "file.deleted" */
    const char *path;
    const char *to;     /* of a move; else NULL */
    uint64_t size;      /* bytes; of a deletion, entries */
    const char *sha256; /* of an upload's bytes; else NULL */
};
void audit_file(struct db_tx *tx, const struct audit_file *file);
/* `body` is the edge's own JSON object, validated by the caller. */
void audit_denied(struct db_tx *tx, const char *tenant, const char *request_id, const char *body,
                  size_t body_len);
