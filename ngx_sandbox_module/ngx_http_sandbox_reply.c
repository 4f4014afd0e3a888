#include "ngx_http_sandbox.h"


#define NGX_HTTP_SANDBOX_PROBLEM_MAX  (64ul * 1024)


ngx_int_t
ngx_http_sandbox_add_header(ngx_http_request_t *r, ngx_str_t *name, ngx_str_t *value)
{
    ngx_table_elt_t *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }
    h->hash = 1;
    h->key = *name;
    h->value = *value;
    return NGX_OK;
}


ngx_int_t
ngx_http_sandbox_send(ngx_http_request_t *r, ngx_uint_t status, ngx_str_t *content_type, ngx_str_t *body)
{
    static ngx_str_t cache_control = ngx_string("Cache-Control");
    static ngx_str_t no_store = ngx_string("no-store");
    ngx_chain_t out;
    ngx_int_t rc;
    ngx_buf_t *b;

    if (r->header_sent) {
        return NGX_ERROR;
    }
    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);
    r->headers_out.status = status;
    r->headers_out.status_line.len = 0;
    r->err_status = r->err_status ? status : 0;
    r->headers_out.content_length_n = body->len;
    r->headers_out.content_type = *content_type;
    r->headers_out.content_type_len = content_type->len;
    r->headers_out.content_type_lowcase = NULL;
    if (ngx_http_sandbox_add_header(r, &cache_control, &no_store) != NGX_OK) {
        return NGX_ERROR;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }
    b->pos = body->data;
    b->last = body->data + body->len;
    b->memory = body->len != 0;
    b->last_buf = r == r->main;
    b->last_in_chain = 1;
    out.buf = b;
    out.next = NULL;

    rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }
    return ngx_http_output_filter(r, &out);
}


/* RFC 9110: a 405 names what is allowed. This is for methods that no route has. */
static ngx_int_t
ngx_http_sandbox_allow(ngx_http_request_t *r)
{
    static ngx_str_t name = ngx_string("Allow");
    static ngx_str_t value = ngx_string("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    ngx_list_part_t *part;
    ngx_table_elt_t *h;
    ngx_uint_t i;

    for (part = &r->headers_out.headers.part; part != NULL; part = part->next) {
        h = part->elts;
        for (i = 0; i < part->nelts; i++) {
            if (h[i].hash != 0 && h[i].key.len == name.len
                && ngx_strncasecmp(h[i].key.data, name.data, name.len) == 0)
            {
                return NGX_OK;
            }
        }
    }
    return ngx_http_sandbox_add_header(r, &name, &value);
}


static ngx_int_t
ngx_http_sandbox_problem_headers(ngx_http_request_t *r, const struct sbx_problem *problem)
{
    static ngx_str_t retry_after = ngx_string("Retry-After");
    ngx_str_t value;

    if (sbx_problem_status(problem->code) == NGX_HTTP_NOT_ALLOWED && ngx_http_sandbox_allow(r) != NGX_OK) {
        return NGX_ERROR;
    }
    if (problem->retry_after_s == 0) {
        return NGX_OK;
    }
    value.data = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }
    value.len = ngx_sprintf(value.data, "%ud", problem->retry_after_s) - value.data;
    return ngx_http_sandbox_add_header(r, &retry_after, &value);
}


ngx_int_t
ngx_http_sandbox_send_problem(ngx_http_request_t *r, const struct sbx_problem *problem)
{
    static ngx_str_t content_type = ngx_string(SBX_PROBLEM_TYPE);
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(NGX_HTTP_SANDBOX_PROBLEM_MAX);
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx(r);
    struct sbx_problem full = *problem;
    ngx_str_t body;

    if (ctx == NULL) {
        return NGX_ERROR;
    }
    full.request_id = ctx->context.request_id;
    sbx_problem_write(&out, &full);
    if (out.failed || ngx_http_sandbox_problem_headers(r, problem) != NGX_OK) {
        return NGX_ERROR;
    }
    body.len = out.len;
    body.data = ngx_pnalloc(r->pool, out.len);
    if (body.data == NULL) {
        return NGX_ERROR;
    }
    ngx_memcpy(body.data, out.data, out.len);
    ctx->replied = ctx->replied || r == r->main;
    return ngx_http_sandbox_send(r, (ngx_uint_t) sbx_problem_status(problem->code), &content_type, &body);
}


ngx_int_t
ngx_http_sandbox_refuse(ngx_http_request_t *r, const char *why, const struct sbx_problem *problem)
{
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx(r);

    if (ctx != NULL && r == r->main) {
        ctx->denied = why;
    }
    ngx_http_finalize_request(r, ngx_http_sandbox_send_problem(r, problem));
    return NGX_DONE;
}


ngx_int_t
ngx_http_sandbox_problem(ngx_http_request_t *r, const char *why, enum sbx_problem_code code, const char *detail)
{
    struct sbx_problem problem = { .code = code, .detail = detail };

    return ngx_http_sandbox_refuse(r, why, &problem);
}
