/* Records go when they were kept as long as was said, with what belongs to them, in small batches; nothing else goes. */
#include <sqlite3.h>

#include "t/unit/store_fixture.h"
#include "t/unit/tap.h"

#define ENDED 2000 /* tx_add_finish's */
#define KEEP 604800000

static struct fixture f;

/* Beside the store, which has nothing under way. */
static int64_t
query(const char *sql)
{
    sqlite3_stmt *stmt;
    sqlite3 *db;
    int64_t value = 0;

    if (sqlite3_open(f.url, &db) != SQLITE_OK || sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK) {
        BAIL_OUT("%s: %s", sql, sqlite3_errmsg(db));
    }
    switch (sqlite3_step(stmt)) {
    case SQLITE_ROW:
        value = sqlite3_column_int64(stmt, 0);
        break;
    case SQLITE_DONE:
        break;
    default:
        value = -1;
        break;
    }
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return value;
}

static int64_t
purge(enum db_stmt stmt, int64_t now, int64_t limit)
{
    const struct db_value values[] = { DB_VINT(now), DB_VINT(limit) };
    struct db_tx *tx = tx_new(&f);
    struct outcome got;

    db_tx_add(tx, stmt, values, SBX_COUNT(values));
    is_int(tx_run(&f, tx, &got), 0, "%s", db_stmt_info(stmt)->name);
    return got.changes;
}

static void
add_job(const char *id, bool ended)
{
    const struct db_value key[] = { DB_VTEXT("t"), DB_VTEXT("s"), DB_VTEXT("jobs.create"),
                                    DB_VTEXT(id),  DB_VTEXT(""),  DB_VTEXT(id),
                                    DB_VINT(1) };
    struct db_tx *tx = tx_new(&f);
    struct outcome got;

    tx_add_job(tx, "t", id, 1);
    db_tx_add(tx, DB_IDEM_INSERT, key, SBX_COUNT(key));
    if (ended) {
        tx_add_finish(tx, id, "succeeded", "out", 3);
    }
    is_int(tx_run(&f, tx, &got), 0, "job %s", id);
}

static void
test_jobs(void)
{
    char id[16];

    for (unsigned i = 0; i < 5; i++) {
        (void)snprintf(id, sizeof(id), "ended%u", i);
        add_job(id, true);
    }
    add_job("queued", false);
    (void)query("update jobs set keep_ms = 10 where id = 'ended4'");
    is_int(purge(DB_JOBS_PURGE, ENDED, 10), 0, "none on the moment of its end");
    is_int(purge(DB_JOBS_PURGE, ENDED + 10, 10), 0, "none on the moment its time is over");
    is_int(purge(DB_JOBS_PURGE, ENDED + 11, 10), 1, "one right after it");
    is_int(query("select count(*) from jobs where id = 'ended4'"), 0, "that one");
    is_int(query("select count(*) from idempotency where job_id = 'ended4'"), 0, "and its key");
    is_int(query("select count(*) from idempotency"), 5, "no other's");
    is_int(purge(DB_JOBS_PURGE, ENDED + KEEP, 10), 0, "the others stay for their time");
    is_int(purge(DB_JOBS_PURGE, ENDED + KEEP + 1, 3), 3, "no more than a batch");
    is_int(purge(DB_JOBS_PURGE, ENDED + KEEP + 1, 3), 1, "then the rest");
    is_int(purge(DB_JOBS_PURGE, INT64_MAX, 3), 0, "and what has not ended never");
    is_int(query("select count(*) from jobs"), 1, "it is there");
    is_int(query("delete from jobs where id = 'queued'"), -1, "nobody deletes that");
    is_int(query("update jobs set keep_ms = -1"), -1, "no time is negative");
}

static void
add_session(const char *id, const char *status)
{
    char sql[1024];
    bool ended = strcmp(status, "ended") == 0;

    (void)snprintf(
        sql, sizeof(sql),
        "insert into sessions (id, tenant, subject, request_id, language, template, isolation, status, "
        "reason, created_ms, ended_ms, expires_ms, ttl_ms, idle_timeout_ms, max_lifetime_ms, "
        "step_timeout_ms, limits) values ('%s', 't', 's', 'r', 'python', 'default', 'process', '%s', "
        "%s, 1, %s, 9, 9, 9, 9, 9, '{}')",
        id, status, ended ? "'ttl'" : "null", ended ? "2000" : "null");
    is_int(query(sql), 0, "session %s", id);
    for (unsigned i = 1; i <= 3; i++) {
        (void)snprintf(
            sql, sizeof(sql),
            "insert into steps (id, session_id, tenant, number, context, language, status, subject, "
            "request_id, code_sha256, created_ms) values ('%s%u', '%s', 't', %u, 'c', 'python', "
            "'succeeded', 's', 'r', '', 1)",
            id, i, id, i);
        is_int(query(sql), 0, "its step %u", i);
    }
}

static void
test_sessions(void)
{
    const struct db_value keep[] = { DB_VTEXT("short"), DB_VINT(10) };
    struct db_tx *tx = tx_new(&f);
    struct outcome got;

    add_session("short", "ended");
    add_session("long", "ended");
    add_session("live", "running");
    (void)query("insert into idempotency values ('t', 's', 'r', 'k1', '', 'short1', 1)");
    (void)query("insert into idempotency values ('t', 's', 'r', 'k2', '', 'short', 1)");
    (void)query("insert into idempotency values ('t', 's', 'r', 'k3', '', 'live1', 1)");
    db_tx_add(tx, DB_SESSION_KEEP, keep, SBX_COUNT(keep));
    is_int(tx_run(&f, tx, &got), 0, "a session's retention");
    is_int(purge(DB_SESSIONS_PURGE, ENDED + 11, 10), 0, "no session goes before its steps");
    is_int(purge(DB_STEPS_PURGE, ENDED + 10, 10), 0, "no step before its time");
    is_int(purge(DB_STEPS_PURGE, ENDED + 11, 2), 2, "a batch of steps");
    is_int(purge(DB_SESSIONS_PURGE, ENDED + 11, 10), 0, "the session still has one");
    is_int(purge(DB_STEPS_PURGE, ENDED + 11, 2), 1, "the rest");
    is_int(purge(DB_SESSIONS_PURGE, ENDED + 11, 10), 1, "now the session");
    is_int(query("select count(*) from idempotency where job_id like 'short%'"), 0, "with all keys");
    is_int(purge(DB_STEPS_PURGE, INT64_MAX, 10), 3, "in the end those of the other");
    is_int(purge(DB_SESSIONS_PURGE, INT64_MAX, 10), 1, "and it");
    is_int(query("select count(*) from steps where session_id = 'live'"), 3, "who lives keeps all");
    is_int(query("select count(*) from idempotency where job_id like 'live%'"), 1, "keys, too");
    is_int(query("delete from sessions where id = 'live'"), -1, "nobody deletes that");
}

/* Found by their index: the store does not read all jobs each minute. */
static void
test_plans(void)
{
    static const struct {
        enum db_stmt stmt;
        const char *index;
    } cases[] = {
        { DB_JOBS_PURGE, "jobs_kept" },
        { DB_STEPS_PURGE, "sessions_kept" },
        { DB_SESSIONS_PURGE, "sessions_kept" },
    };
    char sql[1024], plan[1024];
    sqlite3_stmt *stmt;
    sqlite3 *db;

    ok(sqlite3_open(f.url, &db) == SQLITE_OK, "opened");
    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        const struct db_stmt_info *info = db_stmt_info(cases[i].stmt);

        *plan = '\0';
        (void)snprintf(sql, sizeof(sql), "explain query plan %s", info->sql);
        if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK) {
            while (sqlite3_step(stmt) == SQLITE_ROW && strlen(plan) < 800) {
                (void)snprintf(plan + strlen(plan), sizeof(plan) - strlen(plan), "%s; ",
                               (const char *)sqlite3_column_text(stmt, 3));
            }
        }
        ok(strstr(plan, cases[i].index) != NULL && strstr(plan, "SCAN") == NULL, "%s: %s", info->name, plan);
        sqlite3_finalize(stmt);
    }
    sqlite3_close(db);
}

int
main(void)
{
    fixture_init(&f);
    fixture_must_open(&f);
    test_jobs();
    test_sessions();
    test_plans();
    fixture_deinit(&f);
    return done_testing();
}
