/* What the policy module tells the others. */
#pragma once

#include "ngx_http_sandbox.h"
#include "lib/sbx_policy_doc.h"

#pragma GCC visibility push(hidden)

/*
 * The policy of the request's tenant, app and agent, and of the template when it is not NULL: the operator's documents (the built-in
 * floor when there is no sandbox_policy_dir) and those of the API. *ret holds until the next call, whatever the request. NGX_OK; NGX_DECLINED: it is
 * not known here, refuse with ngx_http_sandbox_policy_refuse_unknown; NGX_ERROR. Where `sandbox_policy` is off the operator's documents do when
 * the API's are not known. Only after auth.
 */
ngx_int_t ngx_http_sandbox_policy(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx, const char *template_name,
    const struct sbx_policy_view **ret);

/* 503 policy_unknown, to be tried again soon: what a phase handler returns. */
ngx_int_t ngx_http_sandbox_policy_refuse_unknown(ngx_http_request_t *r);

/* True when some document sets a rate or a concurrency cap. Only after the configuration was read. */
ngx_flag_t ngx_http_sandbox_policy_has_rates(ngx_conf_t *cf);

#pragma GCC visibility pop
