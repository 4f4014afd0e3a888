/*
 * The writer thread: whatever is queued becomes one SQLite transaction with a savepoint for each of ours, so
 * that a hundred clients share one fsync and a conflict undoes only its own. Order of a round:
 *
 *   commit (durable) -> lines to the log's file -> callbacks -> later: fdatasync of the log, signed head
 *
 * The write-ahead log is copied into the file beside all of that (sqlite_checkpoint.h).
 */
#pragma once

#include "audit_log.h"
#include "db_outbox.h"
#include "db_worker.h"
#include "sqlite_audit.h"
#include "sqlite_checkpoint.h"
#include "sqlite_erase.h"

struct sqlite_writer {
    struct db_worker worker;
    struct db_outbox *outbox; /* borrows */
    struct sqlite_conn *conn;
    struct sqlite_checkpoint checkpoint;
    unsigned ordered_pages; /* of the write-ahead log, when a checkpoint was ordered last */
    struct audit_log *log;
    struct sqlite_audit_state audit;
    struct sbx_buf lines; /* of the round */
    /* audit_log.logged_seq and signed_n in the database */
    uint64_t recorded, recorded_heads;
    uint64_t sign_every_ms, sign_due_ms; /* monotonic; 0: nothing to sign */
    uint64_t erase_due_ms;               /* monotonic: when to look for bodies whose time is over */
    struct erase_failures erase_failures;
    uint64_t fill_due_ms;  /* monotonic: when the write-ahead log is to be made long again; 0: it is */
    bool forgets;          /* keys were deleted that the write-ahead log still has */
    uint64_t care_due_ms;  /* when to sync or probe; 0 = no need */
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
