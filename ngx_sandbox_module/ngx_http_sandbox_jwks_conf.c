/* Owns what `jwks_url` says and the zone that holds a set's text. */
#include "ngx_http_sandbox_jwks_state.h"
#include "ngx_http_sandbox.h"


#define NGX_HTTP_SANDBOX_JWKS_ZONE_SIZE  (2 * NGX_HTTP_SANDBOX_JWKS_TEXT_MAX + 128ul * 1024)


/* The end of the word that `text` begins with, or NULL. */
static u_char *
ngx_http_sandbox_jwks_after(ngx_str_t *text, const char *prefix)
{
    size_t len = ngx_strlen(prefix);

    return text->len >= len && ngx_strncasecmp(text->data, (u_char *) prefix, len) == 0 ? text->data + len : NULL;
}


/* http:// to anywhere but this host itself: somebody in between can put keys of his own there. */
static ngx_flag_t
ngx_http_sandbox_jwks_is_exposed(ngx_str_t *url)
{
    u_char *host = ngx_http_sandbox_jwks_after(url, "http://"), *end, *last = url->data + url->len;
    in_addr_t addr;

    if (host == NULL || ngx_http_sandbox_jwks_after(url, "http://unix:") != NULL) {
        return 0;
    }
    for (end = host; end < last && *end != '/' && *end != '?' && *end != '#'; end++) { /* void */ }
    if (end - host >= 5 && ngx_strncmp(host, "[::1]", 5) == 0) {
        return end - host != 5 && host[5] != ':';
    }
    for (last = host; last < end && *last != ':'; last++) { /* void */ }
    if (last - host == 9 && ngx_strncasecmp(host, (u_char *) "localhost", 9) == 0) {
        return 0;
    }
    addr = ngx_inet_addr(host, last - host);
    return addr == INADDR_NONE || (ntohl(addr) >> 24) != 127;
}


static ngx_int_t
ngx_http_sandbox_jwks_time(ngx_conf_t *cf, ngx_http_sandbox_jwks_t *jwks, ngx_str_t *value)
{
    const struct {
        const char *name;
        ngx_msec_t *ret;
        ngx_int_t min, max;
    } times[] = {
        { "refresh=", &jwks->refresh, 1000, 86400000 },
        { "timeout=", &jwks->timeout, 100, 60000 },
        { "cooldown=", &jwks->cooldown, 1000, 3600000 },
        { "stale=", &jwks->stale, 1000, 2592000000 /* 30 days */ }
    };
    ngx_str_t text;
    ngx_int_t ms;
    size_t i;

    for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        text.data = ngx_http_sandbox_jwks_after(value, times[i].name);
        if (text.data != NULL) {
            text.len = value->data + value->len - text.data;
            ms = ngx_parse_time(&text, 0);
            if (ms == NGX_ERROR || ms < times[i].min || ms > times[i].max) {
                break;
            }
            *times[i].ret = (ngx_msec_t) ms;
            return NGX_OK;
        }
    }
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"", value);
    return NGX_ERROR;
}


static ngx_int_t
ngx_http_sandbox_jwks_parameters(ngx_conf_t *cf, ngx_http_sandbox_jwks_t *jwks)
{
    ngx_str_t *value = cf->args->elts, ca = ngx_null_string;
    ngx_flag_t is_insecure = 0;
    ngx_uint_t i;

    for (i = 2; i < cf->args->nelts; i++) {
        if (ngx_strcmp(value[i].data, "insecure") == 0) {
            is_insecure = 1;
        } else if (value[i].len > 3 && ngx_strncmp(value[i].data, "ca=", 3) == 0) {
            ca.data = value[i].data + 3;
            ca.len = value[i].len - 3;
        } else if (ngx_http_sandbox_jwks_time(cf, jwks, &value[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    if (ngx_http_sandbox_jwks_after(&value[1], "https://") == NULL
        && ngx_http_sandbox_jwks_after(&value[1], "http://") == NULL)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid URL \"%V\"", &value[1]);
        return NGX_ERROR;
    }
    if (!is_insecure && ngx_http_sandbox_jwks_is_exposed(&value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" is not protected: whoever is on the way makes tokens; use https, "
                           "or say \"insecure\"", &value[1]);
        return NGX_ERROR;
    }
    jwks->target = ngx_sandbox_fetch_target(cf, &value[1], ca.len == 0 ? NULL : &ca);
    return jwks->target == NULL ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_jwks_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_sandbox_jwks_t *jwks = zone->data, *old = data;
    ngx_http_sandbox_jwks_shared_t *shared;

    jwks->shpool = (ngx_slab_pool_t *) zone->shm.addr;
    if (old != NULL) {
        /* With a reload everything is asked again, as new times may be in force. */
        jwks->shared = old->shared;
        jwks->shared->next = ngx_current_msec;
        jwks->shared->early = ngx_current_msec;
        jwks->shared->failures = 0;
        return NGX_OK;
    }
    if (zone->shm.exists) {
        jwks->shared = jwks->shpool->data;
        return NGX_OK;
    }
    shared = ngx_slab_calloc(jwks->shpool, sizeof(ngx_http_sandbox_jwks_shared_t));
    if (shared == NULL) {
        return NGX_ERROR;
    }
    shared->text[0] = ngx_slab_alloc(jwks->shpool, NGX_HTTP_SANDBOX_JWKS_TEXT_MAX);
    shared->text[1] = ngx_slab_alloc(jwks->shpool, NGX_HTTP_SANDBOX_JWKS_TEXT_MAX);
    if (shared->text[0] == NULL || shared->text[1] == NULL) {
        return NGX_ERROR;
    }
    shared->next = ngx_current_msec;
    shared->early = ngx_current_msec;
    jwks->shpool->data = shared;
    jwks->shared = shared;
    return NGX_OK;
}


/* One of its own for each issuer and URL: a reload that adds one forgets none, and keys of one URL are never another's. */
static ngx_int_t
ngx_http_sandbox_jwks_zone(ngx_conf_t *cf, ngx_http_sandbox_jwks_t *jwks, ngx_str_t *url)
{
    u_char digest[SBX_SHA256_LEN];
    ngx_shm_zone_t *zone;
    ngx_str_t name, text;
    u_char *p;

    text.len = jwks->issuer.len + 1 + url->len;
    text.data = ngx_pnalloc(cf->pool, text.len);
    name.data = ngx_pnalloc(cf->pool, sizeof("sandbox_jwks_") + 2ul * SBX_SHA256_LEN);
    if (text.data == NULL || name.data == NULL) {
        return NGX_ERROR;
    }
    p = ngx_cpymem(text.data, jwks->issuer.data, jwks->issuer.len);
    *p++ = '\0';
    ngx_memcpy(p, url->data, url->len);
    if (sbx_sha256(text.data, text.len, digest) != 0) {
        return NGX_ERROR;
    }
    p = ngx_cpymem(name.data, "sandbox_jwks_", sizeof("sandbox_jwks_") - 1);
    name.len = ngx_hex_dump(p, digest, SBX_SHA256_LEN) - name.data;

    zone = ngx_shared_memory_add(cf, &name, NGX_HTTP_SANDBOX_JWKS_ZONE_SIZE, &ngx_http_sandbox_auth_module);
    if (zone == NULL) {
        return NGX_ERROR;
    }
    zone->init = ngx_http_sandbox_jwks_init_zone;
    zone->data = jwks;
    return NGX_OK;
}


static void
ngx_http_sandbox_jwks_cleanup(void *data)
{
    ngx_http_sandbox_jwks_t *jwks = data;

    jwks->keys = ngx_sandbox_keys_free(jwks->keys);
}


ngx_http_sandbox_jwks_t *
ngx_http_sandbox_jwks_new(ngx_conf_t *cf, ngx_str_t *issuer)
{
    ngx_str_t *value = cf->args->elts;
    ngx_http_sandbox_jwks_t *jwks;
    ngx_pool_cleanup_t *cln;

    jwks = ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_jwks_t));
    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (jwks == NULL || cln == NULL) {
        return NULL;
    }
    cln->handler = ngx_http_sandbox_jwks_cleanup;
    cln->data = jwks;
    jwks->issuer = *issuer;
    jwks->refresh = 300000;
    jwks->timeout = 5000;
    jwks->cooldown = 10000;
    jwks->stale = 86400000;
    if (ngx_http_sandbox_jwks_parameters(cf, jwks) != NGX_OK
        || ngx_http_sandbox_jwks_zone(cf, jwks, &value[1]) != NGX_OK)
    {
        return NULL;
    }
    return jwks;
}
