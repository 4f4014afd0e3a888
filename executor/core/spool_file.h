/*
 * One file that another program appends lines to, and how far it was taken in. It is
 * told from others by device, inode and time of birth: an inode alone comes back with
 * the next file as soon as its own is removed and closed.
 */
#pragma once

#include <sys/types.h>

#include "lib/sbx_base.h"

struct spool_id {
    uint64_t device, inode;
    uint64_t born; /* ns; 0 where the file system does not say */
};

struct spool_look {
    struct spool_id id;
    uint64_t size;
    bool regular;
};

struct spool_file {
    int fd;
    struct spool_id id;
    uint64_t position; /* what lies before it is durable elsewhere */
    uint64_t punched;
    bool skipping; /* inside a line that is too long */
};

bool spool_id_equal(const struct spool_id *a, const struct spool_id *b);

/* What lies at the path: a link is not followed. */
_must_check_ int spool_look_at(struct spool_look *ret, const char *path);
/* Opens what was seen there. -ESTALE: it is another file by now. */
_must_check_ int spool_file_open(struct spool_file *ret, const char *path, const struct spool_look *seen);
void spool_file_close(struct spool_file *file);

/*
 * Reads from the position on; 0 at the end. A file that was cut is read from its beginning.
 */
_must_check_ ssize_t spool_file_read(struct spool_file *file, char *buffer, size_t size);
/* Gives what lies before the position back to the file system, where that can be had. */
void spool_file_punch(struct spool_file *file);
