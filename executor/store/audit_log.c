/* Appending, cutting what a crash tore, rotating. */
#include "audit_log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit_segments.h"
#include "explain.h"

#define LOG_DAY_LEN 10 /* 2026-01-02 */

struct log_place {
    struct audit_chain head;
    uint64_t first, lines, bytes; /* of the open segment */
    char day[LOG_DAY_LEN + 1];    /* of its last line */
};

struct audit_log {
    int dir_fd, lock_fd, fd; /* fd -1: the next append begins a segment */
    struct audit_log_limits limits;
    struct audit_heads *heads;   /* NULL: nothing is signed */
    struct log_place at, synced; /* synced lies in the open segment too */
    bool torn;                   /* the file may be longer than at.bytes */
};

static void
audit_log_closep(struct audit_log **log)
{
    *log = audit_log_close(*log);
}

struct audit_log *
audit_log_close(struct audit_log *log)
{
    if (log == NULL) {
        return NULL;
    }
    log->heads = audit_heads_close(log->heads);
    if (log->fd >= 0) {
        close(log->fd);
    }
    if (log->lock_fd >= 0) {
        close(log->lock_fd);
    }
    if (log->dir_fd >= 0) {
        close(log->dir_fd);
    }
    free(log);
    return NULL;
}

/* Else a new directory could be gone after a power cut, and the index would call the log cut. */
static int
log_sync_parent(const struct audit_log *log)
{
    int fd, r;

    fd = openat(log->dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        /* A parent that we may not list is one that was there before us. */
        return errno == EACCES ? 0 : -errno;
    }
    r = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return r;
}

static int
log_open_dir(struct audit_log *log, const char *dir)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int r;

    if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
        return -errno;
    }
    log->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (log->dir_fd < 0) {
        return -errno;
    }
    r = log_sync_parent(log);
    if (r) {
        return r;
    }
    log->lock_fd = openat(log->dir_fd, AUDIT_LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (log->lock_fd < 0) {
        return -errno;
    }
    if (fcntl(log->lock_fd, F_OFD_SETLK, &lock) < 0) {
        return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
    }
    return 0;
}

/* Counts the whole lines and reads the last one. */
static int
segment_scan(struct log_place *ret, int fd)
{
    struct audit_reader reader;
    struct audit_line parsed;
    char *last = NULL;
    const char *line;
    size_t len, last_len = 0;
    int r;

    *ret = (struct log_place){ 0 };
    r = audit_reader_init(&reader, fd);
    if (r) {
        return r;
    }
    last = malloc(AUDIT_LINE_MAX);
    r = last == NULL ? -ENOMEM : AUDIT_READ_LINE;
    while (r == AUDIT_READ_LINE) {
        r = audit_reader_next(&reader, &line, &len);
        if (r == AUDIT_READ_LINE && len > AUDIT_LINE_MAX) {
            r = AUDIT_READ_LONG;
        }
        if (r == AUDIT_READ_LINE) {
            memcpy(last, line, len);
            last_len = len;
            ret->lines++;
            ret->bytes += len + 1;
        }
    }

    /* A line without end that is longer than any of ours was not torn by a crash of ours. */
    r = r == AUDIT_READ_LONG ? -EUCLEAN : r == AUDIT_READ_TORN ? 0 : r;
    if (r == 0 && ret->lines > 0) {
        r = audit_line_parse(&parsed, last, last_len);
        r = r > 0 ? -EUCLEAN : r;
    }
    if (r == 0 && ret->lines > 0) {
        ret->head.seq = parsed.seq;
        memcpy(ret->head.hash, parsed.hash, sizeof(parsed.hash));
        memcpy(ret->day, parsed.ts, LOG_DAY_LEN);
    }
    free(last);
    audit_reader_deinit(&reader);
    return r;
}

static int
log_resume(struct audit_log *log, uint64_t first, const struct log_place *scan)
{
    char name[AUDIT_SEGMENT_NAME];
    struct stat st;

    audit_segment_name(name, first);
    if (scan->lines == 0) {
        return unlinkat(log->dir_fd, name, 0) < 0 ? -errno : 0;
    }

    log->fd = openat(log->dir_fd, name, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (log->fd < 0 || fstat(log->fd, &st) < 0) {
        return -errno;
    }
    if ((uint64_t)st.st_size != scan->bytes && ftruncate(log->fd, (off_t)scan->bytes) < 0) {
        return -errno;
    }
    log->at = *scan;
    log->at.first = first;
    return 0;
}

/* From the end: a segment that holds no whole line is one that a crash left behind at its birth. */
static int
log_find_head(struct audit_log *log, const struct audit_segments *segments)
{
    struct log_place scan;
    int fd, r;

    for (size_t i = segments->n; i > 0 && log->fd < 0; i--) {
        fd = audit_segment_open(log->dir_fd, segments->first[i - 1]);
        if (fd < 0) {
            return fd;
        }
        r = segment_scan(&scan, fd); /* takes fd */
        if (r) {
            return r;
        }
        r = log_resume(log, segments->first[i - 1], &scan);
        if (r) {
            return r;
        }
    }
    return 0;
}

static int
log_open(struct audit_log *log, const char *dir)
{
    struct audit_segments segments = { 0 };
    int r;

    r = log_open_dir(log, dir);
    if (r) {
        return r;
    }
    r = audit_segments_scan(&segments, log->dir_fd);
    if (r == 0) {
        r = log_find_head(log, &segments);
    }
    audit_segments_deinit(&segments);
    if (r) {
        return r;
    }
    return audit_log_sync(log);
}

int
audit_log_open(struct audit_log **ret, const char *dir, const struct audit_log_limits *limits, char *error,
               size_t error_size)
{
    _cleanup_(audit_log_closep) struct audit_log *log = calloc(1, sizeof(*log));
    int r = -ENOMEM;

    if (log != NULL) {
        log->dir_fd = log->lock_fd = log->fd = -1;
        log->limits = *limits;
        audit_chain_init(&log->at.head);
        log->synced = log->at;
        r = log_open(log, dir);
    }
    if (r) {
        explain(error, error_size, "cannot open the audit log in %s: %s", dir,
                r == -EBUSY     ? "another process is writing it"
                : r == -EUCLEAN ? "its last line is not one of the chain; run the audit verify command"
                                : strerror(-r));
        return r;
    }
    *ret = steal(&log);
    return 0;
}

const struct audit_chain *
audit_log_head(const struct audit_log *log)
{
    return &log->at.head;
}

uint64_t
audit_log_synced(const struct audit_log *log)
{
    return log->synced.head.seq;
}

int
audit_log_dir(const struct audit_log *log)
{
    return log->dir_fd;
}

uint64_t
audit_log_open_first(const struct audit_log *log)
{
    return log->fd < 0 ? UINT64_MAX : log->at.first;
}

int
audit_log_sign_with(struct audit_log *log, const struct sbx_sign_key *key, const char *executor)
{
    const struct audit_heads_spec spec = { .dir_fd = log->dir_fd, .key = key, .executor = executor };

    return audit_heads_open(&log->heads, &spec);
}

int
audit_log_sign(struct audit_log *log)
{
    return log->heads == NULL ? 0 : audit_heads_add(log->heads, &log->synced.head);
}

const struct audit_head *
audit_log_signed(const struct audit_log *log)
{
    return log->heads == NULL ? NULL : audit_heads_last(log->heads);
}

/* Of the clock: lines are appended right after they were made. */
static void
log_today(const struct audit_log *log, char day[LOG_DAY_LEN + 1])
{
    char now[SBX_RFC3339_LEN];

    sbx_rfc3339(now, log->limits.now_ms != NULL ? log->limits.now_ms() : sbx_now_unix_ms());
    memcpy(day, now, LOG_DAY_LEN);
    day[LOG_DAY_LEN] = '\0';
}

static bool
log_is_full(const struct audit_log *log, const char *day)
{
    return log->fd < 0 || log->at.bytes >= log->limits.bytes || log->at.lines >= log->limits.lines ||
           (log->at.lines > 0 && strcmp(log->at.day, day) != 0);
}

/* O_EXCL: a segment that is there already belongs to another history. */
static int
log_rotate(struct audit_log *log)
{
    char name[AUDIT_SEGMENT_NAME];
    int fd, r;

    r = audit_log_sync(log);
    r = r ? r : audit_log_sign(log);
    if (r) {
        return r;
    }
    audit_segment_name(name, log->at.head.seq + 1);
    fd = openat(log->dir_fd, name, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -errno;
    }
    if (fsync(log->dir_fd) < 0) {
        r = -errno;
        unlinkat(log->dir_fd, name, 0);
        close(fd);
        return r;
    }
    if (log->fd >= 0) {
        close(log->fd);
    }
    log->fd = fd;
    log->at.lines = log->at.bytes = 0;
    log->at.first = log->at.head.seq + 1;
    log->synced = log->at;
    return 0;
}

static int
log_mend(struct audit_log *log)
{
    if (log->torn && ftruncate(log->fd, (off_t)log->at.bytes) < 0) {
        return -errno;
    }
    log->torn = false;
    return 0;
}

static int
log_write(struct audit_log *log, const char *data, size_t len)
{
    size_t done = 0;
    ssize_t n;

    while (done < len) {
        n = write(log->fd, data + done, len - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        done += (size_t)n;
    }
    return 0;
}

int
audit_log_append(struct audit_log *log, const char *lines, size_t len, const struct audit_chain *head)
{
    char day[LOG_DAY_LEN + 1];
    int r;

    log_today(log, day);
    if (log_is_full(log, day)) {
        r = log->fd < 0 ? 0 : log_mend(log);
        r = r ? r : log_rotate(log);
        if (r) {
            return r;
        }
    }
    r = log_mend(log);
    if (r) {
        return r;
    }

    r = log_write(log, lines, len);
    if (r) {
        log->torn = true;
        (void)log_mend(log); /* tried again before the next append */
        return r;
    }
    log->at.lines += head->seq - log->at.head.seq;
    log->at.bytes += len;
    log->at.head = *head;
    memcpy(log->at.day, day, sizeof(day));
    return 0;
}

int
audit_log_sync(struct audit_log *log)
{
    int r;

    if (log->fd >= 0 && log->synced.head.seq != log->at.head.seq && fdatasync(log->fd) < 0) {
        /*
         * The kernel may have dropped the pages and would call the next sync a success: they are written
         * anew.
         */
        r = -errno;
        log->at = log->synced;
        log->torn = true;
        return r;
    }
    log->synced = log->at;
    return 0;
}
