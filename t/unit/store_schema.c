/*
 * Opening: from nothing, again, over a schema of another version, over damage, over what is no database at
 * all.
 */
#include <sqlite3.h>

#include "executor/store/migrations.h"
#include "executor/store/stmts.h"
#include "t/unit/store_fixture.h"

static struct fixture f;

static void
index_sql(const char *sql)
{
    sqlite3 *db;

    if (sqlite3_open(f.url, &db) != SQLITE_OK || sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        BAIL_OUT("%s: %s", sql, sqlite3_errmsg(db));
    }
    sqlite3_close(db);
}

static int
count_migrations(void)
{
    sqlite3 *db;
    sqlite3_stmt *stmt;
    int n = -1;

    if (sqlite3_open(f.url, &db) == SQLITE_OK &&
        sqlite3_prepare_v2(db, "select count(*) from schema_migrations", -1, &stmt, NULL) == SQLITE_OK) {
        n = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int(stmt, 0) : -1;
        sqlite3_finalize(stmt);
    }
    sqlite3_close(db);
    return n;
}

static void
refused(int rc, const char *what)
{
    const int r = fixture_open(&f);

    ok(r == rc && f.db == NULL && f.error[0] != '\0', "refused: %s: %s", what, f.error);
    if (r == 0) {
        fixture_close(&f);
    } else if (r != rc) {
        diag("got %d", r);
    }
}

static void
test_fresh(void)
{
    struct db_tx *tx;
    struct outcome got;

    fixture_must_open(&f);
    is_str(f.error, "", "a fresh database opens");
    tx = tx_new(&f);
    tx_add_job(tx, "t", "job_keep", 1);
    tx_run(&f, tx, NULL);
    fixture_close(&f);
    is_int(count_migrations(), (intmax_t)n_migrations, "with all migrations applied");
    for (unsigned i = 0; i < 3; i++) {
        fixture_must_open(&f);
        fixture_close(&f);
    }
    is_int(count_migrations(), (intmax_t)n_migrations, "opening again applies none");
    fixture_must_open(&f);
    job_read(&f, "t", "job_keep", &got);
    is_uint(got.n_rows, 1, "and keeps what is there");
    fixture_close(&f);
}

static void
test_versions(void)
{
    index_sql("insert into schema_migrations values (99, 'future', 'x', 1)");
    refused(-EUCLEAN, "a schema that is newer than the program");
    index_sql("delete from schema_migrations where number = 99");
    index_sql("update schema_migrations set sha256 = 'other' where number = 1");
    refused(-EUCLEAN, "a migration with another text");
    index_sql("update schema_migrations set sha256 = 'other', number = 77 where number = 1");
    refused(-EUCLEAN, "a migration with another number");
    index_sql("delete from schema_migrations");
    refused(-EIO, "tables without a history");
}

static void
fresh_directory(void)
{
    fixture_deinit(&f);
    fixture_init(&f);
}

static void
overwrite(const char *path, off_t offset, size_t len, int byte)
{
    char block[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    memset(block, byte, sizeof(block));
    for (size_t done = 0; done < len; done += sizeof(block)) {
        if (pwrite(fd, block, sizeof(block), offset + (off_t)done) < 0) {
            BAIL_OUT("pwrite");
        }
    }
    close(fd);
}

static void
test_damage(void)
{
    struct db_tx *tx;
    struct stat st;

    fresh_directory();
    overwrite(f.url, 0, 4096, 'x');
    refused(-EUCLEAN, "a file that is no database");

    fresh_directory();
    fixture_must_open(&f);
    tx = tx_new(&f);
    for (unsigned i = 0; i < 500; i++) {
        char id[32];

        snprintf(id, sizeof(id), "job_%u", i);
        tx_add_job(tx, "t", id, i);
    }
    is_int(tx_run(&f, tx, NULL), 0, "a database of some pages");
    fixture_close(&f);
    ok(stat(f.url, &st) == 0 && st.st_size > 20 * 4096, "%ld bytes", (long)st.st_size);
    overwrite(f.url, 8 * 4096, (size_t)st.st_size - 8 * 4096, 0xaa);
    refused(-EUCLEAN, "overwritten pages");
    if (truncate(f.url, 5000) != 0) {
        BAIL_OUT("truncate");
    }
    refused(-EUCLEAN, "a file cut short");
}

static void
test_places(void)
{
    struct fixture g;
    struct db_spec spec;

    fresh_directory();
    g = f;
    spec = (struct db_spec){ .driver = "mysql", .url = f.url, .audit_dir = f.audit, .loop = &f.loop };
    ok(db_open(&f.db, &spec, f.error, sizeof(f.error)) == -EINVAL, "an unknown driver: %s", f.error);
    spec.driver = NULL;
    ok(db_open(&f.db, &spec, f.error, sizeof(f.error)) == -EINVAL, "no driver");
    spec.driver = "sqlite";
    spec.audit_dir = NULL;
    ok(db_open(&f.db, &spec, f.error, sizeof(f.error)) == -EINVAL, "no audit directory: %s", f.error);
    spec.audit_dir = f.audit;
    spec.url = NULL;
    ok(db_open(&f.db, &spec, f.error, sizeof(f.error)) == -EINVAL, "no url");
    snprintf(f.url, sizeof(f.url), ":memory:");
    refused(-EINVAL, "a database in memory");
    snprintf(f.url, sizeof(f.url), "file:x?mode=memory");
    refused(-EOPNOTSUPP, "a database in memory by another name");
    snprintf(f.url, sizeof(f.url), "%.100s/none/state.db", f.dir);
    refused(-ENOENT, "a directory that is not there");
    snprintf(f.url, sizeof(f.url), "%.150s", f.dir);
    refused(-ENOENT, "a directory in the file's place");
    f = g;
    snprintf(f.audit, sizeof(f.audit), "%.100s/none/audit", f.dir);
    refused(-ENOENT, "an audit directory that cannot be made");
    snprintf(f.audit, sizeof(f.audit), "/dev/null");
    refused(-ENOTDIR, "an audit directory that is none");

    snprintf(f.audit, sizeof(f.audit), "%.100s/audit2", f.dir);
    snprintf(f.url, sizeof(f.url), "file:%.100s/uri.db?cache=private", f.dir);
    is_int(fixture_open(&f), 0, "a file: url opens");
    fixture_close(&f);
}

/* What other programs are told to use must work here too, though a shared cache must not be shared. */
static void
test_shared_cache_url(void)
{
    static const char *const parameters[] = {
        "?cache=shared&mode=rwc",          "?mode=rwc&cache=shared", "?mode=rwc", "?cache=shared", "?", "",
        "?psow=1&cache=shared&nolock=0#x",
    };
    struct audit_report report;
    struct outcome wrote, read;

    for (size_t i = 0; i < SBX_COUNT(parameters); i++) {
        struct db_tx *tx;

        fresh_directory();
        snprintf(f.url, sizeof(f.url), "file:%.80s/x.db%s", f.dir, parameters[i]);
        fixture_must_open(&f);
        memset(&read, 0, sizeof(read));
        memset(&wrote, 0, sizeof(wrote));
        for (unsigned n = 0; n < 200; n++) {
            char id[32];

            snprintf(id, sizeof(id), "job_%u", n);
            tx = tx_new(&f);
            tx_add_job(tx, "t", id, 1);
            db_tx_submit(tx, NULL, NULL);
            db_read(f.db, DB_PING, NULL, 0, outcome_on_done, &read);
            db_read(f.db, DB_JOB_COUNTS, NULL, 0, outcome_on_done, &read);
        }
        tx = tx_new(&f);
        tx_add_audit(tx, "t", "k", "o", "{}");
        is_int(tx_run(&f, tx, &wrote), 0, "file:x.db%s: writes", parameters[i]);
        ok(read.n == 400 && read.rc == 0, "and reads at the same time");
        is_int(audit_verify(f.audit, f.url, &report), 0, "and verifies");
        fixture_close(&f);
    }
}

static const char *
plan_of(sqlite3 *db, const struct db_stmt_info *info)
{
    static char plan[2048];
    char sql[2048];
    sqlite3_stmt *stmt;

    *plan = '\0';
    (void)snprintf(sql, sizeof(sql), "explain query plan %s", info->sql);
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK) {
        BAIL_OUT("%s: %s", info->name, sqlite3_errmsg(db));
    }
    while (sqlite3_step(stmt) == SQLITE_ROW && strlen(plan) < sizeof(plan) - 256) {
        (void)snprintf(plan + strlen(plan), sizeof(plan) - strlen(plan), "%.200s; ",
                       (const char *)sqlite3_column_text(stmt, 3));
    }
    sqlite3_finalize(stmt);
    return plan;
}

/*
 * The tenant is in the key that is looked up: another tenant's row would be fetched only to be found wanting, which takes
 * time. And nothing is looked through or sorted for what an index has in its order.
 */
static void
test_plans(void)
{
    static const struct {
        enum db_stmt stmt;
        const char *index;
    } cases[] = {
        { DB_JOB_GET, "jobs_owner (id=? AND tenant=?)" },
        { DB_JOB_STATUS, "jobs_owner (id=? AND tenant=?)" },
        { DB_ARTIFACT_LIST, "_owner (tenant=? AND " },
        { DB_ARTIFACT_GET, "_owner (tenant=? AND " },
        { DB_ARTIFACT_FIND, "_owner (tenant=? AND " },
        { DB_AUDIT_PAGE_UP, "audit_tenant (tenant=? AND rowid>? AND rowid<?)" },
        { DB_AUDIT_PAGE_DOWN, "audit_tenant (tenant=? AND rowid>? AND rowid<?)" },
        { DB_AUDIT_OBJECT_UP, "audit_object (object=? AND tenant=? AND rowid>? AND rowid<?)" },
        { DB_AUDIT_OBJECT_DOWN, "audit_object (object=? AND tenant=? AND rowid>? AND rowid<?)" },
        { DB_AUDIT_REQUEST_UP, "audit_request (request_id=? AND tenant=? AND rowid>? AND rowid<?)" },
        { DB_AUDIT_REQUEST_DOWN, "audit_request (request_id=? AND tenant=? AND rowid>? AND rowid<?)" },
        { DB_AUDIT_WINDOW_UP, "audit_tenant (tenant=? AND rowid>? AND rowid<?)" },
        { DB_AUDIT_SINCE, "audit_tenant (tenant=? AND rowid>?)" },
        { DB_USAGE_OF_DAY, "usage_day (day=? AND " },
    };
    sqlite3 *db;

    fixture_must_open(&f);
    fixture_close(&f);
    ok(sqlite3_open(f.url, &db) == SQLITE_OK, "opened");
    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        const struct db_stmt_info *info = db_stmt_info(cases[i].stmt);
        const char *plan = plan_of(db, info);

        ok(strstr(plan, cases[i].index) != NULL && strstr(plan, "TEMP B-TREE") == NULL &&
               (cases[i].stmt == DB_AUDIT_SINCE || strstr(plan, "SCAN") == NULL),
           "%s: %s", info->name, plan);
    }
    sqlite3_close(db);
}

/*
 * An event's time is never before that of the event before it, of whichever tenant; several may have one, and there may be
 * none for long.
 */
static void
audit_fill(sqlite3 *db, unsigned n)
{
    static const unsigned steps[] = { 0, 0, 7, 1, 0, 250, 3 };
    char sql[512];
    unsigned ts = 1000;

    for (unsigned i = 1; i <= n; i++) {
        ts += steps[i * i % SBX_COUNT(steps)];
        (void)snprintf(sql, sizeof(sql),
                       "insert into audit (seq, ts_ms, tenant, kind, body, prev, hash)"
                       " values (%u, %u, 't%u', 'k', '{}', '', '')",
                       i, ts, i * 7 % 5 % 3);
        if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
            BAIL_OUT("%s: %s", sql, sqlite3_errmsg(db));
        }
    }
}

static int64_t
since(sqlite3 *db, const char *sql, const char *tenant, int64_t ms)
{
    sqlite3_stmt *stmt;
    int64_t seq = -1;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK) {
        BAIL_OUT("%s", sqlite3_errmsg(db));
    }
    sqlite3_bind_text(stmt, sqlite3_bind_parameter_index(stmt, "$1"), tenant, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, sqlite3_bind_parameter_index(stmt, "$2"), ms);
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        seq = sqlite3_column_int64(stmt, 0);
    }
    sqlite3_finalize(stmt);
    return seq;
}

/* Halving finds what looking at all of them finds, for each number of events and each time. */
static void
test_since(void)
{
    static const char *const tenants[] = { "t0", "t1", "t2", "t3" };
    static const char looked[] =
        "select min(seq) from audit where tenant = $1 and ts_ms >= $2 having min(seq) is not null";
    const char *halved = db_stmt_info(DB_AUDIT_SINCE)->sql;
    unsigned n, wrong = 0, found = 0;
    sqlite3 *db;

    for (n = 0; n < 40; n += n < 10 ? 1 : 7) {
        fresh_directory();
        fixture_must_open(&f);
        fixture_close(&f);
        ok(sqlite3_open(f.url, &db) == SQLITE_OK, "%u events", n);
        audit_fill(db, n);
        for (int64_t ms = 998; ms < 1000 + 40 * 270; ms += ms < 1300 ? 1 : 31) {
            for (size_t i = 0; i < SBX_COUNT(tenants); i++) {
                const int64_t seq = since(db, halved, tenants[i], ms);

                wrong += seq != since(db, looked, tenants[i], ms);
                found += seq > 0;
            }
        }
        ok(since(db, halved, "t1", 0) == since(db, looked, "t1", 0) &&
               since(db, halved, "t1", INT64_MAX) == -1,
           "and the ends of time");
        sqlite3_close(db);
    }
    ok(wrong == 0 && found > 100, "%u were found otherwise, %u found", wrong, found);
}

int
main(void)
{
    fixture_init(&f);
    test_fresh();
    test_versions();
    test_damage();
    test_places();
    test_shared_cache_url();
    test_plans();
    test_since();
    fixture_deinit(&f);
    return done_testing();
}
