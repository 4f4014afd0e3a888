/*
 * The limit module's shared memory: who may touch the table when, and how it learns
 * that a worker is dead.
 */
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_sandbox_quota.h"

#pragma GCC visibility push(hidden)

typedef struct {
    struct ngx_sandbox_quota *table;
    ngx_slab_pool_t *shpool;
    ngx_event_t beat;
    ngx_msec_t reaped; /* when this worker last looked for dead ones */
} ngx_http_sandbox_limit_zone_t;

/* "name:size"; NULL after logging. */
ngx_shm_zone_t *ngx_http_sandbox_limit_zone_add(ngx_conf_t *cf, ngx_str_t *value, void *tag);

/* A worker begins and ends: takes its slot, keeps saying that it lives, gives its share back. */
void ngx_http_sandbox_limit_zone_join(ngx_http_sandbox_limit_zone_t *zone, ngx_log_t *log);
void ngx_http_sandbox_limit_zone_quit(ngx_http_sandbox_limit_zone_t *zone);

/* See ngx_sandbox_quota_admit. A cap that is reached is tried again without the dead workers' share. */
int ngx_http_sandbox_limit_zone_admit(ngx_http_sandbox_limit_zone_t *zone, const struct ngx_sandbox_charge *charge,
    ngx_uint_t n, struct ngx_sandbox_lease *lease, struct ngx_sandbox_verdict *verdict);
void ngx_http_sandbox_limit_zone_release(ngx_http_sandbox_limit_zone_t *zone, struct ngx_sandbox_lease *lease);

void ngx_http_sandbox_limit_zone_usage(ngx_http_sandbox_limit_zone_t *zone, uint32_t *ret_entries,
    uint32_t *ret_leases);

#pragma GCC visibility pop
