/*
 * The writer thread: whatever is queued becomes one SQLite transaction with a savepoint for each of ours, so
 * that a hundred clients share one fsync and a conflict undoes only its own. Order of a round:
 *
 *   commit (durable) -> lines to the log's file -> callbacks -> later: fdatasync of the log, checkpoint
 */
#pragma once

#include "audit_log.h"
#include "db_outbox.h"
#include "db_worker.h"
#include "sqlite_conn.h"

struct sqlite_writer {
    struct db_worker worker;
    struct db_outbox *outbox; /* borrows */
    struct sqlite_conn *conn;
    struct audit_log *log;
    struct audit_chain chain;
    struct sbx_buf lines;  /* of the round */
    uint64_t recorded;     /* audit_log.logged_seq in the database */
    bool forgets;          /* keys were deleted that the write-ahead log still has */
    uint64_t care_due_ms;  /* when to sync, checkpoint or probe; 0 = no need */
    int commit_rc, log_rc; /* of the last attempts */
    _Atomic uint64_t commits, transactions, failures, audit_events;
    _Atomic int last_error;
    _Atomic bool healthy;
};

/* Opens connection and log, migrates, joins the two. */
_must_check_ int sqlite_writer_init(struct sqlite_writer *writer, const struct db_spec *spec, char *error,
                                    size_t error_size);
_must_check_ int sqlite_writer_start(struct sqlite_writer *writer, struct db_outbox *outbox);
/* Finishes the queue; deinit is legal after a failed init. */
void sqlite_writer_stop(struct sqlite_writer *writer);
void sqlite_writer_deinit(struct sqlite_writer *writer);
