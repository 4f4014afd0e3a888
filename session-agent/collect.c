#include "session-agent/collect.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sbx_utf8.h"
#include "lib/sbx_wall.h"
#include "session-agent/glob.h"
#include "session-agent/request.h"
#include "session-agent/workspace.h"

struct level {
    DIR *dir;
    size_t path_len; /* of the walk's path, with the slash */
};

struct walk {
    struct collection *collection;
    const struct collect_spec *spec;
    struct level levels[COLLECT_MAX_DEPTH];
    unsigned depth;
    unsigned n_entries;
    char path[REQUEST_MAX_PATH + 1];
};

static int
add(struct collection *collection, const char *path, uint64_t size, const char *reason)
{
    struct collect_file *file;

    if (reason != NULL && collection->n_skipped++ >= COLLECT_MAX_SKIPPED) {
        return 0;
    }
    if ((collection->n_files & (collection->n_files - 1)) == 0) {
        size_t room = collection->n_files == 0 ? 1 : 2 * (size_t)collection->n_files;

        file = reallocarray(collection->files, room, sizeof(*file));
        if (file == NULL) {
            return -ENOMEM;
        }
        collection->files = file;
    }

    file = &collection->files[collection->n_files];
    *file = (struct collect_file){ .path = strdup(path), .size = size, .reason = reason };
    if (file->path == NULL) {
        return -ENOMEM;
    }
    collection->n_files++;
    return 0;
}

static bool
any_match(const json_t *patterns, const char *path)
{
    const json_t *pattern;
    size_t i;

    json_array_foreach (patterns, i, pattern) {
        if (glob_match(json_string_value(pattern), path)) {
            return true;
        }
    }
    return false;
}

static bool
any_descends(const json_t *patterns, const char *dir)
{
    const json_t *pattern;
    size_t i;

    json_array_foreach (patterns, i, pattern) {
        if (glob_may_descend(json_string_value(pattern), dir)) {
            return true;
        }
    }
    return false;
}

static int
walk_enter(struct walk *walk, const char *path, size_t path_len)
{
    struct level *level = &walk->levels[walk->depth];
    int fd, r;

    r = workspace_open(&fd, walk->spec->root, path, O_RDONLY | O_DIRECTORY);
    if (r < 0) {
        return r;
    }
    level->dir = fdopendir(fd);
    if (level->dir == NULL) {
        r = -errno;
        (void)close(fd); /* only read */
        return r;
    }
    level->path_len = path_len;
    walk->depth++;
    return 0;
}

static void
walk_leave(struct walk *walk)
{
    walk->depth--;
    (void)closedir(walk->levels[walk->depth].dir); /* only read */
}

static bool
name_is_printable(const char *name)
{
    for (; *name != '\0'; name++) {
        if ((*name > 0 && *name < ' ') || *name == 0x7f) {
            return false;
        }
    }
    return true;
}

static const char *
file_reason(const struct stat *st)
{
    if (sbx_wall_is_off(SBX_WALL_WORKSPACE)) {
        return NULL;
    }
    if (S_ISLNK(st->st_mode)) {
        return "is a symbolic link";
    }
    if (!S_ISREG(st->st_mode)) {
        return "is not a regular file";
    }
    return st->st_nlink != 1 ? "has more than one hard link" : NULL;
}

static int
walk_dir(struct walk *walk, size_t len)
{
    int r;

    if (!any_descends(walk->spec->patterns, walk->path)) {
        return 0;
    }
    if (walk->depth >= COLLECT_MAX_DEPTH || len + 1 >= sizeof(walk->path)) {
        return add(walk->collection, walk->path, 0, "is nested too deep");
    }
    r = walk_enter(walk, walk->path, len + 1);
    if (r < 0) {
        return r == -ENOMEM || r == -EMFILE ? r : add(walk->collection, walk->path, 0, "cannot be opened");
    }
    walk->path[len] = '/';
    walk->path[len + 1] = '\0';
    return 0;
}

static int
walk_entry(struct walk *walk, const struct level *level, const char *name)
{
    size_t len = level->path_len + strlen(name);
    struct stat st;
    const char *reason;

    if (len >= sizeof(walk->path)) {
        walk->path[level->path_len] = '\0';
        return add(walk->collection, walk->path, 0, "holds a path that is too long");
    }
    memcpy(walk->path + level->path_len, name, strlen(name) + 1);

    if (fstatat(dirfd(level->dir), name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return 0; /* gone */
    }
    if (S_ISDIR(st.st_mode)) {
        return walk_dir(walk, len);
    }
    if (!any_match(walk->spec->patterns, walk->path)) {
        return 0;
    }

    reason = file_reason(&st);
    if (!sbx_utf8_valid(walk->path, len)) {
        reason = "has a name that is not UTF-8";
    } else if (!name_is_printable(walk->path)) {
        reason = "has a name that is not printable";
    }
    return add(walk->collection, walk->path, (uint64_t)st.st_size, reason);
}

static int
walk_run(struct walk *walk)
{
    int r = walk_enter(walk, ".", 0);

    while (r == 0 && walk->depth > 0) {
        struct level *level = &walk->levels[walk->depth - 1];
        struct dirent *entry = readdir(level->dir);

        if (entry == NULL) {
            walk_leave(walk);
        } else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            if (++walk->n_entries > COLLECT_MAX_ENTRIES) {
                r = add(walk->collection, ".", 0, "holds too many entries to look at all");
                break;
            }
            r = walk_entry(walk, level, entry->d_name);
        }
    }
    while (walk->depth > 0) {
        walk_leave(walk);
    }
    return r;
}

static int
by_path(const void *a, const void *b)
{
    return strcmp(((const struct collect_file *)a)->path, ((const struct collect_file *)b)->path);
}

static const struct collect_file *
find(const struct collection *collection, const char *path)
{
    unsigned i;

    for (i = 0; i < collection->n_files; i++) {
        if (strcmp(collection->files[i].path, path) == 0) {
            return &collection->files[i];
        }
    }
    return NULL;
}

/* Who names one file wants to hear that it is not there. */
static int
add_missing(struct collection *collection, const struct collect_spec *spec)
{
    const json_t *pattern;
    size_t i;
    int r = 0;

    json_array_foreach (spec->patterns, i, pattern) {
        const char *text = json_string_value(pattern);
        struct stat st;

        if (r == 0 && glob_is_literal(text) && find(collection, text) == NULL) {
            if (fstatat(spec->root, text, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                r = add(collection, text, 0, "does not exist");
            } else if (S_ISDIR(st.st_mode)) {
                r = add(collection, text, 0, "is a directory");
            } /* else it was skipped, and not remembered */
        }
    }
    return r;
}

static void
apply_caps(struct collection *collection, const struct collect_spec *spec)
{
    uint64_t left = spec->max_bytes;
    unsigned i, n = 0;

    for (i = 0; i < collection->n_files; i++) {
        struct collect_file *file = &collection->files[i];

        if (file->reason != NULL) {
            continue;
        }
        if (n >= spec->max_files) {
            file->reason = "is past the number of artifacts allowed";
        } else if (file->size > left) {
            file->reason = "is past the size of artifacts allowed";
        } else {
            left -= file->size;
            n++;
            continue;
        }
        collection->n_skipped++;
    }
}

int
collect(struct collection *ret, const struct collect_spec *spec)
{
    struct walk *walk;
    int r;

    *ret = (struct collection){ 0 };
    if (json_array_size(spec->patterns) == 0) {
        return 0;
    }
    walk = calloc(1, sizeof(*walk));
    if (walk == NULL) {
        return -ENOMEM;
    }
    walk->collection = ret;
    walk->spec = spec;
    r = walk_run(walk);
    free(walk);
    if (r == 0) {
        r = add_missing(ret, spec);
    }
    if (r < 0) {
        return r;
    }

    if (ret->n_files > 0) {
        qsort(ret->files, ret->n_files, sizeof(*ret->files), by_path);
    }
    apply_caps(ret, spec);
    return 0;
}

void
collection_deinit(struct collection *collection)
{
    unsigned i;

    for (i = 0; i < collection->n_files; i++) {
        free(collection->files[i].path);
    }
    free(collection->files);
    *collection = (struct collection){ 0 };
}
