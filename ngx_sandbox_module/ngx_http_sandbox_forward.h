/* The header fields with which a request goes on to the executor. */
#pragma once

#include "ngx_http_sandbox.h"

#pragma GCC visibility push(hidden)

/*
 * Makes ctx->forward: the request's id, and behind it, each with its name on a line of its own, traceparent, the signed context, which is
 * copied and may be empty, and of the client's fields those that the executor may see; ctx->signed_context is that copy. NGX_OK or
 * NGX_ERROR.
 */
ngx_int_t ngx_http_sandbox_forward(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx, const ngx_str_t *signed_context);

/* A signed context is as good as its tenant for a minute: it does not stay in freed memory. */
void ngx_http_sandbox_forward_forget(ngx_http_sandbox_ctx_t *ctx);

#pragma GCC visibility pop
