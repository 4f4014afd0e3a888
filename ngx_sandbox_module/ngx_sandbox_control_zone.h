/*
 * The shared memory of what the executors told: documents and revocations by tenant, and which worker learns.
 *
 * Everything is changed inside the slab's lock, between marks: a worker that was killed between them leaves the zone to be emptied by the
 * next one that locks it. It then says that it heard nothing, and is learnt anew.
 */
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_sandbox_feed.h"

#pragma GCC visibility push(hidden)

/* Of a worker that died or stopped: what the next one takes over within, with its own beat. */
#define NGX_SANDBOX_CONTROL_BEAT_MS 100
#define NGX_SANDBOX_CONTROL_STALE_MS 200

typedef struct ngx_sandbox_control_shared_s ngx_sandbox_control_shared_t;

typedef struct {
    ngx_sandbox_control_shared_t *shared;
    ngx_slab_pool_t *shpool;
    size_t size;
    uint64_t lease; /* of this worker; 0: it never had it */
} ngx_sandbox_control_zone_t;

/* "name:size"; NULL after logging. The zone is kept over reloads that leave name and size. */
ngx_shm_zone_t *ngx_sandbox_control_zone_add(ngx_conf_t *cf, ngx_str_t *value, void *tag);

/*
 * Without a lock: goes up with all that changes, and with nothing else. What was copied at a number is valid as long as it is
 * the same.
 */
uint64_t ngx_sandbox_control_zone_change(ngx_sandbox_control_zone_t *zone);
ngx_flag_t ngx_sandbox_control_zone_heard(ngx_sandbox_control_zone_t *zone);
uint64_t ngx_sandbox_control_zone_revision(ngx_sandbox_control_zone_t *zone);

/* True when this worker is the one that learns: it takes the lease when nobody has it or who has it is dead or silent. */
ngx_flag_t ngx_sandbox_control_zone_lease(ngx_sandbox_control_zone_t *zone);
void ngx_sandbox_control_zone_yield(ngx_sandbox_control_zone_t *zone);

/* Where to go on: revision 0 and instance "" when the zone is empty. */
void ngx_sandbox_control_zone_place(ngx_sandbox_control_zone_t *zone, uint64_t *ret_revision,
    char instance[NGX_SANDBOX_FEED_INSTANCE + 1]);

/*
 * Takes an answer in. NGX_OK; NGX_DECLINED: the lease went to another worker meanwhile, or the zone was emptied, and nothing was done;
 * NGX_ABORT: there was no room for some of it: the tenants of that are refused until a whole set is put.
 */
ngx_int_t ngx_sandbox_control_zone_apply(ngx_sandbox_control_zone_t *zone, const struct ngx_sandbox_feed *feed);
/* The same for a whole set, the answers from revision 0 to the complete one: what is not in it is gone. */
ngx_int_t ngx_sandbox_control_zone_replace(ngx_sandbox_control_zone_t *zone, struct ngx_sandbox_feed *const *set,
    ngx_uint_t n);
/* An answer came, though nothing may have changed; an exchange failed. */
void ngx_sandbox_control_zone_answered(ngx_sandbox_control_zone_t *zone);
void ngx_sandbox_control_zone_failed(ngx_sandbox_control_zone_t *zone);
/* Some tenant is refused because there was no room. */
ngx_flag_t ngx_sandbox_control_zone_lacks(ngx_sandbox_control_zone_t *zone);

typedef struct {
    uint64_t revision, age_ms, documents, revocations, failures, full;
} ngx_sandbox_control_usage_t;

void ngx_sandbox_control_zone_usage(ngx_sandbox_control_zone_t *zone, ngx_sandbox_control_usage_t *ret);

/* A document as it lies in the zone, and in copies of it. */
typedef struct {
    ngx_queue_t queue; /* of its tenant; of no use in copies */
    uint64_t revision;
    uint64_t epoch;
    size_t size;       /* of all, a multiple of 16 */
    size_t doc;        /* offset of the compiled document; 0: it cannot be read here */
    uint32_t n_targets;
    char id[SBX_NAME_MAX + 1];
    struct ngx_sandbox_target target[];
} ngx_sandbox_control_document_t;

/* What a copy of a tenant was made of: the same stamp means the same documents. */
typedef struct {
    uint64_t tenant; /* 0: nothing is known of the tenant */
    uint64_t lost;
} ngx_sandbox_control_stamp_t;

typedef struct {
    ngx_sandbox_control_stamp_t stamp;
    uint64_t change;
    size_t size;             /* of the documents together */
    uint32_t n_documents;
    unsigned unknown:1;      /* a document cannot be read here, or had no room */
    unsigned lost:1;         /* something had no room: it may have been a revocation */
    unsigned revocations:1;  /* it has some */
} ngx_sandbox_control_tenant_t;

/* What there is of a tenant. With `out`, the documents one after the other as well when they fit in `room`. */
void ngx_sandbox_control_zone_copy(ngx_sandbox_control_zone_t *zone, ngx_str_t *tenant, ngx_sandbox_control_tenant_t *ret,
    u_char *out, size_t room);

/* True when a revocation of the tenant hits: of the kind and value, made after issued_s (0: whenever) and not over at now_s. */
ngx_flag_t ngx_sandbox_control_zone_revoked(ngx_sandbox_control_zone_t *zone, const char *tenant, const char *subject,
    const char *token_id, uint64_t issued_s, uint64_t now_s);

#pragma GCC visibility pop
