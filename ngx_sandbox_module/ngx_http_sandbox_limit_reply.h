/* What the limit module remembers of a request, and what it tells the client. */
#pragma once

#include "ngx_http_sandbox.h"
#include "ngx_http_sandbox_limit_zone.h"

#pragma GCC visibility push(hidden)

/* What became of one request; ctx->limit. */
typedef struct {
    ngx_http_sandbox_limit_zone_t *zone;
    struct ngx_sandbox_lease lease;
    struct ngx_sandbox_verdict verdict;
    struct sbx_rate rate;  /* of the bucket that the verdict speaks of */
    uint32_t concurrency;
    const char *scope;
    ngx_flag_t refused;
    struct sbx_violation violation;
} ngx_http_sandbox_limit_t;

/* Sends the 429 for a NGX_SANDBOX_QUOTA_E_RATE or _E_CONCURRENCY; what a phase handler returns. */
ngx_int_t ngx_http_sandbox_limit_refuse(ngx_http_request_t *r, ngx_http_sandbox_limit_t *limit, int rc);

/* Adds the RateLimit fields of the bucket that the verdict speaks of. NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_sandbox_limit_add_headers(ngx_http_request_t *r, ngx_http_sandbox_limit_t *limit);

#pragma GCC visibility pop
