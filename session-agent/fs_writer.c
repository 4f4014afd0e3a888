#include "session-agent/fs_writer.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/sbx_crypto.h"

static int
writer_open_dir(struct fs_writer *writer, int root, const char *path)
{
    const char *name;
    int r = workspace_make_parents(root, path);

    if (r == 0) {
        r = fs_open_parent(&writer->dir, &name, root, path);
    }
    if (r != 0) {
        return r;
    }
    if (strlen(name) > NAME_MAX) {
        return -ENAMETOOLONG;
    }
    memcpy(writer->name, name, strlen(name) + 1);
    return 0;
}

int
fs_writer_replace(struct fs_writer *writer, int root, const char *path, mode_t mode)
{
    uint8_t random[8];
    char hex[17];
    struct stat st;
    int r;

    *writer = (struct fs_writer)FS_WRITER_NULL;
    r = writer_open_dir(writer, root, path);
    if (r == 0) {
        r = sbx_random(random, sizeof(random));
    }
    if (r < 0) {
        return r;
    }
    if (fstatat(writer->dir, writer->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISDIR(st.st_mode)) {
            return -EISDIR;
        }
        mode = S_ISREG(st.st_mode) ? st.st_mode & 0777 : mode;
    } else {
        writer->created = true;
    }
    sbx_hex(hex, random, sizeof(random));
    (void)snprintf(writer->hidden, sizeof(writer->hidden), "%s%s", FS_NAME_UPLOAD, hex); /* fits: 16 digits */
    r = workspace_open(&writer->fd, writer->dir, writer->hidden, O_WRONLY | O_CREAT | O_EXCL);
    if (r < 0) {
        writer->hidden[0] = '\0';
        return r;
    }
    return fchmod(writer->fd, mode) < 0 ? -errno : 0;
}

int
fs_writer_range(struct fs_writer *writer, int root, const char *path, uint64_t offset)
{
    struct stat st;
    int r;

    *writer = (struct fs_writer)FS_WRITER_NULL;
    r = writer_open_dir(writer, root, path);
    if (r == 0) {
        r = workspace_open(&writer->fd, writer->dir, writer->name, O_WRONLY);
        if (r == -ENOENT && offset == 0) {
            writer->created = true;
            r = workspace_open(&writer->fd, writer->dir, writer->name, O_WRONLY | O_CREAT | O_EXCL);
        }
    }
    if (r < 0) {
        return r;
    }
    if (fstat(writer->fd, &st) < 0) {
        return -errno;
    }
    /* As for reading: not under a second name. Nor into a pipe, where somebody may wait. */
    if (!S_ISREG(st.st_mode) || st.st_nlink != 1) {
        return -EPERM;
    }
    if (offset > (uint64_t)st.st_size) {
        return -EINVAL;
    }
    writer->at = offset;
    return 0;
}

int
fs_writer_write(struct fs_writer *writer, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = pwrite(writer->fd, data, len, (off_t)writer->at);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        data += n;
        len -= (size_t)n;
        writer->at += (uint64_t)n;
    }
    return 0;
}

int
fs_writer_commit(struct fs_writer *writer, struct stat *ret)
{
    if (writer->hidden[0] != '\0') {
        if (renameat(writer->dir, writer->hidden, writer->dir, writer->name) < 0) {
            return -errno;
        }
        writer->hidden[0] = '\0';
    }
    return fstat(writer->fd, ret) < 0 ? -errno : 0;
}

void
fs_writer_deinit(struct fs_writer *writer)
{
    if (writer->hidden[0] != '\0' && writer->dir >= 0) {
        (void)unlinkat(writer->dir, writer->hidden, 0); /* who took it away has it */
    }
    fs_fd_close(&writer->fd);
    fs_fd_close(&writer->dir);
    writer->hidden[0] = '\0';
}
