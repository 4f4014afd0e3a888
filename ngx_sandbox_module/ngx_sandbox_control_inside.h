/* Of the two files of the control zone alone: ngx_sandbox_control_zone.c has lock and lease, ngx_sandbox_control_table.c what is in it. */
#pragma once

#include "ngx_sandbox_control_zone.h"

#pragma GCC visibility push(hidden)

#define NGX_SANDBOX_CONTROL_LOST_BITS 65536u

struct ngx_sandbox_control_shared_s {
    ngx_atomic_t change;
    ngx_atomic_t changing; /* set while the tables do not hang together */
    ngx_atomic_t heard;
    ngx_atomic_t answered; /* ngx_current_msec */
    ngx_atomic_t revision;
    ngx_atomic_t failures;
    ngx_atomic_t full;
    ngx_atomic_t broken;
    struct {
        ngx_atomic_t id; /* 0: free */
        ngx_atomic_t pid;
        ngx_atomic_t beat;
    } lease;
    uint64_t leases; /* numbers of leases that were given */
    uint64_t epoch;
    char instance[NGX_SANDBOX_FEED_INSTANCE + 1];

    ngx_rbtree_t tenants;
    ngx_rbtree_node_t tenants_sentinel;
    ngx_rbtree_t revocations; /* by tenant and id */
    ngx_rbtree_node_t revocations_sentinel;
    ngx_rbtree_t marks;       /* by tenant, kind and value */
    ngx_rbtree_node_t marks_sentinel;
    ngx_atomic_t n_documents;
    ngx_atomic_t n_revocations;

    /* Tenants for whom there was no room, by hash: there may be no room to write them down. */
    ngx_atomic_t n_lost;
    uint64_t lost_stamp;
    u_char lost[NGX_SANDBOX_CONTROL_LOST_BITS / 8];

    u_char log_ctx[128];
};

/* A writer begins when it holds the lock, and ends before it gives it up. */
void ngx_sandbox_control_lock(ngx_sandbox_control_zone_t *zone);
void ngx_sandbox_control_unlock(ngx_sandbox_control_zone_t *zone);
void ngx_sandbox_control_begin(ngx_sandbox_control_zone_t *zone);
void ngx_sandbox_control_end(ngx_sandbox_control_zone_t *zone);
ngx_flag_t ngx_sandbox_control_holds(ngx_sandbox_control_zone_t *zone);

#pragma GCC visibility pop
