/*
 * The chain as the index has it, and the log brought up to it. The index commits first; the log follows and
 * may lag after a crash or while its disk is full.
 */
#pragma once

#include "audit_log.h"
#include "sqlite_conn.h"

/*
 * For the start: reads the head of the index, checks that the log is a prefix of it that lost nothing it was
 * known to have, and appends what it lacks. -EUCLEAN with `error` when the two do not fit.
 */
_must_check_ int sqlite_audit_resume(struct sqlite_conn *conn, struct audit_log *log, struct audit_chain *ret,
                                     char *error, size_t error_size);
/* Appends the rows beyond the log's head. */
_must_check_ int sqlite_audit_catch_up(struct sqlite_conn *conn, struct audit_log *log);
/* Adds the event of an audit operation (db_tx.h) to chain and index, and its line to lines. */
_must_check_ int sqlite_audit_insert(struct sqlite_conn *conn, struct audit_chain *chain,
                                     const struct db_value *values, struct sbx_buf *lines);
/*
 * The line of a row of DB_AUDIT_AFTER, made again from its columns; -EUCLEAN when the row's hash is another.
 */
_must_check_ int sqlite_audit_line(const struct db_result *rows, unsigned row, struct sbx_buf *out,
                                   struct audit_line *ret);
