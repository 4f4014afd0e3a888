/* What the policy module tells the others. */
#pragma once

#include "ngx_http_sandbox.h"

#pragma GCC visibility push(hidden)

/*
 * The policy of the request's tenant, app and agent: the built-in floor when there is no
 * sandbox_policy_dir. Lives as long as the request; NULL when out of memory. Only after auth.
 */
const struct sbx_policy *ngx_http_sandbox_policy(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx);

/* True when some document sets a rate or a concurrency cap. Only after the configuration was read. */
ngx_flag_t ngx_http_sandbox_policy_has_rates(ngx_conf_t *cf);

#pragma GCC visibility pop
