/* The SQLite backend: a writer thread and a reader thread, each with a connection of its own. */
#include <stdlib.h>
#include <string.h>

#include "db_backend.h"
#include "db_worker.h"
#include "explain.h"
#include "lib/sbx_time.h"
#include "sqlite_writer.h"

#define READ_QUEUE_MAX 10000
#define READ_QUEUE_MAX_BYTES (64u << 20)
#define READ_BATCH 64
#define READ_LIMIT_MS 5000

struct sqlite {
    struct db db;
    struct sqlite_writer writer;
    struct db_worker reader;
    struct sqlite_conn *read_conn;
};

static void *
reader_run(void *arg)
{
    struct sqlite *sqlite = arg;
    enum db_worker_news news = DB_WORKER_BATCH;

    while (news != DB_WORKER_STOP) {
        struct db_queue batch = { 0 }, done = { 0 };
        struct db_tx *tx;

        news = db_worker_wait(&sqlite->reader, 0, &batch, READ_BATCH, SIZE_MAX);
        while ((tx = db_queue_pop(&batch)) != NULL) {
            sqlite_conn_deadline(sqlite->read_conn, sbx_now_mono_ms() + READ_LIMIT_MS);
            tx->rc = sqlite_conn_run(sqlite->read_conn, tx->first->stmt, tx->first->values, tx->first->n,
                                     &tx->rows, &tx->changes);
            db_queue_push(&done, tx);
            db_outbox_post(sqlite->db.outbox, &done);
        }
    }
    return NULL;
}

static struct sqlite *
sqlite_free(struct sqlite *sqlite)
{
    if (sqlite == NULL) {
        return NULL;
    }

    db_worker_stop(&sqlite->reader);
    sqlite_writer_stop(&sqlite->writer);
    sqlite->db.outbox = db_outbox_close(sqlite->db.outbox);
    /* The writer's connection closes last: the last one to close moves the write-ahead log into the file. */
    sqlite->read_conn = sqlite_conn_close(sqlite->read_conn);
    db_worker_deinit(&sqlite->reader);
    sqlite_writer_deinit(&sqlite->writer);
    free(sqlite);
    return NULL;
}

static void
sqlite_freep(struct sqlite **sqlite)
{
    *sqlite = sqlite_free(*sqlite);
}

static void
sqlite_close(struct db *db)
{
    sqlite_free((struct sqlite *)db);
}

static int
sqlite_open(struct db **ret, const struct db_spec *spec, char *error, size_t error_size)
{
    _cleanup_(sqlite_freep) struct sqlite *sqlite = NULL;
    int r;

    explain(error, error_size, "out of memory or threads");
    if (spec->url == NULL || spec->audit_dir == NULL) {
        explain(error, error_size, "the database needs a path and a directory for the audit log");
        return -EINVAL;
    }
    sqlite = calloc(1, sizeof(*sqlite));
    if (sqlite == NULL) {
        return -ENOMEM;
    }
    sqlite->db.ops = &sqlite_ops;

    r = sqlite_writer_init(&sqlite->writer, spec, error, error_size);
    if (r) {
        return r;
    }
    r = sqlite_conn_open(&sqlite->read_conn, spec->url, SQLITE_CONN_READER, error, error_size);
    if (r) {
        return r;
    }

    r = db_worker_init(&sqlite->reader, READ_QUEUE_MAX, READ_QUEUE_MAX_BYTES);
    r = r ? r : db_outbox_new(&sqlite->db.outbox, spec->loop);
    r = r ? r : sqlite_writer_start(&sqlite->writer, sqlite->db.outbox);
    r = r ? r : db_worker_start(&sqlite->reader, reader_run, sqlite);
    if (r) {
        explain(error, error_size, "cannot start the database's threads: %s", strerror(-r));
        return r;
    }
    error[0] = '\0';
    *ret = &steal(&sqlite)->db;
    return 0;
}

static int
sqlite_write(struct db *db, struct db_tx *tx)
{
    struct sqlite *sqlite = (struct sqlite *)db;

    return db_worker_submit(&sqlite->writer.worker, tx);
}

static int
sqlite_read(struct db *db, struct db_tx *tx)
{
    struct sqlite *sqlite = (struct sqlite *)db;

    return db_worker_submit(&sqlite->reader, tx);
}

/* db is const to the caller; taking the queue's lock is no change that anyone can see. */
static void
sqlite_stats(const struct db *db, struct db_stats *ret)
{
    union {
        const struct db *db;
        struct sqlite *sqlite;
    } same = { .db = db };
    struct sqlite_writer *writer = &same.sqlite->writer;

    *ret = (struct db_stats){
        .commits = writer->commits,
        .transactions = writer->transactions,
        .failures = writer->failures,
        .audit_events = writer->audit_events,
        .erase_failures = writer->erase_failures.count,
        .queued = db_worker_queued(&writer->worker),
        .healthy = writer->healthy,
        .last_error = writer->last_error,
    };
}

const struct db_ops sqlite_ops = {
    .driver = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .write = sqlite_write,
    .read = sqlite_read,
    .stats = sqlite_stats,
};
