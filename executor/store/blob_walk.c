/* Names of what was stored before this store was opened, a few at a time from libuv's worker threads. */
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blob_file.h"

#define WALK_ENTRIES 1024 /* of directories, looked at for one answer */

struct blob_walk {
    uv_work_t work;
    struct blob_store *store;
    DIR *root, *dir; /* dir: of one tenant */
    char dir_name[BLOB_DIR_LEN + 1];
    struct blob_place places[BLOB_WALK_MAX];
    unsigned n;
    bool busy, closing;
    int rc; /* of the work */
    blob_walk_fn done;
    void *arg;
};

static void
walk_close_dir(DIR **dir)
{
    if (*dir != NULL) {
        closedir(*dir);
        *dir = NULL;
    }
}

static void
walk_free(struct blob_walk *walk)
{
    walk_close_dir(&walk->dir);
    walk_close_dir(&walk->root);
    blob_store_leave(walk->store);
    free(walk);
}

static int
walk_open(DIR **ret, int parent_fd, const char *name)
{
    const int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    *ret = fdopendir(fd);
    if (*ret == NULL) {
        const int r = -errno;

        close(fd);
        return r;
    }
    return 0;
}

static bool
walk_is_older(const struct blob_walk *walk, const char *name)
{
    const struct timespec *opened = &walk->store->opened;
    struct stat st;

    if (fstatat(dirfd(walk->dir), name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode)) {
        return false;
    }
    return st.st_mtim.tv_sec < opened->tv_sec ||
           (st.st_mtim.tv_sec == opened->tv_sec && st.st_mtim.tv_nsec < opened->tv_nsec);
}

/* The root has other things, too: tmp, the lock, and what is not ours. */
static int
walk_enter(struct blob_walk *walk, const char *name)
{
    int r;

    if (strlen(name) != BLOB_DIR_LEN || strspn(name, "0123456789abcdef") != BLOB_DIR_LEN) {
        return 0;
    }
    memcpy(walk->dir_name, name, BLOB_DIR_LEN + 1);
    r = walk_open(&walk->dir, dirfd(walk->root), name);
    return r == -ENOTDIR || r == -ELOOP || r == -ENOENT ? 0 : r;
}

static void
walk_add(struct blob_walk *walk, const char *name)
{
    struct blob_place *place = &walk->places[walk->n];

    if (!blob_id_valid(name) || !walk_is_older(walk, name)) {
        return;
    }
    memcpy(place->dir, walk->dir_name, sizeof(place->dir));
    memcpy(place->id, name, strlen(name) + 1);
    walk->n++;
}

/* One entry, of a tenant's directory or of the root. */
static int
walk_one(struct blob_walk *walk)
{
    const struct dirent *entry;

    errno = 0;
    entry = readdir(walk->dir != NULL ? walk->dir : walk->root);
    if (entry == NULL && errno != 0) {
        return -errno;
    }
    if (walk->dir == NULL) {
        return entry == NULL ? BLOB_E_END : walk_enter(walk, entry->d_name);
    }
    if (entry == NULL) {
        walk_close_dir(&walk->dir);
    } else {
        walk_add(walk, entry->d_name);
    }
    return 0;
}

static void
walk_work(uv_work_t *work)
{
    struct blob_walk *walk = work->data;

    walk->n = 0;
    if (walk->root == NULL) {
        walk->rc = walk_open(&walk->root, walk->store->root_fd, ".");
    }
    for (unsigned i = 0; i < WALK_ENTRIES && walk->n < BLOB_WALK_MAX && walk->rc == 0; i++) {
        walk->rc = walk_one(walk);
    }
}

static void
walk_work_done(uv_work_t *work, _unused_ int status)
{
    struct blob_walk *walk = work->data;

    walk->busy = false;
    if (walk->closing) {
        walk_free(walk);
        return;
    }
    walk->done(walk->arg, walk->rc, walk->places, walk->n);
}

int
blob_walk_new(struct blob_walk **ret, struct blob_store *store)
{
    struct blob_walk *walk;

    walk = calloc(1, sizeof(*walk));
    if (walk == NULL) {
        return -ENOMEM;
    }
    walk->store = store;
    walk->work.data = walk;
    blob_store_enter(store);
    *ret = walk;
    return 0;
}

void
blob_walk_next(struct blob_walk *walk, blob_walk_fn done, void *arg)
{
    int r;

    assert(!walk->busy);
    walk->busy = true;
    walk->done = done;
    walk->arg = arg;
    r = uv_queue_work(walk->store->loop, &walk->work, walk_work, walk_work_done);
    assert(r == 0); /* fails only without a work callback */
}

struct blob_walk *
blob_walk_close(struct blob_walk *walk)
{
    if (walk != NULL) {
        walk->closing = true;
        if (!walk->busy) {
            walk_free(walk);
        }
    }
    return NULL;
}
