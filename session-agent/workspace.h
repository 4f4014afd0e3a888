/*
 * The payload's files, touched with the payload's rights and never by a path the
 * payload could bend: every open is an openat2 beneath a directory descriptor,
 * without symbolic links, magic links or mount crossings.
 */
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include "lib/sbx_base.h"
#include "lib/sbx_buf.h"

/* Whom the payload runs as. `change` false: as the agent itself. */
struct identity {
    bool change;
    uid_t uid;
    gid_t gid;
};

enum {
    WORKSPACE_E_KIND = 1, /* there, but no regular file with one name */
    WORKSPACE_E_SIZE,     /* larger than asked for */
};

/* File access of this thread becomes the payload's, until leave. Fails closed. */
_must_check_ int identity_enter(const struct identity *identity);
void identity_leave(const struct identity *identity);

/* A directory of the agent's own choosing, which the payload cannot rename. */
_must_check_ int workspace_open_root(int *ret_fd, const char *path);
/* Any open beneath root; -errno. A FIFO does not block. */
_must_check_ int workspace_open(int *ret_fd, int root, const char *path, int flags);
/* For reading: 0, WORKSPACE_E_KIND, WORKSPACE_E_SIZE or -errno. */
_must_check_ int workspace_open_file(int *ret_fd, struct stat *ret, int root, const char *path,
                                     uint64_t max_size);
/* Makes each directory above the path; opens only what is no link. */
_must_check_ int workspace_make_parents(int root, const char *path);
/* A new file with its parents; -EEXIST when something is there. */
_must_check_ int workspace_create(int root, const char *path, const void *data, size_t len);
/* The same in place of whatever file has the name. */
_must_check_ int workspace_replace(int root, const char *name, const void *data, size_t len);
/* 0 also when there is none; -errno. */
_must_check_ int workspace_unlink(int root, const char *name);
/* A whole file into buf: 0, WORKSPACE_E_*, -errno (-ENOENT: none). */
_must_check_ int workspace_read(struct sbx_buf *buf, int root, const char *name, uint64_t max_size);
/* Removes everything below root; nothing else may be working there. -errno when some of it stays. */
int workspace_clear(int root);
