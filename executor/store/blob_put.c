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
#include "blob_seal.h"
#include "lib/sbx_buf.h"

#define PUT_CHUNK 65536
#define PUT_MAX_BYTES (UINT64_C(1) << 40)
#define PUT_PENDING_MAX (UINT64_C(1) << 30) /* of who does not wait for room */

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
    struct blob_seal *seal;
    uint64_t n_frames; /* written */
    size_t frame_len; /* gathered for the next one: which may be the last, so it is written when more comes */
    uint8_t frame[BLOB_FRAME_SEALED];
    /* The loop's: */
    void (*on_room)(void *arg);
    void *room_arg;
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
    put->seal = blob_seal_free(put->seal);
    blob_store_leave(put->store);
    explicit_bzero(put->info.key, sizeof(put->info.key));
    free(put);
    return NULL;
}

/* Random, and never given from outside: no key can meet its nonces twice. */
static int
put_make_key(struct blob_put *put, const char *tenant)
{
    int r;

    r = sbx_random(put->info.key, sizeof(put->info.key));
    return r ? r : blob_seal_new(&put->seal, tenant, put->place.id, put->info.key);
}

int
blob_put_new(struct blob_put **ret, struct blob_store *store, const char *tenant, const char *id,
             uint64_t max_bytes)
{
    const size_t pending_max = (size_t)(max_bytes < PUT_PENDING_MAX ? max_bytes : PUT_PENDING_MAX) + 1;
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
        .pending = SBX_BUF_INIT(pending_max),
        .writing = SBX_BUF_INIT(pending_max),
        .fd = -1,
    };
    put->work.data = put;
    (void)snprintf(put->temp, sizeof(put->temp), "%s.%" PRIu64, id, ++store->serial); /* fits */
    blob_store_enter(store);
    r = sbx_sha256_new(&put->hash);
    if (r == 0) {
        r = put_make_key(put, tenant);
    }
    if (r) {
        put_free(put);
        return r;
    }
    *ret = put;
    return 0;
}

static int
put_write_all(struct blob_put *put, const uint8_t *data, size_t len)
{
    size_t done = 0;
    ssize_t n;

    while (done < len) {
        n = write(put->fd, data + done, len - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        done += (size_t)n;
    }
    return 0;
}

static int
put_open(struct blob_put *put)
{
    uint8_t head[BLOB_HEAD_LEN];

    put->fd =
        openat(put->store->temp_fd, put->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (put->fd < 0) {
        return -errno;
    }
    put->named = true;
    blob_head_write(head);
    return put_write_all(put, head, sizeof(head));
}

static int
put_write_frame(struct blob_put *put, bool last)
{
    int r;

    r = blob_seal_frame(put->seal, put->n_frames, last, put->frame, put->frame_len);
    if (r) {
        return r;
    }
    r = put_write_all(put, put->frame, put->frame_len + SBX_GCM_TAG_LEN);
    put->n_frames++;
    put->frame_len = 0;
    return r;
}

static int
put_write_pending(struct blob_put *put)
{
    const char *data = put->writing.data;
    size_t left = put->writing.len;
    int r = put->fd < 0 ? put_open(put) : 0;

    if (r == 0 && left > 0) {
        r = sbx_sha256_update(put->hash, data, left);
    }
    put->info.size += left;
    while (r == 0 && left > 0) {
        size_t n = BLOB_FRAME - put->frame_len;

        n = n < left ? n : left;
        memcpy(put->frame + put->frame_len, data, n);
        put->frame_len += n;
        data += n;
        left -= n;
        if (left > 0) {
            r = put_write_frame(put, false);
        }
    }
    return r;
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
    r = put_write_frame(put, true);
    return r ? r : put_name(put);
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

/* The last thing that is done with put: who has room may finish or abort it. */
static void
put_tell_room(struct blob_put *put)
{
    void (*room)(void *arg) = put->on_room;

    if (room != NULL && !put->aborting && !put->finishing && (put->failed || !blob_put_full(put))) {
        put->on_room = NULL;
        room(put->room_arg);
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
        put_tell_room(put);
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

bool
blob_put_full(const struct blob_put *put)
{
    return put->pending.len >= BLOB_PUT_AHEAD;
}

void
blob_put_on_room(struct blob_put *put, void (*room)(void *arg), void *arg)
{
    put->on_room = room;
    put->room_arg = arg;
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
