/*
 * The database behind a small vtable: SQLite now, Postgres beside it later.
 * All calls come from the loop's thread; all callbacks arrive there. Writes
 * are transactions made of prepared statements (stmts.h), group-committed by the
 * backend's own writer thread; reads run on a reader thread and see what was
 * committed. Durable means fsynced: a callback with rc 0 is a promise.
 */
#pragma once

#include "lib/sbx_base.h"

struct db;
struct db_tx;
struct sbx_sign_key;

enum {
    DB_E_CONFLICT = 1, /* a unique constraint; the whole transaction was rolled back */
    DB_E_OWN = 16,     /* this and what is above are callers' own: db_tx_expect */
};

enum db_type { DB_NULL, DB_INT, DB_TEXT, DB_BLOB };

struct db_value {
    enum db_type type;
    int64_t integer;
    const void *data; /* TEXT and BLOB; TEXT also NUL-terminated in results */
    size_t len;
};

#define DB_VNULL() ((struct db_value){ .type = DB_NULL })
#define DB_VINT(value) ((struct db_value){ .type = DB_INT, .integer = (int64_t)(value) })
#define DB_VTEXT(text) db_text(text)
#define DB_VBLOB(bytes, length) ((struct db_value){ .type = DB_BLOB, .data = (bytes), .len = (length) })
struct db_value db_text(const char *text); /* NULL makes DB_NULL */

struct db_result {
    unsigned n_rows, n_columns;
    const struct db_value *values; /* row-major */
    int64_t changes;               /* rows changed by the transaction's statements together */
};

static inline const struct db_value *
db_at(const struct db_result *result, unsigned row, unsigned column)
{
    return &result->values[row * result->n_columns + column];
}

/*
 * rc 0, DB_E_CONFLICT or -errno; the result borrows until return (rows of the last statement that has any).
 */
typedef void (*db_done_fn)(void *arg, int rc, const struct db_result *result);

enum db_stmt; /* stmts.h */

struct db_spec {
    const char *driver;    /* "sqlite" */
    const char *url;       /* "file:/path/state.db?..." or a path */
    const char *audit_dir; /* segments of the audit log */
    /*
     * What signs the log's heads, and what did before it; NULL: none. The first is borrowed as long as the database is
     * open, the second for the call.
     */
    const struct sbx_sign_key *audit_key, *audit_old_key;
    uint64_t audit_segment_lines; /* a segment that has this many is followed by the next one; 0: 100,000 */
    uint64_t audit_sign_ms;       /* between two signed heads while events come; 0: 60 s */
    uint64_t audit_keep_ms;       /* bodies of events that do not say how long; 0: for ever */
    uint64_t audit_keep_min_ms;   /* of those that do, none goes sooner */
    void *loop;                   /* uv_loop_t */
};

/* Opens, migrates, checks; blocking, for start-up only. On failure `error` says why. */
_must_check_ int db_open(struct db **ret, const struct db_spec *spec, char *error, size_t error_size);
/*
 * Finishes what is queued, makes the callbacks that are due, then closes; blocking, at the end. The loop must
 * turn once more (uv_run) before it is closed. Accepts NULL, returns NULL.
 */
struct db *db_close(struct db *db);

_must_check_ int db_tx_new(struct db_tx **ret, struct db *db);
struct db_tx *db_tx_free(struct db_tx *tx);
/* Copies the values. Failure is sticky and reported by db_tx_submit's callback. */
void db_tx_add(struct db_tx *tx, enum db_stmt stmt, const struct db_value *values, unsigned n);
/*
 * The statement added last must change a row: else the whole transaction is rolled back and its callback gets `code`,
 * DB_E_OWN or above. What was read before the transaction and must still hold is made sure of so.
 */
void db_tx_expect(struct db_tx *tx, int code);
/*
 * Appends an audit event to the chain in this same transaction. `body` is one JSON object of the event's own
 * members; seq, ts, prev and hash are the chain's. The indexed members are repeated as arguments.
 */
struct db_audit {
    const char *tenant, *kind, *object, *request_id, *decision;
    const char *body;
    size_t body_len;
    bool
        canonical; /* the body is as sbx_jsonw_init_canonical writes, without doubt; else it is read and written anew */
    uint64_t keep_ms; /* the body, from now; 0: as long as the database's spec says */
};
void db_tx_audit(struct db_tx *tx, const struct db_audit *event);
/* Takes tx. done (may be NULL) is called from the loop after commit. */
void db_tx_submit(struct db_tx *tx, db_done_fn done, void *arg);
/* The same for what nobody waits for: it goes with the next commit, and makes one of its own only after a while. */
void db_tx_submit_later(struct db_tx *tx, db_done_fn done, void *arg);
/* The same for what is wanted soon, but by nobody who waits for it: after a few milliseconds. */
void db_tx_submit_soon(struct db_tx *tx, db_done_fn done, void *arg);
/* One read-only statement on the reader thread. */
void db_read(struct db *db, enum db_stmt stmt, const struct db_value *values, unsigned n, db_done_fn done,
             void *arg);

struct db_stats {
    uint64_t commits, transactions, failures, audit_events;
    uint64_t erase_failures; /* segments of the audit log whose bodies are over and could not be erased */
    unsigned queued;
    bool healthy;   /* the last commit worked and the audit log has all that was committed */
    int last_error; /* -errno of the last time it was not, 0 never */
};
void db_stats(const struct db *db, struct db_stats *ret);
