/*
 * Owns the end of a token before its time: each request asks whether its token was taken back, and those that run for long are
 * looked through again when there is news. One that is found then is ended as if its connection broke: what was
 * sent of a reply cannot be unsaid.
 */
#include "ngx_http_sandbox_auth.h"
#include "ngx_http_sandbox_control.h"


#define NGX_HTTP_SANDBOX_AUTH_WATCH_MS  250


/* A request under way: the context of its ctx says all of the token but this. */
typedef struct {
    ngx_queue_t queue;
    ngx_http_request_t *r;
    char tenant[SBX_NAME_MAX + 1]; /* the token's own, where a service acts for another */
    uint64_t issued_s;
} ngx_http_sandbox_auth_watch_t;


/* Of this worker. */
static ngx_queue_t ngx_http_sandbox_auth_watched;
static ngx_event_t ngx_http_sandbox_auth_watch_timer;
static uint64_t ngx_http_sandbox_auth_watch_change; /* all that are watched were asked about at this one */


/* Both the tenant whose token it is and the one it is used for may take it back. As ngx_http_sandbox_control_revoked. */
static ngx_int_t
ngx_http_sandbox_auth_ask(ngx_http_request_t *r, const ngx_http_sandbox_ctx_t *ctx, const char *own, uint64_t issued_s)
{
    ngx_http_sandbox_control_token_t token = {
        .tenant = own,
        .subject = ctx->context.subject,
        .token_id = ctx->context.token_id,
        .issued_s = issued_s
    };
    ngx_int_t rc;

    rc = ngx_http_sandbox_control_revoked(r, &token, (uint64_t) ngx_time());
    if (rc == NGX_OK && ngx_strcmp(own, ctx->context.tenant) != 0) {
        token.tenant = ctx->context.tenant;
        rc = ngx_http_sandbox_control_revoked(r, &token, (uint64_t) ngx_time());
    }
    return rc;
}


static void
ngx_http_sandbox_auth_unwatch(void *data)
{
    ngx_http_sandbox_auth_watch_t *watch = data;

    ngx_queue_remove(&watch->queue);
}


static void
ngx_http_sandbox_auth_end(ngx_http_sandbox_auth_watch_t *watch, ngx_http_sandbox_ctx_t *ctx)
{
    ngx_http_request_t *r = watch->r;
    ngx_connection_t *c = r->connection;

    ngx_http_set_log_request(c->log, r);
    ngx_log_error(NGX_LOG_INFO, c->log, 0, "sandbox auth: the token of request %s was revoked", ctx->context.request_id);
    ctx->denied = "token_revoked";
    /*
     * The upstream's cleanup finalizes the request as if it were done, which would free it, or keep the connection for
     * another one: a reference of ours stands until the handler that nginx posts for the end.
     */
    r->main->count++;
    ngx_http_finalize_request(r, NGX_HTTP_CLOSE);
    ngx_http_run_posted_requests(c);
}


/* Each is put aside before it is looked at: ending one may take others along, and none is met twice. */
static void
ngx_http_sandbox_auth_look_through(void)
{
    ngx_http_sandbox_auth_watch_t *watch;
    ngx_http_sandbox_ctx_t *ctx;
    ngx_queue_t seen, *q;
    ngx_flag_t is_known = 1;
    uint64_t change;
    ngx_int_t rc;

    watch = ngx_queue_data(ngx_queue_head(&ngx_http_sandbox_auth_watched), ngx_http_sandbox_auth_watch_t, queue);
    change = ngx_http_sandbox_control_change(watch->r);
    if (change == ngx_http_sandbox_auth_watch_change) {
        return;
    }

    ngx_queue_init(&seen);
    while (!ngx_queue_empty(&ngx_http_sandbox_auth_watched)) {
        q = ngx_queue_head(&ngx_http_sandbox_auth_watched);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&seen, q);
        watch = ngx_queue_data(q, ngx_http_sandbox_auth_watch_t, queue);
        ctx = ngx_http_sandbox_ctx_peek(watch->r);
        rc = ctx == NULL ? NGX_OK : ngx_http_sandbox_auth_ask(watch->r, ctx, watch->tenant, watch->issued_s);
        if (rc == NGX_DECLINED) {
            ngx_http_sandbox_auth_end(watch, ctx);
        } else if (rc != NGX_OK) {
            /* Not known for the moment: it was let in when it was. */
            is_known = 0;
        }
    }
    if (!ngx_queue_empty(&seen)) {
        ngx_queue_add(&ngx_http_sandbox_auth_watched, &seen);
    }
    if (is_known) {
        ngx_http_sandbox_auth_watch_change = change;
    }
}


static void
ngx_http_sandbox_auth_watch_handler(ngx_event_t *ev)
{
    if (ngx_queue_empty(&ngx_http_sandbox_auth_watched)) {
        return;
    }
    ngx_http_sandbox_auth_look_through();
    if (!ngx_queue_empty(&ngx_http_sandbox_auth_watched)) {
        ngx_add_timer(ev, NGX_HTTP_SANDBOX_AUTH_WATCH_MS);
    }
}


void
ngx_http_sandbox_auth_watch_start(ngx_cycle_t *cycle)
{
    ngx_queue_init(&ngx_http_sandbox_auth_watched);
    ngx_http_sandbox_auth_watch_timer.handler = ngx_http_sandbox_auth_watch_handler;
    ngx_http_sandbox_auth_watch_timer.log = cycle->log;
    ngx_http_sandbox_auth_watch_timer.data = &ngx_http_sandbox_auth_watched;
}


static ngx_http_sandbox_auth_watch_t *
ngx_http_sandbox_auth_watch_of(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t *cln;

    for (cln = r->pool->cleanup; cln != NULL; cln = cln->next) {
        if (cln->handler == ngx_http_sandbox_auth_unwatch) {
            return cln->data;
        }
    }
    return NULL;
}


static ngx_int_t
ngx_http_sandbox_auth_watch(ngx_http_request_t *r, const char *own, uint64_t issued_s)
{
    ngx_http_sandbox_auth_watch_t *watch;
    ngx_pool_cleanup_t *cln;

    /* A request that went on elsewhere (internal redirect) is asked about with what it has now. */
    watch = ngx_http_sandbox_auth_watch_of(r);
    if (watch == NULL) {
        cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_sandbox_auth_watch_t));
        if (cln == NULL) {
            return NGX_ERROR;
        }
        watch = cln->data;
        watch->r = r;
        ngx_queue_insert_tail(&ngx_http_sandbox_auth_watched, &watch->queue);
        cln->handler = ngx_http_sandbox_auth_unwatch;
    }
    (void) ngx_cpystrn((u_char *) watch->tenant, (u_char *) own, sizeof(watch->tenant)); /* its end is not needed */
    watch->issued_s = issued_s;
    if (!ngx_http_sandbox_auth_watch_timer.timer_set) {
        ngx_add_timer(&ngx_http_sandbox_auth_watch_timer, NGX_HTTP_SANDBOX_AUTH_WATCH_MS);
    }
    return NGX_OK;
}


ngx_int_t
ngx_http_sandbox_auth_check_revoked(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx, const char *own,
    uint64_t issued_s)
{
    ngx_http_sandbox_auth_main_conf_t *amcf = ngx_http_get_module_main_conf(r, ngx_http_sandbox_auth_module);
    ngx_int_t rc;

    if (!amcf->can_revoke) {
        return NGX_OK;
    }
    rc = ngx_http_sandbox_auth_ask(r, ctx, own, issued_s);
    return rc == NGX_OK ? ngx_http_sandbox_auth_watch(r, own, issued_s) : rc;
}
