/* Owns the layout of the control zone and every change in it. */

#include "ngx_sandbox_control_inside.h"
#include "ngx_sandbox_elapsed.h"

#include <signal.h>

#define NGX_SANDBOX_CONTROL_ZONE_MIN (512l * 1024)

static void
ngx_sandbox_control_zone_clear(ngx_sandbox_control_shared_t *shared)
{
    ngx_rbtree_init(&shared->tenants, &shared->tenants_sentinel, ngx_str_rbtree_insert_value);
    ngx_rbtree_init(&shared->revocations, &shared->revocations_sentinel, ngx_str_rbtree_insert_value);
    ngx_rbtree_init(&shared->marks, &shared->marks_sentinel, ngx_str_rbtree_insert_value);
    ngx_memzero(shared->lost, sizeof(shared->lost));
    shared->n_lost = 0;
    shared->n_documents = 0;
    shared->n_revocations = 0;
    shared->revision = 0;
    shared->instance[0] = '\0';
    shared->heard = 0;
}

/* What lies in the slab is not to be trusted: all of it is given up. The first allocation of a slab lies where it lay before. */
static void
ngx_sandbox_control_zone_empty(ngx_sandbox_control_zone_t *zone)
{
    ngx_sandbox_control_shared_t *shared = zone->shared;
    u_char *log_ctx = shared->log_ctx;

    ngx_slab_init(zone->shpool);
    zone->shpool->log_ctx = log_ctx;
    zone->shpool->log_nomem = 0;

    if (ngx_slab_alloc_locked(zone->shpool, sizeof(ngx_sandbox_control_shared_t)) != shared) {
        /* Nothing can be put anywhere any more: everybody is refused until a restart. */
        shared->broken = 1;
    }

    ngx_sandbox_control_zone_clear(shared);
    shared->lease.id = 0;
}

/* The lock of one who changes something; emptied when the last such one was killed half-way. */
void
ngx_sandbox_control_lock(ngx_sandbox_control_zone_t *zone)
{
    ngx_sandbox_control_shared_t *shared = zone->shared;

    ngx_shmtx_lock(&zone->shpool->mutex);

    if (shared->changing) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "event=control.reset a worker died while it changed the control zone");
        ngx_sandbox_control_zone_empty(zone);
        shared->change++;
        ngx_memory_barrier();
        shared->changing = 0;
    }
}

void
ngx_sandbox_control_unlock(ngx_sandbox_control_zone_t *zone)
{
    ngx_shmtx_unlock(&zone->shpool->mutex);
}

void
ngx_sandbox_control_begin(ngx_sandbox_control_zone_t *zone)
{
    zone->shared->changing = 1;
    ngx_memory_barrier();
}

void
ngx_sandbox_control_end(ngx_sandbox_control_zone_t *zone)
{
    zone->shared->change++;
    ngx_memory_barrier();
    zone->shared->changing = 0;
}

uint64_t
ngx_sandbox_control_zone_change(ngx_sandbox_control_zone_t *zone)
{
    return zone->shared->change;
}

ngx_flag_t
ngx_sandbox_control_zone_heard(ngx_sandbox_control_zone_t *zone)
{
    return zone->shared->heard != 0 && !zone->shared->broken;
}

uint64_t
ngx_sandbox_control_zone_revision(ngx_sandbox_control_zone_t *zone)
{
    return zone->shared->revision;
}

ngx_flag_t
ngx_sandbox_control_holds(ngx_sandbox_control_zone_t *zone)
{
    return zone->lease != 0 && zone->shared->lease.id == zone->lease;
}

/* EPERM: the number went to another user's process; all our workers have one uid. A zombie is silent soon enough. */
static ngx_flag_t
ngx_sandbox_control_lease_free(ngx_sandbox_control_shared_t *shared)
{
    return shared->lease.id == 0
           || ngx_sandbox_elapsed(ngx_current_msec, shared->lease.beat) >= NGX_SANDBOX_CONTROL_STALE_MS
           || kill((pid_t) shared->lease.pid, 0) != 0;
}

ngx_flag_t
ngx_sandbox_control_zone_lease(ngx_sandbox_control_zone_t *zone)
{
    ngx_sandbox_control_shared_t *shared = zone->shared;
    ngx_flag_t holds;

    if (ngx_sandbox_control_holds(zone)) {
        shared->lease.beat = ngx_current_msec;
        return 1;
    }

    if (!ngx_sandbox_control_lease_free(shared)) {
        return 0;
    }

    ngx_sandbox_control_lock(zone);

    /* Whoever was faster has said so by now. */
    holds = ngx_sandbox_control_lease_free(shared);
    if (holds) {
        shared->lease.pid = ngx_pid;
        shared->lease.beat = ngx_current_msec;
        zone->lease = ++shared->leases;
        ngx_memory_barrier();
        shared->lease.id = zone->lease;
    }

    ngx_sandbox_control_unlock(zone);

    return holds;
}

void
ngx_sandbox_control_zone_yield(ngx_sandbox_control_zone_t *zone)
{
    ngx_sandbox_control_lock(zone);
    if (ngx_sandbox_control_holds(zone)) {
        zone->shared->lease.id = 0;
    }
    ngx_sandbox_control_unlock(zone);

    zone->lease = 0;
}

void
ngx_sandbox_control_zone_place(ngx_sandbox_control_zone_t *zone, uint64_t *ret_revision,
    char instance[NGX_SANDBOX_FEED_INSTANCE + 1])
{
    ngx_sandbox_control_lock(zone);
    *ret_revision = zone->shared->revision;
    ngx_memcpy(instance, zone->shared->instance, sizeof(zone->shared->instance));
    ngx_sandbox_control_unlock(zone);
}

void
ngx_sandbox_control_zone_answered(ngx_sandbox_control_zone_t *zone)
{
    zone->shared->answered = ngx_current_msec;
}

void
ngx_sandbox_control_zone_failed(ngx_sandbox_control_zone_t *zone)
{
    (void) ngx_atomic_fetch_add(&zone->shared->failures, 1); /* the old value is nothing to us */
}

ngx_flag_t
ngx_sandbox_control_zone_lacks(ngx_sandbox_control_zone_t *zone)
{
    return zone->shared->n_lost != 0;
}

void
ngx_sandbox_control_zone_usage(ngx_sandbox_control_zone_t *zone, ngx_sandbox_control_usage_t *ret)
{
    ngx_sandbox_control_shared_t *shared = zone->shared;

    ret->revision = shared->revision;
    ret->age_ms = ngx_sandbox_elapsed(ngx_current_msec, shared->answered);
    ret->documents = shared->n_documents;
    ret->revocations = shared->n_revocations;
    ret->failures = shared->failures;
    ret->full = shared->full;
}

static ngx_int_t
ngx_sandbox_control_zone_fresh(ngx_sandbox_control_zone_t *zone, ngx_shm_zone_t *shm_zone)
{
    ngx_slab_pool_t *shpool = zone->shpool;
    ngx_sandbox_control_shared_t *shared;

    shared = ngx_slab_calloc(shpool, sizeof(ngx_sandbox_control_shared_t));
    if (shared == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_snprintf(shared->log_ctx, sizeof(shared->log_ctx) - 1, " in sandbox_control zone \"%V\"",
                        &shm_zone->shm.name);
    shpool->log_ctx = shared->log_ctx;
    /* A full zone is told in words of our own. */
    shpool->log_nomem = 0;
    shpool->data = shared;

    ngx_sandbox_control_zone_clear(shared);
    shared->change = 1;
    shared->answered = ngx_current_msec;
    zone->shared = shared;

    return NGX_OK;
}

static ngx_int_t
ngx_sandbox_control_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_sandbox_control_zone_t *old = data;
    ngx_sandbox_control_zone_t *zone = shm_zone->data;

    if (old != NULL) {
        zone->shared = old->shared;
        zone->shpool = old->shpool;
        return NGX_OK;
    }

    zone->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (shm_zone->shm.exists) {
        zone->shared = zone->shpool->data;
        return NGX_OK;
    }

    return ngx_sandbox_control_zone_fresh(zone, shm_zone);
}

ngx_shm_zone_t *
ngx_sandbox_control_zone_add(ngx_conf_t *cf, ngx_str_t *value, void *tag)
{
    ngx_sandbox_control_zone_t *zone;
    ngx_shm_zone_t *shm_zone;
    ngx_str_t name, text;
    u_char *colon;
    ssize_t size;

    colon = ngx_strlchr(value->data, value->data + value->len, ':');
    if (colon == NULL || colon == value->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid zone \"%V\"", value);
        return NULL;
    }

    name.data = value->data;
    name.len = (size_t) (colon - value->data);
    text.data = colon + 1;
    text.len = value->len - name.len - 1;

    size = ngx_parse_size(&text);
    if (size == NGX_ERROR || size < NGX_SANDBOX_CONTROL_ZONE_MIN) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid zone size \"%V\", at least 512k are needed", value);
        return NULL;
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_sandbox_control_zone_t));
    if (zone == NULL) {
        return NULL;
    }
    zone->size = (size_t) size;

    shm_zone = ngx_shared_memory_add(cf, &name, (size_t) size, tag);
    if (shm_zone == NULL) {
        return NULL;
    }

    if (shm_zone->data != NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "zone \"%V\" is used twice", &name);
        return NULL;
    }

    shm_zone->init = ngx_sandbox_control_zone_init;
    shm_zone->data = zone;

    return shm_zone;
}
