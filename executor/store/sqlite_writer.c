/* Group commit and the care for log and file between rounds. */
#include "sqlite_writer.h"

#include <string.h>

#include "explain.h"
#include "lib/sbx_time.h"
#include "sqlite_schema.h"

#define QUEUE_MAX 10000
#define QUEUE_MAX_BYTES (256u << 20)
#define ROUND_MAX 1024
#define ROUND_MAX_BYTES (16u << 20)
#define LINES_MAX (256u << 20)
#define CARE_DELAY_MS 100 /* after a commit: several rounds share one fdatasync of the log */
#define PROBE_DELAY_MS                                                                                       \
    1000 /* while unhealthy: else nothing would ever find out that the disk has room again */
#define CHECKPOINT_PAGES 1024 /* more of them since the last one */
#define CHECKPOINT_BEHIND                                                                                    \
    16384 /* commits come so densely that the log never begins anew: the rest is copied between two */
/* What it grows to beside checkpoints that keep up, with what is committed meanwhile. */
#define FILL_BYTES (6 << 20)
#define FILL_AGAIN_MS 60000 /* after it was emptied, which may come again and again */
#define INSPECT_MS 2000
#define SIGN_EVERY_MS 60000
#define ERASE_EVERY_MS 5000 /* one look at an index */
#define ERASE_MORE_MS 20    /* others get in between */

/* Joins log and index, with the key that signs from now on. */
static int
writer_init_audit(struct sqlite_writer *writer, const struct db_spec *spec, char *error, size_t error_size)
{
    struct sqlite_audit_log known = { 0 };
    int r;

    r = sqlite_audit_log_read(writer->conn, &known);
    writer->recorded_heads = known.signed_n;
    if (spec->audit_key != NULL) {
        r = r ? r : audit_log_sign_with(writer->log, spec->audit_key, known.executor);
        if (r) {
            explain(error, error_size, "audit: cannot open the signed heads: %s",
                    r == -EUCLEAN ? "a line of heads.jsonl is none; run the audit verify command"
                                  : strerror(-r));
            return r;
        }
    }
    r = sqlite_audit_resume(writer->conn, writer->log, &writer->audit, error, error_size);
    if (r) {
        return r;
    }
    r = sqlite_audit_key(writer->conn, writer->log, &writer->audit, spec->audit_key, spec->audit_old_key);
    r = r ? r : audit_log_sign(writer->log);
    if (r) {
        explain(error, error_size, "audit: cannot sign the log's head: %s", strerror(-r));
    }
    return r;
}

/* A log that grows is durable as well, only later: so nothing is wrong where there is no room for one that is long. */
static void
writer_fill(struct sqlite_writer *writer)
{
    const int r = sqlite_conn_fill(writer->conn, FILL_BYTES);

    writer->fill_due_ms = r ? sbx_now_mono_ms() + FILL_AGAIN_MS : 0;
}

int
sqlite_writer_init(struct sqlite_writer *writer, const struct db_spec *spec, char *error, size_t error_size)
{
    const struct audit_log_limits limits = {
        .bytes = AUDIT_SEGMENT_BYTES,
        .lines = spec->audit_segment_lines > 0 ? spec->audit_segment_lines : AUDIT_SEGMENT_LINES,
    };
    int r;

    *writer = (struct sqlite_writer){ .lines = SBX_BUF_INIT(LINES_MAX), .healthy = true };
    r = db_worker_init(&writer->worker, QUEUE_MAX, QUEUE_MAX_BYTES);
    if (r) {
        return r;
    }
    /* The log's lock comes first: it keeps a second process from migrating under the first one. */
    r = audit_log_open(&writer->log, spec->audit_dir, &limits, error, error_size);
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
    r = sqlite_conn_join_writes(writer->conn);
    if (r) {
        explain(error, error_size, "cannot get at the database's write-ahead log: %s", strerror(-r));
        return r;
    }
    writer->forgets = !sqlite_conn_forget(writer->conn); /* what a crash kept an earlier process from */
    r = sqlite_checkpoint_init(&writer->checkpoint, spec->url, error, error_size);
    if (r) {
        return r;
    }
    writer->audit.keep_ms = spec->audit_keep_ms;
    writer->audit.keep_min_ms = spec->audit_keep_min_ms;
    writer->sign_every_ms = spec->audit_sign_ms > 0 ? spec->audit_sign_ms : SIGN_EVERY_MS;
    r = writer_init_audit(writer, spec, error, error_size);
    if (r == 0) {
        writer_fill(writer);
    }
    return r;
}

void
sqlite_writer_deinit(struct sqlite_writer *writer)
{
    sqlite_checkpoint_deinit(&writer->checkpoint);
    writer->conn = sqlite_conn_close(writer->conn);
    writer->log = audit_log_close(writer->log);
    sbx_buf_deinit(&writer->lines);
    db_worker_deinit(&writer->worker);
}

/* Failures that are the transaction's own; after any other the round cannot go on. */
static bool
own_failure(int r)
{
    return r == DB_E_CONFLICT || r >= DB_E_OWN || r == -EINVAL || r == -E2BIG;
}

static int
writer_ops(struct sqlite_writer *writer, struct db_tx *tx)
{
    int r = 0;

    for (const struct db_op *op = tx->first; op != NULL && r == 0; op = op->next) {
        const int64_t before = tx->changes;

        if (op->stmt == DB_AUDIT_INSERT) {
            r = sqlite_audit_insert(writer->conn, &writer->audit, op->values, &writer->lines);
        } else {
            r = sqlite_conn_run(writer->conn, op->stmt, op->values, op->n, &tx->rows, &tx->changes);
            r = r == 0 && op->expect != 0 && tx->changes == before ? op->expect : r;
        }
    }
    return r;
}

/* Back to where the transaction began: of the database, of the chain and of the round's lines. */
struct place {
    struct sqlite_audit_state audit;
    size_t lines;
};

static struct place
writer_place(const struct sqlite_writer *writer)
{
    return (struct place){ .audit = writer->audit, .lines = writer->lines.len };
}

static void
writer_back(struct sqlite_writer *writer, const struct place *place)
{
    writer->audit = place->audit;
    writer->lines.len = place->lines;
}

/* Returns 0 also when tx failed alone: that is in tx->rc then. */
static int
writer_tx(struct sqlite_writer *writer, struct db_tx *tx)
{
    const struct place before = writer_place(writer);
    int r;

    r = sqlite_conn_control(writer->conn, SQLITE_CONN_SAVE);
    if (r) {
        return r > 0 ? -EIO : r;
    }
    tx->rc = writer_ops(writer, tx);
    if (tx->rc == 0) {
        r = sqlite_conn_control(writer->conn, SQLITE_CONN_RELEASE);
        return r > 0 ? -EIO : r;
    }
    if (!own_failure(tx->rc)) {
        return tx->rc;
    }
    writer_back(writer, &before);
    r = sqlite_conn_control(writer->conn, SQLITE_CONN_BACK);
    r = r ? r : sqlite_conn_control(writer->conn, SQLITE_CONN_RELEASE);
    return r > 0 ? -EIO : r;
}

/* The round's only one needs no place to go back to: what it fails with alone leaves nothing to commit. */
static int
writer_only_tx(struct sqlite_writer *writer, struct db_tx *tx)
{
    const struct place before = writer_place(writer);

    tx->rc = writer_ops(writer, tx);
    if (tx->rc == 0 || !own_failure(tx->rc)) {
        return tx->rc;
    }
    writer_back(writer, &before);
    sqlite_conn_rollback(writer->conn);
    return sqlite_conn_control(writer->conn, SQLITE_CONN_BEGIN);
}

static uint64_t
writer_heads(const struct sqlite_writer *writer)
{
    const struct audit_head *head = audit_log_signed(writer->log);

    return head == NULL ? writer->recorded_heads : head->n;
}

/* What is known to be on disk beside the database: the log up to `synced`, and the head signed last. */
static int
writer_record(struct sqlite_writer *writer, uint64_t synced)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf line = SBX_BUF_INIT(AUDIT_HEAD_LINE_MAX);
    const struct audit_head *head = audit_log_signed(writer->log);
    struct db_value values[] = { DB_VINT(synced), DB_VINT(writer_heads(writer)), DB_VNULL() };
    int r;

    if (head != NULL && head->n > 0) {
        audit_head_write(head, &line);
        if (line.failed) {
            return -ENOMEM;
        }
        values[2] = (struct db_value){ .type = DB_TEXT, .data = line.data, .len = line.len - 1 };
    }

    r = sqlite_conn_run(writer->conn, DB_AUDIT_LOG_SET, values, SBX_COUNT(values), NULL, NULL);
    return r > 0 ? -EIO : r;
}

/* One durable transaction out of all of `round`, and of how far the log is on disk. */
static int
writer_commit(struct sqlite_writer *writer, const struct db_queue *round)
{
    const uint64_t synced = audit_log_synced(writer->log), heads = writer_heads(writer);
    const struct sqlite_audit_state before = writer->audit;
    int r;

    sbx_buf_reset(&writer->lines);
    r = sqlite_conn_control(writer->conn, SQLITE_CONN_BEGIN);
    for (struct db_tx *tx = round->first; tx != NULL && r == 0; tx = tx->next) {
        r = round->n == 1 ? writer_only_tx(writer, tx) : writer_tx(writer, tx);
    }
    if (r == 0 && (synced != writer->recorded || heads != writer->recorded_heads || round->n == 0)) {
        r = writer_record(writer, synced);
    }
    if (r == 0) {
        r = sqlite_conn_control(writer->conn, SQLITE_CONN_COMMIT);
    }
    if (r) {
        sqlite_conn_rollback(writer->conn);
        writer->audit = before;
        sbx_buf_reset(&writer->lines);
        return r > 0 ? -EIO : r;
    }

    writer->recorded = synced;
    writer->recorded_heads = heads;
    writer->audit_events += writer->audit.chain.seq - before.chain.seq;
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

    if (head->seq == writer->audit.chain.seq) {
        writer->log_rc = 0;
        return;
    }
    if (writer->log_rc == 0 && writer->lines.len > 0) {
        writer->log_rc =
            audit_log_append(writer->log, writer->lines.data, writer->lines.len, &writer->audit.chain);
    } else {
        writer->log_rc = sqlite_audit_catch_up(writer->conn, writer->log);
    }
}

static void
writer_forget_now(struct sqlite_writer *writer)
{
    if (writer->forgets) {
        sqlite_checkpoint_keep_off(&writer->checkpoint);
        writer->forgets = !sqlite_conn_forget(writer->conn);
        sqlite_checkpoint_let_on(&writer->checkpoint);
        if (writer->fill_due_ms == 0) {
            writer->fill_due_ms = sbx_now_mono_ms() + FILL_AGAIN_MS;
        }
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
    writer_forget_now(writer);
}

/* A long log makes readers slow and is long in being copied at the next start. */
static void
writer_checkpoint(struct sqlite_writer *writer)
{
    const unsigned pages = sqlite_conn_wal_pages(writer->conn);

    if (pages < writer->ordered_pages) {
        writer->ordered_pages = 0; /* it began anew */
    }
    if (pages - writer->ordered_pages >= CHECKPOINT_PAGES) {
        writer->ordered_pages = pages;
        sqlite_checkpoint_order(&writer->checkpoint);
    }
    if (pages >= CHECKPOINT_BEHIND) {
        sqlite_checkpoint_keep_off(&writer->checkpoint);
        sqlite_conn_checkpoint(writer->conn);
        sqlite_checkpoint_let_on(&writer->checkpoint);
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
    writer_checkpoint(writer);
}

static bool
writer_is_signed(const struct sqlite_writer *writer)
{
    const struct audit_head *head = audit_log_signed(writer->log);

    return head == NULL || head->seq == writer->audit.chain.seq;
}

static bool
writer_sign_is_due(const struct sqlite_writer *writer, enum db_worker_news news)
{
    return news == DB_WORKER_STOP || (writer->sign_due_ms != 0 && sbx_now_mono_ms() >= writer->sign_due_ms);
}

/* What cannot be erased now is tried again; a log that was changed is the verifier's to name. */
static void
writer_erase(struct sqlite_writer *writer)
{
    const int r = sqlite_erase(writer->conn, writer->log, &writer->audit, &writer->erase_failures);

    writer->forgets = writer->forgets || r > 0;
    writer->erase_due_ms = sbx_now_mono_ms() + (r > 0 ? ERASE_MORE_MS : ERASE_EVERY_MS);
    if (r < 0) {
        writer->last_error = r;
    }
}

/*
 * Between rounds: the log to disk, and a probe when something had failed.
 * How far the log got is recorded by the next round; what a crash before that cuts from the log comes back
 * from the index.
 */
static void
writer_care(struct sqlite_writer *writer, enum db_worker_news news)
{
    const struct db_queue none = { 0 };

    if (audit_log_head(writer->log)->seq != writer->audit.chain.seq) {
        writer->log_rc = sqlite_audit_catch_up(writer->conn, writer->log);
    }
    if (writer->log_rc == 0) {
        writer->log_rc = audit_log_sync(writer->log);
    }
    if (writer->log_rc == 0 && writer_sign_is_due(writer, news)) {
        writer->log_rc = audit_log_sign(writer->log);
        writer->sign_due_ms = 0;
    }
    if (writer->log_rc == 0 && writer->commit_rc == 0 && sbx_now_mono_ms() >= writer->erase_due_ms) {
        writer_erase(writer);
    }
    if (writer->commit_rc || writer->recorded_heads != writer_heads(writer) ||
        (news == DB_WORKER_STOP && writer->recorded != audit_log_synced(writer->log))) {
        writer->commit_rc = writer_commit(writer, &none);
    }
    writer_forget_now(writer);
    if (news != DB_WORKER_STOP && writer->commit_rc == 0 && writer->fill_due_ms != 0 &&
        sbx_now_mono_ms() >= writer->fill_due_ms) {
        writer_fill(writer);
    }
    writer_note(writer);
}

static uint64_t
writer_next_care(struct sqlite_writer *writer, uint64_t now)
{
    if (writer_is_signed(writer)) {
        writer->sign_due_ms = 0;
    } else if (writer->sign_due_ms == 0) {
        writer->sign_due_ms = now + writer->sign_every_ms;
    }
    if (!writer->healthy) {
        return now + PROBE_DELAY_MS;
    }
    if (writer->forgets || writer->audit.chain.seq != audit_log_synced(writer->log)) {
        return now + CARE_DELAY_MS;
    }
    return writer->sign_due_ms != 0 && writer->sign_due_ms < writer->erase_due_ms ? writer->sign_due_ms
                                                                                  : writer->erase_due_ms;
}

/* A commit's care comes before a head's turn, and neither is put off by what comes after. */
static uint64_t
writer_plan(struct sqlite_writer *writer, uint64_t now)
{
    const uint64_t next = writer_next_care(writer, now);

    return writer->care_due_ms == 0 || (next != 0 && next < writer->care_due_ms) ? next : writer->care_due_ms;
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
        if (round.n > 0 || writer->care_due_ms == 0) {
            writer->care_due_ms = writer_plan(writer, now);
        }
    }
    return NULL;
}

int
sqlite_writer_start(struct sqlite_writer *writer, struct db_outbox *outbox)
{
    int r;

    writer->outbox = outbox;
    r = sqlite_checkpoint_start(&writer->checkpoint);
    return r ? r : db_worker_start(&writer->worker, writer_run, writer);
}

void
sqlite_writer_stop(struct sqlite_writer *writer)
{
    db_worker_stop(&writer->worker);
    sqlite_checkpoint_stop(&writer->checkpoint);
}
