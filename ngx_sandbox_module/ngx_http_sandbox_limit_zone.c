/* Owns the lock around the quota table and the workers' places in it. */

#include <signal.h>

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "ngx_http_sandbox_limit_zone.h"
#include "lib/sbx_crypto.h"

#define NGX_HTTP_SANDBOX_LIMIT_ZONE_MIN (256l * 1024)
#define NGX_HTTP_SANDBOX_LIMIT_BEAT_MS 5000

/* A cap that is reached looks for dead workers at most this often. */
#define NGX_HTTP_SANDBOX_LIMIT_REAP_MS 10

/*
 * The table may come back emptied: then a worker was killed inside the lock, and the
 * master released it (ngx_unlock_mutexes).
 */
static void
ngx_http_sandbox_limit_zone_lock(ngx_http_sandbox_limit_zone_t *zone)
{
    ngx_shmtx_lock(&zone->shpool->mutex);

    if (!ngx_sandbox_quota_enter(zone->table)) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "event=limit.reset a worker died while it held the limit zone");
    }
}

static void
ngx_http_sandbox_limit_zone_unlock(ngx_http_sandbox_limit_zone_t *zone)
{
    ngx_sandbox_quota_leave(zone->table);
    ngx_shmtx_unlock(&zone->shpool->mutex);
}

/*
 * EPERM means that the number went to another user's process: all our workers have
 * one uid. A dead worker is no zombie for long, its master waits for it.
 */
static bool
ngx_http_sandbox_limit_zone_alive(int32_t pid)
{
    return kill(pid, 0) == 0;
}

static void
ngx_http_sandbox_limit_zone_reap(ngx_http_sandbox_limit_zone_t *zone)
{
    unsigned n;

    zone->reaped = ngx_current_msec;
    n = ngx_sandbox_quota_reap(zone->table, ngx_http_sandbox_limit_zone_alive, ngx_current_msec);

    if (n != 0) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0, "event=limit.reap requests=%ud of dead workers given back", n);
    }
}

int
ngx_http_sandbox_limit_zone_admit(ngx_http_sandbox_limit_zone_t *zone, const struct ngx_sandbox_charge *charge,
    ngx_uint_t n, struct ngx_sandbox_lease *lease, struct ngx_sandbox_verdict *verdict)
{
    unsigned slot = (unsigned) ngx_process_slot;
    int rc;

    ngx_http_sandbox_limit_zone_lock(zone);

    rc = ngx_sandbox_quota_admit(zone->table, charge, (unsigned) n, slot, ngx_current_msec, lease, verdict);

    if ((rc == NGX_SANDBOX_QUOTA_E_CONCURRENCY || rc == NGX_SANDBOX_QUOTA_E_FULL)
        && ngx_current_msec - zone->reaped >= NGX_HTTP_SANDBOX_LIMIT_REAP_MS)
    {
        ngx_http_sandbox_limit_zone_reap(zone);
        rc = ngx_sandbox_quota_admit(zone->table, charge, (unsigned) n, slot, ngx_current_msec, lease, verdict);
    }

    ngx_http_sandbox_limit_zone_unlock(zone);

    return rc;
}

void
ngx_http_sandbox_limit_zone_release(ngx_http_sandbox_limit_zone_t *zone, struct ngx_sandbox_lease *lease)
{
    ngx_http_sandbox_limit_zone_lock(zone);
    ngx_sandbox_quota_release(zone->table, lease);
    ngx_http_sandbox_limit_zone_unlock(zone);
}

void
ngx_http_sandbox_limit_zone_usage(ngx_http_sandbox_limit_zone_t *zone, uint32_t *ret_entries, uint32_t *ret_leases)
{
    ngx_http_sandbox_limit_zone_lock(zone);
    ngx_sandbox_quota_usage(zone->table, ret_entries, ret_leases);
    ngx_http_sandbox_limit_zone_unlock(zone);
}

static void
ngx_http_sandbox_limit_zone_beat(ngx_event_t *ev)
{
    ngx_http_sandbox_limit_zone_t *zone = ev->data;

    ngx_http_sandbox_limit_zone_lock(zone);
    ngx_sandbox_quota_beat(zone->table, (unsigned) ngx_process_slot, ngx_pid, ngx_current_msec);
    ngx_http_sandbox_limit_zone_reap(zone);
    ngx_http_sandbox_limit_zone_unlock(zone);

    ngx_add_timer(ev, NGX_HTTP_SANDBOX_LIMIT_BEAT_MS);
}

void
ngx_http_sandbox_limit_zone_join(ngx_http_sandbox_limit_zone_t *zone, ngx_log_t *log)
{
    ngx_http_sandbox_limit_zone_lock(zone);
    (void) ngx_sandbox_quota_join(zone->table, (unsigned) ngx_process_slot, ngx_pid,
                                  ngx_current_msec); /* the number is nothing to act on */
    ngx_http_sandbox_limit_zone_reap(zone);
    ngx_http_sandbox_limit_zone_unlock(zone);

    zone->beat.handler = ngx_http_sandbox_limit_zone_beat;
    zone->beat.data = zone;
    zone->beat.log = log;
    /* Goes on while a leaving worker has requests, and does not keep it from leaving. */
    zone->beat.cancelable = 1;
    ngx_add_timer(&zone->beat, NGX_HTTP_SANDBOX_LIMIT_BEAT_MS);
}

/* A fast shutdown drops requests without destroying their pools. */
void
ngx_http_sandbox_limit_zone_quit(ngx_http_sandbox_limit_zone_t *zone)
{
    if (zone->beat.data == NULL) {
        return;
    }

    ngx_http_sandbox_limit_zone_lock(zone);
    (void) ngx_sandbox_quota_join(zone->table, (unsigned) ngx_process_slot, 0,
                                  ngx_current_msec); /* the number is nothing to act on */
    ngx_http_sandbox_limit_zone_unlock(zone);
}

static ngx_int_t
ngx_http_sandbox_limit_zone_fresh(ngx_http_sandbox_limit_zone_t *zone, ngx_shm_zone_t *shm_zone)
{
    ngx_slab_pool_t *shpool = zone->shpool;
    uint64_t seed;
    size_t size;
    void *memory;

    shpool->log_ctx = ngx_slab_alloc(shpool, sizeof(" in sandbox_limit_zone \"\"") + shm_zone->shm.name.len);
    if (shpool->log_ctx == NULL) {
        return NGX_ERROR;
    }
    ngx_sprintf(shpool->log_ctx, " in sandbox_limit_zone \"%V\"%Z", &shm_zone->shm.name);

    /* All that is left: the table has a layout of its own. */
    size = shpool->pfree << ngx_pagesize_shift;
    memory = ngx_slab_alloc(shpool, size);

    if (memory == NULL || sbx_random(&seed, sizeof(seed)) != 0) {
        return NGX_ERROR;
    }

    zone->table = ngx_sandbox_quota_init(memory, size, seed);
    if (zone->table == NULL) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0, "sandbox_limit_zone \"%V\" is too small",
                      &shm_zone->shm.name);
        return NGX_ERROR;
    }

    shpool->data = zone->table;

    return NGX_OK;
}

static ngx_int_t
ngx_http_sandbox_limit_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_sandbox_limit_zone_t *ozone = data;
    ngx_http_sandbox_limit_zone_t *zone = shm_zone->data;

    if (ozone != NULL) {
        zone->table = ozone->table;
        zone->shpool = ozone->shpool;
        return NGX_OK;
    }

    zone->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (shm_zone->shm.exists) {
        zone->table = zone->shpool->data;
        return NGX_OK;
    }

    return ngx_http_sandbox_limit_zone_fresh(zone, shm_zone);
}

ngx_shm_zone_t *
ngx_http_sandbox_limit_zone_add(ngx_conf_t *cf, ngx_str_t *value, void *tag)
{
    ngx_http_sandbox_limit_zone_t *zone;
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
    if (size == NGX_ERROR || size < NGX_HTTP_SANDBOX_LIMIT_ZONE_MIN) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid zone size \"%V\", at least 256k are needed", value);
        return NULL;
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_limit_zone_t));
    if (zone == NULL) {
        return NULL;
    }

    shm_zone = ngx_shared_memory_add(cf, &name, (size_t) size, tag);
    if (shm_zone == NULL) {
        return NULL;
    }

    if (shm_zone->data != NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "zone \"%V\" is used twice", &name);
        return NULL;
    }

    shm_zone->init = ngx_http_sandbox_limit_zone_init;
    shm_zone->data = zone;

    return shm_zone;
}
