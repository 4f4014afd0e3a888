#include "sqlite_checkpoint.h"

#include "sqlite_conn.h"

int
sqlite_checkpoint_init(struct sqlite_checkpoint *checkpoint, const char *url, char *error, size_t error_size)
{
    int r;

    *checkpoint = (struct sqlite_checkpoint){ 0 };
    r = db_worker_init(&checkpoint->worker, 1, SIZE_MAX);
    if (r) {
        return r;
    }
    r = pthread_mutex_init(&checkpoint->under_way, NULL);
    if (r) {
        return -r;
    }
    checkpoint->initialised = true;
    /* It changes no row: copying the log is what a reader may do as well. */
    return sqlite_conn_open(&checkpoint->conn, url, SQLITE_CONN_READER, error, error_size);
}

static void *
checkpoint_run(void *arg)
{
    struct sqlite_checkpoint *checkpoint = arg;
    enum db_worker_news news = DB_WORKER_BATCH;

    while (news != DB_WORKER_STOP) {
        struct db_queue orders = { 0 };

        news = db_worker_wait(&checkpoint->worker, 0, &orders, 1, SIZE_MAX);
        if (orders.n > 0) {
            atomic_store(&checkpoint->ordered, false); /* what is committed from now on may want another */
            pthread_mutex_lock(&checkpoint->under_way);
            sqlite_conn_checkpoint(checkpoint->conn);
            pthread_mutex_unlock(&checkpoint->under_way);
        }
    }
    return NULL;
}

int
sqlite_checkpoint_start(struct sqlite_checkpoint *checkpoint)
{
    return db_worker_start(&checkpoint->worker, checkpoint_run, checkpoint);
}

void
sqlite_checkpoint_order(struct sqlite_checkpoint *checkpoint)
{
    if (atomic_exchange(&checkpoint->ordered, true)) {
        return;
    }
    /* Refused only at the end: then closing the last connection copies what is left. */
    if (db_worker_submit(&checkpoint->worker, &checkpoint->order) != 0) {
        atomic_store(&checkpoint->ordered, false);
    }
}

void
sqlite_checkpoint_keep_off(struct sqlite_checkpoint *checkpoint)
{
    pthread_mutex_lock(&checkpoint->under_way);
}

void
sqlite_checkpoint_let_on(struct sqlite_checkpoint *checkpoint)
{
    pthread_mutex_unlock(&checkpoint->under_way);
}

void
sqlite_checkpoint_stop(struct sqlite_checkpoint *checkpoint)
{
    db_worker_stop(&checkpoint->worker);
}

void
sqlite_checkpoint_deinit(struct sqlite_checkpoint *checkpoint)
{
    checkpoint->conn = sqlite_conn_close(checkpoint->conn);
    if (checkpoint->initialised) {
        pthread_mutex_destroy(&checkpoint->under_way);
        checkpoint->initialised = false;
    }
    db_worker_deinit(&checkpoint->worker);
}
