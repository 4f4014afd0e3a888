/* The body of a request that a module here reads whole. */
#pragma once

#include "ngx_http_sandbox.h"

#pragma GCC visibility push(hidden)

/* Whatever client_max_body_size says: parsing takes a multiple of this in memory. */
#define NGX_HTTP_SANDBOX_BODY_MAX  (64l * 1024 * 1024)

/* "application/json", with no parameter or charset=utf-8, and no coding of the content. */
ngx_flag_t ngx_http_sandbox_body_is_json(ngx_http_request_t *r);

/*
 * The whole body, after nginx read it, in one piece: where it lies when nginx has it so, else in *ret_copy (the caller
 * ngx_free()s it). NGX_OK; NGX_DECLINED: larger than the above; NGX_ERROR.
 */
ngx_int_t ngx_http_sandbox_body(ngx_http_request_t *r, ngx_str_t *ret, u_char **ret_copy);

#pragma GCC visibility pop
