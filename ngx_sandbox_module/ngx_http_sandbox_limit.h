/* What the limit module tells the modules that count and record refusals. */
#pragma once

#include "ngx_http_sandbox.h"

#pragma GCC visibility push(hidden)

/* "tenant", "app", "agent", "route" or "tool" when a limit refused the request, else NULL. */
const char *ngx_http_sandbox_limit_scope(ngx_http_sandbox_ctx_t *ctx);

/* Rule, limit and observed value of that refusal, else NULL; lives as long as the request. */
const struct sbx_violation *ngx_http_sandbox_limit_violation(ngx_http_sandbox_ctx_t *ctx);

/* What the request holds of caps on concurrency goes back before its end: of one that waits and does nothing. */
void ngx_http_sandbox_limit_release(ngx_http_sandbox_ctx_t *ctx);

/* Entries in use and requests under a cap, in the zone; NGX_DECLINED when there is none. */
ngx_int_t ngx_http_sandbox_limit_usage(ngx_http_request_t *r, uint32_t *ret_entries, uint32_t *ret_leases);

/* True when `sandbox_limit_zone` was given; complete after the configuration was read. */
ngx_flag_t ngx_http_sandbox_limit_configured(ngx_conf_t *cf);

#pragma GCC visibility pop
