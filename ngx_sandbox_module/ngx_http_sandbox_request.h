/* How a request must look before anything else is done with it. */
#pragma once

#include "ngx_http_sandbox.h"

#pragma GCC visibility push(hidden)

/*
 * Takes what only we may say out of the client's headers: Sandbox-*, X-Sandbox-*, X-Tenant*,
 * X-Session-Token. NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_http_sandbox_strip_headers(ngx_http_request_t *r);

/*
 * Checks what nginx lets pass: HTTP/0.9, methods we do not have, a Host that is no plain
 * authority of ours. Returns NULL when all is well, else the problem to answer with and
 * its slug in *ret_why. `ports` (ngx_uint_t, may be NULL) are public ports besides the
 * one the connection came in on.
 */
const struct sbx_problem *ngx_http_sandbox_check_form(ngx_http_request_t *r, ngx_array_t *ports,
    const char **ret_why);

#pragma GCC visibility pop
