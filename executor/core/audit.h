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
/* It runs. */
void audit_job_started(struct db_tx *tx, const struct job *job);
/* job.finished, job.cancelled, job.stopped or job.lost, by the verdict. */
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
struct usage;
/* session.used: what it used since the last such event, while it lives. */
void audit_session_used(struct db_tx *tx, const struct session *session, const struct usage *usage);
void audit_session_ended(struct db_tx *tx, const struct session *session);
/* It runs. */
void audit_session_started(struct db_tx *tx, const struct session *session);
/* session.paused or session.resumed: as it is now. */
void audit_session_paused(struct db_tx *tx, const struct session *session);
void audit_step_accepted(struct db_tx *tx, const struct step *step, const struct audit_origin *origin);
/* Its code is on the way to the interpreter. */
void audit_step_started(struct db_tx *tx, const struct step *step);
void audit_step_ended(struct db_tx *tx, const struct step *step);

/* Something else that was asked for and done, and nothing else is stored of. Borrows. */
struct audit_member {
    const char *key;
    const char *text; /* NULL: number */
    uint64_t number;
};
struct audit_act {
    const struct sbx_context *context;
    const char *kind;
    const char *object; /* NULL: none */
    const struct audit_member *members;
    unsigned n_members;
};
void audit_act(struct db_tx *tx, const struct audit_act *act);
/* The same by itself: nobody waits for it. */
void audit_act_submit(struct db *db, const struct audit_act *act);
/* Takes tx, an event that nobody waits for: it goes with the next commit. A failure is logged. */
void audit_submit_later(struct db_tx *tx);
/* A request that passed while authorization was off. */
void audit_bypass(struct db_tx *tx, const struct sbx_context *context, const char *method, const char *route);
/* Production that runs without required walls because its configuration says so. */
void audit_walls_accepted(struct db_tx *tx, uint64_t missing);
/* Something was done to a session's files. Borrows. */
struct audit_file {
    const struct sbx_context *context;
    const char *session,
        *kind; /* "file.uploaded" "file.read" "file.archived" "file.watched" "file.moved" "file.deleted" "directory.created" */
    const char *path;
    const char *to;     /* of a move; else NULL */
    uint64_t size;      /* bytes; of a deletion, entries */
    const char *sha256; /* of an upload's bytes; else NULL */
};
void audit_file(struct db_tx *tx, const struct audit_file *file);
/* `body`: one JSON object; of the edge's, validated by the caller. Borrows. */
struct audit_denial {
    const char *tenant, *request_id; /* the latter may be NULL */
    const char *body;
    size_t body_len;
    uint64_t keep_ms; /* as in db_audit */
};
void audit_denied(struct db_tx *tx, const struct audit_denial *denial);
/* Of the executor: who, and what the problem says. */
struct sbx_problem;
void audit_refused(struct db_tx *tx, const struct sbx_context *context, const char *route,
                   const struct sbx_problem *problem);
/* A row of enum db_audit_column as its line in the log has it, member for member, without the line's end. Appends. */
void audit_row_write(struct sbx_buf *out, const struct db_result *rows, unsigned row);
/* The tenant's own log was given out. */
void audit_exported(struct db_tx *tx, const struct sbx_context *context);
