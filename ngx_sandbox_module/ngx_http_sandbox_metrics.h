/* What other modules report to the metrics besides what a request's ctx says. */
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#pragma GCC visibility push(hidden)

/* A denial record could not be written. */
void ngx_http_sandbox_metrics_denial_lost(ngx_http_request_t *r);

/* So many requests more (fewer: negative) only listen for changes. */
void ngx_http_sandbox_metrics_listeners(ngx_http_request_t *r, ngx_int_t change);

enum { NGX_HTTP_SANDBOX_OPA_ALLOWED, NGX_HTTP_SANDBOX_OPA_DENIED, NGX_HTTP_SANDBOX_OPA_FAILED, NGX_HTTP_SANDBOX_OPA_N };

/* The policy service was asked: what came of it, and how long that took. */
void ngx_http_sandbox_metrics_opa(ngx_http_request_t *r, ngx_uint_t result, ngx_msec_t ms);
/* It needed not be asked. */
void ngx_http_sandbox_metrics_opa_cached(ngx_http_request_t *r);

#pragma GCC visibility pop
