/*
 * The table behind the limit module: token buckets and concurrency counts by exact
 * key, in one block of memory shared by the workers. Knows no nginx: the caller owns
 * the lock, the clock and the process ids.
 *
 * Everything is of fixed size and linked by index, for two reasons. The block can be
 * rebuilt in place when a worker was killed half-way through a change (see _enter),
 * and a hostile tenant can fill it but not fragment it.
 *
 * A running request that counts against a cap holds a lease, listed under its
 * worker's slot. The lease says which counts to give back, so a dead worker's share
 * returns as soon as somebody notices the death.
 */
#pragma once

#include "ngx_sandbox_bucket.h"

#pragma GCC visibility push(hidden)

enum {
    NGX_SANDBOX_QUOTA_E_RATE = 1,    /* a bucket is empty */
    NGX_SANDBOX_QUOTA_E_CONCURRENCY, /* a cap is reached */
    NGX_SANDBOX_QUOTA_E_FULL,        /* every entry or lease is in use by a running request */
};

#define NGX_SANDBOX_QUOTA_KEY 136    /* scope, tenant, '/', name */
#define NGX_SANDBOX_QUOTA_CHARGES 5  /* tenant, app, agent, route, tool */
#define NGX_SANDBOX_QUOTA_SLOTS 1024 /* nginx's NGX_MAX_PROCESSES */
#define NGX_SANDBOX_QUOTA_STALE_MS 60000u

struct ngx_sandbox_quota;

/* One of the things a request is counted against. */
struct ngx_sandbox_charge {
    char key[NGX_SANDBOX_QUOTA_KEY];
    uint8_t key_len;
    struct sbx_rate rate; /* per_second_milli 0: no bucket */
    uint32_t concurrency; /* 0: no cap */
};

/* What to tell the client. `charge` is the one that refused, or the tightest one with a bucket. */
struct ngx_sandbox_verdict {
    unsigned charge;
    bool has_bucket;
    uint64_t remaining;
    uint64_t wait_ms; /* until one more token is there */
    uint32_t held;    /* running requests under the cap, when the cap refused */
};

/* A handle that stays harmless when the lease was already given back. serial 0: none. */
struct ngx_sandbox_lease {
    uint32_t index;
    uint32_t serial;
};

typedef bool (*ngx_sandbox_alive_fn)(int32_t pid);

/* Lays the table out in `size` bytes at `memory`, aligned to 8; NULL when that is too little to be of use. */
struct ngx_sandbox_quota *ngx_sandbox_quota_init(void *memory, size_t size, uint64_t seed);

/*
 * Brackets of every use, inside the lock. _enter returns false when the last user died
 * between its own brackets: the table was then emptied (buckets full, counts zero, leases
 * void), because half a change cannot be told from a whole one.
 */
_must_check_ bool ngx_sandbox_quota_enter(struct ngx_sandbox_quota *table);
void ngx_sandbox_quota_leave(struct ngx_sandbox_quota *table);

/*
 * Charges all or nothing. 0: admitted, *lease to be given back when a cap was named;
 * else a NGX_SANDBOX_QUOTA_E_ and nothing was taken. `slot` has joined before.
 */
_must_check_ int ngx_sandbox_quota_admit(struct ngx_sandbox_quota *table,
                                         const struct ngx_sandbox_charge *charge, unsigned n_charges,
                                         unsigned slot, uint64_t now_ms, struct ngx_sandbox_lease *lease,
                                         struct ngx_sandbox_verdict *verdict);
void ngx_sandbox_quota_release(struct ngx_sandbox_quota *table, struct ngx_sandbox_lease *lease);

/* A worker takes its slot: what a dead predecessor held there is given back. Returns the number of leases. */
unsigned ngx_sandbox_quota_join(struct ngx_sandbox_quota *table, unsigned slot, int32_t pid, uint64_t now_ms);
/* Says that the worker lives; without it a slot goes stale after NGX_SANDBOX_QUOTA_STALE_MS. */
void ngx_sandbox_quota_beat(struct ngx_sandbox_quota *table, unsigned slot, int32_t pid, uint64_t now_ms);
/*
 * Gives back what dead or stale workers held; returns the number of leases. The stamp catches
 * the one case that `alive` cannot: a pid that some other process of ours got since.
 */
unsigned ngx_sandbox_quota_reap(struct ngx_sandbox_quota *table, ngx_sandbox_alive_fn alive, uint64_t now_ms);

/* Entries and leases in use, for the metrics. */
void ngx_sandbox_quota_usage(const struct ngx_sandbox_quota *table, uint32_t *ret_entries,
                             uint32_t *ret_leases);

#pragma GCC visibility pop
