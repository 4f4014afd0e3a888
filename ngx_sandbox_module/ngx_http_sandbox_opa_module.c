/*
 * Asks the operator's policy service about what our own policy has allowed by its body: it may only narrow. The question goes
 * through nginx's upstreams, so that the operator says in `upstream { }` how many servers there are and which connections are
 * kept. What is no answer denies.
 *
 * The exchange is a background subrequest that passes no phase: its first event handler starts the upstream. The
 * whole answer is taken where an upstream looks for headers, so nothing of it ever meets a filter or the client.
 */
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_opa.h"
#include "ngx_http_sandbox_opa_cache.h"
#include "ngx_http_sandbox_route.h"

#include "lib/sbx_http_answer.h"


#define NGX_HTTP_SANDBOX_OPA_TIMEOUT_MAX  10000
#define NGX_HTTP_SANDBOX_OPA_TTL_MAX  3600000


typedef struct {
    ngx_http_upstream_conf_t upstream;
    ngx_str_t url; /* as it was said: part of the cache's keys */
    ngx_str_t authority;
    ngx_str_t uri;
    ngx_msec_t timeout;
    ngx_shm_zone_t *cache; /* NULL: none */
    ngx_msec_t ttl;
} ngx_http_sandbox_opa_service_t;


typedef struct {
    ngx_http_sandbox_opa_service_t *service; /* NULL: nobody is asked */
} ngx_http_sandbox_opa_loc_conf_t;


typedef struct {
    ngx_http_request_t *request; /* the client's */
    ngx_http_request_t *sub;
    ngx_http_sandbox_opa_service_t *service;
    ngx_str_t question;
    u_char key[SBX_SHA256_LEN];
    struct sbx_http_answer *reply;
    ngx_event_t timer; /* for the whole exchange: an upstream's own ones begin anew with each step */
    ngx_msec_t started;
    struct sbx_opa_answer answer;
    unsigned asked:1;
    unsigned whole:1;   /* the reply is */
    unsigned done:1;    /* nothing more will come */
    unsigned decided:1; /* `answer` holds */
    unsigned settled:1; /* and the request knows */
} ngx_http_sandbox_opa_t;


static ngx_int_t ngx_http_sandbox_opa_handler(ngx_http_request_t *r);
static void ngx_http_sandbox_opa_begin(ngx_http_request_t *sr);
static ngx_int_t ngx_http_sandbox_opa_on_end(ngx_http_request_t *sr, void *data, ngx_int_t rc);
static void ngx_http_sandbox_opa_on_timeout(ngx_event_t *ev);
static ngx_int_t ngx_http_sandbox_opa_create_request(ngx_http_request_t *sr);
static ngx_int_t ngx_http_sandbox_opa_reinit_request(ngx_http_request_t *sr);
static ngx_int_t ngx_http_sandbox_opa_process_header(ngx_http_request_t *sr);
static void ngx_http_sandbox_opa_abort_request(ngx_http_request_t *sr);
static void ngx_http_sandbox_opa_finalize_request(ngx_http_request_t *sr, ngx_int_t rc);
static void *ngx_http_sandbox_opa_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_sandbox_opa_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child);
static ngx_int_t ngx_http_sandbox_opa_init(ngx_conf_t *cf);
static char *ngx_http_sandbox_opa(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


static ngx_command_t ngx_http_sandbox_opa_commands[] = {

    { ngx_string("sandbox_policy_opa"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1234,
      ngx_http_sandbox_opa,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t ngx_http_sandbox_opa_module_ctx = {
    .postconfiguration = ngx_http_sandbox_opa_init,
    .create_loc_conf = ngx_http_sandbox_opa_create_loc_conf,
    .merge_loc_conf = ngx_http_sandbox_opa_merge_loc_conf,
};


ngx_module_t ngx_http_sandbox_opa_module = {
    NGX_MODULE_V1,
    &ngx_http_sandbox_opa_module_ctx,
    ngx_http_sandbox_opa_commands,
    NGX_HTTP_MODULE,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NGX_MODULE_V1_PADDING
};


/* A worker's last use of it: the client went away, or the request is over. */
static void
ngx_http_sandbox_opa_cleanup(void *data)
{
    ngx_http_sandbox_opa_t *opa = data;

    if (opa->timer.timer_set) {
        ngx_del_timer(&opa->timer);
    }
    opa->reply = sbx_http_answer_free(opa->reply);
}


static ngx_int_t
ngx_http_sandbox_opa_write(ngx_http_request_t *r, ngx_http_sandbox_opa_t *opa, ngx_http_sandbox_ctx_t *ctx,
    const struct sbx_policy_input *input, const struct sbx_decision *decision)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(SBX_OPA_QUESTION_MAX);
    ngx_str_t *route = ngx_http_sandbox_route(r), *url = &opa->service->url;
    struct sbx_opa_question question = {
        .context = &ctx->context, .route = (char *) route->data, .route_len = route->len,
        .input = input, .decision = decision
    };

    /* The address goes first, for the digest alone: two services share no answer. */
    sbx_buf_append(&text, url->data, url->len);
    sbx_buf_putc(&text, '\n');
    sbx_opa_question_write(&text, &question);
    if (text.failed || sbx_sha256(text.data, text.len, opa->key) != 0) {
        return NGX_ERROR;
    }

    opa->question.len = text.len - url->len - 1;
    opa->question.data = ngx_pnalloc(r->pool, opa->question.len);
    if (opa->question.data == NULL) {
        return NGX_ERROR;
    }
    ngx_memcpy(opa->question.data, text.data + url->len + 1, opa->question.len);
    return NGX_OK;
}


ngx_int_t
ngx_http_sandbox_opa_note(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx, const struct sbx_policy_input *input,
    const struct sbx_decision *decision)
{
    ngx_http_sandbox_opa_loc_conf_t *olcf = ngx_http_get_module_loc_conf(r, ngx_http_sandbox_opa_module);
    ngx_http_sandbox_opa_t *opa;
    ngx_pool_cleanup_t *cln;

    if (olcf->service == NULL) {
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_sandbox_opa_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }
    opa = cln->data;
    ngx_memzero(opa, sizeof(ngx_http_sandbox_opa_t));
    opa->request = r;
    opa->service = olcf->service;
    cln->handler = ngx_http_sandbox_opa_cleanup;

    if (ngx_http_sandbox_opa_write(r, opa, ctx, input, decision) != NGX_OK) {
        return NGX_ERROR;
    }
    ctx->opa = opa;
    return NGX_OK;
}


static ngx_int_t
ngx_http_sandbox_opa_deny(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx, ngx_http_sandbox_opa_t *opa)
{
    struct sbx_problem problem = { .code = SBX_PROBLEM_POLICY_VIOLATION };
    struct sbx_decision *decision;
    struct sbx_violation *first;
    const char *hint = "the operator's policy service does not allow this";
    ngx_uint_t i;

    ctx->policy = "deny";
    decision = ngx_pcalloc(r->pool, sizeof(struct sbx_decision));
    ctx->decision = decision;
    if (decision == NULL) {
        return ngx_http_sandbox_problem(r, "internal", SBX_PROBLEM_INTERNAL, NULL);
    }
    first = &decision->violation[0];
    problem.violation = first;
    ngx_memcpy(first->rule, SBX_OPA_RULE, sizeof(SBX_OPA_RULE));
    ngx_memcpy(first->limit, "true", sizeof("true"));
    if (opa->decided) {
        ngx_memcpy(first->observed, "false", sizeof("false"));
        ngx_memcpy(&decision->violation[1], opa->answer.violation,
                   opa->answer.n_violations * sizeof(struct sbx_violation));
    } else {
        ngx_memcpy(first->observed, "null", sizeof("null"));
        hint = "the operator's policy service gave no decision; try again later";
    }
    ngx_memcpy(first->hint, hint, ngx_strlen(hint) + 1);
    decision->n_violations = opa->decided ? opa->answer.n_violations + 1 : 1;
    problem.n_violations = decision->n_violations;

    for (i = 0; i < decision->n_violations; i++) {
        /* Rules are of a few characters, limit and observed value are JSON text: nothing stands in the log unescaped. */
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "event=opa.deny request_id=%s tenant=%s app=%s agent=%s rule=%s limit=%s observed=%s",
                      ctx->context.request_id, ctx->context.tenant, ctx->context.app, ctx->context.agent,
                      decision->violation[i].rule, decision->violation[i].limit, decision->violation[i].observed);
    }
    return ngx_http_sandbox_refuse(r, "policy", &problem);
}


/* Its limits hold where they are lower than ours; larger ones are not even an error. */
static ngx_int_t
ngx_http_sandbox_opa_settle(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx, ngx_http_sandbox_opa_t *opa)
{
    uint64_t *ours = ctx->context.limits.value, *theirs = opa->answer.limits.value;
    ngx_uint_t i;

    opa->settled = 1;
    if (!opa->decided || !opa->answer.allowed) {
        return ngx_http_sandbox_opa_deny(r, ctx, opa);
    }

    for (i = 0; ctx->context.has_limits && i < SBX_N_LIMITS; i++) {
        if (theirs[i] != 0 && theirs[i] < ours[i]) {
            ours[i] = theirs[i];
        }
    }
    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_sandbox_opa_ask(ngx_http_request_t *r, ngx_http_sandbox_opa_t *opa)
{
    ngx_http_post_subrequest_t *ps;
    ngx_http_request_body_t *body;
    ngx_http_request_t *sr;

    ps = ngx_palloc(r->pool, sizeof(ngx_http_post_subrequest_t));
    /* An empty one: with the client's own the upstream would take and close it. */
    body = ngx_pcalloc(r->pool, sizeof(ngx_http_request_body_t));
    if (ps == NULL || body == NULL) {
        return NGX_ERROR;
    }
    ps->handler = ngx_http_sandbox_opa_on_end;
    ps->data = opa;

    if (ngx_http_subrequest(r, &opa->service->uri, NULL, &sr, ps, NGX_HTTP_SUBREQUEST_BACKGROUND) != NGX_OK) {
        return NGX_ERROR;
    }
    /* It is posted and has not run: it never will as nginx meant it to. */
    sr->write_event_handler = ngx_http_sandbox_opa_begin;
    sr->request_body = body;
    sr->header_only = 1;
    ngx_http_set_ctx(sr, opa, ngx_http_sandbox_opa_module);
    opa->sub = sr;

    opa->started = ngx_current_msec;
    opa->timer.handler = ngx_http_sandbox_opa_on_timeout;
    opa->timer.data = opa;
    opa->timer.log = r->connection->log;
    ngx_add_timer(&opa->timer, opa->service->timeout);
    return NGX_OK;
}


/* Never NGX_OK: with `satisfy any` that would let the request past the other access checks. */
static ngx_int_t
ngx_http_sandbox_opa_handler(ngx_http_request_t *r)
{
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx_peek(r);
    ngx_http_sandbox_opa_service_t *service;
    ngx_http_sandbox_opa_t *opa;

    if (r != r->main || ctx == NULL || ctx->opa == NULL) {
        return NGX_DECLINED;
    }
    opa = ctx->opa;
    service = opa->service;
    if (opa->settled) {
        return NGX_DECLINED;
    }

    if (!opa->asked) {
        opa->asked = 1;
        if (service->cache != NULL
            && ngx_http_sandbox_opa_cache_find(service->cache, opa->key, service->ttl, &opa->answer) == NGX_OK)
        {
            ngx_http_sandbox_metrics_opa_cached(r);
            opa->decided = 1;
            opa->done = 1;

        } else if (ngx_http_sandbox_opa_ask(r, opa) != NGX_OK) {
            opa->settled = 1;
            ctx->policy = NULL;
            return ngx_http_sandbox_problem(r, "internal", SBX_PROBLEM_INTERNAL, NULL);
        }
    }
    return opa->done ? ngx_http_sandbox_opa_settle(r, ctx, opa) : NGX_AGAIN;
}


static void
ngx_http_sandbox_opa_begin(ngx_http_request_t *sr)
{
    ngx_http_sandbox_opa_t *opa = ngx_http_get_module_ctx(sr, ngx_http_sandbox_opa_module);
    ngx_http_upstream_t *u;

    sr->write_event_handler = ngx_http_request_empty_handler;
    if (ngx_http_upstream_create(sr) != NGX_OK) {
        ngx_http_finalize_request(sr, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    u = sr->upstream;
    ngx_str_set(&u->schema, "http://");
    u->uri = opa->service->uri;
    u->output.tag = (ngx_buf_tag_t) &ngx_http_sandbox_opa_module;
    u->conf = &opa->service->upstream;
    u->create_request = ngx_http_sandbox_opa_create_request;
    u->reinit_request = ngx_http_sandbox_opa_reinit_request;
    u->process_header = ngx_http_sandbox_opa_process_header;
    u->abort_request = ngx_http_sandbox_opa_abort_request;
    u->finalize_request = ngx_http_sandbox_opa_finalize_request;
    ngx_http_upstream_init(sr);
}


static ngx_int_t
ngx_http_sandbox_opa_create_request(ngx_http_request_t *sr)
{
    ngx_http_sandbox_opa_t *opa = ngx_http_get_module_ctx(sr, ngx_http_sandbox_opa_module);
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx_peek(sr);
    ngx_http_sandbox_opa_service_t *service = opa->service;
    ngx_chain_t *cl;
    ngx_buf_t *b;
    size_t len;

    len = sizeof("POST  HTTP/1.1" CRLF "Host: " CRLF "Content-Type: application/json" CRLF "Accept: application/json" CRLF
                 "traceparent: " CRLF "X-Request-Id: " CRLF "Content-Length: " CRLF CRLF)
          + service->uri.len + service->authority.len + sizeof(ctx->context.traceparent)
          + sizeof(ctx->context.request_id) + NGX_SIZE_T_LEN + opa->question.len;
    b = ngx_create_temp_buf(sr->pool, len);
    cl = ngx_alloc_chain_link(sr->pool);
    if (b == NULL || cl == NULL) {
        return NGX_ERROR;
    }
    b->last = ngx_slprintf(b->last, b->end, "POST %V HTTP/1.1" CRLF "Host: %V" CRLF "Content-Type: application/json" CRLF
                           "Accept: application/json" CRLF "traceparent: %s" CRLF "X-Request-Id: %s" CRLF
                           "Content-Length: %uz" CRLF CRLF "%V",
                           &service->uri, &service->authority, ctx->context.traceparent, ctx->context.request_id,
                           opa->question.len, &opa->question);
    cl->buf = b;
    cl->next = NULL;
    sr->upstream->request_bufs = cl;
    return ngx_http_sandbox_opa_reinit_request(sr);
}


/* Before the first try and each further one. */
static ngx_int_t
ngx_http_sandbox_opa_reinit_request(ngx_http_request_t *sr)
{
    ngx_http_sandbox_opa_t *opa = ngx_http_get_module_ctx(sr, ngx_http_sandbox_opa_module);

    sbx_http_answer_free(opa->reply);
    opa->reply = sbx_http_answer_new(SBX_OPA_ANSWER_MAX);
    opa->whole = 0;
    return opa->reply == NULL ? NGX_ERROR : NGX_OK;
}


/*
 * Takes everything, body and all, as if it were the head. A whole reply ends in NGX_ERROR: the upstream then gives its
 * connection back, to be kept when `keepalive` says so, and ends the subrequest without a byte having been sent anywhere.
 */
static ngx_int_t
ngx_http_sandbox_opa_process_header(ngx_http_request_t *sr)
{
    ngx_http_sandbox_opa_t *opa = ngx_http_get_module_ctx(sr, ngx_http_sandbox_opa_module);
    ngx_http_upstream_t *u = sr->upstream;
    ngx_buf_t *b = &u->buffer;
    int rc;

    rc = sbx_http_answer_feed(opa->reply, (char *) b->pos, (size_t) (b->last - b->pos));
    b->pos = b->start;
    b->last = b->start;

    switch (rc) {

    case 0:
        return NGX_AGAIN;

    case SBX_HTTP_ANSWER_DONE:
        opa->whole = 1;
        u->keepalive = sbx_http_answer_keeps(opa->reply);
        u->headers_in.status_n = sbx_http_answer_status(opa->reply);
        u->state->status = u->headers_in.status_n;
        return NGX_ERROR;

    default:
        return NGX_HTTP_UPSTREAM_INVALID_HEADER;
    }
}


static void
ngx_http_sandbox_opa_abort_request(ngx_http_request_t *sr)
{
}


static void
ngx_http_sandbox_opa_finalize_request(ngx_http_request_t *sr, ngx_int_t rc)
{
}


/* NULL when the answer holds; else why there is none, in words of ours. */
static const char *
ngx_http_sandbox_opa_read(ngx_http_sandbox_opa_t *opa)
{
    const struct sbx_buf *body;
    const char *why = "it could not be read";

    if (!opa->whole) {
        return "no whole answer came";
    }
    if (sbx_http_answer_status(opa->reply) != NGX_HTTP_OK) {
        return "its status is not 200";
    }
    body = sbx_http_answer_body(opa->reply);
    return sbx_opa_answer_read(&opa->answer, body->data, body->len, &why) == 0 ? NULL : why;
}


static void
ngx_http_sandbox_opa_end(ngx_http_sandbox_opa_t *opa, const char *why)
{
    ngx_http_request_t *r = opa->request;
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx_peek(r);

    if (opa->timer.timer_set) {
        ngx_del_timer(&opa->timer);
    }
    if (why == NULL) {
        why = ngx_http_sandbox_opa_read(opa);
    }
    opa->done = 1;
    opa->decided = why == NULL;
    if (opa->decided && opa->service->cache != NULL) {
        ngx_http_sandbox_opa_cache_add(opa->service->cache, opa->key, &opa->answer);
    }
    if (!opa->decided) {
        /* Nothing of what came stands here. */
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "event=opa.failed request_id=%s tenant=%s status=%ud why=\"%s\"", ctx->context.request_id,
                      ctx->context.tenant, opa->whole ? sbx_http_answer_status(opa->reply) : 0, why);
    }
    ngx_http_sandbox_metrics_opa(r, !opa->decided ? NGX_HTTP_SANDBOX_OPA_FAILED
                                    : opa->answer.allowed ? NGX_HTTP_SANDBOX_OPA_ALLOWED : NGX_HTTP_SANDBOX_OPA_DENIED,
                                 ngx_current_msec - opa->started);
}


/* Of the subrequest, whatever became of it. NGX_OK: its fate is not the client's request's. */
static ngx_int_t
ngx_http_sandbox_opa_on_end(ngx_http_request_t *sr, void *data, ngx_int_t rc)
{
    ngx_http_sandbox_opa_t *opa = data;

    if (!opa->done) {
        ngx_http_sandbox_opa_end(opa, NULL);
        if (ngx_http_post_request(opa->request, NULL) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    return NGX_OK;
}


static void
ngx_http_sandbox_opa_on_timeout(ngx_event_t *ev)
{
    ngx_http_sandbox_opa_t *opa = ev->data;
    ngx_http_request_t *r = opa->request;
    ngx_connection_t *c = r->connection;
    ngx_http_upstream_t *u = opa->sub->upstream;

    ngx_http_set_log_request(c->log, r);
    ngx_http_sandbox_opa_end(opa, "it did not answer in time");

    /* The upstream's own way out: closes its connection and gives the subrequest's reference back, without calling us. */
    if (u != NULL && u->cleanup != NULL) {
        (*u->cleanup)(opa->sub);
    }
    if (ngx_http_post_request(r, NULL) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }
    ngx_http_run_posted_requests(c);
}


static void *
ngx_http_sandbox_opa_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_sandbox_opa_loc_conf_t *conf;

    conf = ngx_palloc(cf->pool, sizeof(ngx_http_sandbox_opa_loc_conf_t));
    if (conf != NULL) {
        conf->service = NGX_CONF_UNSET_PTR;
    }
    return conf;
}


static char *
ngx_http_sandbox_opa_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_sandbox_opa_loc_conf_t *prev = parent;
    ngx_http_sandbox_opa_loc_conf_t *conf = child;

    ngx_conf_merge_ptr_value(conf->service, prev->service, NULL);
    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_sandbox_opa_init(ngx_conf_t *cf)
{
    ngx_http_core_main_conf_t *cmcf;
    ngx_http_handler_pt *h;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    h = ngx_array_push(&cmcf->phases[NGX_HTTP_ACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }
    *h = ngx_http_sandbox_opa_handler;
    return NGX_OK;
}


/* http://host[:port]/path, http://name-of-an-upstream/path or http://unix:/path:/path */
static char *
ngx_http_sandbox_opa_url(ngx_conf_t *cf, ngx_http_sandbox_opa_service_t *service)
{
    const size_t scheme = sizeof("http://") - 1;
    ngx_url_t u;

    if (service->url.len <= scheme || ngx_strncasecmp(service->url.data, (u_char *) "http://", scheme) != 0) {
        return "must be given an http:// URL";
    }
    ngx_memzero(&u, sizeof(ngx_url_t));
    u.url.data = service->url.data + scheme;
    u.url.len = service->url.len - scheme;
    u.default_port = 80;
    u.uri_part = 1;
    u.no_resolve = 1;
    service->upstream.upstream = ngx_http_upstream_add(cf, &u, 0);
    if (service->upstream.upstream == NULL) {
        return NGX_CONF_ERROR;
    }
    if (u.uri.len == 0 || u.uri.data[0] != '/' || ngx_strlchr(u.uri.data, u.uri.data + u.uri.len, '#') != NULL) {
        return "must be given a URL with a path";
    }
    service->uri = u.uri;
    if (u.family == AF_UNIX) {
        ngx_str_set(&service->authority, "localhost");
    } else {
        service->authority.data = u.url.data;
        service->authority.len = u.url.len - u.uri.len;
    }
    return NGX_CONF_OK;
}


/* name:size, where a zone of that name may have been declared before */
static char *
ngx_http_sandbox_opa_zone(ngx_conf_t *cf, ngx_http_sandbox_opa_service_t *service, ngx_str_t *value)
{
    ngx_str_t name = *value, text;
    ssize_t size = 0;
    u_char *colon;

    colon = ngx_strlchr(value->data, value->data + value->len, ':');
    if (colon != NULL) {
        name.len = (size_t) (colon - value->data);
        text.data = colon + 1;
        text.len = value->len - name.len - 1;
        size = ngx_parse_size(&text);
    }
    if (name.len == 0 || (colon != NULL && size < (ssize_t) (8 * ngx_pagesize))) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid zone \"%V\", or smaller than 32k", value);
        return NGX_CONF_ERROR;
    }
    service->cache = ngx_http_sandbox_opa_cache_zone(cf, &name, (size_t) size);
    return service->cache == NULL ? NGX_CONF_ERROR : NGX_CONF_OK;
}


static char *
ngx_http_sandbox_opa_time(ngx_conf_t *cf, ngx_str_t *value, ngx_int_t max, ngx_msec_t *ret)
{
    ngx_int_t ms = ngx_parse_time(value, 0);

    if (ms == NGX_ERROR || ms <= 0 || ms > max) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid time \"%V\": 1ms to %ims", value, max);
        return NGX_CONF_ERROR;
    }
    *ret = (ngx_msec_t) ms;
    return NGX_CONF_OK;
}


static char *
ngx_http_sandbox_opa_parameter(ngx_conf_t *cf, ngx_http_sandbox_opa_service_t *service, ngx_str_t *word)
{
    static const struct {
        ngx_str_t name;
        enum { OPA_TIMEOUT, OPA_CACHE, OPA_TTL } what;
    } names[] = {
        { ngx_string("timeout="), OPA_TIMEOUT }, { ngx_string("cache="), OPA_CACHE }, { ngx_string("ttl="), OPA_TTL }
    };
    ngx_str_t value;
    ngx_uint_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (word->len <= names[i].name.len || ngx_strncmp(word->data, names[i].name.data, names[i].name.len) != 0) {
            continue;
        }
        value.data = word->data + names[i].name.len;
        value.len = word->len - names[i].name.len;
        switch (names[i].what) {
        case OPA_TIMEOUT:
            return ngx_http_sandbox_opa_time(cf, &value, NGX_HTTP_SANDBOX_OPA_TIMEOUT_MAX, &service->timeout);
        case OPA_TTL:
            return ngx_http_sandbox_opa_time(cf, &value, NGX_HTTP_SANDBOX_OPA_TTL_MAX, &service->ttl);
        case OPA_CACHE:
            return ngx_strcmp(value.data, "off") == 0 ? NGX_CONF_OK : ngx_http_sandbox_opa_zone(cf, service, &value);
        }
    }
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"", word);
    return NGX_CONF_ERROR;
}


/* sandbox_policy_opa off | url [timeout=100ms] [cache=zone:size|off] [ttl=5s] */
static char *
ngx_http_sandbox_opa(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_opa_loc_conf_t *olcf = conf;
    ngx_http_sandbox_opa_service_t *service;
    ngx_str_t *value = cf->args->elts;
    ngx_uint_t i;
    char *rv;

    if (olcf->service != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }
    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        olcf->service = NULL;
        return NGX_CONF_OK;
    }
    service = ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_opa_service_t));
    if (service == NULL) {
        return NGX_CONF_ERROR;
    }
    service->url = value[1];
    service->timeout = 100;
    service->ttl = 5000;
    rv = ngx_http_sandbox_opa_url(cf, service);
    for (i = 2; rv == NGX_CONF_OK && i < cf->args->nelts; i++) {
        rv = ngx_http_sandbox_opa_parameter(cf, service, &value[i]);
    }
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    ngx_str_set(&service->upstream.module, "sandbox_opa");
    service->upstream.connect_timeout = service->timeout;
    service->upstream.send_timeout = service->timeout;
    service->upstream.read_timeout = service->timeout;
    service->upstream.next_upstream_timeout = service->timeout;
    service->upstream.next_upstream_tries = 2;
    /* To ask twice changes nothing. */
    service->upstream.next_upstream = NGX_CONF_BITMASK_SET|NGX_HTTP_UPSTREAM_FT_ERROR|NGX_HTTP_UPSTREAM_FT_TIMEOUT;
    service->upstream.buffer_size = ngx_pagesize;
    /* The client's connection is watched by its own request. */
    service->upstream.ignore_client_abort = 1;
    olcf->service = service;
    return NGX_CONF_OK;
}
