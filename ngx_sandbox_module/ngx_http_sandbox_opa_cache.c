#include "ngx_http_sandbox_opa_cache.h"
#include "ngx_http_sandbox_opa.h"

#include "ngx_sandbox_elapsed.h"


#define OPA_CACHE_EVICTIONS  8 /* per addition: bounds the time under the lock */


/* Most answers have no violation, so those it has come last and take what they take. */
typedef struct {
    ngx_str_node_t node; /* str: `key` */
    ngx_queue_t queue;
    u_char key[SBX_SHA256_LEN];
    ngx_msec_t made;
    struct sbx_limits limits;
    uint8_t allowed;
    uint8_t n_violations;
    struct sbx_violation violation[1];
} ngx_http_sandbox_opa_entry_t;


typedef struct {
    ngx_rbtree_t rbtree;
    ngx_rbtree_node_t sentinel;
    ngx_queue_t queue; /* used last comes first */
} ngx_http_sandbox_opa_shared_t;


typedef struct {
    ngx_http_sandbox_opa_shared_t *shared;
    ngx_slab_pool_t *shpool;
} ngx_http_sandbox_opa_cache_t;


static ngx_int_t
ngx_http_sandbox_opa_cache_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_sandbox_opa_cache_t *cache = zone->data;
    ngx_http_sandbox_opa_cache_t *old = data;
    size_t len;

    if (old != NULL) {
        *cache = *old;
        return NGX_OK;
    }

    cache->shpool = (ngx_slab_pool_t *) zone->shm.addr;
    if (zone->shm.exists) {
        cache->shared = cache->shpool->data;
        return NGX_OK;
    }

    cache->shared = ngx_slab_alloc(cache->shpool, sizeof(ngx_http_sandbox_opa_shared_t));
    if (cache->shared == NULL) {
        return NGX_ERROR;
    }
    cache->shpool->data = cache->shared;
    ngx_rbtree_init(&cache->shared->rbtree, &cache->shared->sentinel, ngx_str_rbtree_insert_value);
    ngx_queue_init(&cache->shared->queue);

    len = sizeof(" in sandbox_policy_opa zone \"\"") + zone->shm.name.len;
    cache->shpool->log_ctx = ngx_slab_alloc(cache->shpool, len);
    if (cache->shpool->log_ctx == NULL) {
        return NGX_ERROR;
    }
    ngx_sprintf(cache->shpool->log_ctx, " in sandbox_policy_opa zone \"%V\"%Z", &zone->shm.name);
    /* A full zone is its ordinary state: it evicts. */
    cache->shpool->log_nomem = 0;
    return NGX_OK;
}


ngx_shm_zone_t *
ngx_http_sandbox_opa_cache_zone(ngx_conf_t *cf, ngx_str_t *name, size_t size)
{
    ngx_shm_zone_t *zone;

    zone = ngx_shared_memory_add(cf, name, size, &ngx_http_sandbox_opa_module);
    if (zone == NULL || zone->data != NULL) {
        return zone;
    }
    zone->data = ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_opa_cache_t));
    if (zone->data == NULL) {
        return NULL;
    }
    zone->init = ngx_http_sandbox_opa_cache_init_zone;
    return zone;
}


/* The first bytes of a digest are as good a hash as any. */
static ngx_http_sandbox_opa_entry_t *
ngx_http_sandbox_opa_cache_look_up(ngx_http_sandbox_opa_cache_t *cache, const u_char *key)
{
    ngx_str_t name;
    uint32_t hash;

    name.data = (u_char *) key;
    name.len = SBX_SHA256_LEN;
    ngx_memcpy(&hash, key, sizeof(hash));
    /* ngx_str_node_t is the entry's first member */
    return (ngx_http_sandbox_opa_entry_t *) ngx_str_rbtree_lookup(&cache->shared->rbtree, &name, hash);
}


static void
ngx_http_sandbox_opa_cache_remove(ngx_http_sandbox_opa_cache_t *cache, ngx_http_sandbox_opa_entry_t *entry)
{
    ngx_queue_remove(&entry->queue);
    ngx_rbtree_delete(&cache->shared->rbtree, &entry->node.node);
    ngx_slab_free_locked(cache->shpool, entry);
}


ngx_int_t
ngx_http_sandbox_opa_cache_find(ngx_shm_zone_t *zone, const u_char key[SBX_SHA256_LEN], ngx_msec_t ttl,
    struct sbx_opa_answer *ret)
{
    ngx_http_sandbox_opa_cache_t *cache = zone->data;
    ngx_http_sandbox_opa_entry_t *entry;
    ngx_int_t rc = NGX_DECLINED;

    ngx_shmtx_lock(&cache->shpool->mutex);
    entry = ngx_http_sandbox_opa_cache_look_up(cache, key);
    if (entry != NULL && ngx_sandbox_elapsed(ngx_current_msec, entry->made) < ttl) {
        ngx_queue_remove(&entry->queue);
        ngx_queue_insert_head(&cache->shared->queue, &entry->queue);
        ret->allowed = entry->allowed;
        ret->n_violations = entry->n_violations;
        ret->limits = entry->limits;
        ngx_memcpy(ret->violation, entry->violation, entry->n_violations * sizeof(struct sbx_violation));
        rc = NGX_OK;
    }
    ngx_shmtx_unlock(&cache->shpool->mutex);
    return rc;
}


static ngx_http_sandbox_opa_entry_t *
ngx_http_sandbox_opa_cache_alloc(ngx_http_sandbox_opa_cache_t *cache, size_t size)
{
    ngx_http_sandbox_opa_entry_t *entry;
    ngx_queue_t *last;
    ngx_uint_t n;

    entry = ngx_slab_alloc_locked(cache->shpool, size);
    for (n = 0; entry == NULL && n < OPA_CACHE_EVICTIONS && !ngx_queue_empty(&cache->shared->queue); n++) {
        last = ngx_queue_last(&cache->shared->queue);
        ngx_http_sandbox_opa_cache_remove(cache, ngx_queue_data(last, ngx_http_sandbox_opa_entry_t, queue));
        entry = ngx_slab_alloc_locked(cache->shpool, size);
    }
    return entry;
}


void
ngx_http_sandbox_opa_cache_add(ngx_shm_zone_t *zone, const u_char key[SBX_SHA256_LEN],
    const struct sbx_opa_answer *answer)
{
    ngx_http_sandbox_opa_cache_t *cache = zone->data;
    ngx_http_sandbox_opa_entry_t *entry;
    uint32_t hash;

    ngx_shmtx_lock(&cache->shpool->mutex);
    /* The old answer of the same question: it has expired, or another worker asked meanwhile. */
    entry = ngx_http_sandbox_opa_cache_look_up(cache, key);
    if (entry != NULL) {
        ngx_http_sandbox_opa_cache_remove(cache, entry);
    }

    entry = ngx_http_sandbox_opa_cache_alloc(cache, offsetof(ngx_http_sandbox_opa_entry_t, violation)
                                                    + answer->n_violations * sizeof(struct sbx_violation));
    if (entry != NULL) {
        ngx_memcpy(entry->key, key, SBX_SHA256_LEN);
        ngx_memcpy(&hash, key, sizeof(hash));
        entry->node.str.data = entry->key;
        entry->node.str.len = SBX_SHA256_LEN;
        entry->node.node.key = hash;
        entry->made = ngx_current_msec;
        entry->allowed = answer->allowed;
        entry->n_violations = answer->n_violations;
        entry->limits = answer->limits;
        ngx_memcpy(entry->violation, answer->violation, answer->n_violations * sizeof(struct sbx_violation));
        ngx_rbtree_insert(&cache->shared->rbtree, &entry->node.node);
        ngx_queue_insert_head(&cache->shared->queue, &entry->queue);
    }
    ngx_shmtx_unlock(&cache->shpool->mutex);
}
