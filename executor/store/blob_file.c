/* The store itself, reading and deleting. Disks are touched from libuv's worker threads only. */
#include "blob_file.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blob_seal.h"
#include "explain.h"

bool
blob_id_valid(const char *id)
{
    const size_t len = strlen(id);

    return len > 0 && len <= BLOB_ID_MAX &&
           strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

int
blob_place_init(struct blob_place *ret, const char *tenant, const char *id)
{
    uint8_t digest[SBX_SHA256_LEN];
    int r;

    if (tenant == NULL || *tenant == '\0' || id == NULL || !blob_id_valid(id)) {
        return -EINVAL;
    }
    r = sbx_sha256(tenant, strlen(tenant), digest);
    if (r) {
        return r;
    }
    sbx_hex(ret->dir, digest, BLOB_DIR_LEN / 2);
    memcpy(ret->id, id, strlen(id) + 1);
    return 0;
}

static int
dir_open_at(int parent_fd, const char *name)
{
    const int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

int
blob_dir_open(const struct blob_store *store, const struct blob_place *place)
{
    return dir_open_at(store->root_fd, place->dir);
}

int
blob_dir_make(const struct blob_store *store, const struct blob_place *place)
{
    if (mkdirat(store->root_fd, place->dir, 0700) == 0) {
        if (fsync(store->root_fd) < 0) {
            return -errno;
        }
    } else if (errno != EEXIST) {
        return -errno;
    }
    return blob_dir_open(store, place);
}

static struct blob_store *
store_free(struct blob_store *store)
{
    const int fds[] = { store->temp_fd, store->lock_fd, store->root_fd };

    for (size_t i = 0; i < SBX_COUNT(fds); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    free(store);
    return NULL;
}

void
blob_store_enter(struct blob_store *store)
{
    store->n_users++;
}

void
blob_store_leave(struct blob_store *store)
{
    if (--store->n_users == 0 && store->closing) {
        store_free(store);
    }
}

struct blob_store *
blob_store_close(struct blob_store *store)
{
    if (store == NULL) {
        return NULL;
    }
    store->closing = true;
    return store->n_users == 0 ? store_free(store) : NULL;
}

/* What is in tmp belongs to puts of a process that is gone: the lock says so. */
static int
store_sweep(const struct blob_store *store)
{
    const struct dirent *entry;
    DIR *dir;
    int fd, r = 0;

    fd = dir_open_at(store->temp_fd, ".");
    if (fd < 0) {
        return fd;
    }
    dir = fdopendir(fd);
    if (dir == NULL) {
        r = -errno;
        close(fd);
        return r;
    }
    while (r == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        r = unlinkat(store->temp_fd, entry->d_name, 0) < 0 ? -errno : 0;
    }
    r = r ? r : -errno;
    closedir(dir);
    return r;
}

static int
store_prepare(struct blob_store *store, const char *root)
{
    if (mkdir(root, 0700) < 0 && errno != EEXIST) {
        return -errno;
    }
    store->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->root_fd < 0) {
        return -errno;
    }
    store->lock_fd = openat(store->root_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (store->lock_fd < 0) {
        return -errno;
    }
    if (flock(store->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    }
    if (mkdirat(store->root_fd, "tmp", 0700) < 0 && errno != EEXIST) {
        return -errno;
    }
    store->temp_fd = dir_open_at(store->root_fd, "tmp");
    if (store->temp_fd < 0) {
        return store->temp_fd;
    }
    return store_sweep(store);
}

int
blob_store_open(struct blob_store **ret, const struct blob_spec *spec, char *error, size_t error_size)
{
    struct blob_store *store;
    int r;

    if (spec->driver == NULL || strcmp(spec->driver, "file") != 0) {
        explain(error, error_size, "there is no such artifact driver in this build; it has: file");
        return -EINVAL;
    }
    store = calloc(1, sizeof(*store));
    if (store == NULL) {
        explain(error, error_size, "out of memory");
        return -ENOMEM;
    }
    store->loop = spec->loop;
    store->root_fd = store->temp_fd = store->lock_fd = -1;
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &store->opened); /* always 0 */

    r = store_prepare(store, spec->root);
    if (r) {
        explain(error, error_size, "cannot open the artifact store %s: %s", spec->root,
                r == -EBUSY ? "another process has it" : strerror(-r));
        store_free(store);
        return r;
    }
    *ret = store;
    return 0;
}

#define GET_FRAMES (BLOB_CHUNK / BLOB_FRAME)
#define GET_BUF (GET_FRAMES * (size_t)BLOB_FRAME_SEALED)

struct blob_get {
    uv_work_t work;
    struct blob_store *store;
    struct blob_place place;
    int fd;
    bool busy, closing;
    int rc; /* of the work */
    uint64_t size, offset;
    struct blob_seal *seal; /* NULL: not sealed */
    struct blob_layout layout;
    uint8_t *buf; /* GET_BUF, with the first read */
    size_t max, n;
    const uint8_t *data; /* n bytes in buf */
    blob_open_fn on_open;
    blob_data_fn on_data;
    void *arg;
};

static void
get_free(struct blob_get *get)
{
    if (get->fd >= 0) {
        close(get->fd);
    }
    if (get->buf != NULL) {
        explicit_bzero(get->buf, GET_BUF);
        free(get->buf);
    }
    blob_seal_free(get->seal);
    blob_store_leave(get->store);
    free(get);
}

static int
get_pread(const struct blob_get *get, uint8_t *out, size_t len, uint64_t offset, size_t *ret)
{
    ssize_t n;

    for (*ret = 0; *ret < len; *ret += (size_t)n) {
        n = pread(get->fd, out + *ret, len - *ret, (off_t)(offset + *ret));
        if (n < 0 && errno == EINTR) {
            n = 0;
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : 0;
        }
    }
    return 0;
}

static int
get_need_buf(struct blob_get *get)
{
    if (get->buf == NULL) {
        get->buf = malloc(GET_BUF);
    }
    return get->buf == NULL ? -ENOMEM : 0;
}

/* Frames `first` to `first + n - 1`, opened, their bytes one behind the other at the begin of buf. */
static int
get_frames(struct blob_get *get, uint64_t first, uint64_t n, size_t *ret)
{
    const uint64_t last = get->layout.frames - 1;
    size_t len, got;
    int r;

    *ret = 0;
    r = get_pread(get, get->buf, (size_t)n * BLOB_FRAME_SEALED, blob_frame_at(first), &got);
    for (uint64_t i = 0; i < n && r == 0; i++) {
        uint8_t *frame = get->buf + (size_t)i * BLOB_FRAME_SEALED;

        len = first + i == last ? (size_t)(get->layout.size - last * BLOB_FRAME) : BLOB_FRAME;
        if ((size_t)i * BLOB_FRAME_SEALED + len + SBX_GCM_TAG_LEN > got) {
            return -EBADMSG; /* cut since it was opened */
        }
        r = blob_unseal_frame(get->seal, first + i, first + i == last, frame, len);
        memmove(get->buf + *ret, frame, len);
        *ret += len;
    }
    return r;
}

/* The last frame is opened at once: the size that is told is then the one that was put. */
static int
get_open_sealed(struct blob_get *get)
{
    uint8_t head[BLOB_HEAD_LEN];
    size_t n;
    int r;

    if (!blob_layout_of(&get->layout, get->size)) {
        return -EBADMSG;
    }
    r = get_pread(get, head, sizeof(head), 0, &n);
    if (r) {
        return r;
    }
    if (n != sizeof(head) || !blob_head_valid(head)) {
        return -EBADMSG;
    }
    r = get_need_buf(get);
    if (r == 0) {
        r = get_frames(get, get->layout.frames - 1, 1, &n);
    }
    get->size = get->layout.size;
    return r;
}

/* Any kind of file could lie under the name if somebody else writes here: only a regular one is ours. */
static int
get_open_file(struct blob_get *get)
{
    struct stat st;
    int dir_fd;

    dir_fd = blob_dir_open(get->store, &get->place);
    if (dir_fd < 0) {
        return dir_fd;
    }
    get->fd = openat(dir_fd, get->place.id, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (get->fd < 0) {
        const int r = -errno;

        close(dir_fd);
        return r;
    }
    close(dir_fd);
    if (fstat(get->fd, &st) < 0) {
        return -errno;
    }
    if (!S_ISREG(st.st_mode)) {
        return -EIO;
    }
    get->size = (uint64_t)st.st_size;
    return get->seal == NULL ? 0 : get_open_sealed(get);
}

static void
get_open_work(uv_work_t *work)
{
    struct blob_get *get = work->data;

    get->rc = get_open_file(get);
    get->rc = get->rc == -ENOENT ? BLOB_E_NOT_FOUND : get->rc;
}

static void
get_open_done(uv_work_t *work, _unused_ int status)
{
    struct blob_get *get = work->data;

    get->busy = false;
    if (get->closing) {
        get_free(get);
        return;
    }
    if (get->rc) {
        const blob_open_fn done = get->on_open;
        void *arg = get->arg;
        const int rc = get->rc;

        get_free(get);
        done(arg, rc, 0);
        return;
    }
    get->on_open(get->arg, 0, get->size);
}

static void
get_queue(struct blob_get *get, uv_work_cb work, uv_after_work_cb done)
{
    int r;

    assert(!get->busy);
    get->busy = true;
    r = uv_queue_work(get->store->loop, &get->work, work, done);
    assert(r == 0); /* fails only without a work callback */
}

int
blob_get_new(struct blob_get **ret, struct blob_store *store, const struct blob_source *source,
             blob_open_fn done, void *arg)
{
    struct blob_place place;
    struct blob_get *get;
    int r;

    r = blob_place_init(&place, source->tenant, source->id);
    if (r) {
        return r;
    }
    get = calloc(1, sizeof(*get));
    if (get == NULL) {
        return -ENOMEM;
    }
    *get = (struct blob_get){ .store = store, .place = place, .fd = -1, .on_open = done, .arg = arg };
    get->work.data = get;
    if (source->key != NULL) {
        r = blob_seal_new(&get->seal, source->tenant, source->id, source->key);
        if (r) {
            free(get);
            return r;
        }
    }
    blob_store_enter(store);
    get_queue(get, get_open_work, get_open_done);
    *ret = get;
    return 0;
}

/* As many bytes from the offset on as the frames that are read hold, at most max. */
static int
get_read_sealed(struct blob_get *get)
{
    const uint64_t first = get->offset / BLOB_FRAME;
    const size_t skip = (size_t)(get->offset % BLOB_FRAME);
    uint64_t n = (skip + get->max + BLOB_FRAME - 1) / BLOB_FRAME;
    size_t len;
    int r;

    if (get->offset >= get->size || get->max == 0) {
        return 0;
    }
    n = n > GET_FRAMES ? GET_FRAMES : n;
    n = n > get->layout.frames - first ? get->layout.frames - first : n;
    r = get_frames(get, first, n, &len);
    if (r) {
        return r;
    }
    get->data = get->buf + skip;
    get->n = len - skip < get->max ? len - skip : get->max;
    return 0;
}

static void
get_read_work(uv_work_t *work)
{
    struct blob_get *get = work->data;

    get->n = 0;
    get->rc = get_need_buf(get);
    if (get->rc) {
        return;
    }
    get->data = get->buf;
    get->rc =
        get->seal != NULL ? get_read_sealed(get) : get_pread(get, get->buf, get->max, get->offset, &get->n);
    get->n = get->rc ? 0 : get->n;
}

static void
get_read_done(uv_work_t *work, _unused_ int status)
{
    struct blob_get *get = work->data;

    get->busy = false;
    if (get->closing) {
        get_free(get);
        return;
    }
    get->on_data(get->arg, get->rc, (const char *)get->data, get->n);
}

void
blob_get_read(struct blob_get *get, uint64_t offset, size_t max, blob_data_fn done, void *arg)
{
    get->offset = offset > get->size ? get->size : offset; /* pread refuses offsets past INT64_MAX */
    get->max = max > BLOB_CHUNK ? BLOB_CHUNK : max;
    get->on_data = done;
    get->arg = arg;
    get_queue(get, get_read_work, get_read_done);
}

struct blob_get *
blob_get_close(struct blob_get *get)
{
    if (get == NULL) {
        return NULL;
    }
    get->closing = true;
    if (!get->busy) {
        get_free(get);
    }
    return NULL;
}

struct blob_removal {
    uv_work_t work;
    struct blob_store *store;
    struct blob_place place;
    int rc;
    blob_done_fn done;
    void *arg;
};

static void
removal_work(uv_work_t *work)
{
    struct blob_removal *removal = work->data;
    const int dir_fd = blob_dir_open(removal->store, &removal->place);

    if (dir_fd < 0) {
        removal->rc = dir_fd;
    } else {
        removal->rc = unlinkat(dir_fd, removal->place.id, 0) < 0 || fsync(dir_fd) < 0 ? -errno : 0;
        close(dir_fd);
    }
    removal->rc = removal->rc == -ENOENT ? BLOB_E_NOT_FOUND : removal->rc;
}

static void
removal_done(uv_work_t *work, _unused_ int status)
{
    struct blob_removal *removal = work->data;

    if (removal->done != NULL) {
        removal->done(removal->arg, removal->rc);
    }
    blob_store_leave(removal->store);
    free(removal);
}

int
blob_delete(struct blob_store *store, const char *tenant, const char *id, blob_done_fn done, void *arg)
{
    struct blob_place place;
    int r;

    r = blob_place_init(&place, tenant, id);
    return r ? r : blob_delete_at(store, &place, done, arg);
}

int
blob_delete_at(struct blob_store *store, const struct blob_place *place, blob_done_fn done, void *arg)
{
    struct blob_removal *removal;
    int r;

    removal = calloc(1, sizeof(*removal));
    if (removal == NULL) {
        return -ENOMEM;
    }
    *removal = (struct blob_removal){ .store = store, .place = *place, .done = done, .arg = arg };
    removal->work.data = removal;
    blob_store_enter(store);
    r = uv_queue_work(store->loop, &removal->work, removal_work, removal_done);
    assert(r == 0); /* fails only without a work callback */
    return 0;
}
