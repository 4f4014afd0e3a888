/*
 * A walk through a directory in the order of names, component by component, that can be begun behind any path and
 * costs the same memory for any number of entries: each directory is read as often as its names need to be had in
 * batches. Goes from descriptor to descriptor, so nothing that happens to names meanwhile leads it out.
 */
#pragma once

#include <sys/stat.h>

#include "lib/sbx_base.h"

#define FS_WALK_DEPTH 32u  /* directories open at a time */
#define FS_WALK_PATH 4096u /* bytes of a path */

struct fs_walk;

struct fs_walk_spec {
    int dir;           /* where it begins; borrows until free */
    const char *after; /* relative to it: begin behind this; NULL: at the beginning */
    bool recursive;
    bool leaves; /* directories are told a second time, when all in them has been */
    unsigned max_depth;
};

struct fs_entry {
    const char *path; /* relative to the walk's beginning; borrows until the next call */
    const char *name; /* its last component */
    int dir;          /* the directory it is in */
    struct stat st;
    bool leaving;
    bool entered; /* a directory whose entries follow */
    int why;      /* -errno of a directory that could not be entered; -ENAMETOOLONG: nested too deep */
};

/* FS_WALK_PAUSE: a turn's work is done, call again. */
enum { FS_WALK_ENTRY = 0, FS_WALK_END = 1, FS_WALK_PAUSE = 2 };

_must_check_ int fs_walk_new(struct fs_walk **ret, const struct fs_walk_spec *spec);
/* One of the above, or -errno. `*budget` entries of directories are looked at before it pauses. */
_must_check_ int fs_walk_next(struct fs_walk *walk, struct fs_entry *ret, unsigned *budget);
struct fs_walk *fs_walk_free(struct fs_walk *walk); /* accepts NULL, returns NULL */
/* Order of two paths as a walk meets them. */
int fs_path_order(const char *a, const char *b);
