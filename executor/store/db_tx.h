/*
 * A transaction on its way: built on the loop's thread, executed by a worker, back to the
 * loop with its outcome. It carries its own queue link and room for the outcome, so that
 * nothing after its birth can fail to report. A read is a transaction of one statement.
 */
#pragma once

#include "db.h"
#include "db_rows.h"
#include "stmts.h"

#define DB_TX_MAX_BYTES (96u << 20)
#define DB_TX_MAX_OPS 1024
#define DB_AUDIT_MAX_TEXT 512
#define DB_AUDIT_MAX_BODY (256u << 10)

struct db_op {
    struct db_op *next;
    enum db_stmt stmt; /* DB_AUDIT_INSERT: values are tenant kind object request_id decision body keep_ms */
    int expect;        /* the outcome when it changes nothing; 0: it need not */
    unsigned n;
    struct db_value values[]; /* their bytes follow */
};

struct db_tx {
    struct db_tx *next;
    struct db *db;
    struct db_op *first, *last;
    unsigned n_ops;
    size_t bytes;
    int rc; /* sticky failure while building, then the outcome */
    struct db_rows rows;
    int64_t changes;
    unsigned patience_ms; /* it goes with what comes next, and waits so long for that; 0: for nothing */
    db_done_fn done;
    void *arg;
};

struct db_queue {
    struct db_tx *first, *last;
    size_t n, bytes;
};

void db_queue_push(struct db_queue *queue, struct db_tx *tx);
struct db_tx *db_queue_pop(struct db_queue *queue);
/* Moves all of `from` behind what is in `to`. */
void db_queue_move(struct db_queue *to, struct db_queue *from);

/* One statement, values checked and copied; sets tx->rc on failure. */
void db_tx_push(struct db_tx *tx, enum db_stmt stmt, const struct db_value *values, unsigned n);
