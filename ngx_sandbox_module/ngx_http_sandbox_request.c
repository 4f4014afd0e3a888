#include "ngx_http_sandbox_forward.h"
#include "ngx_http_sandbox_request.h"

#include "lib/sbx_crypto.h"
#include "lib/sbx_id.h"


static void ngx_http_sandbox_ctx_cleanup(void *data);
static ngx_int_t ngx_http_sandbox_ctx_name(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx);


/* An internal redirect clears r->ctx; the cleanup list keeps ours findable by its handler. */
ngx_http_sandbox_ctx_t *
ngx_http_sandbox_ctx_peek(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx;
    ngx_pool_cleanup_t *cln;

    r = r->main;
    ctx = ngx_http_get_module_ctx(r, ngx_http_sandbox_module);
    if (ctx != NULL) {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln != NULL; cln = cln->next) {
        if (cln->handler == ngx_http_sandbox_ctx_cleanup) {
            ngx_http_set_ctx(r, cln->data, ngx_http_sandbox_module);
            return cln->data;
        }
    }
    return NULL;
}


ngx_http_sandbox_ctx_t *
ngx_http_sandbox_ctx(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx;
    ngx_pool_cleanup_t *cln;

    ctx = ngx_http_sandbox_ctx_peek(r);
    if (ctx != NULL) {
        return ctx;
    }

    r = r->main;
    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_sandbox_ctx_t));
    if (cln == NULL) {
        return NULL;
    }
    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_sandbox_ctx_t));
    ctx->auth_cache = "";
    if (ngx_http_sandbox_ctx_name(r, ctx) != NGX_OK) {
        return NULL;
    }
    cln->handler = ngx_http_sandbox_ctx_cleanup;
    ngx_http_set_ctx(r, ctx, ngx_http_sandbox_module);
    return ctx;
}


static void
ngx_http_sandbox_ctx_cleanup(void *data)
{
    ngx_http_sandbox_forward_forget(data);
}


ngx_table_elt_t *
ngx_http_sandbox_header_in(ngx_http_request_t *r, ngx_str_t *lowcase_name, ngx_uint_t *ret_n)
{
    ngx_table_elt_t *h, *found = NULL;
    ngx_list_part_t *part;
    ngx_uint_t i;

    *ret_n = 0;
    for (part = &r->headers_in.headers.part; part != NULL; part = part->next) {
        h = part->elts;
        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == lowcase_name->len
                && ngx_strncasecmp(h[i].key.data, lowcase_name->data, lowcase_name->len) == 0)
            {
                found = found == NULL ? &h[i] : found;
                (*ret_n)++;
            }
        }
    }
    return found;
}


/*
 * Random bytes for ids, which are no capabilities: a system call for many requests, not three for each. A worker gets its
 * own after it was forked, so no two give out the same.
 */
static const u_char *
ngx_http_sandbox_ctx_random(size_t len)
{
    static u_char pool[4096];
    static size_t left;
    static ngx_pid_t owner;

    if (left < len || owner != ngx_pid) {
        if (sbx_random(pool, sizeof(pool)) != 0) {
            return NULL;
        }
        left = sizeof(pool);
        owner = ngx_pid;
    }
    left -= len;
    return pool + left;
}


/* Names the request: the client's own id when it is one and said once, else a new one. */
static ngx_int_t
ngx_http_sandbox_ctx_name(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx)
{
    static ngx_str_t id_name = ngx_string("x-request-id");
    static ngx_str_t trace_name = ngx_string("traceparent");
    struct sbx_id id;
    ngx_table_elt_t *h;
    const u_char *random;
    ngx_uint_t n;

    random = ngx_http_sandbox_ctx_random(SBX_ID_RANDOM + SBX_TRACE_RANDOM);
    if (random == NULL) {
        return NGX_ERROR;
    }

    h = ngx_http_sandbox_header_in(r, &id_name, &n);
    if (n == 1 && sbx_name_valid((const char *) h->value.data, h->value.len)) {
        ngx_memcpy(ctx->context.request_id, h->value.data, h->value.len);
    } else {
        if (sbx_id_from(&id, "req", random) != 0) {
            return NGX_ERROR;
        }
        ngx_memcpy(ctx->context.request_id, id.text, sizeof(id.text));
    }

    h = ngx_http_sandbox_header_in(r, &trace_name, &n);
    sbx_traceparent_from(ctx->context.traceparent, n == 1 ? (const char *) h->value.data : NULL,
                         n == 1 ? h->value.len : 0, random + SBX_ID_RANDOM);
    return NGX_OK;
}


ngx_int_t
ngx_http_sandbox_ctx_trace(ngx_http_sandbox_ctx_t *ctx, const char *parent, size_t len)
{
    const u_char *random = ngx_http_sandbox_ctx_random(SBX_TRACE_RANDOM);

    if (random == NULL) {
        return NGX_ERROR;
    }
    sbx_traceparent_from(ctx->context.traceparent, parent, len, random);
    return NGX_OK;
}


static ngx_flag_t
ngx_http_sandbox_header_is_ours(ngx_str_t *name)
{
    static ngx_str_t prefixes[] = {
        ngx_string("sandbox-"),
        ngx_string("x-sandbox-"),
        ngx_string("x-tenant"),
        ngx_string("x-session-token"),
        ngx_null_string
    };
    ngx_str_t *p;

    /* Each begins with one of these. */
    if (name->len == 0 || (ngx_tolower(name->data[0]) != 's' && ngx_tolower(name->data[0]) != 'x')) {
        return 0;
    }
    for (p = prefixes; p->len != 0; p++) {
        if (name->len >= p->len && ngx_strncasecmp(name->data, p->data, p->len) == 0) {
            return 1;
        }
    }
    return 0;
}


/*
 * nginx keeps pointers to the elements of this list (r->headers_in.host ...), so none may
 * move: a part is split around the element that goes. Only the first part may be empty:
 * whoever walks along a list as nginx does looks at the first element of each further one.
 */
static ngx_int_t
ngx_http_sandbox_list_remove(ngx_http_request_t *r, ngx_list_part_t *part, ngx_uint_t i)
{
    ngx_list_t *list = &r->headers_in.headers;
    ngx_table_elt_t *h = part->elts;
    ngx_list_part_t *rest;

    if (i + 1 == part->nelts) {
        part->nelts--;
        return NGX_OK;
    }
    if (i == 0) {
        part->elts = &h[1];
        part->nelts--;
        list->nalloc -= list->last == part;
        return NGX_OK;
    }

    rest = ngx_palloc(r->pool, sizeof(ngx_list_part_t));
    if (rest == NULL) {
        return NGX_ERROR;
    }
    rest->elts = &h[i + 1];
    rest->nelts = part->nelts - i - 1;
    rest->next = part->next;
    part->nelts = i;
    part->next = rest;
    if (list->last == part) {
        list->last = rest;
        list->nalloc -= i + 1;
    }
    return NGX_OK;
}


/* Takes an empty part out; what room it has is the one before's when that is empty too, else nobody's. */
static void
ngx_http_sandbox_list_unlink(ngx_list_t *list, ngx_list_part_t *prev, ngx_list_part_t *part)
{
    prev->next = part->next;
    if (list->last != part) {
        return;
    }
    list->last = prev;
    if (prev->nelts == 0) {
        prev->elts = part->elts;
    } else {
        list->nalloc = prev->nelts;
    }
}


ngx_int_t
ngx_http_sandbox_strip_headers(ngx_http_request_t *r)
{
    ngx_list_t *list = &r->headers_in.headers;
    ngx_list_part_t *part, *prev = NULL;
    ngx_table_elt_t *h;
    ngx_uint_t i;

    for (part = &list->part; part != NULL; part = part->next) {
        i = 0;
        while (i < part->nelts) {
            h = part->elts;
            if (!ngx_http_sandbox_header_is_ours(&h[i].key)) {
                i++;
                continue;
            }
            ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "sandbox: dropped a header only we may send");
            if (ngx_http_sandbox_list_remove(r, part, i) != NGX_OK) {
                return NGX_ERROR;
            }
        }
        if (part->nelts == 0 && prev != NULL) {
            ngx_http_sandbox_list_unlink(list, prev, part);
        } else {
            prev = part;
        }
    }
    return NGX_OK;
}


static ngx_flag_t
ngx_http_sandbox_host_char(u_char c, ngx_flag_t literal)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
           || c == '.' || (literal ? c == ':' : c == '-' || c == '_');
}


/*
 * host [ ":" port ] with nothing else in it: no user part, no path, no second name.
 * *ret_port is 0 when there is none.
 */
static ngx_int_t
ngx_http_sandbox_parse_authority(ngx_str_t *value, size_t *ret_host_len, ngx_int_t *ret_port)
{
    u_char *p = value->data, *last = value->data + value->len;
    ngx_flag_t literal = p < last && *p == '[';

    for (p += literal; p < last && ngx_http_sandbox_host_char(*p, literal); p++) { /* void */ }
    if (literal) {
        if (p == last || *p != ']') {
            return NGX_ERROR;
        }
        p++;
    }
    *ret_host_len = p - value->data;
    if (*ret_host_len <= 2 * (size_t) literal) {
        return NGX_ERROR;
    }

    *ret_port = 0;
    if (p == last) {
        return NGX_OK;
    }
    if (*p != ':' || last - p > 6) {
        return NGX_ERROR;
    }
    *ret_port = ngx_atoi(p + 1, last - p - 1);
    return *ret_port < 1 || *ret_port > 65535 ? NGX_ERROR : NGX_OK;
}


static ngx_flag_t
ngx_http_sandbox_port_is_ours(ngx_http_request_t *r, ngx_int_t port, ngx_array_t *ports)
{
    ngx_uint_t *allowed, i;

    if (port == 0) {
        return 1;
    }
    if (ngx_connection_local_sockaddr(r->connection, NULL, 0) == NGX_OK
        && r->connection->local_sockaddr->sa_family != AF_UNIX
        && ngx_inet_get_port(r->connection->local_sockaddr) == (in_port_t) port)
    {
        return 1;
    }
    if (ports != NULL) {
        allowed = ports->elts;
        for (i = 0; i < ports->nelts; i++) {
            if (allowed[i] == (ngx_uint_t) port) {
                return 1;
            }
        }
    }
    return 0;
}


/* An absolute-form target must name the same authority as Host: another party may believe either. */
static ngx_flag_t
ngx_http_sandbox_target_agrees(ngx_http_request_t *r, ngx_str_t *host)
{
    u_char *end;
    size_t len;

    if (r->host_start == NULL || r->host_end == NULL || r->http_version >= NGX_HTTP_VERSION_20) {
        return 1;
    }
    end = r->port_end > r->host_end ? r->port_end : r->host_end;
    len = end - r->host_start;
    return len == host->len && ngx_strncasecmp(r->host_start, host->data, len) == 0;
}


const struct sbx_problem *
ngx_http_sandbox_check_form(ngx_http_request_t *r, ngx_array_t *ports, const char **ret_why)
{
    static const struct sbx_problem old_http = {
        .code = SBX_PROBLEM_BAD_REQUEST, .detail = "HTTP/1.0 or later is required."
    };
    static const struct sbx_problem bad_method = { .code = SBX_PROBLEM_METHOD_NOT_ALLOWED };
    static const struct sbx_problem bad_host = {
        .code = SBX_PROBLEM_BAD_REQUEST, .detail = "The Host is malformed or not one of ours."
    };
    static const ngx_uint_t methods = NGX_HTTP_GET | NGX_HTTP_HEAD | NGX_HTTP_POST | NGX_HTTP_PUT
                                      | NGX_HTTP_PATCH | NGX_HTTP_DELETE | NGX_HTTP_OPTIONS;
    ngx_str_t *host;
    ngx_int_t port;
    size_t len;

    if (r->http_version < NGX_HTTP_VERSION_10) {
        *ret_why = "form";
        return &old_http;
    }
    if ((r->method & methods) == 0) {
        *ret_why = "method";
        return &bad_method;
    }
    if (r->headers_in.host == NULL) {
        return NULL;
    }
    host = &r->headers_in.host->value;
    if (ngx_http_sandbox_parse_authority(host, &len, &port) != NGX_OK
        || !ngx_http_sandbox_port_is_ours(r, port, ports) || !ngx_http_sandbox_target_agrees(r, host))
    {
        *ret_why = "host";
        return &bad_host;
    }
    return NULL;
}
