/*
 * A file on its way in. As a whole: under a hidden name beside its own, which it gets at the end, so that there is the
 * old one, or none, or all of the new one. As a part: in place, never leaving a hole.
 */
#pragma once

#include <limits.h>
#include <sys/stat.h>

#include "session-agent/fs_inside.h"

struct fs_writer {
    int dir, fd; /* -1 */
    char name[NAME_MAX + 1];
    char hidden[sizeof(FS_NAME_UPLOAD) + 16]; /* "": in place */
    uint64_t at;
    bool created; /* there was nothing of the name */
};

#define FS_WRITER_NULL                                                                                       \
    {                                                                                                        \
        .dir = -1, .fd = -1                                                                                  \
    }

/* `mode` is of a file that was not there before. Makes what directories are missing. All return 0 or -errno. */
_must_check_ int fs_writer_replace(struct fs_writer *writer, int root, const char *path, mode_t mode);
/* -EINVAL: past the end. Made when it is not there and the offset is 0. */
_must_check_ int fs_writer_range(struct fs_writer *writer, int root, const char *path, uint64_t offset);
_must_check_ int fs_writer_write(struct fs_writer *writer, const char *data, size_t len);
/* Now it has its name. */
_must_check_ int fs_writer_commit(struct fs_writer *writer, struct stat *ret);
/* Also after the above; nothing hidden is left. */
void fs_writer_deinit(struct fs_writer *writer);
