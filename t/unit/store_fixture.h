/* A database in a directory of its own, and waiting for its callbacks with a deadline. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "executor/store/audit_verify.h"
#include "executor/store/db.h"
#include "executor/store/stmts.h"
#include "lib/sbx_time.h"
#include "t/unit/tap.h"

#define FIXTURE_DEADLINE_MS 20000

struct fixture {
    char dir[128], url[160], audit[160];
    uv_loop_t loop;
    uv_timer_t deadline;
    struct db *db;
    char error[512];
    /* As in db_spec; zero is right for most tests. */
    const struct sbx_sign_key *key, *old_key;
    uint64_t segment_lines, sign_ms, keep_ms;
};

struct outcome {
    int n, rc;
    int64_t changes;
    unsigned n_rows, n_columns;
    enum db_type type[32];
    int64_t integer[32];
    char text[32][256];
    size_t len[32];
};

__attribute__((unused)) static void
outcome_on_done(void *arg, int rc, const struct db_result *result)
{
    struct outcome *got = arg;

    got->n++;
    got->rc = rc;
    got->changes = result->changes;
    got->n_rows = result->n_rows;
    got->n_columns = result->n_columns;
    for (unsigned i = 0; result->n_rows > 0 && i < result->n_columns && i < 32; i++) {
        const struct db_value *value = db_at(result, 0, i);

        got->type[i] = value->type;
        got->integer[i] = value->integer;
        got->len[i] = value->len;
        got->text[i][0] = '\0';
        if (value->type == DB_TEXT || value->type == DB_BLOB) {
            snprintf(got->text[i], sizeof(got->text[i]), "%.*s", (int)value->len, (const char *)value->data);
        }
    }
}

static int
fixture_unlink(const char *path, __attribute__((unused)) const struct stat *st,
               __attribute__((unused)) int type, __attribute__((unused)) struct FTW *ftw)
{
    return remove(path);
}

__attribute__((unused)) static void
fixture_remove(const char *dir)
{
    nftw(dir, fixture_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

__attribute__((unused)) static void
fixture_copy_file(const char *from, const char *to)
{
    char block[65536];
    const int in = open(from, O_RDONLY | O_CLOEXEC),
              out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ssize_t n;

    while ((n = read(in, block, sizeof(block))) > 0) {
        if (write(out, block, (size_t)n) != n) {
            BAIL_OUT("cannot write %s", to);
        }
    }
    if (in < 0 || out < 0 || n < 0 || close(in) != 0 || close(out) != 0) {
        BAIL_OUT("cannot copy %s", from);
    }
}

/* The database as a crash would leave it now: its file and its write-ahead log. */
__attribute__((unused)) static void
fixture_copy(const char *from, const char *to)
{
    char log[320], copied_log[320];

    (void)snprintf(log, sizeof(log), "%.300s-wal", from);
    (void)snprintf(copied_log, sizeof(copied_log), "%.300s-wal", to);
    fixture_copy_file(from, to);
    fixture_copy_file(log, copied_log);
}

static void
fixture_on_deadline(__attribute__((unused)) uv_timer_t *timer)
{
    BAIL_OUT("a callback did not come in time");
}

static void
fixture_loop_init(struct fixture *f)
{
    uv_loop_init(&f->loop);
    uv_timer_init(&f->loop, &f->deadline);
    uv_timer_start(&f->deadline, fixture_on_deadline, FIXTURE_DEADLINE_MS, FIXTURE_DEADLINE_MS);
    uv_unref((uv_handle_t *)&f->deadline);
}

__attribute__((unused)) static void
fixture_init(struct fixture *f)
{
    const char *base = getenv("TMPDIR");

    memset(f, 0, sizeof(*f));
    snprintf(f->dir, sizeof(f->dir), "%.90s/store-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(f->dir) == NULL) {
        BAIL_OUT("mkdtemp failed");
    }
    snprintf(f->url, sizeof(f->url), "%s/state.db", f->dir);
    snprintf(f->audit, sizeof(f->audit), "%s/audit", f->dir);
    fixture_loop_init(f);
}

__attribute__((unused)) static int
fixture_open(struct fixture *f)
{
    const struct db_spec spec = {
        .driver = "sqlite",
        .url = f->url,
        .audit_dir = f->audit,
        .loop = &f->loop,
        .audit_key = f->key,
        .audit_old_key = f->old_key,
        .audit_segment_lines = f->segment_lines,
        .audit_sign_ms = f->sign_ms,
        .audit_keep_ms = f->keep_ms,
    };

    return db_open(&f->db, &spec, f->error, sizeof(f->error));
}

__attribute__((unused)) static void
fixture_must_open(struct fixture *f)
{
    const int r = fixture_open(f);

    if (r) {
        BAIL_OUT("db_open: %s: %s", strerror(-r), f->error);
    }
}

/* Runs the loop until nothing is outstanding. */
__attribute__((unused)) static void
fixture_settle(struct fixture *f)
{
    uv_timer_again(&f->deadline);
    uv_run(&f->loop, UV_RUN_DEFAULT);
}

__attribute__((unused)) static void
fixture_close(struct fixture *f)
{
    f->db = db_close(f->db);
    uv_run(&f->loop, UV_RUN_DEFAULT);
}

__attribute__((unused)) static void
fixture_deinit(struct fixture *f)
{
    fixture_close(f);
    uv_close((uv_handle_t *)&f->deadline, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&f->loop) != 0) {
        BAIL_OUT("something is left in the loop");
    }
    fixture_remove(f->dir);
}

__attribute__((unused)) static struct db_tx *
tx_new(struct fixture *f)
{
    struct db_tx *tx;

    if (db_tx_new(&tx, f->db) != 0) {
        BAIL_OUT("db_tx_new");
    }
    return tx;
}

__attribute__((unused)) static void
tx_add_job(struct db_tx *tx, const char *tenant, const char *id, int64_t created_ms)
{
    const struct db_value values[] = {
        DB_VTEXT(id),        DB_VTEXT(tenant),
        DB_VTEXT("app1"),    DB_VNULL(),
        DB_VTEXT("sub"),     DB_VTEXT("req_1"),
        DB_VNULL(),          DB_VTEXT("python"),
        DB_VTEXT("default"), DB_VTEXT(id != NULL && strstr(id, "gv") != NULL ? "gvisor" : "process"),
        DB_VTEXT("00"),      DB_VTEXT("{}"),
        DB_VNULL(),          DB_VINT(created_ms),
        DB_VNULL(),          DB_VINT(604800000),
    };
    db_tx_add(tx, DB_JOB_INSERT, values, SBX_COUNT(values));
}

__attribute__((unused)) static void
tx_add_finish(struct db_tx *tx, const char *id, const char *status, const void *out, size_t len)
{
    const struct db_value values[] = {
        DB_VTEXT(id),       DB_VTEXT(status),
        DB_VINT(2000),      DB_VINT(1500),
        DB_VINT(0),         DB_VNULL(),
        DB_VBLOB(out, len), DB_VBLOB("", 0),
        DB_VINT(len),       DB_VINT(0),
        DB_VINT(0),         DB_VTEXT("42"),
        DB_VNULL(),         DB_VTEXT("{\"wall_ms\":1}"),
        DB_VNULL(),
    };
    db_tx_add(tx, DB_JOB_FINISH, values, SBX_COUNT(values));
}

__attribute__((unused)) static void
tx_add_audit(struct db_tx *tx, const char *tenant, const char *kind, const char *object, const char *body)
{
    const struct db_audit event = {
        .tenant = tenant,
        .kind = kind,
        .object = object,
        .request_id = "req_1",
        .decision = "allow",
        .body = body,
        .body_len = strlen(body),
    };
    db_tx_audit(tx, &event);
}

/* Submits, waits, returns the code. */
__attribute__((unused)) static int
tx_run(struct fixture *f, struct db_tx *tx, struct outcome *ret)
{
    struct outcome ignored;
    struct outcome *got = ret != NULL ? ret : &ignored;

    memset(got, 0, sizeof(*got));
    db_tx_submit(tx, outcome_on_done, got);
    fixture_settle(f);
    if (got->n != 1) {
        BAIL_OUT("%d callbacks instead of one", got->n);
    }
    return got->rc;
}

__attribute__((unused)) static int
read_run(struct fixture *f, enum db_stmt stmt, const struct db_value *values, unsigned n, struct outcome *got)
{
    memset(got, 0, sizeof(*got));
    db_read(f->db, stmt, values, n, outcome_on_done, got);
    fixture_settle(f);
    if (got->n != 1) {
        BAIL_OUT("%d callbacks instead of one", got->n);
    }
    return got->rc;
}

__attribute__((unused)) static int
job_read(struct fixture *f, const char *tenant, const char *id, struct outcome *got)
{
    const struct db_value values[] = { DB_VTEXT(tenant), DB_VTEXT(id) };

    return read_run(f, DB_JOB_GET, values, SBX_COUNT(values), got);
}
