/*
 * The chain as the index has it, and the log brought up to it. The index commits first; the log follows and
 * may lag after a crash or while its disk is full.
 */
#pragma once

#include "audit_log.h"
#include "sqlite_conn.h"

/* The chain as it goes on: its head, and what only the writer needs. */
struct sqlite_audit_state {
    struct audit_chain chain;
    uint64_t ts_ms;       /* of the last event: time does not go back along the chain */
    uint64_t keep_ms;     /* for events that do not say */
    uint64_t keep_min_ms; /* no event that says so goes sooner */
};

struct sqlite_audit_log {
    uint64_t logged, signed_n;
    char executor[AUDIT_EXECUTOR_MAX + 1];
    char key[AUDIT_KEY_RAW_TEXT]; /* raw public key, base64url; "" none */
};
/* The row of audit_log. */
_must_check_ int sqlite_audit_log_read(struct sqlite_conn *conn, struct sqlite_audit_log *ret);

/*
 * For the start: reads the head of the index, checks that the log is a prefix of it that lost nothing it was
 * known to have, and appends what it lacks. -EUCLEAN with `error` when the two do not fit.
 */
_must_check_ int sqlite_audit_resume(struct sqlite_conn *conn, struct audit_log *log,
                                     struct sqlite_audit_state *ret, char *error, size_t error_size);
/*
 * For the start, before anything else is written: an audit.key event when another key signs than before, or none does.
 * `old_key` (may be NULL) vouches for `key` when it is the one that signed until now.
 */
_must_check_ int sqlite_audit_key(struct sqlite_conn *conn, struct audit_log *log,
                                  struct sqlite_audit_state *state, const struct sbx_sign_key *key,
                                  const struct sbx_sign_key *old_key);
/* Appends the rows beyond the log's head. */
_must_check_ int sqlite_audit_catch_up(struct sqlite_conn *conn, struct audit_log *log);
/* Adds the event of an audit operation (db_tx.h) to chain and index, and its line to lines. */
_must_check_ int sqlite_audit_insert(struct sqlite_conn *conn, struct sqlite_audit_state *state,
                                     const struct db_value *values, struct sbx_buf *lines);
/*
 * The line of a row of DB_AUDIT_AFTER, made again from its columns; -EUCLEAN when the row's hash is another.
 */
_must_check_ int sqlite_audit_line(const struct db_result *rows, unsigned row, struct sbx_buf *out,
                                   struct audit_line *ret);
