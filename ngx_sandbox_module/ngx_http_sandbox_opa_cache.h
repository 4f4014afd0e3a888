/* Answers of the policy service in shared memory, by SHA-256 of where and what was asked. */
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>

#include "lib/sbx_crypto.h"
#include "lib/sbx_opa.h"

#pragma GCC visibility push(hidden)

/* Declares the zone, or finds the one of that name. NULL when it cannot be had (already logged). */
ngx_shm_zone_t *ngx_http_sandbox_opa_cache_zone(ngx_conf_t *cf, ngx_str_t *name, size_t size);

/* NGX_OK and a copy in *ret, of an answer that is not older than ttl (ms); else NGX_DECLINED. */
ngx_int_t ngx_http_sandbox_opa_cache_find(ngx_shm_zone_t *zone, const u_char key[SBX_SHA256_LEN], ngx_msec_t ttl,
    struct sbx_opa_answer *ret);

/* Keeps a copy, at the cost of the entries used least recently. What does not fit is not kept. */
void ngx_http_sandbox_opa_cache_add(ngx_shm_zone_t *zone, const u_char key[SBX_SHA256_LEN],
    const struct sbx_opa_answer *answer);

#pragma GCC visibility pop
