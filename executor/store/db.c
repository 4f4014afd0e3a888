/* Chooses the backend and sees to it that every submission comes back exactly once. */
#include "db.h"

#include <assert.h>
#include <string.h>

#include "db_backend.h"
#include "db_worker.h"
#include "explain.h"

static const struct db_ops *const drivers[] = { &sqlite_ops };

int
db_open(struct db **ret, const struct db_spec *spec, char *error, size_t error_size)
{
    for (size_t i = 0; i < SBX_COUNT(drivers); i++) {
        if (spec->driver != NULL && strcmp(spec->driver, drivers[i]->driver) == 0) {
            return drivers[i]->open(ret, spec, error, error_size);
        }
    }
    explain(error, error_size, "there is no such database driver in this build; it has: sqlite");
    return -EINVAL;
}

struct db *
db_close(struct db *db)
{
    if (db != NULL) {
        db->ops->close(db);
    }
    return NULL;
}

/* A submission that never reached a worker is answered through the outbox all the same. */
static void
db_send(struct db *db, struct db_tx *tx, int (*submit)(struct db *db, struct db_tx *tx))
{
    struct db_queue failed = { 0 };
    int r = tx->rc;

    db_outbox_expect(db->outbox);
    if (r == 0) {
        r = submit(db, tx);
        if (r == 0) {
            return; /* tx is the worker's from here on */
        }
    }
    tx->rc = r;
    db_queue_push(&failed, tx);
    db_outbox_post(db->outbox, &failed);
}

void
db_tx_submit(struct db_tx *tx, db_done_fn done, void *arg)
{
    tx->done = done;
    tx->arg = arg;
    db_send(tx->db, tx, tx->db->ops->write);
}

void
db_tx_submit_later(struct db_tx *tx, db_done_fn done, void *arg)
{
    tx->patience_ms = DB_WORKER_LATER_MS;
    db_tx_submit(tx, done, arg);
}

void
db_tx_submit_soon(struct db_tx *tx, db_done_fn done, void *arg)
{
    tx->patience_ms = DB_WORKER_SOON_MS;
    db_tx_submit(tx, done, arg);
}

void
db_read(struct db *db, enum db_stmt stmt, const struct db_value *values, unsigned n, db_done_fn done,
        void *arg)
{
    const struct db_stmt_info *info = db_stmt_info(stmt);
    struct db_tx *tx = NULL;
    int r;

    /* Without the memory for a few hundred bytes nobody can be told; what was accepted is on disk. */
    r = db_tx_new(&tx, db);
    assert(r == 0);

    tx->done = done;
    tx->arg = arg;
    if (info == NULL || info->access != DB_ACCESS_READ || info->n_params != n) {
        tx->rc = -EINVAL;
    } else {
        db_tx_push(tx, stmt, values, n);
    }
    db_send(db, tx, db->ops->read);
}

void
db_stats(const struct db *db, struct db_stats *ret)
{
    db->ops->stats(db, ret);
}
