/* The driver: hardened connections, cached statements, errors as errno. */
#include "sqlite_conn.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "db.h"
#include "explain.h"
#include "lib/sbx_time.h"
#include "sqlite_wal.h"

#define CONN_BUSY_MS 5000
#define CONN_URL_MAX 4096
#define CONN_VALUE_MAX (96 << 20)
#define CONN_PROGRESS_STEPS 10000
#define FILL_LEAVES 16 /* times as much room as it takes */

struct sqlite_conn {
    sqlite3 *db;
    struct {
        sqlite3_stmt *stmt;
        int place[DB_MAX_PARAMS]; /* SQLite's index of $1, $2 ...: it counts by first appearance */
    } cache[DB_N_STMTS];
    sqlite3_stmt *control[SQLITE_CONN_N_CONTROLS];
    uint64_t deadline_ms;
    unsigned wal_pages;
    struct sqlite_wal *wal; /* beneath the writer's; NULL: none yet */
};

static int
conn_errno(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_CONSTRAINT:
        if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY ||
            code == SQLITE_CONSTRAINT_ROWID) {
            return DB_E_CONFLICT;
        }
        return -EINVAL;
    case SQLITE_MISMATCH:
    case SQLITE_RANGE:
        return -EINVAL;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_TOOBIG:
        return -E2BIG;
    case SQLITE_INTERRUPT:
        return -ETIMEDOUT;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EUCLEAN;
    case SQLITE_CANTOPEN:
        return -ENOENT;
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return -EACCES;
    case SQLITE_IOERR:
        return code == SQLITE_IOERR_NOMEM ? -ENOMEM : -EIO;
    default:
        return -EIO;
    }
}

const char *
sqlite_conn_error(const struct sqlite_conn *conn)
{
    return sqlite3_errmsg(conn->db);
}

static int
conn_on_progress(void *arg)
{
    const struct sqlite_conn *conn = arg;

    return conn->deadline_ms != 0 && sbx_now_mono_ms() >= conn->deadline_ms;
}

static int
conn_on_wal(void *arg, _unused_ sqlite3 *db, _unused_ const char *name, int pages)
{
    struct sqlite_conn *conn = arg;

    conn->wal_pages = (unsigned)pages;
    return SQLITE_OK;
}

static void
conn_harden(struct sqlite_conn *conn)
{
    static const struct {
        int option, value;
    } options[] = {
        { SQLITE_DBCONFIG_DEFENSIVE, 1 },
        { SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
        { SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0 },
        { SQLITE_DBCONFIG_ENABLE_FKEY, 1 },
        { SQLITE_DBCONFIG_ENABLE_TRIGGER, 1 },
        { SQLITE_DBCONFIG_ENABLE_VIEW, 0 },
        { SQLITE_DBCONFIG_DQS_DML, 0 },
        { SQLITE_DBCONFIG_DQS_DDL, 0 },
    };

    for (size_t i = 0; i < SBX_COUNT(options); i++) {
        sqlite3_db_config(conn->db, options[i].option, options[i].value, NULL);
    }
    sqlite3_extended_result_codes(conn->db, 1);
    sqlite3_limit(conn->db, SQLITE_LIMIT_LENGTH, CONN_VALUE_MAX);
    sqlite3_limit(conn->db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_busy_timeout(conn->db, CONN_BUSY_MS);
    sqlite3_progress_handler(conn->db, CONN_PROGRESS_STEPS, conn_on_progress, conn);
}

static int
conn_expect_wal(struct sqlite_conn *conn)
{
    sqlite3_stmt *stmt = NULL;
    const unsigned char *mode;
    int r;

    r = conn_errno(sqlite3_prepare_v2(conn->db, "pragma journal_mode = wal", -1, &stmt, NULL));
    if (r) {
        return r;
    }
    r = conn_errno(sqlite3_step(stmt));
    if (r == 0) {
        mode = sqlite3_column_text(stmt, 0);
        r = mode != NULL && strcmp((const char *)mode, "wal") == 0 ? 0 : -EOPNOTSUPP;
    }
    sqlite3_finalize(stmt);
    return r;
}

static int
conn_prepare_role(struct sqlite_conn *conn, enum sqlite_conn_role role)
{
    int r;

    switch (role) {
    case SQLITE_CONN_WRITER:
        r = conn_expect_wal(conn);
        if (r) {
            return r;
        }
        sqlite3_wal_hook(conn->db, conn_on_wal, conn); /* takes the place of the automatic checkpoint */
        return sqlite_conn_exec(
            conn,
            "pragma synchronous = full; pragma secure_delete = on; pragma journal_size_limit = 67108864;"
            "pragma cell_size_check = on; pragma mmap_size = 0; pragma temp_store = memory;"
            "pragma cache_size = -8192");
    case SQLITE_CONN_READER:
    case SQLITE_CONN_VISITOR:
        return sqlite_conn_exec(conn,
                                "pragma query_only = on; pragma cell_size_check = on; pragma mmap_size = 0;"
                                "pragma temp_store = memory; pragma cache_size = -8192;"
                                "select count(*) from sqlite_schema");
    }
    return -EINVAL;
}

/*
 * The url without what would break us: a shared cache makes readers fail while the writer works, and only the
 * writer may create (a mode beyond the flags is an error).
 */
static bool
conn_url(char *out, size_t size, const char *url, enum sqlite_conn_role role)
{
    const char *parameter = url + strcspn(url, "?#");
    size_t len = (size_t)(parameter - url), n;
    char separator = '?';

    if (len >= size) {
        return false;
    }
    memcpy(out, url, len);
    while (*parameter == '?' || *parameter == '&') {
        parameter++;
        n = strcspn(parameter, "&#");
        if (strncmp(parameter, "cache=", 6) != 0 &&
            (role == SQLITE_CONN_WRITER || strncmp(parameter, "mode=", 5) != 0)) {
            if (len + 1 + n >= size) {
                return false;
            }
            out[len++] = separator;
            memcpy(out + len, parameter, n);
            len += n;
            separator = '&';
        }
        parameter += n;
    }
    out[len] = '\0';
    return true;
}

/*
 * SQLite makes its file with 0644 less the umask; -wal and -shm copy the mode of the database. Start-up only.
 */
static int
conn_open_file(struct sqlite_conn *conn, const char *url, enum sqlite_conn_role role)
{
    char uri[CONN_URL_MAX];
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    mode_t before;
    int code;

    /* A visitor that could write would fold the write-ahead log into the file when the last to leave. */
    flags |= role == SQLITE_CONN_VISITOR ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    flags |= role == SQLITE_CONN_WRITER ? SQLITE_OPEN_CREATE : 0;
    if (strncmp(url, "file:", 5) == 0) {
        flags |= SQLITE_OPEN_URI;
        if (!conn_url(uri, sizeof(uri), url, role)) {
            return -ENAMETOOLONG;
        }
        url = uri;
    }
    before = umask(077);
    code = sqlite3_open_v2(url, &conn->db, flags, NULL);
    umask(before);
    return conn_errno(code);
}

static const char *
conn_open_hint(int r)
{
    switch (r) {
    case -EUCLEAN:
        return "the file is damaged or not a database; restore it from a backup";
    case -EOPNOTSUPP:
        return "it must be a file on a file system that can do write-ahead logging";
    default:
        return strerror(-r);
    }
}

int
sqlite_conn_open(struct sqlite_conn **ret, const char *url, enum sqlite_conn_role role, char *error,
                 size_t error_size)
{
    _cleanup_(sqlite_conn_closep) struct sqlite_conn *conn = NULL;
    int r;

    if (url == NULL || url[0] == '\0' || strcmp(url, ":memory:") == 0) {
        explain(error, error_size, "the database must be a file");
        return -EINVAL;
    }

    conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        explain(error, error_size, "out of memory");
        return -ENOMEM;
    }

    r = conn_open_file(conn, url, role);
    if (r == 0) {
        conn_harden(conn);
        r = conn_prepare_role(conn, role);
    }
    if (r) {
        explain(error, error_size, "cannot open the database %s: %s", url, conn_open_hint(r > 0 ? -EIO : r));
        return r > 0 ? -EIO : r;
    }

    *ret = steal(&conn);
    return 0;
}

struct sqlite_conn *
sqlite_conn_close(struct sqlite_conn *conn)
{
    if (conn == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < DB_N_STMTS; i++) {
        sqlite3_finalize(conn->cache[i].stmt);
    }
    for (size_t i = 0; i < SQLITE_CONN_N_CONTROLS; i++) {
        sqlite3_finalize(conn->control[i]);
    }
    sqlite3_close(conn->db);
    sqlite_wal_free(conn->wal);
    free(conn);
    return NULL;
}

int
sqlite_conn_exec(struct sqlite_conn *conn, const char *sql)
{
    return conn_errno(sqlite3_exec(conn->db, sql, NULL, NULL, NULL));
}

int
sqlite_conn_control(struct sqlite_conn *conn, enum sqlite_conn_control what)
{
    static const char *const texts[] = {
        [SQLITE_CONN_BEGIN] = "begin immediate",  [SQLITE_CONN_COMMIT] = "commit",
        [SQLITE_CONN_SAVE] = "savepoint place",   [SQLITE_CONN_RELEASE] = "release place",
        [SQLITE_CONN_BACK] = "rollback to place",
    };
    int r;

    if (conn->control[what] == NULL) {
        r = conn_errno(sqlite3_prepare_v3(conn->db, texts[what], -1, SQLITE_PREPARE_PERSISTENT,
                                          &conn->control[what], NULL));
        if (r) {
            return r;
        }
    }
    r = conn_errno(sqlite3_step(conn->control[what]));
    sqlite3_reset(conn->control[what]);
    return r;
}

void
sqlite_conn_rollback(struct sqlite_conn *conn)
{
    if (!sqlite3_get_autocommit(conn->db)) {
        sqlite3_exec(conn->db, "rollback", NULL, NULL,
                     NULL); /* a failure leaves autocommit off: the next begin fails */
    }
}

void
sqlite_conn_deadline(struct sqlite_conn *conn, uint64_t mono_ms)
{
    conn->deadline_ms = mono_ms;
}

unsigned
sqlite_conn_wal_pages(const struct sqlite_conn *conn)
{
    return conn->wal_pages;
}

void
sqlite_conn_checkpoint(struct sqlite_conn *conn)
{
    int log = 0, copied = 0;

    /*
     * A failure costs nothing but a longer log; the next one tries again, and a full disk fails the commits.
     */
    if (sqlite3_wal_checkpoint_v2(conn->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &log, &copied) == SQLITE_OK &&
        log == copied) {
        conn->wal_pages = 0;
    }
}

bool
sqlite_conn_forget(struct sqlite_conn *conn)
{
    /* Waits for readers, as any statement of this connection would, then cuts the log to nothing. */
    if (sqlite3_wal_checkpoint_v2(conn->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK) {
        return false;
    }
    conn->wal_pages = 0;
    return true;
}

int
sqlite_conn_join_writes(struct sqlite_conn *conn)
{
    return conn->wal != NULL ? 0 : sqlite_wal_join(&conn->wal, conn->db);
}

/* Zeros are no frame to SQLite, and it never cuts off what is there: 0, or -errno with the file as long as it was. */
static int
fill_file(int fd, off_t size, off_t wanted)
{
    static const char zeros[65536];
    ssize_t n;
    int r = 0;

    for (off_t at = size; at < wanted && r == 0; at += n) {
        n = pwrite(fd, zeros, wanted - at < (off_t)sizeof(zeros) ? (size_t)(wanted - at) : sizeof(zeros), at);
        r = n > 0 ? 0 : n < 0 ? -errno : -EIO;
    }
    r = r == 0 && fdatasync(fd) < 0 ? -errno : r;
    if (r && ftruncate(fd, size) < 0) {
        return -errno;
    }
    return r;
}

int
sqlite_conn_fill(struct sqlite_conn *conn, off_t bytes)
{
    const char *name = sqlite3_db_filename(conn->db, "main");
    struct statvfs fs;
    struct stat st;
    int fd, r = 0;

    fd = open(sqlite3_filename_wal(name), O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &st) < 0 || fstatvfs(fd, &fs) < 0) {
        r = -errno;
    } else if ((uint64_t)fs.f_bavail * fs.f_frsize < FILL_LEAVES * (uint64_t)bytes) {
        r = -ENOSPC; /* others would have none meanwhile */
    }
    r = r ? r : fill_file(fd, st.st_size, bytes);
    close(fd);
    return r;
}

static int
conn_prepare(struct sqlite_conn *conn, enum db_stmt stmt)
{
    const struct db_stmt_info *info = db_stmt_info(stmt);
    char name[16];
    int r;

    if (info == NULL) {
        return -EINVAL;
    }
    r = conn_errno(sqlite3_prepare_v3(conn->db, info->sql, -1, SQLITE_PREPARE_PERSISTENT,
                                      &conn->cache[stmt].stmt, NULL));
    if (r) {
        return r > 0 ? -EIO : r;
    }
    for (unsigned i = 0; i < info->n_params; i++) {
        (void)snprintf(name, sizeof(name), "$%u", i + 1); /* fits */
        conn->cache[stmt].place[i] = sqlite3_bind_parameter_index(conn->cache[stmt].stmt, name);
    }
    return 0;
}

/* The values outlive the step, so that nothing is copied. */
static int
conn_bind(sqlite3_stmt *stmt, int place, const struct db_value *value)
{
    switch (value->type) {
    case DB_NULL:
        return sqlite3_bind_null(stmt, place);
    case DB_INT:
        return sqlite3_bind_int64(stmt, place, value->integer);
    case DB_TEXT:
        return sqlite3_bind_text64(stmt, place, value->data, value->len, SQLITE_STATIC, SQLITE_UTF8);
    case DB_BLOB:
        if (value->len == 0) {
            return sqlite3_bind_zeroblob(stmt, place, 0); /* a NULL pointer would bind NULL */
        }
        return sqlite3_bind_blob64(stmt, place, value->data, value->len, SQLITE_STATIC);
    }
    return SQLITE_MISUSE;
}

static struct db_value
conn_column(sqlite3_stmt *stmt, int column)
{
    switch (sqlite3_column_type(stmt, column)) {
    case SQLITE_INTEGER:
        return DB_VINT(sqlite3_column_int64(stmt, column));
    case SQLITE_TEXT:
        return (struct db_value){
            .type = DB_TEXT,
            .data = sqlite3_column_text(stmt, column),
            .len = (size_t)sqlite3_column_bytes(stmt, column),
        };
    case SQLITE_BLOB:
        return DB_VBLOB(sqlite3_column_blob(stmt, column), (size_t)sqlite3_column_bytes(stmt, column));
    default:
        return DB_VNULL();
    }
}

static int
conn_row(sqlite3_stmt *stmt, struct db_rows *rows)
{
    const int n = sqlite3_column_count(stmt);
    int r;

    for (int i = 0; i < n; i++) {
        const struct db_value value = conn_column(stmt, i);

        r = db_rows_add(rows, &value);
        if (r) {
            return r;
        }
    }
    return 0;
}

static int
conn_step(struct sqlite_conn *conn, sqlite3_stmt *stmt, struct db_rows *rows, int64_t *changes)
{
    bool first = true;
    int code, r;

    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
        if (rows == NULL) {
            continue;
        }
        if (first) {
            db_rows_begin(rows, (unsigned)sqlite3_column_count(stmt));
            first = false;
        }
        r = conn_row(stmt, rows);
        if (r) {
            return r;
        }
    }
    if (code == SQLITE_DONE && changes != NULL && !sqlite3_stmt_readonly(stmt)) {
        *changes += sqlite3_changes64(conn->db);
    }
    return conn_errno(code);
}

int
sqlite_conn_run(struct sqlite_conn *conn, enum db_stmt stmt, const struct db_value *values, unsigned n,
                struct db_rows *rows, int64_t *changes)
{
    const struct db_stmt_info *info = db_stmt_info(stmt);
    sqlite3_stmt *prepared;
    int r;

    if (info == NULL || n != info->n_params) {
        return -EINVAL;
    }
    if (conn->cache[stmt].stmt == NULL) {
        r = conn_prepare(conn, stmt);
        if (r) {
            return r;
        }
    }

    prepared = conn->cache[stmt].stmt;
    r = 0;
    for (unsigned i = 0; i < n && r == 0; i++) {
        r = conn_errno(conn_bind(prepared, conn->cache[stmt].place[i], &values[i]));
    }
    if (r == 0) {
        r = conn_step(conn, prepared, rows, changes);
    }
    sqlite3_reset(prepared);
    sqlite3_clear_bindings(prepared);
    return r;
}

int
sqlite_conn_inspect(struct sqlite_conn *conn, uint64_t limit_ms, char *error, size_t error_size)
{
    sqlite3_stmt *stmt = NULL;
    const unsigned char *text;
    int r;

    conn->deadline_ms = sbx_now_mono_ms() + limit_ms;
    r = conn_errno(sqlite3_prepare_v2(conn->db, "pragma quick_check(1)", -1, &stmt, NULL));
    if (r == 0) {
        r = conn_errno(sqlite3_step(stmt));
    }
    if (r == 0) {
        text = sqlite3_column_text(stmt, 0);
        if (text == NULL || strcmp((const char *)text, "ok") != 0) {
            r = -EUCLEAN;
        }
    }
    sqlite3_finalize(stmt);
    conn->deadline_ms = 0;

    if (r == -EUCLEAN) {
        explain(error, error_size, "the database is damaged; restore it from a backup");
    } else if (r && r != -ETIMEDOUT) {
        explain(error, error_size, "cannot read the database: %s", strerror(r < 0 ? -r : EIO));
    }
    /* A large file is looked at for as long as a start may take; the rest is checked page by page in use. */
    return r == -ETIMEDOUT ? 0 : r > 0 ? -EIO : r;
}
