/*
 * Writing one blob. Bytes gather in `pending` on the loop's thread while a worker writes and hashes the ones
 * before; at most one piece of work is under way, so a worker owns all but `pending` while it runs.
 */
#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blob_file.h"
#include "lib/sbx_buf.h"

#define PUT_CHUNK 65536
#define PUT_MAX_BYTES (UINT64_C(1) << 30)

enum put_step { PUT_WRITE, PUT_FINISH, PUT_DISCARD };

struct blob_put {
    uv_work_t work;
    struct blob_store *store;
    struct blob_place place;
    char temp[BLOB_ID_MAX + 32];
    uint64_t max_bytes, total;
    struct sbx_buf pending;
    bool busy, finishing, aborting;
    int failed; /* sticky, as the loop's thread knows it */
    /* The worker's: */
    enum put_step step;
    struct sbx_buf writing;
    struct sbx_sha256 *hash;
    int fd;
    bool named; /* the temporary name is there */
    int rc;
    struct blob_info info;
    /* Of finish: */
    blob_put_fn done;
    void *arg;
};

static void put_kick(struct blob_put *put);

static struct blob_put *
put_free(struct blob_put *put)
{
    if (put->fd >= 0) {
        close(put->fd);
    }
    sbx_buf_deinit(&put->pending);
    sbx_buf_deinit(&put->writing);
    put->hash = sbx_sha256_free(put->hash);
    blob_store_leave(put->store);
    free(put);
    return NULL;
}

int
blob_put_new(struct blob_put **ret, struct blob_store *store, const char *tenant, const char *id,
             uint64_t max_bytes)
{
    struct blob_place place;
    struct blob_put *put;
    int r;

    if (max_bytes > PUT_MAX_BYTES) {
        return -EINVAL;
    }
    r = blob_place_init(&place, tenant, id);
    if (r) {
        return r;
    }
    put = calloc(1, sizeof(*put));
    if (put == NULL) {
        return -ENOMEM;
    }
    *put = (struct blob_put){
        .store = store,
        .place = place,
        .max_bytes = max_bytes,
        .pending = SBX_BUF_INIT((size_t)max_bytes + 1),
        .writing = SBX_BUF_INIT((size_t)max_bytes + 1),
        .fd = -1,
    };
    put->work.data = put;
    (void)snprintf(put->temp, sizeof(put->temp), "%s.%" PRIu64, id, ++store->serial); /* fits */
    blob_store_enter(store);
    r = sbx_sha256_new(&put->hash);
    if (r) {
        put_free(put);
        return r;
    }
    *ret = put;
    return 0;
}

static int
put_write_pending(struct blob_put *put)
{
    size_t done = 0;
    ssize_t n;

    if (put->fd < 0) {
        put->fd = openat(put->store->temp_fd, put->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                         0600);
        if (put->fd < 0) {
            return -errno;
        }
        put->named = true;
    }
    while (done < put->writing.len) {
        n = write(put->fd, put->writing.data + done, put->writing.len - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        done += (size_t)n;
    }
    put->info.size += done;
    return done > 0 ? sbx_sha256_update(put->hash, put->writing.data, done) : 0;
}

/* Linking fails where renaming would replace: an id is written once. */
static int
put_name(struct blob_put *put)
{
    int dir_fd, r = 0;

    if (fsync(put->fd) < 0) {
        return -errno;
    }
    dir_fd = blob_dir_make(put->store, &put->place);
    if (dir_fd < 0) {
        return dir_fd;
    }
    if (linkat(put->store->temp_fd, put->temp, dir_fd, put->place.id, 0) < 0) {
        r = errno == EEXIST ? BLOB_E_EXISTS : -errno;
    } else if (fsync(dir_fd) < 0) {
        r = -errno;
        unlinkat(dir_fd, put->place.id, 0);
    }
    close(dir_fd);
    return r;
}

static int
put_complete(struct blob_put *put)
{
    uint8_t digest[SBX_SHA256_LEN];
    int r;

    r = sbx_sha256_final(put->hash, digest);
    if (r) {
        return r;
    }
    sbx_hex(put->info.sha256, digest, sizeof(digest));
    return put_name(put);
}

static void
put_work(uv_work_t *work)
{
    struct blob_put *put = work->data;

    if (put->step != PUT_DISCARD && put->rc == 0) {
        put->rc = put_write_pending(put);
    }
    if (put->step == PUT_FINISH && put->rc == 0) {
        put->rc = put_complete(put);
    }
    if (put->step != PUT_WRITE && put->named) {
        unlinkat(put->store->temp_fd, put->temp,
                 0); /* what stays after a failure is swept at the next start */
        put->named = false;
    }
}

static void
put_work_done(uv_work_t *work, _unused_ int status)
{
    struct blob_put *put = work->data;

    put->busy = false;
    put->failed = put->failed ? put->failed : put->rc;
    switch (put->step) {
    case PUT_WRITE:
        put_kick(put);
        return;
    case PUT_FINISH:
        put->done(put->arg, put->rc, &put->info);
        put_free(put);
        return;
    case PUT_DISCARD:
        if (put->finishing) {
            put->done(put->arg, put->failed, &put->info);
        }
        put_free(put);
        return;
    }
}

/* Starts the next piece of work when there is one and none is under way. */
static void
put_kick(struct blob_put *put)
{
    struct sbx_buf empty;
    int r;

    if (put->busy) {
        return;
    }
    if (put->aborting || (put->finishing && put->failed)) {
        put->step = PUT_DISCARD;
    } else if (put->finishing) {
        put->step = PUT_FINISH;
    } else if (!put->failed && put->pending.len >= PUT_CHUNK) {
        put->step = PUT_WRITE;
    } else {
        return;
    }

    empty = put->writing;
    sbx_buf_reset(&empty);
    put->writing = put->pending;
    put->pending = empty;
    put->busy = true;
    r = uv_queue_work(put->store->loop, &put->work, put_work, put_work_done);
    assert(r == 0); /* fails only without a work callback */
}

int
blob_put_write(struct blob_put *put, const void *data, size_t len)
{
    if (put->failed) {
        return put->failed;
    }
    if (len > put->max_bytes - put->total) {
        put->failed = BLOB_E_TOO_LARGE;
        return put->failed;
    }
    sbx_buf_append(&put->pending, data, len);
    if (put->pending.failed) {
        put->failed = -ENOMEM;
        return put->failed;
    }
    put->total += len;
    put_kick(put);
    return 0;
}

void
blob_put_finish(struct blob_put *put, blob_put_fn done, void *arg)
{
    put->finishing = true;
    put->done = done;
    put->arg = arg;
    put_kick(put);
}

struct blob_put *
blob_put_abort(struct blob_put *put)
{
    if (put != NULL) {
        put->aborting = true;
        put_kick(put);
    }
    return NULL;
}
