/* Group commit and the care for log and file between rounds. */
#include "sqlite_writer.h"

#include "lib/sbx_time.h"
#include "sqlite_audit.h"
#include "sqlite_schema.h"

#define QUEUE_MAX 10000
#define QUEUE_MAX_BYTES (256u << 20)
#define ROUND_MAX 1024
#define ROUND_MAX_BYTES (16u << 20)
#define LINES_MAX (256u << 20)
#define CARE_DELAY_MS 100 /* after a commit: several rounds share one fdatasync of the log */
#define PROBE_DELAY_MS                                                                                       \
    1000 /* while unhealthy: else nothing would ever find out that the disk has room again */
#define CHECKPOINT_IDLE 256
#define CHECKPOINT_BUSY 8192
#define INSPECT_MS 2000

static const struct audit_log_limits log_limits = { .bytes = AUDIT_SEGMENT_BYTES,
                                                    .lines = AUDIT_SEGMENT_LINES };

int
sqlite_writer_init(struct sqlite_writer *writer, const struct db_spec *spec, char *error, size_t error_size)
{
    int r;

    *writer = (struct sqlite_writer){ .lines = SBX_BUF_INIT(LINES_MAX), .healthy = true };
    r = db_worker_init(&writer->worker, QUEUE_MAX, QUEUE_MAX_BYTES);
    if (r) {
        return r;
    }
    /* The log's lock comes first: it keeps a second process from migrating under the first one. */
    r = audit_log_open(&writer->log, spec->audit_dir, &log_limits, error, error_size);
    if (r) {
        return r;
    }
    r = sqlite_conn_open(&writer->conn, spec->url, SQLITE_CONN_WRITER, error, error_size);
    if (r) {
        return r;
    }
    r = sqlite_conn_inspect(writer->conn, INSPECT_MS, error, error_size);
    if (r) {
        return r;
    }
    r = sqlite_schema_migrate(writer->conn, error, error_size);
    if (r) {
        return r;
    }
    writer->forgets = !sqlite_conn_forget(writer->conn); /* what a crash kept an earlier process from */
    return sqlite_audit_resume(writer->conn, writer->log, &writer->chain, error, error_size);
}

void
sqlite_writer_deinit(struct sqlite_writer *writer)
{
    writer->conn = sqlite_conn_close(writer->conn);
    writer->log = audit_log_close(writer->log);
    sbx_buf_deinit(&writer->lines);
    db_worker_deinit(&writer->worker);
}

/* Failures that are the transaction's own; after any other the round cannot go on. */
static bool
own_failure(int r)
{
    return r == DB_E_CONFLICT || r == -EINVAL || r == -E2BIG;
}

static int
writer_ops(struct sqlite_writer *writer, struct db_tx *tx)
{
    int r = 0;

    for (const struct db_op *op = tx->first; op != NULL && r == 0; op = op->next) {
        if (op->stmt == DB_AUDIT_INSERT) {
            r = sqlite_audit_insert(writer->conn, &writer->chain, op->values, &writer->lines);
        } else {
            r = sqlite_conn_run(writer->conn, op->stmt, op->values, op->n, &tx->rows, &tx->changes);
        }
    }
    return r;
}

/* Returns 0 also when tx failed alone: that is in tx->rc then. */
static int
writer_tx(struct sqlite_writer *writer, struct db_tx *tx)
{
    const struct audit_chain before = writer->chain;
    const size_t lines_before = writer->lines.len;
    int r;

    r = sqlite_conn_exec(writer->conn, "savepoint tx");
    if (r) {
        return r > 0 ? -EIO : r;
    }
    tx->rc = writer_ops(writer, tx);
    if (tx->rc == 0) {
        r = sqlite_conn_exec(writer->conn, "release tx");
        return r > 0 ? -EIO : r;
    }
    if (!own_failure(tx->rc)) {
        return tx->rc;
    }

    writer->chain = before;
    writer->lines.len = lines_before;
    r = sqlite_conn_exec(writer->conn, "rollback to tx; release tx");
    return r > 0 ? -EIO : r;
}

static int
writer_record(struct sqlite_writer *writer, uint64_t synced)
{
    const struct db_value values[] = { DB_VINT(synced) };
    int r;

    r = sqlite_conn_run(writer->conn, DB_AUDIT_LOG_SET, values, SBX_COUNT(values), NULL, NULL);
    return r > 0 ? -EIO : r;
}

/* One durable transaction out of all of `round`, and of how far the log is on disk. */
static int
writer_commit(struct sqlite_writer *writer, const struct db_queue *round)
{
    const uint64_t synced = audit_log_synced(writer->log);
    const struct audit_chain before = writer->chain;
    int r;

    sbx_buf_reset(&writer->lines);
    r = sqlite_conn_exec(writer->conn, "begin immediate");
    for (struct db_tx *tx = round->first; tx != NULL && r == 0; tx = tx->next) {
        r = writer_tx(writer, tx);
    }
    if (r == 0 && (synced != writer->recorded || round->n == 0)) {
        r = writer_record(writer, synced);
    }
    if (r == 0) {
        r = sqlite_conn_exec(writer->conn, "commit");
    }
    if (r) {
        sqlite_conn_rollback(writer->conn);
        writer->chain = before;
        sbx_buf_reset(&writer->lines);
        return r > 0 ? -EIO : r;
    }

    writer->recorded = synced;
    writer->audit_events += writer->chain.seq - before.seq;
    return 0;
}

static void
writer_note(struct sqlite_writer *writer)
{
    const int r = writer->commit_rc ? writer->commit_rc : writer->log_rc;

    if (r) {
        writer->last_error = r;
    }
    writer->healthy = r == 0;
}

/* After the commit: a failure here loses nothing, the index has the lines. */
static void
writer_log(struct sqlite_writer *writer)
{
    const struct audit_chain *head = audit_log_head(writer->log);

    if (head->seq == writer->chain.seq) {
        writer->log_rc = 0;
        return;
    }
    if (writer->log_rc == 0 && writer->lines.len > 0) {
        writer->log_rc = audit_log_append(writer->log, writer->lines.data, writer->lines.len, &writer->chain);
    } else {
        writer->log_rc = sqlite_audit_catch_up(writer->conn, writer->log);
    }
}

/* Before whoever deleted a key is told that it is gone. */
static void
writer_forget(struct sqlite_writer *writer, const struct db_queue *round)
{
    for (const struct db_tx *tx = round->first; tx != NULL; tx = tx->next) {
        for (const struct db_op *op = tx->first; op != NULL && tx->rc == 0; op = op->next) {
            writer->forgets = writer->forgets || op->stmt == DB_ARTIFACT_KEY_DELETE;
        }
    }
    if (writer->forgets) {
        writer->forgets = !sqlite_conn_forget(writer->conn);
    }
}

static void
writer_round(struct sqlite_writer *writer, struct db_queue *round)
{
    const int r = writer_commit(writer, round);

    for (struct db_tx *tx = round->first; tx != NULL; tx = tx->next) {
        /* Also for one that failed alone: what it conflicted with may have gone with the round. */
        tx->rc = r ? r : tx->rc;
        if (tx->rc) {
            writer->failures++;
        } else {
            writer->transactions++;
        }
    }
    writer->commits += r == 0;
    writer->commit_rc = r;
    writer_log(writer);
    writer_note(writer);
    writer_forget(writer, round);
    db_outbox_post(writer->outbox, round);

    if (sqlite_conn_wal_pages(writer->conn) >= CHECKPOINT_BUSY) {
        sqlite_conn_checkpoint(writer->conn);
    }
}

/*
 * Between rounds: the log to disk, the write-ahead log into the file, and a probe when something had failed.
 * How far the log got is recorded by the next round; what a crash before that cuts from the log comes back
 * from the index.
 */
static void
writer_care(struct sqlite_writer *writer, enum db_worker_news news)
{
    const struct db_queue none = { 0 };

    if (audit_log_head(writer->log)->seq != writer->chain.seq) {
        writer->log_rc = sqlite_audit_catch_up(writer->conn, writer->log);
    }
    if (writer->log_rc == 0) {
        writer->log_rc = audit_log_sync(writer->log);
    }
    if (writer->commit_rc || (news == DB_WORKER_STOP && writer->recorded != audit_log_synced(writer->log))) {
        writer->commit_rc = writer_commit(writer, &none);
    }
    if (writer->forgets) {
        writer->forgets = !sqlite_conn_forget(writer->conn);
    }
    if (sqlite_conn_wal_pages(writer->conn) >= CHECKPOINT_IDLE) {
        sqlite_conn_checkpoint(writer->conn);
    }
    writer_note(writer);
}

static uint64_t
writer_next_care(const struct sqlite_writer *writer, uint64_t now)
{
    if (!writer->healthy) {
        return now + PROBE_DELAY_MS;
    }
    if (writer->forgets || writer->chain.seq != audit_log_synced(writer->log) ||
        sqlite_conn_wal_pages(writer->conn) >= CHECKPOINT_IDLE) {
        return now + CARE_DELAY_MS;
    }
    return 0;
}

static void *
writer_run(void *arg)
{
    struct sqlite_writer *writer = arg;
    enum db_worker_news news = DB_WORKER_BATCH;

    while (news != DB_WORKER_STOP) {
        struct db_queue round = { 0 };
        uint64_t now;

        news = db_worker_wait(&writer->worker, writer->care_due_ms, &round, ROUND_MAX, ROUND_MAX_BYTES);
        if (round.n > 0) {
            writer_round(writer, &round);
        }
        now = sbx_now_mono_ms();
        if (news == DB_WORKER_STOP || (writer->care_due_ms != 0 && now >= writer->care_due_ms)) {
            writer_care(writer, news);
            writer->care_due_ms = 0;
        }
        if (writer->care_due_ms == 0) {
            writer->care_due_ms = writer_next_care(writer, now);
        }
    }
    return NULL;
}

int
sqlite_writer_start(struct sqlite_writer *writer, struct db_outbox *outbox)
{
    writer->outbox = outbox;
    return db_worker_start(&writer->worker, writer_run, writer);
}

void
sqlite_writer_stop(struct sqlite_writer *writer)
{
    db_worker_stop(&writer->worker);
}
