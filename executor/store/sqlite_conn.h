/* One SQLite connection: the only place that knows sqlite3.h, but for what lies beneath it (sqlite_wal.h). Used by one thread at a time. */
#pragma once

#include <sys/types.h>

#include "db_rows.h"
#include "stmts.h"

struct sqlite_conn;

enum sqlite_conn_role {
    SQLITE_CONN_WRITER,  /* creates the file (0600) when there is none */
    SQLITE_CONN_READER,  /* query_only */
    SQLITE_CONN_VISITOR, /* beside a running executord or none: creates and changes nothing */
};

/* `url` is a path, or file:path?parameters. On failure `error` says why. */
_must_check_ int sqlite_conn_open(struct sqlite_conn **ret, const char *url, enum sqlite_conn_role role,
                                  char *error, size_t error_size);
struct sqlite_conn *sqlite_conn_close(struct sqlite_conn *conn);
/* Statements without parameters and without rows. Returns 0 or as sqlite_conn_run. */
_must_check_ int sqlite_conn_exec(struct sqlite_conn *conn, const char *sql);
/* What each round of the writer says, prepared once. */
enum sqlite_conn_control {
    SQLITE_CONN_BEGIN, /* takes the writer's lock */
    SQLITE_CONN_COMMIT,
    SQLITE_CONN_SAVE, /* a place to go back to, of which there is one at a time */
    SQLITE_CONN_RELEASE,
    SQLITE_CONN_BACK, /* to it; it stays */
    SQLITE_CONN_N_CONTROLS,
};
_must_check_ int sqlite_conn_control(struct sqlite_conn *conn, enum sqlite_conn_control what);
/* Ends the transaction that is open, if one is: SQLite may have ended it itself on a full disk. */
void sqlite_conn_rollback(struct sqlite_conn *conn);
/*
 * One statement. Rows, when it has any and `rows` is given, replace what rows held; *changes (may be NULL)
 * grows by what it changed. Returns 0, DB_E_CONFLICT, -EINVAL for another constraint, -ENOSPC, -EIO, -EBUSY,
 * -EROFS, -E2BIG, -ETIMEDOUT, -EUCLEAN for a damaged file, -ENOMEM.
 */
_must_check_ int sqlite_conn_run(struct sqlite_conn *conn, enum db_stmt stmt, const struct db_value *values,
                                 unsigned n, struct db_rows *rows, int64_t *changes);
/* Statements give up with -ETIMEDOUT at this monotonic time; 0 lifts it. */
void sqlite_conn_deadline(struct sqlite_conn *conn, uint64_t mono_ms);
/* The driver's own words on the last failure. */
const char *sqlite_conn_error(const struct sqlite_conn *conn);
/*
 * Pages in the write-ahead log after the last commit; checkpoint copies them into the file without blocking
 * readers.
 */
unsigned sqlite_conn_wal_pages(const struct sqlite_conn *conn);
void sqlite_conn_checkpoint(struct sqlite_conn *conn);
/*
 * What was deleted is overwritten in the file (secure_delete), but the write-ahead log has it as it was: moves all of the
 * log into the file and empties it. False: not now.
 */
_must_check_ bool sqlite_conn_forget(struct sqlite_conn *conn);
/* Has a transaction's pages written to the write-ahead log at once. Of the writer, after its first transaction. */
_must_check_ int sqlite_conn_join_writes(struct sqlite_conn *conn);
/*
 * Makes the write-ahead log's file so long, with zeros that are on disk: to make what is written into it durable, a file
 * system has nothing of its own to write then. Of the writer, between transactions. 0, or -errno with the file as it was.
 */
_must_check_ int sqlite_conn_fill(struct sqlite_conn *conn, off_t bytes);
/* Looks for damage for at most limit_ms: 0, -EUCLEAN with `error`, or another -errno. */
_must_check_ int sqlite_conn_inspect(struct sqlite_conn *conn, uint64_t limit_ms, char *error,
                                     size_t error_size);

static inline void
sqlite_conn_closep(struct sqlite_conn **conn)
{
    *conn = sqlite_conn_close(*conn);
}
