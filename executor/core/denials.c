#include "executor/core/denials.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "executor/core/audit.h"
#include "executor/log.h"
#include "executor/store/stmts.h"

#define DENIALS_NAME "denials"
#define DENIALS_IDLE_MS 100 /* what a read of nothing costs is nothing beside a denial that is late */
#define DENIALS_RETRY_MS 1000
#define DENIALS_BUFFER 65536 /* from the page cache: short enough to read on the loop */
#define DENIALS_BATCH 64
#define DENIALS_PUNCH (1 << 20)

struct denials {
    struct denials_spec spec;
    char *path;
    char *rotated;
    struct timer *timer;
    int fd;
    bool known; /* the stored position was read */
    bool busy;
    uint64_t device, inode, position; /* of the open file, or as stored before one is open */
    uint64_t next_position;           /* once the transaction is durable */
    uint64_t punched;
    unsigned batch;
    bool skipping; /* inside a line that is too long */
    char buffer[DENIALS_BUFFER];
};

static void
denials_close_file(struct denials *denials)
{
    if (denials->fd >= 0) {
        close(denials->fd);
    }
    denials->fd = -1;
    denials->punched = 0;
    denials->skipping = false;
}

struct denials *
denials_free(struct denials *denials)
{
    if (denials == NULL) {
        return NULL;
    }
    denials_close_file(denials);
    timer_free(denials->timer);
    free(denials->path);
    free(denials->rotated);
    free(denials);
    return NULL;
}

static int
denials_open_one(const char *path, struct stat *ret)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 && (errno == EACCES || errno == EROFS || errno == EPERM)) {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    }
    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, ret) != 0 || !S_ISREG(ret->st_mode)) {
        close(fd);
        return -EINVAL;
    }
    return fd;
}

static bool
denials_is_remembered(const struct denials *denials, const struct stat *st)
{
    return denials->inode == (uint64_t)st->st_ino && denials->device == (uint64_t)st->st_dev &&
           denials->position <= (uint64_t)st->st_size;
}

static void
denials_begin_file(struct denials *denials, int fd, const struct stat *st)
{
    denials->fd = fd;
    if (!denials_is_remembered(denials, st)) {
        denials->device = (uint64_t)st->st_dev;
        denials->inode = (uint64_t)st->st_ino;
        denials->position = 0;
    }
}

/* The file we were in comes first, under its new name when it was rotated while we were away. */
static bool
denials_open(struct denials *denials)
{
    struct stat st = { 0 };
    int fd;

    fd = denials_open_one(denials->path, &st);
    if (fd >= 0 && !denials_is_remembered(denials, &st) && denials->inode != 0) {
        struct stat old = { 0 };
        int old_fd = denials_open_one(denials->rotated, &old);

        if (old_fd >= 0 && denials_is_remembered(denials, &old)) {
            close(fd);
            fd = old_fd;
            st = old;
        } else if (old_fd >= 0) {
            close(old_fd);
        }
    }
    if (fd < 0) {
        if (fd != -ENOENT) {
            log_error("denials.open_failed", LOG_STR("error", strerror(-fd)));
        }
        errno = -fd;
        return false;
    }
    denials_begin_file(denials, fd, &st);
    return true;
}

static void
denials_punch(struct denials *denials)
{
    uint64_t end = denials->position & ~UINT64_C(4095);

    if (end < denials->punched + DENIALS_PUNCH) {
        return;
    }
    /* Not ours to write, or a file system without holes: the operator rotates then. */
    (void)fallocate(denials->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)denials->punched,
                    (off_t)(end - denials->punched));
    denials->punched = end;
}

static void
denials_on_stored(void *arg, int rc, const struct db_result *result _unused_)
{
    struct denials *denials = arg;

    denials->busy = false;
    if (rc) {
        log_error("denials.store_failed", LOG_INT("code", rc));
        timer_start(denials->timer, DENIALS_RETRY_MS);
        return;
    }
    denials->position = denials->next_position;
    denials_punch(denials);
    timer_start(denials->timer, 0);
}

static int
denials_add_line(struct denials *denials, struct db_tx *tx, const char *line, size_t len)
{
    struct denial denial = { 0 };
    int r;

    r = denials->spec.parse(&denial, line, len);
    if (r) {
        return r;
    }
    audit_denied(tx, &(struct audit_denial){
                         .tenant = denial.tenant,
                         .request_id = denial.request_id[0] == '\0' ? NULL : denial.request_id,
                         .body = denial.body,
                         .body_len = denial.body_len,
                         .keep_ms = denial.keep_ms,
                     });
    free(denial.body);
    denials->batch++;
    return 0;
}

/* Adds the whole lines of the buffer; returns the bytes they take, or -errno. */
static ssize_t
denials_add_lines(struct denials *denials, struct db_tx *tx, size_t len)
{
    size_t used = 0;

    denials->batch = 0;
    while (denials->batch < DENIALS_BATCH) {
        char *line = denials->buffer + used;
        char *end = memchr(line, '\n', len - used);
        size_t n;
        int r;

        if (end == NULL) {
            break;
        }
        n = (size_t)(end - line);
        if (n > 0 && !denials->skipping) {
            r = denials_add_line(denials, tx, line, n < DENIALS_LINE_MAX ? n : DENIALS_LINE_MAX);
            if (r) {
                return r;
            }
        }
        denials->skipping = false;
        used += n + 1;
    }
    return (ssize_t)used;
}

static void
denials_store(struct denials *denials, struct db_tx *tx)
{
    const struct db_value values[] = {
        DB_VTEXT(DENIALS_NAME),
        DB_VINT(denials->device),
        DB_VINT(denials->inode),
        DB_VINT(denials->next_position),
    };

    db_tx_add(tx, DB_SPOOL_SET, values, SBX_COUNT(values));
    denials->busy = true;
    db_tx_submit(tx, denials_on_stored, denials);
}

/* A line longer than the buffer: its beginning stands for it, the rest is passed over. */
static ssize_t
denials_add_long(struct denials *denials, struct db_tx *tx, size_t len)
{
    int r = denials->skipping ? 0 : denials_add_line(denials, tx, denials->buffer, DENIALS_LINE_MAX);

    denials->skipping = true;
    return r ? r : (ssize_t)len;
}

static bool
denials_take(struct denials *denials, size_t len)
{
    struct db_tx *tx;
    ssize_t used;

    if (db_tx_new(&tx, denials->spec.db) != 0) {
        return false;
    }
    used = denials_add_lines(denials, tx, len);
    if (used == 0 && len == sizeof(denials->buffer)) {
        used = denials_add_long(denials, tx, len);
    }
    if (used <= 0) {
        db_tx_free(tx);
        return false;
    }
    denials->next_position = denials->position + (size_t)used;
    denials_store(denials, tx);
    return true;
}

/* At the end of this file: is the path another one by now, or was it cut? */
static bool
denials_moved_on(const struct denials *denials)
{
    struct stat st;

    if (lstat(denials->path, &st) != 0) {
        return false;
    }
    return (uint64_t)st.st_ino != denials->inode || (uint64_t)st.st_dev != denials->device ||
           (uint64_t)st.st_size < denials->position;
}

static void denials_read_position(struct denials *denials);

static void
denials_on_tick(void *arg)
{
    struct denials *denials = arg;
    ssize_t n;

    if (denials->busy) {
        return;
    }
    if (!denials->known) {
        denials_read_position(denials);
        return;
    }
    if (denials->fd < 0 && !denials_open(denials)) {
        timer_start(denials->timer, errno == ENOENT ? DENIALS_IDLE_MS : DENIALS_RETRY_MS);
        return;
    }
    n = pread(denials->fd, denials->buffer, sizeof(denials->buffer), (off_t)denials->position);
    if (n > 0 && denials_take(denials, (size_t)n)) {
        return;
    }
    if (n < 0) {
        log_error("denials.read_failed", LOG_STR("error", strerror(errno)));
    }
    if (denials_moved_on(denials)) {
        denials_close_file(denials);
        denials->inode = 0;
    }
    timer_start(denials->timer, n < 0 ? DENIALS_RETRY_MS : DENIALS_IDLE_MS);
}

/* Without the position a line could be taken twice: nothing is read before it is known. */
static void
denials_on_position(void *arg, int rc, const struct db_result *result)
{
    struct denials *denials = arg;
    const struct db_value *row;

    denials->busy = false;
    if (rc) {
        log_error("denials.position_failed", LOG_INT("code", rc));
        timer_start(denials->timer, DENIALS_RETRY_MS);
        return;
    }
    if (result->n_rows > 0) {
        row = db_at(result, 0, 0);
        denials->device = (uint64_t)row[0].integer;
        denials->inode = (uint64_t)row[1].integer;
        denials->position = (uint64_t)row[2].integer;
    }
    denials->known = true;
    timer_start(denials->timer, 0);
}

static void
denials_read_position(struct denials *denials)
{
    const struct db_value values[] = { DB_VTEXT(DENIALS_NAME) };

    denials->busy = true;
    db_read(denials->spec.db, DB_SPOOL_GET, values, SBX_COUNT(values), denials_on_position, denials);
}

static inline void
denials_freep(struct denials **denials)
{
    denials_free(*denials);
}

int
denials_new(struct denials **ret, const struct denials_spec *spec)
{
    _cleanup_(denials_freep) struct denials *denials = NULL;
    size_t len = strlen(spec->path);
    int r;

    denials = calloc(1, sizeof(*denials));
    if (denials == NULL) {
        return -ENOMEM;
    }
    denials->fd = -1;
    denials->spec = *spec;
    denials->path = strdup(spec->path);
    denials->rotated = malloc(len + 3);
    if (denials->path == NULL || denials->rotated == NULL) {
        return -ENOMEM;
    }
    (void)snprintf(denials->rotated, len + 3, "%s.1", spec->path); /* fits */
    r = timer_new(&denials->timer, spec->timers, denials_on_tick, denials);
    if (r) {
        return r;
    }
    denials_read_position(denials);
    *ret = steal(&denials);
    return 0;
}
