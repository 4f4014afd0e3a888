/*
 * SQLite's file object has a table of methods; the log's gets one that is the former but for those that write or look at
 * what was written. The table is the first thing in our own object, so that a method finds that from the file.
 */
#include "sqlite_wal.h"

#include <stdlib.h>
#include <string.h>

/* The most that SQLite's own xWrite takes at once; more is written in pieces. */
#define WAL_JOINED ((1 << 17) - 1)

struct sqlite_wal {
    sqlite3_io_methods methods; /* what the file has */
    const sqlite3_io_methods *inner;
    sqlite3_int64 at; /* where in the file the bytes begin */
    int len;
    char bytes[WAL_JOINED];
};

static struct sqlite_wal *
wal_of(sqlite3_file *file)
{
    return (struct sqlite_wal *)(uintptr_t)file->pMethods;
}

/* What cannot be written is SQLite's to roll back: it has not been made durable, nor seen by others. */
static int
wal_flush(sqlite3_file *file)
{
    struct sqlite_wal *wal = wal_of(file);
    const int len = wal->len;

    wal->len = 0;
    return len == 0 ? SQLITE_OK : wal->inner->xWrite(file, wal->bytes, len, wal->at);
}

static int
wal_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
    struct sqlite_wal *wal = wal_of(file);
    int code;

    if (wal->len > 0 && (at != wal->at + wal->len || len > WAL_JOINED - wal->len)) {
        code = wal_flush(file);
        if (code != SQLITE_OK) {
            return code;
        }
    }
    if (len > WAL_JOINED) {
        return wal->inner->xWrite(file, data, len, at);
    }
    if (wal->len == 0) {
        wal->at = at;
    }
    memcpy(wal->bytes + wal->len, data, (size_t)len);
    wal->len += len;
    return SQLITE_OK;
}

/*
 * Before what writes nothing itself. That a disk is full would there cost SQLite the statement alone, and the transaction would
 * go on without pages that SQLite believes written; what failed otherwise ends it.
 */
static int
wal_settle(sqlite3_file *file)
{
    return wal_flush(file) == SQLITE_OK ? SQLITE_OK : SQLITE_IOERR_WRITE;
}

static int
wal_read(sqlite3_file *file, void *data, int len, sqlite3_int64 at)
{
    const int code = wal_settle(file);

    return code != SQLITE_OK ? code : wal_of(file)->inner->xRead(file, data, len, at);
}

static int
wal_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    const int code = wal_flush(file);

    return code != SQLITE_OK ? code : wal_of(file)->inner->xTruncate(file, size);
}

static int
wal_sync(sqlite3_file *file, int flags)
{
    const int code = wal_flush(file);

    return code != SQLITE_OK ? code : wal_of(file)->inner->xSync(file, flags);
}

static int
wal_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    const int code = wal_settle(file);

    return code != SQLITE_OK ? code : wal_of(file)->inner->xFileSize(file, ret);
}

static int
wal_control(sqlite3_file *file, int what, void *arg)
{
    const int code = wal_settle(file);

    return code != SQLITE_OK ? code : wal_of(file)->inner->xFileControl(file, what, arg);
}

/* What is left then belongs to a transaction that was not committed. */
static int
wal_close(sqlite3_file *file)
{
    struct sqlite_wal *wal = wal_of(file);

    wal->len = 0;
    file->pMethods = wal->inner;
    return wal->inner->xClose(file);
}

int
sqlite_wal_join(struct sqlite_wal **ret, sqlite3 *db)
{
    struct sqlite_wal *wal;
    sqlite3_file *file = NULL;

    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, (void *)&file) != SQLITE_OK ||
        file == NULL || file->pMethods == NULL) {
        return -EINVAL;
    }
    wal = malloc(sizeof(*wal));
    if (wal == NULL) {
        return -ENOMEM;
    }
    wal->inner = file->pMethods;
    wal->len = 0;
    wal->methods = *wal->inner;
    wal->methods.iVersion = 1; /* a log is neither locked nor mapped by these */
    wal->methods.xClose = wal_close;
    wal->methods.xRead = wal_read;
    wal->methods.xWrite = wal_write;
    wal->methods.xTruncate = wal_truncate;
    wal->methods.xSync = wal_sync;
    wal->methods.xFileSize = wal_size;
    wal->methods.xFileControl = wal_control;
    file->pMethods = &wal->methods;

    *ret = wal;
    return 0;
}

struct sqlite_wal *
sqlite_wal_free(struct sqlite_wal *wal)
{
    free(wal);
    return NULL;
}
