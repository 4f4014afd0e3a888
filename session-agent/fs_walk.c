#include "session-agent/fs_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session-agent/fs_inside.h"

#define WALK_BATCH 2048u /* names of one directory kept at a time; twice that while it is read */

struct level {
    DIR *dir;
    size_t path_len; /* of the walk's path up to here, with the slash */
    char **names;    /* sorted, when not filling */
    unsigned n, at;
    bool filling;
    bool cut;       /* there are more than the batch */
    bool bounded;   /* only names behind `last` */
    bool inclusive; /* ... or `last` itself: its own entries may be behind `after` */
    char last[NAME_MAX + 1];
    const char *rest; /* of `after` below `last`; NULL: none */
};

struct fs_walk {
    struct fs_walk_spec spec;
    struct level levels[FS_WALK_DEPTH];
    unsigned depth;
    char *after;
    bool leave_next; /* the level above is to be told that it was left */
    char path[FS_WALK_PATH + 1];
};

int
fs_path_order(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    /* A slash ends a component: it comes before every other byte, and an end before a slash. */
    int x = *a == '\0' ? 0 : *a == '/' ? 1 : 1 + (unsigned char)*a;
    int y = *b == '\0' ? 0 : *b == '/' ? 1 : 1 + (unsigned char)*b;

    return x < y ? -1 : x > y;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
names_cut(struct level *level, unsigned keep)
{
    while (level->n > keep) {
        free(level->names[--level->n]);
        level->cut = true;
    }
}

static void
level_leave(struct fs_walk *walk)
{
    struct level *level = &walk->levels[--walk->depth];

    names_cut(level, 0);
    free(level->names);
    (void)closedir(level->dir); /* only read */
    *level = (struct level){ 0 };
}

/* `rest`: where in this directory the walk begins; NULL: at its first name. */
static int
level_enter(struct fs_walk *walk, int parent, const char *name, size_t path_len, const char *rest)
{
    struct level *level = &walk->levels[walk->depth];
    size_t len = rest == NULL ? 0 : strcspn(rest, "/");
    int fd, r;

    if (len > NAME_MAX) {
        return -ENAMETOOLONG;
    }
    r = workspace_open(&fd, parent, name, O_RDONLY | O_DIRECTORY);
    if (r < 0) {
        return r;
    }
    *level = (struct level){ .path_len = path_len, .filling = true };
    level->dir = fdopendir(fd);
    if (level->dir == NULL) {
        r = -errno;
        (void)close(fd); /* only read */
        return r;
    }
    level->names = calloc(2 * (size_t)WALK_BATCH, sizeof(*level->names));
    if (level->names == NULL) {
        (void)closedir(level->dir); /* likewise */
        return -ENOMEM;
    }
    if (rest != NULL) {
        memcpy(level->last, rest, len);
        level->last[len] = '\0';
        level->bounded = level->inclusive = true;
        level->rest = rest[len] == '/' ? rest + len + 1 : NULL;
    }
    walk->depth++;
    return 0;
}

int
fs_walk_new(struct fs_walk **ret, const struct fs_walk_spec *spec)
{
    struct fs_walk *walk = calloc(1, sizeof(*walk));
    int r;

    if (walk == NULL) {
        return -ENOMEM;
    }
    walk->spec = *spec;
    if (walk->spec.max_depth == 0 || walk->spec.max_depth > FS_WALK_DEPTH) {
        walk->spec.max_depth = FS_WALK_DEPTH;
    }
    walk->after = spec->after == NULL ? NULL : strdup(spec->after);
    r = spec->after != NULL && walk->after == NULL ? -ENOMEM
                                                   : level_enter(walk, spec->dir, ".", 0, walk->after);
    if (r < 0) {
        (void)fs_walk_free(walk); /* always NULL */
        return r;
    }
    *ret = walk;
    return 0;
}

struct fs_walk *
fs_walk_free(struct fs_walk *walk)
{
    if (walk == NULL) {
        return NULL;
    }
    while (walk->depth > 0) {
        level_leave(walk);
    }
    free(walk->after);
    free(walk);
    return NULL;
}

static bool
level_wants(const struct level *level, const char *name)
{
    int order;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return false;
    }
    order = level->bounded ? strcmp(name, level->last) : 1;
    if (order < 0 || (order == 0 && !level->inclusive)) {
        return false;
    }
    /* While the batch is full and sorted, what is behind its end comes another time. */
    return !level->cut || level->n < WALK_BATCH || strcmp(name, level->names[WALK_BATCH - 1]) < 0;
}

/* 0 when the batch is there, FS_WALK_PAUSE or -errno. */
static int
level_fill(struct level *level, unsigned *budget)
{
    struct dirent *entry;

    for (;;) {
        if (*budget == 0) {
            return FS_WALK_PAUSE;
        }
        (*budget)--;
        errno = 0;
        entry = readdir(level->dir);
        if (entry == NULL && errno != 0) {
            return -errno;
        }
        if (entry == NULL) {
            break;
        }
        if (!level_wants(level, entry->d_name)) {
            continue;
        }
        level->names[level->n] = strdup(entry->d_name);
        if (level->names[level->n] == NULL) {
            return -ENOMEM;
        }
        if (++level->n == 2 * WALK_BATCH) {
            qsort(level->names, level->n, sizeof(*level->names), by_name);
            names_cut(level, WALK_BATCH);
        }
    }
    if (level->n > 0) {
        qsort(level->names, level->n, sizeof(*level->names), by_name);
    }
    names_cut(level, WALK_BATCH);
    level->filling = false;
    return 0;
}

/* The batch is used up: another, or the directory is done. */
static bool
level_again(struct level *level)
{
    if (!level->cut) {
        return false;
    }
    memcpy(level->last, level->names[level->n - 1], strlen(level->names[level->n - 1]) + 1);
    level->bounded = true;
    level->inclusive = false;
    level->rest = NULL;
    names_cut(level, 0);
    level->at = 0;
    level->cut = false;
    level->filling = true;
    rewinddir(level->dir);
    return true;
}

static void
walk_descend(struct fs_walk *walk, struct fs_entry *entry, size_t len, const char *rest)
{
    if (!walk->spec.recursive) {
        return;
    }
    if (walk->depth >= walk->spec.max_depth || len + 2 >= sizeof(walk->path)) {
        entry->why = -ENAMETOOLONG;
        return;
    }
    entry->why = level_enter(walk, entry->dir, entry->name, len + 1, rest);
    entry->entered = entry->why == 0;
}

/* The next name of the innermost directory. False: it is to be passed over. */
static bool
walk_take(struct fs_walk *walk, struct level *level, struct fs_entry *ret)
{
    const char *name = level->names[level->at++], *rest = NULL;
    size_t len = level->path_len + strlen(name);
    bool seen = false;

    if (level->inclusive && strcmp(name, level->last) == 0) {
        seen = true;
        rest = level->rest;
    }
    *ret = (struct fs_entry){ .dir = dirfd(level->dir), .name = name, .path = walk->path };
    if (fstatat(ret->dir, name, &ret->st, AT_SYMLINK_NOFOLLOW) < 0) {
        return false; /* gone */
    }
    if (len >= sizeof(walk->path)) {
        walk->path[level->path_len == 0 ? 0 : level->path_len - 1] = '\0';
        ret->why = -ENAMETOOLONG;
        return !seen;
    }
    memcpy(walk->path + level->path_len, name, strlen(name) + 1);
    if (S_ISDIR(ret->st.st_mode)) {
        walk_descend(walk, ret, len, rest);
        if (ret->entered) {
            /* The path keeps its slash for what is below; the caller sees it without. */
            walk->path[len] = '\0';
        }
    }
    return !seen;
}

/* The innermost directory is done. */
static int
walk_up(struct fs_walk *walk, struct fs_entry *ret)
{
    size_t len = walk->levels[walk->depth - 1].path_len;
    struct level *above;

    level_leave(walk);
    if (walk->depth == 0) {
        return FS_WALK_END;
    }
    above = &walk->levels[walk->depth - 1];
    walk->path[len - 1] = '\0';
    *ret = (struct fs_entry){
        .path = walk->path, .name = walk->path + above->path_len, .dir = dirfd(above->dir), .leaving = true
    };
    return FS_WALK_ENTRY;
}

int
fs_walk_next(struct fs_walk *walk, struct fs_entry *ret, unsigned *budget)
{
    int r;

    while (walk->depth > 0) {
        struct level *level = &walk->levels[walk->depth - 1];

        if (level->filling) {
            r = level_fill(level, budget);
            if (r != 0) {
                return r;
            }
            continue;
        }
        if (level->at >= level->n) {
            if (!level_again(level)) {
                r = walk_up(walk, ret);
                if (r == FS_WALK_END || walk->spec.leaves) {
                    return r;
                }
            }
            continue;
        }
        if (*budget == 0) {
            return FS_WALK_PAUSE;
        }
        (*budget)--;
        if (level->path_len > 0) {
            walk->path[level->path_len - 1] = '/';
        }
        if (walk_take(walk, level, ret)) {
            return FS_WALK_ENTRY;
        }
    }
    return FS_WALK_END;
}
