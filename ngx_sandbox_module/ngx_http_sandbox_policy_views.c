#include "ngx_http_sandbox_policy_views.h"

#include "lib/sbx_hash.h"

/* Names cannot hold a slash; templates can hold nothing that would end one either. */
#define NGX_HTTP_SANDBOX_POLICY_KEY (4 * (SBX_NAME_MAX + 1) + 4)

#define N_WAYS 4
#define N_SETS (NGX_HTTP_SANDBOX_POLICY_VIEWS / N_WAYS)

struct ngx_http_sandbox_policy_slot_s {
    uint64_t hash;
    size_t key_len; /* 0: nothing in it */
    u_char key[NGX_HTTP_SANDBOX_POLICY_KEY];
    ngx_http_sandbox_control_pin_t pin;
    struct sbx_policy_view view;
};

static ngx_flag_t
ngx_http_sandbox_policy_slot_is(const ngx_http_sandbox_policy_slot_t *slot, uint64_t hash, const u_char *key,
    size_t len)
{
    return slot != NULL && slot->hash == hash && slot->key_len == len && ngx_memcmp(slot->key, key, len) == 0;
}

/*
 * The key's slot, or else the one that its set used longest ago, to be filled anew: a view is some KiB, and callers whose keys
 * fall together must not make theirs with each request. Used last comes first. NULL: out of memory.
 */
static ngx_http_sandbox_policy_slot_t *
ngx_http_sandbox_policy_slot(ngx_http_sandbox_policy_views_t *views, uint64_t hash, const u_char *key, size_t len)
{
    ngx_http_sandbox_policy_slot_t **set = &views->slot[hash % N_SETS * N_WAYS], *slot;
    ngx_uint_t way = 0;

    while (way < N_WAYS - 1 && !ngx_http_sandbox_policy_slot_is(set[way], hash, key, len)) {
        way++;
    }

    slot = set[way];
    if (slot == NULL) {
        /* As long as the worker. */
        slot = ngx_pcalloc(ngx_cycle->pool, sizeof(ngx_http_sandbox_policy_slot_t));
        if (slot == NULL) {
            return NULL;
        }
    }

    for (; way > 0; way--) {
        set[way] = set[way - 1];
    }
    set[0] = slot;

    return slot;
}

static void
ngx_http_sandbox_policy_slot_clear(ngx_http_sandbox_policy_slot_t *slot)
{
    slot->key_len = 0;
    ngx_http_sandbox_control_release(&slot->pin);
}

static u_char *
ngx_http_sandbox_policy_put_name(u_char *p, const char *name)
{
    size_t len = strnlen(name, SBX_NAME_MAX);

    p = ngx_cpymem(p, name, len);
    *p++ = '/';

    return p;
}

/* All names are shorter than the room for each. */
static size_t
ngx_http_sandbox_policy_put_key(u_char *key, const ngx_sandbox_policy_who_t *who, const char *template_name)
{
    u_char *p;

    p = ngx_http_sandbox_policy_put_name(key, who->tenant);
    p = ngx_http_sandbox_policy_put_name(p, who->app);
    p = ngx_http_sandbox_policy_put_name(p, who->agent);
    p = ngx_http_sandbox_policy_put_name(p, template_name == NULL ? "" : template_name);

    return (size_t) (p - key);
}

ngx_int_t
ngx_http_sandbox_policy_views_get(ngx_http_sandbox_policy_views_t *views, ngx_sandbox_policy_store_t *store,
    ngx_http_request_t *r, const ngx_sandbox_policy_who_t *who, const char *template_name,
    const struct sbx_policy_view **ret)
{
    const struct sbx_policy_view *files;
    ngx_http_sandbox_policy_slot_t *slot;
    u_char key[NGX_HTTP_SANDBOX_POLICY_KEY];
    ngx_int_t rc = NGX_AGAIN;
    uint64_t hash;
    size_t len;

    len = ngx_http_sandbox_policy_put_key(key, who, template_name);
    hash = sbx_hash(key, len);

    slot = ngx_http_sandbox_policy_slot(views, hash, key, len);
    if (slot == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_sandbox_policy_slot_is(slot, hash, key, len)) {
        rc = ngx_http_sandbox_control_check(r, who->tenant, &slot->pin);
    }

    if (rc == NGX_AGAIN) {
        ngx_http_sandbox_policy_slot_clear(slot);
        files = ngx_sandbox_policy_store_view(store, who, r->pool);
        if (files == NULL) {
            return NGX_ERROR;
        }
        slot->view = *files;
        rc = ngx_http_sandbox_control_acquire(r, who, template_name, &slot->view, &slot->pin);
        if (rc == NGX_OK) {
            ngx_memcpy(slot->key, key, len);
            slot->key_len = len;
            slot->hash = hash;
        }
    }

    if (rc != NGX_OK) {
        ngx_http_sandbox_policy_slot_clear(slot);
        return rc;
    }

    *ret = &slot->view;

    return NGX_OK;
}

void
ngx_http_sandbox_policy_views_drop(ngx_http_sandbox_policy_views_t *views)
{
    ngx_uint_t i;

    for (i = 0; i < NGX_HTTP_SANDBOX_POLICY_VIEWS; i++) {
        if (views->slot[i] != NULL) {
            ngx_http_sandbox_policy_slot_clear(views->slot[i]);
        }
    }
}
