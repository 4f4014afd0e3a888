#include "executor/core/spool_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define SPOOL_FILE_PUNCH (1 << 20)
#define SPOOL_FILE_OPEN (O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)

bool
spool_id_equal(const struct spool_id *a, const struct spool_id *b)
{
    return a->inode == b->inode && a->device == b->device &&
           (a->born == b->born || a->born == 0 || b->born == 0);
}

static int
spool_look(struct spool_look *ret, int fd, const char *path, int flags)
{
    struct statx st;

    if (statx(fd, path, flags, STATX_BASIC_STATS | STATX_BTIME, &st) != 0) {
        return -errno;
    }
    *ret = (struct spool_look){
        .id.device = makedev(st.stx_dev_major, st.stx_dev_minor),
        .id.inode = st.stx_ino,
        .size = st.stx_size,
        .regular = S_ISREG(st.stx_mode),
    };
    if ((st.stx_mask & STATX_BTIME) != 0) {
        ret->id.born = (uint64_t)st.stx_btime.tv_sec * 1000000000 + st.stx_btime.tv_nsec;
    }
    return 0;
}

int
spool_look_at(struct spool_look *ret, const char *path)
{
    return spool_look(ret, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
}

int
spool_file_open(struct spool_file *ret, const char *path, const struct spool_look *seen)
{
    struct spool_look look = { 0 };
    int fd, r;

    fd = open(path, O_RDWR | SPOOL_FILE_OPEN);
    if (fd < 0 && (errno == EACCES || errno == EROFS || errno == EPERM)) {
        fd = open(path, O_RDONLY | SPOOL_FILE_OPEN);
    }
    if (fd < 0) {
        return -errno;
    }
    r = spool_look(&look, fd, "", AT_EMPTY_PATH);
    if (r == 0 && !look.regular) {
        r = -EINVAL;
    } else if (r == 0 && !spool_id_equal(&look.id, &seen->id)) {
        r = -ESTALE;
    }
    if (r) {
        close(fd);
        return r;
    }
    *ret = (struct spool_file){ .fd = fd, .id = look.id };
    return 0;
}

void
spool_file_close(struct spool_file *file)
{
    close(file->fd);
    file->fd = -1;
}

ssize_t
spool_file_read(struct spool_file *file, char *buffer, size_t size)
{
    struct spool_look look = { 0 };
    ssize_t n;
    int r;

    r = spool_look(&look, file->fd, "", AT_EMPTY_PATH);
    if (r) {
        return r;
    }
    if (look.size < file->position) {
        file->position = 0;
        file->punched = 0;
        file->skipping = false;
    }
    if (look.size == file->position) {
        return 0;
    }
    n = pread(file->fd, buffer, size, (off_t)file->position);
    return n < 0 ? -errno : n;
}

void
spool_file_punch(struct spool_file *file)
{
    uint64_t end = file->position & ~UINT64_C(4095);

    if (end < file->punched + SPOOL_FILE_PUNCH) {
        return;
    }
    /* Not ours to write, or a file system without holes: the operator rotates then. */
    (void)fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)file->punched,
                    (off_t)(end - file->punched));
    file->punched = end;
}
