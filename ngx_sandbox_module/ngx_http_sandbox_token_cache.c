#include "ngx_http_sandbox_token_cache.h"
#include "ngx_http_sandbox.h"


#define TOKEN_CACHE_EVICTIONS  8 /* per addition: bounds the time under the lock */

static const size_t token_cache_members[] = {
    offsetof(struct ngx_sandbox_identity, tenant),
    offsetof(struct ngx_sandbox_identity, app),
    offsetof(struct ngx_sandbox_identity, agent),
    offsetof(struct ngx_sandbox_identity, subject),
    offsetof(struct ngx_sandbox_identity, token_id),
    offsetof(struct ngx_sandbox_identity, scopes),
    offsetof(struct ngx_sandbox_identity, client)
};

/* Texts are stored one after the other, each with its NUL: most identities are far below their maximum. */
typedef struct {
    ngx_rbtree_node_t node; /* node.key: the first bytes of `key` */
    ngx_queue_t queue;
    u_char key[SBX_SHA256_LEN];
    uint64_t issued_s;
    uint64_t not_before_s;
    uint64_t expires_s;
    unsigned issuer;
    u_char text[1];
} ngx_http_sandbox_token_t;


typedef struct {
    ngx_rbtree_t rbtree;
    ngx_rbtree_node_t sentinel;
    ngx_queue_t queue; /* used last comes first */
} ngx_http_sandbox_token_shared_t;


struct ngx_http_sandbox_token_cache_s {
    ngx_http_sandbox_token_shared_t *shared;
    ngx_slab_pool_t *shpool;
};


static ngx_http_sandbox_token_t *
ngx_http_sandbox_token_of(ngx_rbtree_node_t *node)
{
    return (ngx_http_sandbox_token_t *) ((u_char *) node - offsetof(ngx_http_sandbox_token_t, node));
}


static ngx_rbtree_key_t
ngx_http_sandbox_token_hash(const u_char *key)
{
    ngx_rbtree_key_t hash;

    ngx_memcpy(&hash, key, sizeof(hash));
    return hash;
}


static int
ngx_http_sandbox_token_compare(ngx_rbtree_key_t hash, const u_char *key, ngx_rbtree_node_t *node)
{
    if (hash != node->key) {
        return hash < node->key ? -1 : 1;
    }
    return ngx_memcmp(key, ngx_http_sandbox_token_of(node)->key, SBX_SHA256_LEN);
}


static void
ngx_http_sandbox_token_insert_value(ngx_rbtree_node_t *temp, ngx_rbtree_node_t *node,
    ngx_rbtree_node_t *sentinel)
{
    ngx_http_sandbox_token_t *token = ngx_http_sandbox_token_of(node);
    ngx_rbtree_node_t **p;

    for ( ;; ) {
        p = ngx_http_sandbox_token_compare(node->key, token->key, temp) < 0 ? &temp->left : &temp->right;
        if (*p == sentinel) {
            break;
        }
        temp = *p;
    }
    *p = node;
    node->parent = temp;
    node->left = sentinel;
    node->right = sentinel;
    ngx_rbt_red(node);
}


static ngx_int_t
ngx_http_sandbox_token_cache_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_sandbox_token_cache_t *cache = zone->data;
    ngx_http_sandbox_token_cache_t *old = data;
    size_t len;

    if (old != NULL) {
        cache->shared = old->shared;
        cache->shpool = old->shpool;
        return NGX_OK;
    }

    cache->shpool = (ngx_slab_pool_t *) zone->shm.addr;
    if (zone->shm.exists) {
        cache->shared = cache->shpool->data;
        return NGX_OK;
    }

    cache->shared = ngx_slab_alloc(cache->shpool, sizeof(ngx_http_sandbox_token_shared_t));
    if (cache->shared == NULL) {
        return NGX_ERROR;
    }
    cache->shpool->data = cache->shared;
    ngx_rbtree_init(&cache->shared->rbtree, &cache->shared->sentinel, ngx_http_sandbox_token_insert_value);
    ngx_queue_init(&cache->shared->queue);

    len = sizeof(" in sandbox_auth_cache zone \"\"") + zone->shm.name.len;
    cache->shpool->log_ctx = ngx_slab_alloc(cache->shpool, len);
    if (cache->shpool->log_ctx == NULL) {
        return NGX_ERROR;
    }
    ngx_sprintf(cache->shpool->log_ctx, " in sandbox_auth_cache zone \"%V\"%Z", &zone->shm.name);
    /* A full zone is its ordinary state: it evicts. */
    cache->shpool->log_nomem = 0;
    return NGX_OK;
}


ngx_shm_zone_t *
ngx_http_sandbox_token_cache_zone(ngx_conf_t *cf, ngx_str_t *name, size_t size)
{
    ngx_http_sandbox_token_cache_t *cache;
    ngx_shm_zone_t *zone;

    zone = ngx_shared_memory_add(cf, name, size, &ngx_http_sandbox_auth_module);
    if (zone == NULL || zone->data != NULL) {
        return zone;
    }
    cache = ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_token_cache_t));
    if (cache == NULL) {
        return NULL;
    }
    zone->init = ngx_http_sandbox_token_cache_init_zone;
    zone->data = cache;
    return zone;
}


static ngx_http_sandbox_token_t *
ngx_http_sandbox_token_look_up(ngx_http_sandbox_token_shared_t *shared, const u_char *key)
{
    ngx_rbtree_key_t hash = ngx_http_sandbox_token_hash(key);
    ngx_rbtree_node_t *node = shared->rbtree.root;
    int order;

    while (node != &shared->sentinel) {
        order = ngx_http_sandbox_token_compare(hash, key, node);
        if (order == 0) {
            return ngx_http_sandbox_token_of(node);
        }
        node = order < 0 ? node->left : node->right;
    }
    return NULL;
}


ngx_int_t
ngx_http_sandbox_token_cache_find(ngx_shm_zone_t *zone, const u_char key[SBX_SHA256_LEN],
    struct ngx_sandbox_identity *ret)
{
    ngx_http_sandbox_token_cache_t *cache = zone->data;
    ngx_http_sandbox_token_t *token;
    u_char *text;
    size_t len, i;

    ngx_shmtx_lock(&cache->shpool->mutex);
    token = ngx_http_sandbox_token_look_up(cache->shared, key);
    if (token != NULL) {
        ngx_queue_remove(&token->queue);
        ngx_queue_insert_head(&cache->shared->queue, &token->queue);
        text = token->text;
        for (i = 0; i < SBX_COUNT(token_cache_members); i++) {
            len = ngx_strlen(text) + 1;
            ngx_memcpy((u_char *) ret + token_cache_members[i], text, len);
            text += len;
        }
        ret->issued_s = token->issued_s;
        ret->not_before_s = token->not_before_s;
        ret->expires_s = token->expires_s;
        ret->issuer = token->issuer;
    }
    ngx_shmtx_unlock(&cache->shpool->mutex);
    return token == NULL ? NGX_DECLINED : NGX_OK;
}


static void
ngx_http_sandbox_token_remove(ngx_http_sandbox_token_cache_t *cache, ngx_http_sandbox_token_t *token)
{
    ngx_queue_remove(&token->queue);
    ngx_rbtree_delete(&cache->shared->rbtree, &token->node);
    ngx_slab_free_locked(cache->shpool, token);
}


static ngx_http_sandbox_token_t *
ngx_http_sandbox_token_alloc(ngx_http_sandbox_token_cache_t *cache, size_t size)
{
    ngx_http_sandbox_token_t *token;
    ngx_queue_t *last;
    ngx_uint_t n;

    token = ngx_slab_alloc_locked(cache->shpool, size);
    for (n = 0; token == NULL && n < TOKEN_CACHE_EVICTIONS && !ngx_queue_empty(&cache->shared->queue); n++) {
        last = ngx_queue_last(&cache->shared->queue);
        ngx_http_sandbox_token_remove(cache, ngx_queue_data(last, ngx_http_sandbox_token_t, queue));
        token = ngx_slab_alloc_locked(cache->shpool, size);
    }
    return token;
}


void
ngx_http_sandbox_token_cache_add(ngx_shm_zone_t *zone, const u_char key[SBX_SHA256_LEN],
    const struct ngx_sandbox_identity *identity)
{
    ngx_http_sandbox_token_cache_t *cache = zone->data;
    ngx_http_sandbox_token_t *token;
    const u_char *text;
    size_t size = offsetof(ngx_http_sandbox_token_t, text), i;
    u_char *p;

    for (i = 0; i < SBX_COUNT(token_cache_members); i++) {
        size += ngx_strlen((const u_char *) identity + token_cache_members[i]) + 1;
    }

    ngx_shmtx_lock(&cache->shpool->mutex);
    /* Another worker may have verified the same token meanwhile. */
    token = ngx_http_sandbox_token_look_up(cache->shared, key);
    if (token == NULL) {
        token = ngx_http_sandbox_token_alloc(cache, size);
        if (token != NULL) {
            ngx_memcpy(token->key, key, SBX_SHA256_LEN);
            token->issued_s = identity->issued_s;
            token->not_before_s = identity->not_before_s;
            token->expires_s = identity->expires_s;
            token->issuer = identity->issuer;
            p = token->text;
            for (i = 0; i < SBX_COUNT(token_cache_members); i++) {
                text = (const u_char *) identity + token_cache_members[i];
                p = ngx_cpymem(p, text, ngx_strlen(text) + 1);
            }
            token->node.key = ngx_http_sandbox_token_hash(key);
            ngx_rbtree_insert(&cache->shared->rbtree, &token->node);
            ngx_queue_insert_head(&cache->shared->queue, &token->queue);
        }
    }
    ngx_shmtx_unlock(&cache->shpool->mutex);
}
