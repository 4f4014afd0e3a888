/* Pages that go to the write-ahead log at once: what others see of it, when, and what is left after a crash. */
#include "executor/store/sqlite_wal.h"

#include <sqlite3.h>

#include "t/unit/store_fixture.h"

#define N_ROWS 400

static struct fixture f;

static void
must(sqlite3 *db, const char *sql)
{
    char *message = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) {
        BAIL_OUT("%s: %s", sql, message);
    }
}

static int64_t
number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt;
    int64_t n = -1;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
        n = sqlite3_column_int64(stmt, 0);
    }
    sqlite3_finalize(stmt);
    return n;
}

static bool
whole(sqlite3 *db)
{
    return number(db, "select count(*) = 1 and max(integrity_check) = 'ok' from pragma_integrity_check") == 1;
}

static sqlite3 *
open_at(const char *name)
{
    char path[256];
    sqlite3 *db;

    (void)snprintf(path, sizeof(path), "%s/%s", f.dir, name);
    if (sqlite3_open(path, &db) != SQLITE_OK) {
        BAIL_OUT("%s", path);
    }
    return db;
}

/* A writer as the product's, with a cache so small that a transaction spills. */
static sqlite3 *
open_writer(const char *name, struct sqlite_wal **ret)
{
    sqlite3 *db = open_at(name);

    must(db, "pragma journal_mode = wal; pragma synchronous = full; pragma wal_autocheckpoint = 0;"
             "pragma cache_size = 10; create table if not exists t (id integer primary key, text text);"
             "create index if not exists t_text on t (text)");
    if (sqlite_wal_join(ret, db) != 0) {
        BAIL_OUT("the log cannot be joined");
    }
    return db;
}

static void
insert(sqlite3 *db, unsigned from, unsigned to)
{
    char sql[256];

    (void)snprintf(sql, sizeof(sql),
                   "with recursive n (i) as (select %u union all select i + 1 from n where i < %u)"
                   " insert into t (id, text) select i, hex(randomblob(700)) from n",
                   from, to);
    must(db, sql);
}

/* Calls of this process that write. */
static unsigned
n_writes(void)
{
    FILE *io = fopen("/proc/self/io", "re");
    char line[128];
    unsigned n = 0;

    while (io != NULL && fgets(line, sizeof(line), io) != NULL) {
        (void)sscanf(line, "syscw: %u", &n);
    }
    if (io == NULL || fclose(io) != 0) {
        BAIL_OUT("no /proc/self/io");
    }
    return n;
}

static int64_t
left_behind(const char *name)
{
    static unsigned n;
    char from[256], to[256], copy[32];
    sqlite3 *db;
    int64_t rows;

    (void)snprintf(copy, sizeof(copy), "copy-%u", n++);
    (void)snprintf(from, sizeof(from), "%s/%s", f.dir, name);
    (void)snprintf(to, sizeof(to), "%s/%s", f.dir, copy);
    fixture_copy(from, to);
    db = open_at(copy);
    rows = whole(db) ? number(db, "select count(*) from t") : -2;
    sqlite3_close(db);
    return rows;
}

static void
test_commits(void)
{
    struct sqlite_wal *wal = NULL;
    sqlite3 *db = open_writer("commits", &wal), *other = open_at("commits");
    unsigned before, i, wrong = 0;

    for (i = 1; i <= 40; i++) {
        must(db, "begin immediate");
        insert(db, i, i);
        wrong += number(other, "select count(*) from t") != i - 1 || left_behind("commits") != i - 1;
        must(db, "commit");
        wrong += number(other, "select count(*) from t") != i || left_behind("commits") != i;
    }
    is_uint(wrong, 0,
            "a transaction is seen by others, and found after a crash, when it is committed and not before");

    must(db, "pragma cache_size = 1000; begin immediate");
    insert(db, 100, 112);
    before = n_writes();
    must(db, "commit");
    is_uint(n_writes() - before, 1, "its pages are written at once");
    sqlite3_close(other);
    sqlite3_close(db);
    ok(sqlite_wal_free(wal) == NULL && sqlite_wal_free(NULL) == NULL, "free takes NULL");
}

/* More than is kept, more than the cache holds, places to go back to, and what is never committed. */
static void
test_large(void)
{
    struct sqlite_wal *wal = NULL;
    sqlite3 *db = open_writer("large", &wal), *other = open_at("large");

    must(db, "begin immediate");
    insert(db, 1, N_ROWS);
    is_int(number(db, "select count(*) from t"), N_ROWS, "who writes sees what was spilled");
    is_int(number(other, "select count(*) from t"), 0, "another does not");
    must(db, "savepoint place");
    insert(db, N_ROWS + 1, 2 * N_ROWS);
    must(db, "update t set text = 'x' || text where id % 7 = 0; rollback to place; release place");
    is_int(number(db, "select count(*) from t"), N_ROWS, "back to a place");
    is_int(left_behind("large"), 0, "a crash leaves nothing of it");
    must(db, "commit");
    is_int(number(other, "select count(*) from t"), N_ROWS, "committed");
    is_int(left_behind("large"), N_ROWS, "and there after a crash");

    must(db, "begin immediate; delete from t where id % 2 = 0");
    must(db, "rollback");
    ok(whole(db) && whole(other) && number(other, "select count(*) from t") == N_ROWS,
       "what is rolled back is as before");
    must(other, "pragma wal_checkpoint(passive)");
    insert(db, 2 * N_ROWS, 2 * N_ROWS);
    must(db, "pragma wal_checkpoint(truncate)");
    is_int(left_behind("large"), N_ROWS + 1, "copied into the file, by others and by who writes");
    insert(db, 2 * N_ROWS + 1, 2 * N_ROWS + 50);
    is_int(left_behind("large"), N_ROWS + 51, "and the log goes on from its beginning");

    must(db, "begin immediate");
    insert(db, 5000, 5200);
    sqlite3_close(other);
    is_int(sqlite3_close(db), SQLITE_OK, "closed in the middle of one");
    sqlite_wal_free(wal);
    db = open_at("large");
    ok(whole(db) && number(db, "select count(*) from t") == N_ROWS + 51, "of which nothing is left");
    sqlite3_close(db);
}

static bool is_full;

static ssize_t
disk_write(int fd, const void *data, size_t len)
{
    if (is_full) {
        errno = ENOSPC;
        return -1;
    }
    return write(fd, data, len);
}

static ssize_t
disk_pwrite(int fd, const void *data, size_t len, off_t at)
{
    if (is_full) {
        errno = ENOSPC;
        return -1;
    }
    return pwrite(fd, data, len, at);
}

static int
run(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) & 0xff;
}

/* Pages that SQLite believes written and that could not be: the transaction ends, whatever asked for the log. */
static void
test_full(void)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    struct sqlite_wal *wal = NULL;
    sqlite3 *db;

    if (vfs->xSetSystemCall(vfs, "write", (sqlite3_syscall_ptr)disk_write) != SQLITE_OK ||
        vfs->xSetSystemCall(vfs, "pwrite", (sqlite3_syscall_ptr)disk_pwrite) != SQLITE_OK ||
        vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)disk_pwrite) != SQLITE_OK) {
        BAIL_OUT("system calls");
    }
    db = open_writer("full", &wal);
    must(db, "pragma temp_store = memory; drop index t_text; create unique index t_text on t (text)");
    insert(db, 1, 5);

    must(db, "begin immediate");
    insert(db, 6, N_ROWS);
    is_full = true;
    ok(run(db, "update t set text = 'x' || text") != SQLITE_OK,
       "a full disk fails who reads what was spilled");
    is_full = false;
    ok(run(db, "commit") != SQLITE_OK, "nor is there anything to commit, with room again");
    ok(whole(db) && number(db, "select count(*) from t") == 5, "all of it was taken back");
    is_int(left_behind("full"), 5, "after a crash, too");

    must(db, "begin immediate");
    insert(db, 6, 12);
    is_full = true;
    is_int(run(db, "commit"), SQLITE_FULL, "a commit fails for what it is");
    is_full = false;
    (void)run(db, "rollback"); /* SQLite may have done so */
    insert(db, 6, 7);
    ok(whole(db) && number(db, "select count(*) from t") == 7, "and the next one succeeds");
    is_int(left_behind("full"), 7, "and is durable");
    sqlite3_close(db);
    sqlite_wal_free(wal);
    vfs->xSetSystemCall(vfs, NULL, NULL);
}

static void
test_none(void)
{
    struct sqlite_wal *wal = NULL;
    sqlite3 *db = open_at("none");

    is_int(sqlite_wal_join(&wal, db), -EINVAL, "a database that has no log");
    must(db, "pragma journal_mode = delete; create table t (id)");
    ok(sqlite_wal_join(&wal, db) == -EINVAL && wal == NULL, "nor has one with a journal that is deleted");
    sqlite3_close(db);
}

int
main(void)
{
    fixture_init(&f);
    test_commits();
    test_large();
    test_full();
    test_none();
    fixture_deinit(&f);
    return done_testing();
}
