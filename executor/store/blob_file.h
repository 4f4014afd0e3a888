/*
 * Blobs as files: <root>/<32 hex of SHA-256(tenant)>/<id>, written in <root>/tmp first. Names of tenants and
 * paths of jobs never become names of files. Everything is relative to descriptors and no link is followed.
 */
#pragma once

#include <time.h>
#include <uv.h>

#include "blob.h"

struct blob_store {
    uv_loop_t *loop;
    int root_fd, temp_fd, lock_fd;
    unsigned n_users;       /* puts, gets and deletes that live */
    uint64_t serial;        /* of temporary names */
    struct timespec opened; /* by the clock that stamps files */
    bool closing;
};

bool blob_id_valid(const char *id);
/* -EINVAL for an id that is none, or no tenant. */
_must_check_ int blob_place_init(struct blob_place *ret, const char *tenant, const char *id);
void blob_store_enter(struct blob_store *store);
/* The last user of a closing store frees it. */
void blob_store_leave(struct blob_store *store);
/*
 * The tenant's directory; made when missing and wanted. Returns a descriptor or -errno. For worker threads.
 */
_must_check_ int blob_dir_open(const struct blob_store *store, const struct blob_place *place);
_must_check_ int blob_dir_make(const struct blob_store *store, const struct blob_place *place);
