/*
 * Owns what the executor sees of a request's header: one value for one line of the configuration. A proxy_set_header for each
 * field looks up and runs each of them, most for nothing. No value holds the end of a line: nginx refuses one of a client's
 * that does, in HTTP/1.x and in HTTP/2, and the others are ours.
 */
#include "ngx_http_sandbox_forward.h"


#define FIELD_SIZE(name, value)  (sizeof(CRLF ": ") - 1 + (name)->len + (value)->len)


/* Of the client, as they are written. */
static const ngx_str_t ngx_http_sandbox_forward_names[] = {
    ngx_string("Accept"),
    ngx_string("Content-Type"),
    ngx_string("Content-Range"),
    ngx_string("Idempotency-Key"),
    ngx_string("If-Match"),
    ngx_string("If-None-Match"),
    ngx_string("If-Range"),
    ngx_string("Last-Event-ID"),
    ngx_string("Range")
};

#define N_NAMES  (sizeof(ngx_http_sandbox_forward_names) / sizeof(ngx_str_t))


/* The first of each name in one walk; empty where there is none. */
static void
ngx_http_sandbox_forward_find(ngx_http_request_t *r, ngx_str_t ret[N_NAMES])
{
    ngx_list_part_t *part;
    ngx_table_elt_t *h;
    ngx_uint_t i, k;

    ngx_memzero(ret, N_NAMES * sizeof(ngx_str_t));
    for (part = &r->headers_in.headers.part; part != NULL; part = part->next) {
        h = part->elts;
        for (i = 0; i < part->nelts; i++) {
            for (k = 0; k < N_NAMES; k++) {
                if (h[i].key.len == ngx_http_sandbox_forward_names[k].len && ret[k].data == NULL
                    && ngx_strncasecmp(h[i].key.data, ngx_http_sandbox_forward_names[k].data, h[i].key.len) == 0)
                {
                    ret[k] = h[i].value;
                }
            }
        }
    }
}


static u_char *
ngx_http_sandbox_forward_put(u_char *p, const ngx_str_t *name, const ngx_str_t *value)
{
    *p++ = CR;
    *p++ = LF;
    p = ngx_cpymem(p, name->data, name->len);
    *p++ = ':';
    *p++ = ' ';
    return ngx_cpymem(p, value->data, value->len);
}


ngx_int_t
ngx_http_sandbox_forward(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx, const ngx_str_t *signed_context)
{
    static const ngx_str_t trace_name = ngx_string("traceparent");
    static const ngx_str_t context_name = ngx_string(SBX_CONTEXT_HEADER);
    ngx_str_t value[N_NAMES], id, trace, whole;
    ngx_uint_t k;
    u_char *p;

    id.data = (u_char *) ctx->context.request_id;
    id.len = ngx_strlen(id.data);
    trace.data = (u_char *) ctx->context.traceparent;
    trace.len = ngx_strlen(trace.data);
    ngx_http_sandbox_forward_find(r, value);

    whole.len = id.len + FIELD_SIZE(&trace_name, &trace) + FIELD_SIZE(&context_name, signed_context);
    for (k = 0; k < N_NAMES; k++) {
        whole.len += value[k].len == 0 ? 0 : FIELD_SIZE(&ngx_http_sandbox_forward_names[k], &value[k]);
    }
    whole.data = ngx_pnalloc(r->pool, whole.len);
    if (whole.data == NULL) {
        return NGX_ERROR;
    }

    ngx_http_sandbox_forward_forget(ctx);
    p = ngx_cpymem(whole.data, id.data, id.len);
    p = ngx_http_sandbox_forward_put(p, &trace_name, &trace);
    if (signed_context->len != 0) {
        p = ngx_http_sandbox_forward_put(p, &context_name, signed_context);
        ctx->signed_context.data = p - signed_context->len;
        ctx->signed_context.len = signed_context->len;
    }
    for (k = 0; k < N_NAMES; k++) {
        if (value[k].len != 0) {
            p = ngx_http_sandbox_forward_put(p, &ngx_http_sandbox_forward_names[k], &value[k]);
        }
    }
    whole.len = p - whole.data;
    ctx->forward = whole;
    return NGX_OK;
}


void
ngx_http_sandbox_forward_forget(ngx_http_sandbox_ctx_t *ctx)
{
    if (ctx->signed_context.len != 0) {
        ngx_explicit_memzero(ctx->signed_context.data, ctx->signed_context.len);
    }
    ctx->signed_context.len = 0;
    ctx->forward.len = 0;
}
