/*
 * A directory is attacker's ground to the one who verifies: sizes and types are checked before anything is
 * read.
 */
#include "audit_segments.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "explain.h"

#define SEGMENT_PREFIX "audit-"
#define SEGMENT_DIGITS 20
#define READER_BYTES (1u << 20)

void
audit_segments_deinit(struct audit_segments *segments)
{
    free(segments->first);
    *segments = (struct audit_segments){ 0 };
}

void
audit_segment_name(char out[AUDIT_SEGMENT_NAME], uint64_t first)
{
    (void)snprintf(out, AUDIT_SEGMENT_NAME, SEGMENT_PREFIX "%020" PRIu64 ".jsonl", first); /* fits */
}

static bool
segment_number(const char *name, uint64_t *ret)
{
    char again[AUDIT_SEGMENT_NAME];
    uint64_t first = 0;

    if (strlen(name) != AUDIT_SEGMENT_NAME - 1) {
        return false;
    }
    for (size_t i = 0; i < SEGMENT_DIGITS; i++) {
        const char digit = name[sizeof(SEGMENT_PREFIX) - 1 + i];

        if (digit < '0' || digit > '9') {
            return false;
        }
        first = first * 10 + (uint64_t)(digit - '0'); /* an overflow does not survive the comparison */
    }
    audit_segment_name(again, first);
    *ret = first;
    return first > 0 && strcmp(again, name) == 0;
}

static int
segments_add(struct audit_segments *segments, uint64_t first)
{
    uint64_t *grown;
    size_t cap;

    if (segments->n == segments->cap) {
        if (segments->cap >= AUDIT_SEGMENTS_MAX) {
            return -E2BIG;
        }
        cap = segments->cap ? segments->cap * 2 : 16;
        grown = realloc(segments->first, cap * sizeof(*grown));
        if (grown == NULL) {
            return -ENOMEM;
        }
        segments->first = grown;
        segments->cap = cap;
    }
    segments->first[segments->n++] = first;
    return 0;
}

static int
segments_compare(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;

    return *left < *right ? -1 : *left > *right;
}

static int
segments_read(struct audit_segments *segments, DIR *dir)
{
    const struct dirent *entry;
    uint64_t first;
    int r;

    for (;;) {
        errno = 0;
        entry = readdir(dir);
        if (entry == NULL) {
            return -errno;
        }
        if (strncmp(entry->d_name, SEGMENT_PREFIX, sizeof(SEGMENT_PREFIX) - 1) != 0) {
            continue;
        }
        if (!segment_number(entry->d_name, &first)) {
            segments->strange = true;
            explain(segments->strange_name, sizeof(segments->strange_name), "%.*s",
                    (int)sizeof(segments->strange_name) - 1, entry->d_name);
            continue;
        }
        r = segments_add(segments, first);
        if (r) {
            return r;
        }
    }
}

int
audit_segments_scan(struct audit_segments *ret, int dir_fd)
{
    struct audit_segments segments = { 0 };
    DIR *dir;
    int fd, r;

    fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    dir = fdopendir(fd);
    if (dir == NULL) {
        r = -errno;
        close(fd);
        return r;
    }

    r = segments_read(&segments, dir);
    closedir(dir);
    if (r) {
        audit_segments_deinit(&segments);
        return r;
    }
    if (segments.n > 1) {
        qsort(segments.first, segments.n, sizeof(*segments.first), segments_compare);
    }
    *ret = segments;
    return 0;
}

bool
audit_segments_live(int dir_fd)
{
    struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
    int fd;
    bool live;

    fd = openat(dir_fd, AUDIT_LOCK_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return false;
    }
    live = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    close(fd);
    return live;
}

int
audit_segment_open(int dir_fd, uint64_t first)
{
    char name[AUDIT_SEGMENT_NAME];
    struct stat st;
    int fd, r;

    audit_segment_name(name, first);
    fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return -errno;
    }
    r = fstat(fd, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
    if (r) {
        close(fd);
        return r;
    }
    return fd;
}

int
audit_reader_init(struct audit_reader *reader, int fd)
{
    *reader = (struct audit_reader){ .fd = fd, .cap = READER_BYTES };
    reader->buf = malloc(reader->cap);
    if (reader->buf == NULL) {
        audit_reader_deinit(reader);
        return -ENOMEM;
    }
    return 0;
}

void
audit_reader_deinit(struct audit_reader *reader)
{
    if (reader->fd >= 0) {
        close(reader->fd);
    }
    free(reader->buf);
    *reader = (struct audit_reader){ .fd = -1 };
}

/* Returns bytes read, 0 at the end of the file, or -errno. */
static ssize_t
reader_fill(struct audit_reader *reader)
{
    ssize_t n;

    if (reader->start > 0) {
        memmove(reader->buf, reader->buf + reader->start, reader->end - reader->start);
        reader->end -= reader->start;
        reader->start = 0;
    }
    do {
        n = read(reader->fd, reader->buf + reader->end, reader->cap - reader->end);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return -errno;
    }
    reader->end += (size_t)n;
    return n;
}

int
audit_reader_next(struct audit_reader *reader, const char **ret, size_t *ret_len)
{
    const char *line, *newline;
    size_t left;
    ssize_t n;

    for (;;) {
        line = reader->buf + reader->start;
        left = reader->end - reader->start;
        newline = left > 0 ? memchr(line, '\n', left) : NULL;
        if (newline != NULL) {
            *ret = line;
            *ret_len = (size_t)(newline - line);
            reader->start += *ret_len + 1;
            reader->line++;
            return AUDIT_READ_LINE;
        }
        if (left > AUDIT_LINE_MAX) {
            reader->line++;
            return AUDIT_READ_LONG;
        }
        n = reader_fill(reader);
        if (n < 0) {
            return (int)n;
        }
        if (n == 0) {
            reader->line += left > 0;
            return left > 0 ? AUDIT_READ_TORN : 0;
        }
    }
}
