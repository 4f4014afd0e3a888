/*
 * Artifacts: bytes under (tenant, id), written once, sealed with a key of their own (blob_seal.h), read as a stream,
 * deleted. Without its key a blob is noise, and the store keeps no keys. Files now; an object store fits beside them. All calls come from the loop's thread and none of them touches a disk; callbacks arrive
 * there, once, never from inside the call that started them.
 */
#pragma once

#include "lib/sbx_base.h"
#include "lib/sbx_crypto.h"

struct blob_store;
struct blob_put;
struct blob_get;
struct blob_walk;

#define BLOB_ID_MAX 64 /* [A-Za-z0-9_-]{1,64} */
#define BLOB_DIR_LEN 32
#define BLOB_WALK_MAX 64  /* most names of one answer */
#define BLOB_CHUNK 262144 /* most bytes of one read */
#define BLOB_KEY_LEN 32
#define BLOB_PUT_AHEAD 1048576 /* bytes that wait for the disk: then a writer that can should wait for room */

enum {
    BLOB_E_NOT_FOUND = 1,
    BLOB_E_TOO_LARGE, /* more bytes than the put allowed */
    BLOB_E_EXISTS,    /* the id has a blob already */
    BLOB_E_END,       /* of a walk */
};

struct blob_spec {
    const char *driver; /* "file" */
    const char *root;   /* directory, made when missing */
    void *loop;         /* uv_loop_t */
};

struct blob_info {
    uint64_t size;
    char sha256[SBX_SHA256_HEX]; /* of the bytes that were put */
    uint8_t key[BLOB_KEY_LEN];   /* the only copy there is: whoever loses it has deleted the blob */
};

struct blob_place {
    char dir[BLOB_DIR_LEN + 1]; /* stands for the tenant */
    char id[BLOB_ID_MAX + 1];
};

typedef void (*blob_done_fn)(void *arg, int rc);
/* rc 0, BLOB_E_* or -errno; info is set on 0 and borrows until return. */
typedef void (*blob_put_fn)(void *arg, int rc, const struct blob_info *info);
/*
 * rc 0 with the blob's whole size, which nobody without the key can have changed, or BLOB_E_NOT_FOUND, -EBADMSG when it
 * is not what was put, or -errno: the get is gone then.
 */
typedef void (*blob_open_fn)(void *arg, int rc, uint64_t size);
/* rc 0 with up to BLOB_CHUNK bytes, none at the end; data borrows until return. */
typedef void (*blob_data_fn)(void *arg, int rc, const char *data, size_t len);

/* Blocking, for start-up only: makes the root (0700), locks it, removes what unfinished puts left behind. */
_must_check_ int blob_store_open(struct blob_store **ret, const struct blob_spec *spec, char *error,
                                 size_t error_size);
/* No new calls; what is under way ends while the loop turns. Every put and get must be ended by its owner. */
struct blob_store *blob_store_close(struct blob_store *store);

/* -EINVAL when the id is none. */
_must_check_ int blob_put_new(struct blob_put **ret, struct blob_store *store, const char *tenant,
                              const char *id, uint64_t max_bytes);
/* Copies. BLOB_E_TOO_LARGE past max_bytes, -ENOMEM: then only abort is left. */
_must_check_ int blob_put_write(struct blob_put *put, const void *data, size_t len);
/* Whether BLOB_PUT_AHEAD bytes wait. Then `room` (once) comes when they do no longer, also of a put that failed. */
bool blob_put_full(const struct blob_put *put);
void blob_put_on_room(struct blob_put *put, void (*room)(void *arg), void *arg);
/* Takes put: done comes when the blob is on disk under its name, or when nothing of it is left. */
void blob_put_finish(struct blob_put *put, blob_put_fn done, void *arg);
/* Takes put: what was written is removed. Accepts NULL, returns NULL. */
struct blob_put *blob_put_abort(struct blob_put *put);

struct blob_source {
    const char *tenant, *id;
    const uint8_t *key; /* BLOB_KEY_LEN, copied; NULL: a file of the time before blobs were sealed */
};

/* Opens for reading; `done` may be followed by reads. */
_must_check_ int blob_get_new(struct blob_get **ret, struct blob_store *store,
                              const struct blob_source *source, blob_open_fn done, void *arg);
/*
 * The next piece from `offset`; one read at a time, after the open was answered. Only the frames that it lies in are
 * read and opened.
 */
void blob_get_read(struct blob_get *get, uint64_t offset, size_t max, blob_data_fn done, void *arg);
/* Takes get; a callback that is due is not made. Accepts NULL, returns NULL. */
struct blob_get *blob_get_close(struct blob_get *get);

/* BLOB_E_NOT_FOUND when there is none; done may be NULL. Returns 0 when done will be called. */
_must_check_ int blob_delete(struct blob_store *store, const char *tenant, const char *id, blob_done_fn done,
                             void *arg);
_must_check_ int blob_delete_at(struct blob_store *store, const struct blob_place *place, blob_done_fn done,
                                void *arg);

/* rc 0, BLOB_E_END with the last page, or -errno; a page may be empty. Borrows until return. */
typedef void (*blob_walk_fn)(void *arg, int rc, const struct blob_place *places, unsigned n);
/* Of all tenants, what was written before the store was opened, in no order. */
_must_check_ int blob_walk_new(struct blob_walk **ret, struct blob_store *store);
/* One page at a time. */
void blob_walk_next(struct blob_walk *walk, blob_walk_fn done, void *arg);
/* Takes walk; a callback that is due is not made. Accepts NULL, returns NULL. */
struct blob_walk *blob_walk_close(struct blob_walk *walk);
