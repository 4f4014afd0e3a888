/* What the policy module and the metrics have to do with the operator's policy service. */
#pragma once

#include "ngx_http_sandbox.h"

#pragma GCC visibility push(hidden)

/*
 * To be called by the policy module once it has allowed a request by its body, before the body's JSON goes: writes down what
 * will be asked. NGX_OK, also where nobody is to be asked; NGX_ERROR when out of memory (then refuse with 500).
 */
ngx_int_t ngx_http_sandbox_opa_note(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx,
    const struct sbx_policy_input *input, const struct sbx_decision *decision);

extern ngx_module_t ngx_http_sandbox_opa_module;

#pragma GCC visibility pop
