/*
 * Owns the streams of subscriptions/listen: who hears that the tools it may use are others now, and how a stream is begun, kept and ended.
 *
 * A stream has no timer of its own. One of the worker's goes while there are streams: it asks whether policies changed, writes to the streams that
 * were silent for long, and ends all when the worker is to end, which waits for it. Nothing else is kept of a stream but its request; what is being
 * written has memory only until it is written.
 */
#include "ngx_http_sandbox_mcp.h"
#include "ngx_http_sandbox_control.h"
#include "ngx_http_sandbox_limit.h"
#include "ngx_http_sandbox_metrics.h"


#define NGX_HTTP_SANDBOX_MCP_TICK_MS   250
#define NGX_HTTP_SANDBOX_MCP_STEP_MS   20    /* between two parts of a look at all */
#define NGX_HTTP_SANDBOX_MCP_PART      512   /* streams looked at before other events have their turn */
#define NGX_HTTP_SANDBOX_MCP_QUIET_MS  12000 /* clients and proxies are told of a stream at least each 15 s */
#define NGX_HTTP_SANDBOX_MCP_FRAME_MAX 4096

#define SUBSCRIPTION  "\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":"


/* The streams of a tenant in this worker. */
typedef struct {
    ngx_str_node_t sn;
    ngx_uint_t n;
    char name[SBX_NAME_MAX + 1];
} ngx_http_sandbox_mcp_audience_t;


typedef struct {
    ngx_queue_t quiet; /* of all: who was written to longest ago comes first */
    ngx_queue_t look;  /* of all: who was looked at longest ago comes first */
    ngx_http_request_t *r;
    ngx_http_sandbox_mcp_t *mcp;
    ngx_http_sandbox_mcp_audience_t *audience;
    uint64_t tools; /* what the client knows */
    ngx_msec_t written;
    ngx_buf_t buf; /* the frame that is being written; all of it was when pos is last */
    u_char *frame; /* its memory; NULL: none, or constant */
    unsigned changed:1; /* to be told when the frame is written */
} ngx_http_sandbox_mcp_listener_t;


/* Of this worker. */
static struct {
    ngx_event_t timer;
    ngx_queue_t quiet, look;
    ngx_rbtree_t audiences;
    ngx_rbtree_node_t sentinel;
    ngx_uint_t n;
    ngx_uint_t left;  /* to look at before all were */
    uint64_t looking; /* the state of the policies that this look is about */
    uint64_t seen;    /* all streams were looked at in it */
    ngx_flag_t unknown; /* of some nothing could be said */
} ngx_http_sandbox_mcp_hall;


static void ngx_http_sandbox_mcp_tick(ngx_event_t *ev);
static void ngx_http_sandbox_mcp_listen_write_handler(ngx_http_request_t *r);


static void
ngx_http_sandbox_mcp_open_hall(void)
{
    if (ngx_http_sandbox_mcp_hall.timer.handler != NULL) {
        return;
    }
    ngx_queue_init(&ngx_http_sandbox_mcp_hall.quiet);
    ngx_queue_init(&ngx_http_sandbox_mcp_hall.look);
    ngx_rbtree_init(&ngx_http_sandbox_mcp_hall.audiences, &ngx_http_sandbox_mcp_hall.sentinel, ngx_str_rbtree_insert_value);
    ngx_http_sandbox_mcp_hall.timer.handler = ngx_http_sandbox_mcp_tick;
    ngx_http_sandbox_mcp_hall.timer.log = ngx_cycle->log;
    ngx_http_sandbox_mcp_hall.timer.data = &ngx_http_sandbox_mcp_hall;
}


static ngx_http_sandbox_mcp_audience_t *
ngx_http_sandbox_mcp_audience(const char *tenant)
{
    ngx_http_sandbox_mcp_audience_t *audience;
    ngx_str_t name = { ngx_strlen(tenant), (u_char *) tenant };
    uint32_t hash = ngx_crc32_short(name.data, name.len);

    audience = (ngx_http_sandbox_mcp_audience_t *) ngx_str_rbtree_lookup(&ngx_http_sandbox_mcp_hall.audiences, &name, hash);
    if (audience != NULL) {
        return audience;
    }
    audience = ngx_calloc(sizeof(ngx_http_sandbox_mcp_audience_t), ngx_cycle->log);
    if (audience != NULL) {
        ngx_memcpy(audience->name, name.data, name.len);
        audience->sn.node.key = hash;
        audience->sn.str.data = (u_char *) audience->name;
        audience->sn.str.len = name.len;
        ngx_rbtree_insert(&ngx_http_sandbox_mcp_hall.audiences, &audience->sn.node);
    }
    return audience;
}


/* When nobody of it is left. */
static void
ngx_http_sandbox_mcp_audience_forget(ngx_http_sandbox_mcp_audience_t *audience)
{
    if (audience->n == 0) {
        ngx_rbtree_delete(&ngx_http_sandbox_mcp_hall.audiences, &audience->sn.node);
        ngx_free(audience);
    }
}


/* Idempotent: nothing is written to the listener from here on but by nginx. */
static void
ngx_http_sandbox_mcp_leave(ngx_http_sandbox_mcp_listener_t *listener)
{
    if (listener->audience == NULL) {
        return;
    }
    ngx_queue_remove(&listener->quiet);
    ngx_queue_remove(&listener->look);
    ngx_http_sandbox_mcp_hall.n--;
    ngx_http_sandbox_metrics_listeners(listener->r, -1);
    listener->audience->n--;
    ngx_http_sandbox_mcp_audience_forget(listener->audience);
    listener->audience = NULL;
}


/* With the request's pool, so once, whatever ended the stream. */
static void
ngx_http_sandbox_mcp_listen_cleanup(void *data)
{
    ngx_http_sandbox_mcp_listener_t *listener = data;

    ngx_http_sandbox_mcp_leave(listener);
    if (listener->frame != NULL) {
        ngx_free(listener->frame);
        listener->frame = NULL;
    }
}


/* From the tick: nobody else runs what nginx posts for the request's end. */
static void
ngx_http_sandbox_mcp_listen_end(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_connection_t *c = r->connection;

    ngx_http_set_log_request(c->log, r);
    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


static ngx_flag_t
ngx_http_sandbox_mcp_is_written(const ngx_http_sandbox_mcp_listener_t *listener)
{
    return listener->buf.pos == listener->buf.last && !listener->r->buffered && !listener->r->connection->buffered;
}


/* What is left of a frame goes when the client takes it, and within send_timeout. NGX_OK or NGX_ERROR. */
static ngx_int_t
ngx_http_sandbox_mcp_await_client(ngx_http_sandbox_mcp_listener_t *listener)
{
    ngx_http_request_t *r = listener->r;
    ngx_event_t *wev = r->connection->write;
    ngx_http_core_loc_conf_t *clcf;

    if (ngx_http_sandbox_mcp_is_written(listener)) {
        if (wev->timer_set) {
            ngx_del_timer(wev);
        }
        if (listener->frame != NULL) {
            ngx_free(listener->frame);
            listener->frame = NULL;
        }
        return NGX_OK;
    }
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
    if (!wev->timer_set) {
        ngx_add_timer(wev, clcf->send_timeout);
    }
    return ngx_handle_write_event(wev, clcf->send_lowat);
}


/* Only when the last one is written. Takes the frame: memory of ngx_alloc, or constant. NGX_OK or NGX_ERROR. */
static ngx_int_t
ngx_http_sandbox_mcp_put(ngx_http_sandbox_mcp_listener_t *listener, u_char *data, size_t len, ngx_flag_t is_constant)
{
    ngx_chain_t out = { &listener->buf, NULL };

    listener->frame = is_constant ? NULL : data;
    ngx_memzero(&listener->buf, sizeof(ngx_buf_t));
    listener->buf.pos = listener->buf.start = data;
    listener->buf.last = listener->buf.end = data + len;
    listener->buf.memory = 1;
    listener->buf.flush = 1;

    listener->written = ngx_current_msec;
    ngx_queue_remove(&listener->quiet);
    ngx_queue_insert_tail(&ngx_http_sandbox_mcp_hall.quiet, &listener->quiet);

    if (ngx_http_output_filter(listener->r, &out) == NGX_ERROR) {
        return NGX_ERROR;
    }
    return ngx_http_sandbox_mcp_await_client(listener);
}


static ngx_int_t
ngx_http_sandbox_mcp_put_frame(ngx_http_sandbox_mcp_listener_t *listener, const struct sbx_buf *text)
{
    u_char *frame;

    if (text->failed) {
        return NGX_ERROR;
    }
    frame = ngx_alloc(text->len, listener->r->connection->log);
    if (frame == NULL) {
        return NGX_ERROR;
    }
    ngx_memcpy(frame, text->data, text->len);
    return ngx_http_sandbox_mcp_put(listener, frame, text->len, 0);
}


/* `data: {"jsonrpc":"2.0","method":METHOD,"params":{"_meta":{the subscription}`; after it come members, then "}}". */
static void
ngx_http_sandbox_mcp_write_notification(const ngx_http_sandbox_mcp_listener_t *listener, struct sbx_buf *out, const char *method)
{
    sbx_buf_puts(out, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/");
    sbx_buf_puts(out, method);
    sbx_buf_puts(out, "\",\"params\":{" SUBSCRIPTION);
    sbx_buf_append(out, listener->mcp->message.id, listener->mcp->message.id_len);
    sbx_buf_putc(out, '}');
}


static void
ngx_http_sandbox_mcp_write_acknowledged(const ngx_http_sandbox_mcp_listener_t *listener, struct sbx_buf *out,
    ngx_flag_t is_honoured)
{
    ngx_http_sandbox_mcp_write_notification(listener, out, "subscriptions/acknowledged");
    sbx_buf_puts(out, ",\"notifications\":{");
    sbx_buf_puts(out, is_honoured ? "\"toolsListChanged\":true" : "");
    sbx_buf_puts(out, "}}}\n\n");
}


/*
 * The answer to the request, which tells that the end is meant, and after it the cancellation that another page of 2026-07-28 wants. The other way
 * round clients pass over the answer, as that page asks of them, and take the end for an accident.
 */
static void
ngx_http_sandbox_mcp_write_end(const ngx_http_sandbox_mcp_listener_t *listener, struct sbx_buf *out, const char *reason)
{
    const struct sbx_mcp_message *message = &listener->mcp->message;

    sbx_buf_puts(out, "data: {\"jsonrpc\":\"2.0\",\"id\":");
    sbx_buf_append(out, message->id, message->id_len);
    sbx_buf_puts(out, ",\"result\":{\"resultType\":\"complete\"," SUBSCRIPTION);
    sbx_buf_append(out, message->id, message->id_len);
    sbx_buf_puts(out, ",\"io.modelcontextprotocol/serverInfo\":");
    sbx_buf_puts(out, listener->mcp->conf->catalogue->server_info);
    sbx_buf_puts(out, "}}}\n\n");
    ngx_http_sandbox_mcp_write_notification(listener, out, "cancelled");
    sbx_buf_puts(out, ",\"requestId\":");
    sbx_buf_append(out, message->id, message->id_len);
    sbx_buf_puts(out, ",\"reason\":\"");
    sbx_buf_puts(out, reason);
    sbx_buf_puts(out, "\"}}\n\n");
}


static ngx_int_t
ngx_http_sandbox_mcp_put_changed(ngx_http_sandbox_mcp_listener_t *listener)
{
    char text[NGX_HTTP_SANDBOX_MCP_FRAME_MAX];
    struct sbx_buf out = SBX_BUF_OVER(text);

    listener->changed = 0;
    ngx_http_sandbox_mcp_write_notification(listener, &out, "tools/list_changed");
    sbx_buf_puts(&out, "}}\n\n");
    return ngx_http_sandbox_mcp_put_frame(listener, &out);
}


/*
 * Nginx keeps the connection of a request with a body open for a while at its end, because a client that still sends would lose the answer. The
 * body was read whole long ago: where nothing came since, nothing is waited for.
 */
static void
ngx_http_sandbox_mcp_test_unread(ngx_http_request_t *r)
{
    ngx_connection_t *c = r->connection;
    u_char byte;

    if (recv(c->fd, &byte, 1, MSG_PEEK) == -1 && ngx_socket_errno == NGX_EAGAIN) {
        c->read->ready = 0;
        r->lingering_close = 0;
    }
}


/*
 * The stream is over, and not by the client. One that does not take its end at once would hold up the end of the worker, and sees the
 * connection close instead.
 */
static void
ngx_http_sandbox_mcp_farewell(ngx_http_sandbox_mcp_listener_t *listener, const char *reason)
{
    char text[NGX_HTTP_SANDBOX_MCP_FRAME_MAX];
    struct sbx_buf out = SBX_BUF_OVER(text);
    ngx_http_request_t *r = listener->r;
    ngx_int_t rc = NGX_ERROR;

    if (ngx_http_sandbox_mcp_is_written(listener)) {
        ngx_http_sandbox_mcp_write_end(listener, &out, reason);
        rc = ngx_http_sandbox_mcp_put_frame(listener, &out);
    }
    ngx_http_sandbox_mcp_leave(listener);
    r->keepalive = 0;
#if (NGX_HTTP_V2)
    if (r->stream == NULL)
#endif
    {
        ngx_http_sandbox_mcp_test_unread(r);
    }
    if (rc == NGX_OK && ngx_http_sandbox_mcp_is_written(listener)) {
        rc = ngx_http_send_special(r, NGX_HTTP_LAST);
    }
    ngx_http_sandbox_mcp_listen_end(r, rc == NGX_OK && !r->connection->buffered ? NGX_OK : NGX_ERROR);
}


static void
ngx_http_sandbox_mcp_listen_write_handler(ngx_http_request_t *r)
{
    ngx_http_sandbox_mcp_t *mcp = ngx_http_sandbox_mcp(r);
    ngx_http_sandbox_mcp_listener_t *listener = mcp->listen;
    ngx_int_t rc;

    if (r->connection->write->timedout) {
        r->connection->timedout = 1;
        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }
    rc = ngx_http_output_filter(r, NULL);
    if (rc != NGX_ERROR) {
        rc = ngx_http_sandbox_mcp_await_client(listener);
    }
    if (rc == NGX_OK && listener->changed && ngx_http_sandbox_mcp_is_written(listener)) {
        rc = ngx_http_sandbox_mcp_put_changed(listener);
    }
    if (rc != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
    }
}


/*
 * The tools as of now. What is made on the way goes with a pool of its own: that of a request that stays for days would grow with every
 * change.
 */
static ngx_int_t
ngx_http_sandbox_mcp_tools_now(ngx_http_sandbox_mcp_listener_t *listener, uint64_t *ret)
{
    ngx_http_request_t *r = listener->r;
    ngx_pool_t *own = r->pool, *pool;
    ngx_int_t rc;

    pool = ngx_create_pool(1024, r->connection->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }
    r->pool = pool;
    rc = ngx_http_sandbox_mcp_tools(r, listener->mcp, ret);
    r->pool = own;
    ngx_destroy_pool(pool);
    return rc;
}


static void
ngx_http_sandbox_mcp_look_at(ngx_http_sandbox_mcp_listener_t *listener)
{
    uint64_t tools;

    if (ngx_http_sandbox_mcp_tools_now(listener, &tools) != NGX_OK) {
        ngx_http_sandbox_mcp_hall.unknown = 1;
        return;
    }
    if (tools == listener->tools) {
        return;
    }
    listener->tools = tools;
    if (!ngx_http_sandbox_mcp_is_written(listener)) {
        listener->changed = 1;
        return;
    }
    if (ngx_http_sandbox_mcp_put_changed(listener) != NGX_OK) {
        ngx_http_sandbox_mcp_listen_end(listener->r, NGX_ERROR);
    }
}


/* A part of the look at all streams that a change of policies asks for; a change meanwhile asks for the next look. */
static void
ngx_http_sandbox_mcp_look(void)
{
    ngx_http_sandbox_mcp_listener_t *listener;
    ngx_queue_t *q;
    ngx_uint_t i;

    if (ngx_http_sandbox_mcp_hall.left == 0) {
        q = ngx_queue_head(&ngx_http_sandbox_mcp_hall.look);
        listener = ngx_queue_data(q, ngx_http_sandbox_mcp_listener_t, look);
        ngx_http_sandbox_mcp_hall.looking = ngx_http_sandbox_control_change(listener->r);
        if (ngx_http_sandbox_mcp_hall.looking == ngx_http_sandbox_mcp_hall.seen) {
            return;
        }
        ngx_http_sandbox_mcp_hall.left = ngx_http_sandbox_mcp_hall.n;
        ngx_http_sandbox_mcp_hall.unknown = 0;
    }
    for (i = 0; i < NGX_HTTP_SANDBOX_MCP_PART && ngx_http_sandbox_mcp_hall.left != 0; i++) {
        ngx_http_sandbox_mcp_hall.left--;
        if (ngx_queue_empty(&ngx_http_sandbox_mcp_hall.look)) {
            ngx_http_sandbox_mcp_hall.left = 0;
            return;
        }
        q = ngx_queue_head(&ngx_http_sandbox_mcp_hall.look);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&ngx_http_sandbox_mcp_hall.look, q);
        ngx_http_sandbox_mcp_look_at(ngx_queue_data(q, ngx_http_sandbox_mcp_listener_t, look));
    }
    if (ngx_http_sandbox_mcp_hall.left == 0 && !ngx_http_sandbox_mcp_hall.unknown) {
        ngx_http_sandbox_mcp_hall.seen = ngx_http_sandbox_mcp_hall.looking;
    }
}


/* Streams that were silent for long; each is put at the end of the queue. One that still has a frame to take is not silent. */
static void
ngx_http_sandbox_mcp_keep_alive(void)
{
    static u_char comment[] = ":\n\n";
    ngx_http_sandbox_mcp_listener_t *listener;
    ngx_http_sandbox_ctx_t *ctx;
    ngx_queue_t *q;

    while (!ngx_queue_empty(&ngx_http_sandbox_mcp_hall.quiet)) {
        q = ngx_queue_head(&ngx_http_sandbox_mcp_hall.quiet);
        listener = ngx_queue_data(q, ngx_http_sandbox_mcp_listener_t, quiet);
        if (ngx_current_msec - listener->written < NGX_HTTP_SANDBOX_MCP_QUIET_MS) {
            return;
        }
        ctx = ngx_http_sandbox_ctx_peek(listener->r);
        if (ctx->expires_s != 0 && (uint64_t) ngx_time() >= ctx->expires_s) {
            ngx_http_sandbox_mcp_farewell(listener, "The token has expired");
            continue;
        }
        if (!ngx_http_sandbox_mcp_is_written(listener)) {
            listener->written = ngx_current_msec;
            ngx_queue_remove(q);
            ngx_queue_insert_tail(&ngx_http_sandbox_mcp_hall.quiet, q);
            continue;
        }
        if (ngx_http_sandbox_mcp_put(listener, comment, sizeof(comment) - 1, 1) != NGX_OK) {
            ngx_http_sandbox_mcp_listen_end(listener->r, NGX_ERROR);
        }
    }
}


static void
ngx_http_sandbox_mcp_tick(ngx_event_t *ev)
{
    ngx_queue_t *q;

    while (ngx_exiting && !ngx_queue_empty(&ngx_http_sandbox_mcp_hall.quiet)) {
        q = ngx_queue_head(&ngx_http_sandbox_mcp_hall.quiet);
        ngx_http_sandbox_mcp_farewell(ngx_queue_data(q, ngx_http_sandbox_mcp_listener_t, quiet),
                                      "The server is restarting");
    }
    if (!ngx_queue_empty(&ngx_http_sandbox_mcp_hall.quiet)) {
        ngx_http_sandbox_mcp_keep_alive();
    }
    if (!ngx_queue_empty(&ngx_http_sandbox_mcp_hall.look)) {
        ngx_http_sandbox_mcp_look();
    }
    if (!ngx_queue_empty(&ngx_http_sandbox_mcp_hall.look)) {
        ngx_add_timer(ev, ngx_http_sandbox_mcp_hall.left != 0 ? NGX_HTTP_SANDBOX_MCP_STEP_MS : NGX_HTTP_SANDBOX_MCP_TICK_MS);
    }
}


static ngx_int_t
ngx_http_sandbox_mcp_send_stream_head(ngx_http_request_t *r)
{
    static ngx_str_t cache_control = ngx_string("Cache-Control"), no_store = ngx_string("no-store");
    static ngx_str_t buffering = ngx_string("X-Accel-Buffering"), no = ngx_string("no");

    r->headers_out.status = NGX_HTTP_OK;
    ngx_str_set(&r->headers_out.content_type, "text/event-stream");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);
    if (ngx_http_sandbox_add_header(r, &cache_control, &no_store) != NGX_OK
        || ngx_http_sandbox_add_header(r, &buffering, &no) != NGX_OK)
    {
        return NGX_ERROR;
    }
    return ngx_http_send_header(r);
}


static ngx_int_t
ngx_http_sandbox_mcp_listen_refuse(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp)
{
    struct sbx_mcp_error err = { .id_len = mcp->message.id_len };

    ngx_memcpy(err.id, mcp->message.id, mcp->message.id_len + 1);
    sbx_mcp_error_set(&err, NGX_HTTP_OK, SBX_MCP_INTERNAL_ERROR,
                      "Too many subscriptions: close one of the %u streams that are open, or listen again later",
                      (unsigned) mcp->conf->listeners);
    return ngx_http_sandbox_mcp_send_error(r, mcp, &err);
}


/* Among those that are written to and looked at. NGX_DECLINED: there are as many as there may be. */
static ngx_int_t
ngx_http_sandbox_mcp_enter(ngx_http_sandbox_mcp_listener_t *listener, const char *tenant)
{
    ngx_http_sandbox_mcp_audience_t *audience = ngx_http_sandbox_mcp_audience(tenant);

    if (audience == NULL) {
        return NGX_ERROR;
    }
    if (audience->n >= (ngx_uint_t) listener->mcp->conf->listeners) {
        ngx_http_sandbox_mcp_audience_forget(audience);
        return NGX_DECLINED;
    }
    audience->n++;
    ngx_http_sandbox_metrics_listeners(listener->r, 1);
    listener->audience = audience;
    listener->written = ngx_current_msec;
    ngx_queue_insert_tail(&ngx_http_sandbox_mcp_hall.quiet, &listener->quiet);
    ngx_queue_insert_tail(&ngx_http_sandbox_mcp_hall.look, &listener->look);
    if (ngx_http_sandbox_mcp_hall.n++ == 0) {
        /* Nothing of before counts: there was nobody whom it could be told. */
        ngx_http_sandbox_mcp_hall.left = 0;
        ngx_http_sandbox_mcp_hall.seen = ngx_http_sandbox_control_change(listener->r);
    }
    if (!ngx_http_sandbox_mcp_hall.timer.timer_set) {
        ngx_add_timer(&ngx_http_sandbox_mcp_hall.timer, NGX_HTTP_SANDBOX_MCP_TICK_MS);
    }
    return NGX_OK;
}


/* Everything of it is there: from now on its end is the client's, or the tick's. */
static ngx_int_t
ngx_http_sandbox_mcp_hold(ngx_http_sandbox_mcp_listener_t *listener)
{
    ngx_http_request_t *r = listener->r;
    ngx_event_t *rev = r->connection->read;

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        return NGX_ERROR;
    }
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_sandbox_mcp_listen_write_handler;
#if (NGX_HTTP_V2)
    if (r->stream != NULL) {
        rev = NULL;
    }
#endif
    /* A client that went away before this was watched for is not told of again. */
    if (rev != NULL && rev->ready) {
        ngx_post_event(rev, &ngx_posted_events);
    }
    r->main->count++;
    return NGX_DONE;
}


static ngx_int_t
ngx_http_sandbox_mcp_listen_unknown(ngx_http_request_t *r, ngx_http_sandbox_ctx_t *ctx)
{
    struct sbx_problem unknown = { .code = SBX_PROBLEM_POLICY_UNKNOWN, .retry_after_s = 1 };

    ctx->denied = "policy_unknown";
    return ngx_http_sandbox_send_problem(r, &unknown);
}


/* The stream's head and its first frame, which for a client that asked for nothing there is also is the last. What the content handler returns. */
static ngx_int_t
ngx_http_sandbox_mcp_begin(ngx_http_sandbox_mcp_listener_t *listener, ngx_flag_t is_honoured)
{
    char text[NGX_HTTP_SANDBOX_MCP_FRAME_MAX];
    struct sbx_buf out = SBX_BUF_OVER(text);
    ngx_http_request_t *r = listener->r;
    ngx_int_t rc;

    rc = ngx_http_sandbox_mcp_send_stream_head(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }
    ngx_http_sandbox_mcp_write_acknowledged(listener, &out, is_honoured);
    if (!is_honoured) {
        ngx_http_sandbox_mcp_write_end(listener, &out, "There is nothing to listen for");
    }
    if (ngx_http_sandbox_mcp_put_frame(listener, &out) != NGX_OK) {
        return NGX_ERROR;
    }
    if (is_honoured) {
        return ngx_http_sandbox_mcp_hold(listener);
    }
    ngx_http_sandbox_mcp_leave(listener);
    return ngx_http_send_special(r, NGX_HTTP_LAST);
}


ngx_int_t
ngx_http_sandbox_mcp_listen(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp)
{
    const json_t *wanted = json_object_get(mcp->message.notifications, "toolsListChanged");
    const ngx_flag_t is_honoured = mcp->conf->catalogue->lists_change && json_is_true(wanted);
    ngx_http_sandbox_ctx_t *ctx = ngx_http_sandbox_ctx_peek(r);
    ngx_http_sandbox_mcp_listener_t *listener;
    ngx_pool_cleanup_t *cln;
    ngx_int_t rc;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_sandbox_mcp_listener_t));
    if (cln == NULL || ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    listener = cln->data;
    ngx_memzero(listener, sizeof(ngx_http_sandbox_mcp_listener_t));
    listener->r = r;
    listener->mcp = mcp;
    mcp->listen = listener;
    cln->handler = ngx_http_sandbox_mcp_listen_cleanup;

    ngx_http_sandbox_mcp_open_hall();
    rc = ngx_http_sandbox_mcp_enter(listener, ctx->context.tenant);
    if (rc == NGX_DECLINED) {
        return ngx_http_sandbox_mcp_listen_refuse(r, mcp);
    }
    if (rc == NGX_OK) {
        rc = ngx_http_sandbox_mcp_tools(r, mcp, &listener->tools);
    }
    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? ngx_http_sandbox_mcp_listen_unknown(r, ctx) : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* Whoever listens does no work: the tenant's others may, and nothing of the message is needed but its id. */
    ngx_http_sandbox_limit_release(ctx);
    ngx_http_sandbox_mcp_forget_json(mcp);
    mcp->outcome = NGX_HTTP_SANDBOX_MCP_RESULT;
    return ngx_http_sandbox_mcp_begin(listener, is_honoured);
}
