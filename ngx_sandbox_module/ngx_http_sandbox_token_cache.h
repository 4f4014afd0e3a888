/*
 * Identities of tokens that were verified, in shared memory: by SHA-256 of the rules and
 * the token, so that an entry made under other keys or rules is never found again.
 */
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_sandbox_jwt.h"

#pragma GCC visibility push(hidden)

typedef struct ngx_http_sandbox_token_cache_s ngx_http_sandbox_token_cache_t;

/* Declares the zone, or finds the one of that name. NULL when it cannot be had (already logged). */
ngx_shm_zone_t *ngx_http_sandbox_token_cache_zone(ngx_conf_t *cf, ngx_str_t *name, size_t size);

/* NGX_OK and a copy in *ret, or NGX_DECLINED. The caller checks the dates. */
ngx_int_t ngx_http_sandbox_token_cache_find(ngx_shm_zone_t *zone, const u_char key[SBX_SHA256_LEN],
    struct ngx_sandbox_identity *ret);

/* Keeps a copy, at the cost of the entries used least recently. What does not fit is not kept. */
void ngx_http_sandbox_token_cache_add(ngx_shm_zone_t *zone, const u_char key[SBX_SHA256_LEN],
    const struct ngx_sandbox_identity *identity);

#pragma GCC visibility pop
