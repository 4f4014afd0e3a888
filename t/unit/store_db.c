/* Transactions, conflicts, group commit, reads and their callbacks, on a real SQLite file. */
#include <signal.h>
#include <sqlite3.h>

#include "t/unit/store_fixture.h"

static struct fixture f;

static void
test_job_life(void)
{
    struct outcome got;
    struct db_tx *tx;
    const struct db_value started[] = { DB_VTEXT("job_1"), DB_VINT(1200) };
    static const char out[] = "a\0b\xff";

    tx = tx_new(&f);
    tx_add_job(tx, "t1", "job_1", 1000);
    tx_add_audit(tx, "t1", "job.accepted", "job_1", "{\"language\":\"python\"}");
    is_int(tx_run(&f, tx, &got), 0, "a job is accepted");
    is_int(got.changes, 1, "the audit event counts no change");

    is_int(job_read(&f, "t1", "job_1", &got), 0, "it can be read");
    is_uint(got.n_rows, 1, "one row");
    is_uint(got.n_columns, DB_JOB_N_COLUMNS, "with the columns that the header names");
    is_str(got.text[DB_JOB_STATE], "queued", "it is queued");
    is_str(got.text[DB_JOB_TENANT], "t1", "tenant in its column");
    is_str(got.text[DB_JOB_APP], "app1", "app in its column");
    is_int(got.type[DB_JOB_AGENT], DB_NULL, "no agent is NULL");
    is_str(got.text[DB_JOB_SPEC], "{}", "spec in its column");
    is_int(got.integer[DB_JOB_CREATED_MS], 1000, "created_ms in its column");

    is_int(job_read(&f, "t2", "job_1", &got), 0, "another tenant asks");
    is_uint(got.n_rows, 0, "and finds nothing");

    tx = tx_new(&f);
    db_tx_add(tx, DB_JOB_STARTED, started, SBX_COUNT(started));
    is_int(tx_run(&f, tx, &got), 0, "it starts");
    is_int(got.changes, 1, "one row changed");

    tx = tx_new(&f);
    tx_add_finish(tx, "job_1", "succeeded", out, sizeof(out) - 1);
    is_int(tx_run(&f, tx, &got), 0, "it finishes");
    is_int(got.changes, 1, "one row changed");

    tx = tx_new(&f);
    tx_add_finish(tx, "job_1", "failed", "x", 1);
    is_int(tx_run(&f, tx, &got), 0, "finishing twice is no error");
    is_int(got.changes, 0, "and changes nothing");

    job_read(&f, "t1", "job_1", &got);
    is_str(got.text[DB_JOB_STATE], "succeeded", "the first end stays");
    is_int(got.integer[DB_JOB_STARTED_MS], 1200, "started_ms is the first one");
    is_int(got.type[DB_JOB_STDOUT], DB_BLOB, "stdout is bytes");
    is_uint(got.len[DB_JOB_STDOUT], sizeof(out) - 1, "all of them, NUL and all");
    is_int(got.type[DB_JOB_STDERR], DB_BLOB, "an empty stderr is empty, not NULL");
    is_str(got.text[DB_JOB_RESULT], "42", "result in its column");
    is_str(got.text[DB_JOB_USAGE], "{\"wall_ms\":1}", "usage in its column");
}

static void
test_skipped_after_end(void)
{
    const struct db_value skipped[] = { DB_VTEXT("job_s"), DB_VTEXT("[]") };
    struct db_tx *tx = tx_new(&f);
    struct outcome got;

    tx_add_job(tx, "t1", "job_s", 1);
    tx_add_finish(tx, "job_s", "failed", "", 0);
    db_tx_add(tx, DB_JOB_SET_SKIPPED, skipped, SBX_COUNT(skipped));
    is_int(tx_run(&f, tx, NULL), 0, "the skipped list follows the end in one transaction");
    job_read(&f, "t1", "job_s", &got);
    is_str(got.text[DB_JOB_SKIPPED], "[]", "and is there");
}

static void
test_conflict_rolls_back(void)
{
    const struct db_value key[] = {
        DB_VTEXT("t1"),     DB_VTEXT("sub"), DB_VTEXT("POST /v1/jobs"), DB_VTEXT("k"), DB_VTEXT("aa"),
        DB_VTEXT("job_c1"), DB_VINT(5),
    };
    const struct db_value lookup[] = { DB_VTEXT("t1"), DB_VTEXT("sub"), DB_VTEXT("POST /v1/jobs"),
                                       DB_VTEXT("k") };
    const struct db_value purge[] = { DB_VINT(6) };
    struct db_stats before, after;
    struct outcome got;
    struct db_tx *tx;

    tx = tx_new(&f);
    tx_add_job(tx, "t1", "job_c1", 5);
    db_tx_add(tx, DB_IDEM_INSERT, key, SBX_COUNT(key));
    is_int(tx_run(&f, tx, NULL), 0, "the first request with a key");

    db_stats(f.db, &before);
    tx = tx_new(&f);
    tx_add_job(tx, "t1", "job_c2", 6);
    tx_add_audit(tx, "t1", "job.accepted", "job_c2", "{}");
    db_tx_add(tx, DB_IDEM_INSERT, key, SBX_COUNT(key));
    is_int(tx_run(&f, tx, NULL), DB_E_CONFLICT, "the second one conflicts");
    db_stats(f.db, &after);
    is_uint(after.audit_events, before.audit_events, "its audit event is gone with it");
    is_uint(after.failures, before.failures + 1, "and counted as a failure");
    ok(after.healthy, "a conflict is no illness");
    job_read(&f, "t1", "job_c2", &got);
    is_uint(got.n_rows, 0, "and so is its job");

    is_int(read_run(&f, DB_IDEM_GET, lookup, SBX_COUNT(lookup), &got), 0, "the key is looked up");
    is_str(got.text[1], "job_c1", "and leads to the first job");

    tx = tx_new(&f);
    db_tx_add(tx, DB_IDEM_PURGE, purge, 1);
    tx_run(&f, tx, &got);
    is_int(got.changes, 1, "an old key is purged");
    read_run(&f, DB_IDEM_GET, lookup, SBX_COUNT(lookup), &got);
    is_uint(got.n_rows, 0, "and gone");
}

/* An object that holds `n` arrays, one in the other. */
static void
deep_body(char *out, size_t size, int n)
{
    static const char open[] = "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
                      close[] = "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]";

    snprintf(out, size, "{\"a\":%.*s%.*s}", n, open, n, close);
}

/* Everything a caller can do wrong comes back as a failure of that transaction only. */
static void
test_refused(void)
{
    static char deep[400];
    const struct db_value nul[] = { { .type = DB_TEXT, .data = "a\0b", .len = 3 }, DB_VINT(1) };
    const struct db_value latin1[] = { DB_VTEXT("job_\xe4"), DB_VINT(1) };
    const struct db_value no_bytes[] = { { .type = DB_TEXT, .data = NULL, .len = 3 }, DB_VINT(1) };
    const struct db_value wrong_type[] = { DB_VTEXT("job_1"), DB_VTEXT("soon") };
    const struct db_value head[] = { DB_VINT(1) };
    const struct db_value artifact[] = {
        DB_VTEXT("art_1"), DB_VTEXT("t1"), DB_VTEXT("job_1"),    DB_VTEXT("ses_1"), DB_VTEXT("x"), DB_VNULL(),
        DB_VINT(1),        DB_VTEXT("00"), DB_VTEXT("text/csv"), DB_VINT(1),        DB_VNULL(),    DB_VNULL(),
    };
    static const char *const bodies[] = {
        "",
        "[]",
        "1",
        "{",
        "{}}",
        "{},{}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\xff\"}",
        "{}],[{}",
    };
    struct db_stats before, after;
    struct outcome got;
    struct db_tx *tx;

    db_stats(f.db, &before);
#define REFUSED(rc_, why, ...)                                                                               \
    do {                                                                                                     \
        tx = tx_new(&f);                                                                                     \
        __VA_ARGS__;                                                                                         \
        is_int(tx_run(&f, tx, NULL), (rc_), "refused: %s", (why));                                           \
    } while (0)

    REFUSED(-EINVAL, "NUL in text", db_tx_add(tx, DB_JOB_STARTED, nul, 2));
    REFUSED(-EINVAL, "text that is not UTF-8", db_tx_add(tx, DB_JOB_STARTED, latin1, 2));
    REFUSED(-EINVAL, "text without bytes", db_tx_add(tx, DB_JOB_STARTED, no_bytes, 2));
    REFUSED(-EINVAL, "too few values", db_tx_add(tx, DB_JOB_STARTED, head, 1));
    REFUSED(-EINVAL, "a statement of the store's own", db_tx_add(tx, DB_AUDIT_LOG_SET, head, 1));
    REFUSED(-EINVAL, "no such statement", db_tx_add(tx, DB_N_STMTS, head, 1));
    REFUSED(-EINVAL, "a text where an integer belongs", tx_add_job(tx, "t1", "job_wt", 1);
            db_tx_add(tx, DB_JOB_STARTED, wrong_type, 2); tx_add_finish(tx, "job_wt", "failed", "", 0);
            db_tx_add(tx, DB_JOB_STARTED, wrong_type, 2); tx_add_job(tx, "t1", NULL, 1));
    REFUSED(-EINVAL, "a status that is none", tx_add_job(tx, "t1", "job_st", 1);
            tx_add_finish(tx, "job_st", "great", "", 0));
    REFUSED(-EINVAL, "no id", tx_add_job(tx, "t1", NULL, 1));
    REFUSED(-EINVAL, "an artifact of a job and a session",
            db_tx_add(tx, DB_ARTIFACT_INSERT, artifact, SBX_COUNT(artifact)));
    REFUSED(-EINVAL, "an audit event without tenant", tx_add_audit(tx, NULL, "k", "o", "{}"));
    REFUSED(-EINVAL, "an audit event without kind", tx_add_audit(tx, "t1", NULL, "o", "{}"));
    REFUSED(-EINVAL, "an audit object that is not UTF-8", tx_add_audit(tx, "t1", "k", "\xc0\x80", "{}"));
    for (size_t i = 0; i < SBX_COUNT(bodies); i++) {
        REFUSED(-EINVAL, "an audit body that is no object", tx_add_audit(tx, "t1", "k", "o", bodies[i]));
    }
    deep_body(deep, sizeof(deep), 31);
    REFUSED(-EINVAL, "an audit body too deep to be read back", tx_add_audit(tx, "t1", "k", "o", deep));
#undef REFUSED

    deep_body(deep, sizeof(deep), 30);
    tx = tx_new(&f);
    tx_add_audit(tx, "t1", "k", "o", deep);
    is_int(tx_run(&f, tx, NULL), 0, "one level less is fine");
    db_stats(f.db, &before);

    is_int(read_run(&f, DB_JOB_INSERT, NULL, 0, &got), -EINVAL, "a write does not pass as a read");
    is_int(read_run(&f, DB_AUDIT_LOG_GET, NULL, 0, &got), -EINVAL, "nor does a statement of the store's own");
    is_int(read_run(&f, DB_JOB_GET, nul, 2, &got), -EINVAL, "a read's values are checked too");
    db_stats(f.db, &after);
    ok(after.healthy, "none of this is an illness");
    is_uint(after.audit_events, before.audit_events, "and none left an audit event");
    job_read(&f, "t1", "job_wt", &got);
    is_uint(got.n_rows, 0, "nor a job");
}

static void
test_large(void)
{
    static char big[2 << 20];
    struct outcome got;
    struct db_tx *tx;

    memset(big, 'x', sizeof(big) - 1);
    tx = tx_new(&f);
    tx_add_job(tx, "t1", "job_big", 9);
    tx_add_finish(tx, "job_big", "succeeded", big, sizeof(big));
    is_int(tx_run(&f, tx, NULL), 0, "2 MiB of output are stored");
    job_read(&f, "t1", "job_big", &got);
    is_uint(got.len[DB_JOB_STDOUT], sizeof(big), "and read");

    tx = tx_new(&f);
    for (unsigned i = 0; i < 60; i++) {
        tx_add_finish(tx, "job_big", "failed", big, sizeof(big));
    }
    is_int(tx_run(&f, tx, NULL), -E2BIG, "a transaction has a largest size");

    tx = tx_new(&f);
    tx_add_audit(tx, "t1", "k", "o", big);
    is_int(tx_run(&f, tx, NULL), -E2BIG, "an audit body too");
    big[600] = '\0';
    tx = tx_new(&f);
    tx_add_audit(tx, "t1", "k", big, "{}");
    is_int(tx_run(&f, tx, NULL), -E2BIG, "an audit text too");
}

struct order {
    unsigned next, n_wrong, n_done, n_failed, n_full;
    bool in_submit;
};

struct order_item {
    struct order *order;
    unsigned number;
};

static void
order_on_done(void *arg, int rc, __attribute__((unused)) const struct db_result *result)
{
    const struct order_item *item = arg;
    struct order *order = item->order;

    order->n_wrong += order->in_submit ? 1 : 0;
    order->n_done++;
    if (rc == -ENOBUFS) {
        order->n_full++;
        return;
    }
    order->n_failed += rc != 0 ? 1 : 0;
    order->n_wrong += item->number < order->next;
    order->next = item->number;
}

static void
submit_many(unsigned n, struct order *order, struct order_item *items)
{
    char id[32];

    for (unsigned i = 0; i < n; i++) {
        struct db_tx *tx = tx_new(&f);

        items[i] = (struct order_item){ .order = order, .number = i };
        snprintf(id, sizeof(id), "job_%u_%05u", n, i);
        tx_add_job(tx, "many", id, i);
        tx_add_audit(tx, "many", "job.accepted", id, "{\"n\":1}");
        order->in_submit = true;
        db_tx_submit(tx, order_on_done, &items[i]);
        order->in_submit = false;
    }
}

static void
test_group_commit(void)
{
    static struct order_item items[5000];
    struct order order = { 0 };
    struct db_stats before, after;
    uint64_t start;

    db_stats(f.db, &before);
    start = sbx_now_mono_ms();
    submit_many(5000, &order, items);
    fixture_settle(&f);
    note("5000 transactions in %" PRIu64 " ms", sbx_now_mono_ms() - start);
    db_stats(f.db, &after);
    is_uint(order.n_done, 5000, "5000 queued transactions come back");
    is_uint(order.n_failed, 0, "all committed");
    is_uint(order.n_wrong, 0, "in the order of submission, never inside a submission");
    is_uint(after.transactions - before.transactions, 5000, "and counted");
    ok(after.commits - before.commits < 500, "in few commits: %" PRIu64, after.commits - before.commits);
    is_uint(after.queued, 0, "nothing is queued");
}

static void
test_queue_bound(void)
{
    static struct order_item items[25000];
    struct order order = { 0 };

    submit_many(25000, &order, items);
    fixture_settle(&f);
    is_uint(order.n_done, 25000, "over the queue's bound each transaction still comes back once");
    ok(order.n_full > 0, "some with ENOBUFS: %u", order.n_full);
    ok(order.n_full <= 15000, "and no more than the bound says");
    is_uint(order.n_failed, 0, "the others committed");
}

static void
test_listing(void)
{
    struct outcome got;
    struct db_tx *tx = tx_new(&f);
    struct db_value values[] = {
        DB_VTEXT("lt"), DB_VNULL(),         DB_VNULL(),   DB_VNULL(), DB_VNULL(),
        DB_VNULL(),     DB_VINT(INT64_MAX), DB_VTEXT(""), DB_VINT(2),
    };

    tx_add_job(tx, "lt", "job_a", 10);
    tx_add_job(tx, "lt", "job_b", 20);
    tx_add_job(tx, "lt", "job_c", 20);
    tx_add_job(tx, "lu", "job_d", 30);
    tx_add_finish(tx, "job_a", "failed", "", 0);
    is_int(tx_run(&f, tx, NULL), 0, "four jobs of two tenants");

    read_run(&f, DB_JOB_LIST, values, 9, &got);
    is_uint(got.n_columns, DB_JOBS_N_COLUMNS, "a listing has its columns");
    is_uint(got.n_rows, 2, "no more rows than asked");
    is_str(got.text[DB_JOBS_ID], "job_c", "newest first, the larger id first");
    values[6] = DB_VINT(20);
    values[7] = DB_VTEXT("job_b");
    read_run(&f, DB_JOB_LIST, values, 9, &got);
    is_uint(got.n_rows, 1, "behind the cursor comes the rest");
    is_str(got.text[DB_JOBS_ID], "job_a", "exactly");
    is_str(got.text[DB_JOBS_STATE], "failed", "with its status");

    values[6] = DB_VINT(INT64_MAX);
    values[7] = DB_VTEXT("");
    values[8] = DB_VINT(100);
    values[1] = DB_VTEXT("queued");
    read_run(&f, DB_JOB_LIST, values, 9, &got);
    is_uint(got.n_rows, 2, "by status");
    values[4] = DB_VTEXT("nobody");
    read_run(&f, DB_JOB_LIST, values, 9, &got);
    is_uint(got.n_rows, 0, "by app");
    values[4] = DB_VNULL();
    values[2] = DB_VTEXT("javascript");
    read_run(&f, DB_JOB_LIST, values, 9, &got);
    is_uint(got.n_rows, 0, "by language");
    values[2] = DB_VNULL();
    values[3] = DB_VTEXT("agent");
    read_run(&f, DB_JOB_LIST, values, 9, &got);
    is_uint(got.n_rows, 0, "by agent: NULL is nobody");
    values[3] = DB_VNULL();
    values[1] = DB_VNULL();
    values[5] = DB_VTEXT("gvisor");
    read_run(&f, DB_JOB_LIST, values, 9, &got);
    is_uint(got.n_rows, 0, "by tier: nothing ran in that one");
    tx = tx_new(&f);
    tx_add_job(tx, "lt", "job_gv", 40);
    is_int(tx_run(&f, tx, NULL), 0, "a job of the other tier");
    read_run(&f, DB_JOB_LIST, values, 9, &got);
    is_uint(got.n_rows, 1, "and one did");
    is_str(got.text[DB_JOBS_ID], "job_gv", "that one");
    is_str(got.text[DB_JOBS_ISOLATION], "gvisor", "with its tier");
    values[5] = DB_VTEXT("process");
    read_run(&f, DB_JOB_LIST, values, 9, &got);
    is_uint(got.n_rows, 3, "the others are of the process tier");
}

static void
test_unfinished(void)
{
    const struct db_value lost[] = { DB_VTEXT("job_b"), DB_VINT(77), DB_VTEXT("gone") };
    struct db_value values[] = { DB_VTEXT("job_a"), DB_VINT(1) };
    struct outcome got;
    struct db_tx *tx;

    read_run(&f, DB_JOBS_UNFINISHED, values, 2, &got);
    is_str(got.text[0], "job_b", "the finished one is not among the unfinished");
    is_str(got.text[6], "process", "the tier is told");
    tx = tx_new(&f);
    db_tx_add(tx, DB_JOB_LOST, lost, SBX_COUNT(lost));
    tx_run(&f, tx, &got);
    is_int(got.changes, 1, "one is lost");
    read_run(&f, DB_JOBS_UNFINISHED, values, 2, &got);
    ok(got.n_rows == 1 && strcmp(got.text[0], "job_b") != 0, "and no longer unfinished");
    is_int(read_run(&f, DB_JOB_COUNTS, NULL, 0, &got), 0, "jobs are counted by status");
    ok(got.n_rows >= 3, "several of them");
}

static void
test_artifacts(void)
{
    const struct db_value first[] = {
        DB_VTEXT("art_1"), DB_VTEXT("lt"), DB_VTEXT("job_a"),
        DB_VNULL(),        DB_VTEXT("x"),  DB_VTEXT("out/x.csv"),
        DB_VINT(7),        DB_VTEXT("00"), DB_VTEXT("text/csv"),
        DB_VINT(1),        DB_VNULL(),     DB_VNULL(),
    };
    const struct db_value second[] = {
        DB_VTEXT("art_2"), DB_VTEXT("lt"), DB_VTEXT("job_a"),
        DB_VNULL(),        DB_VTEXT("x"),  DB_VTEXT("out/x.csv"),
        DB_VINT(8),        DB_VTEXT("00"), DB_VTEXT("text/csv"),
        DB_VINT(1),        DB_VNULL(),     DB_VNULL(),
    };
    const struct db_value list[] = { DB_VTEXT("job_a"), DB_VTEXT("lt") };
    const struct db_value foreign[] = { DB_VTEXT("job_a"), DB_VTEXT("lu"), DB_VTEXT("out/x.csv") };
    struct outcome got;
    struct db_tx *tx = tx_new(&f);

    db_tx_add(tx, DB_ARTIFACT_INSERT, first, SBX_COUNT(first));
    is_int(tx_run(&f, tx, NULL), 0, "an artifact");
    tx = tx_new(&f);
    db_tx_add(tx, DB_ARTIFACT_INSERT, second, SBX_COUNT(second));
    is_int(tx_run(&f, tx, NULL), DB_E_CONFLICT, "another one of the same path conflicts");
    read_run(&f, DB_ARTIFACT_LIST, list, 2, &got);
    is_uint(got.n_columns, DB_ARTIFACT_N_COLUMNS, "the list has its columns");
    is_str(got.text[DB_ARTIFACT_PATH], "out/x.csv", "and the first one");
    is_int(got.integer[DB_ARTIFACT_SIZE], 7, "with its size");
    read_run(&f, DB_ARTIFACT_GET, foreign, 3, &got);
    is_uint(got.n_rows, 0, "another tenant has none");
}

/* A read that follows a commit's callback sees the commit; a write's own rows come with it. */
struct chain {
    unsigned left, n_seen, n_missing;
    char id[32];
};

static void chain_next(struct chain *chain);

static void
chain_on_read(void *arg, int rc, const struct db_result *result)
{
    struct chain *chain = arg;

    chain->n_seen += rc == 0 && result->n_rows == 1;
    chain->n_missing += rc != 0 || result->n_rows != 1;
    chain_next(chain);
}

static void
chain_on_commit(void *arg, int rc, __attribute__((unused)) const struct db_result *result)
{
    struct chain *chain = arg;
    const struct db_value values[] = { DB_VTEXT("ch"), DB_VTEXT(chain->id) };

    if (rc != 0) {
        chain->n_missing++;
    }
    db_read(f.db, DB_JOB_STATUS, values, SBX_COUNT(values), chain_on_read, chain);
}

static void
chain_next(struct chain *chain)
{
    struct db_tx *tx;

    if (chain->left-- == 0) {
        return;
    }
    tx = tx_new(&f);
    snprintf(chain->id, sizeof(chain->id), "job_ch_%u", chain->left);
    tx_add_job(tx, "ch", chain->id, 1);
    db_tx_submit(tx, chain_on_commit, chain);
}

static void
test_reads_see_commits(void)
{
    struct chain chain = { .left = 200 };
    uint64_t start = sbx_now_mono_ms();

    chain_next(&chain);
    fixture_settle(&f);
    note("200 commits, each followed by a read, in %" PRIu64 " ms", sbx_now_mono_ms() - start);
    is_uint(chain.n_seen, 200, "a read after the callback sees the commit");
    is_uint(chain.n_missing, 0, "always");
}

static void
close_on_done(void *arg, int rc, __attribute__((unused)) const struct db_result *result)
{
    unsigned *counts = arg;

    counts[rc == 0 ? 0 : rc == -ESHUTDOWN ? 1 : 2]++;
    if (rc == 0 && counts[0] == 1) {
        struct db_tx *tx = tx_new(&f);

        tx_add_job(tx, "cl", "job_cl_late", 1);
        db_tx_submit(tx, close_on_done, counts);
    }
}

static void
test_close_drains(void)
{
    unsigned counts[3] = { 0 };
    struct outcome got;
    char id[32];

    for (unsigned i = 0; i < 3000; i++) {
        struct db_tx *tx = tx_new(&f);

        snprintf(id, sizeof(id), "job_cl_%u", i);
        tx_add_job(tx, "cl", id, 1);
        db_tx_submit(tx, close_on_done, counts);
    }
    fixture_close(&f);
    is_uint(counts[0], 3000, "closing finishes the queue and makes the callbacks");
    is_uint(counts[1], 1, "what a callback submits then is told that it is over");
    is_uint(counts[2], 0, "and nothing else happened");

    fixture_must_open(&f);
    job_read(&f, "cl", "job_cl_2999", &got);
    is_uint(got.n_rows, 1, "the last one is there after reopening");
}

/* Whether a database that was left as it is now has the job. */
static bool
left_behind_has(const char *id)
{
    static unsigned n;
    char copy[300];
    sqlite3 *db;
    sqlite3_stmt *stmt;
    bool has;

    (void)snprintf(copy, sizeof(copy), "%s/left-%u", f.dir, n++);
    fixture_copy(f.url, copy);
    has = sqlite3_open(copy, &db) == SQLITE_OK &&
          sqlite3_prepare_v2(db, "select 1 from jobs where id = ?", -1, &stmt, NULL) == SQLITE_OK;
    if (has) {
        sqlite3_bind_text(stmt, 1, id, -1, SQLITE_STATIC);
        has = sqlite3_step(stmt) == SQLITE_ROW;
        sqlite3_finalize(stmt);
    }
    sqlite3_close(db);
    return has;
}

/* The write-ahead log is long before it has much in it, so that a commit makes no file longer; and that harms nothing. */
static void
test_long_log(void)
{
    char path[300], id[32];
    struct stat before, after;
    struct db_tx *tx;

    fixture_close(&f);
    fixture_must_open(&f);
    (void)snprintf(path, sizeof(path), "%s-wal", f.url);
    ok(stat(path, &before) == 0 && before.st_size >= 6 << 20 && before.st_blocks * 512 >= before.st_size,
       "the write-ahead log is long, and has no holes");
    ok(!left_behind_has("job_long_0"), "there is nothing in it");
    for (unsigned i = 0; i < 40; i++) {
        tx = tx_new(&f);
        (void)snprintf(id, sizeof(id), "job_long_%u", i);
        tx_add_job(tx, "long", id, 1);
        tx_add_audit(tx, "long", "test.long", id, "{}");
        if (tx_run(&f, tx, NULL) != 0) {
            fail("a commit");
        }
    }
    ok(stat(path, &after) == 0 && after.st_size == before.st_size && after.st_blocks == before.st_blocks,
       "forty commits made it no longer");
    ok(left_behind_has("job_long_0") && left_behind_has("job_long_39"),
       "and what it has is found after a crash");
    fixture_close(&f);
    ok(stat(path, &after) != 0, "it goes when the database is closed");
    fixture_must_open(&f);
    ok(left_behind_has("job_long_39"), "and all is in the file then");
}

static void
test_fire_and_forget(void)
{
    struct db_tx *tx = tx_new(&f);
    struct outcome got;

    tx_add_job(tx, "ff", "job_ff", 1);
    db_tx_submit(tx, NULL, NULL);
    fixture_settle(&f);
    job_read(&f, "ff", "job_ff", &got);
    is_uint(got.n_rows, 1, "a transaction needs no callback");
    tx = tx_new(&f);
    is_int(tx_run(&f, tx, NULL), 0, "nor any statement");
    ok(db_tx_free(tx_new(&f)) == NULL, "nor to be submitted");
    ok(db_tx_free(NULL) == NULL && db_close(NULL) == NULL, "destructors accept NULL");
}

/* What nobody waits for makes no commit of its own while there is another, stays in order, and does not wait for ever. */
static void
test_later(void)
{
    struct outcome later[3] = { 0 }, got;
    struct db_stats before, after;
    struct db_tx *tx;
    char id[32];

    db_stats(f.db, &before);
    for (unsigned i = 0; i < 2; i++) {
        tx = tx_new(&f);
        snprintf(id, sizeof(id), "job_later_%u", i);
        tx_add_job(tx, "later", id, 1);
        db_tx_submit_later(tx, outcome_on_done, &later[i]);
    }
    tx = tx_new(&f);
    tx_add_job(tx, "later", "job_later_1", 1);
    is_int(tx_run(&f, tx, NULL), DB_E_CONFLICT, "one that came behind sees them");
    db_stats(f.db, &after);
    is_uint(after.commits - before.commits, 1, "all in one commit");
    is_int(later[0].n + later[1].n, 2, "each has its callback");

    tx = tx_new(&f);
    tx_add_job(tx, "later", "job_later_2", 1);
    db_tx_submit_later(tx, outcome_on_done, &later[2]);
    fixture_settle(&f);
    is_int(later[2].n, 1, "one alone is committed too");
    tx = tx_new(&f);
    tx_add_job(tx, "later", "job_later_3", 1);
    db_tx_submit_later(tx, NULL, NULL);
    fixture_close(&f);
    fixture_must_open(&f);
    job_read(&f, "later", "job_later_3", &got);
    is_uint(got.n_rows, 1, "and when the database is closed");
}

/* One that is wanted soon takes along what may wait longer, whichever came first; and goes with one that is wanted now. */
static void
test_soon(void)
{
    struct outcome got[2] = { 0 };
    struct db_stats before, after;
    struct db_tx *tx;
    char id[32];

    for (unsigned first = 0; first < 2; first++) {
        memset(got, 0, sizeof(got));
        db_stats(f.db, &before);
        for (unsigned i = 0; i < 2; i++) {
            tx = tx_new(&f);
            snprintf(id, sizeof(id), "job_soon_%u_%u", first, i);
            tx_add_job(tx, "soon", id, 1);
            tx_add_audit(tx, "soon", "test.soon", NULL, "{}");
            if (i == first) {
                db_tx_submit_soon(tx, outcome_on_done, &got[i]);
            } else {
                db_tx_submit_later(tx, outcome_on_done, &got[i]);
            }
        }
        fixture_settle(&f);
        db_stats(f.db, &after);
        ok(got[0].n == 1 && got[1].n == 1 && got[0].rc == 0 && got[1].rc == 0,
           "soon and later: each has its callback");
        is_uint(after.commits - before.commits, 1, "in one commit");
    }

    db_stats(f.db, &before);
    tx = tx_new(&f);
    tx_add_job(tx, "soon", "job_soon_2", 1);
    db_tx_submit_soon(tx, outcome_on_done, &got[0]);
    tx = tx_new(&f);
    tx_add_job(tx, "soon", "job_soon_2", 1);
    is_int(tx_run(&f, tx, NULL), DB_E_CONFLICT, "soon, then now: the order is kept");
    db_stats(f.db, &after);
    is_uint(after.commits - before.commits, 1, "soon, then now: in one commit");
}

int
main(void)
{
    struct audit_report report;

    signal(SIGPIPE, SIG_IGN);
    fixture_init(&f);
    fixture_must_open(&f);
    test_job_life();
    test_skipped_after_end();
    test_conflict_rolls_back();
    test_refused();
    test_large();
    test_group_commit();
    test_later();
    test_soon();
    test_queue_bound();
    test_listing();
    test_unfinished();
    test_artifacts();
    test_reads_see_commits();
    test_close_drains();
    test_fire_and_forget();
    test_long_log();
    is_int(audit_verify(f.audit, f.url, &report), 0, "after all of it the audit log verifies: %s",
           report.detail);
    ok(report.lines > 10000, "%" PRIu64 " lines", report.lines);
    fixture_deinit(&f);
    return done_testing();
}
