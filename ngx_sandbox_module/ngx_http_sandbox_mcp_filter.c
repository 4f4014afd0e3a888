/*
 * What comes back from a tool's internal location, made the answer to the message: a result as it is, with what every result has written
 * around it; a stream of events, event for event; a refusal or a failure, whoever it is of, in words for a model.
 */
#include "ngx_http_sandbox_mcp_forward.h"

#include "lib/sbx_time.h"


#define NGX_HTTP_SANDBOX_MCP_TYPE      "application/vnd.sandbox.tool+json"
/* Events are gathered up to this before they are sent, when more than one lies here. */
#define NGX_HTTP_SANDBOX_MCP_GATHERED  (16ul * 1024)
/* Of request->buffered: the bit that nginx leaves to filters that keep something. */
#define NGX_HTTP_SANDBOX_MCP_BUFFERED  0x08


static ngx_http_output_header_filter_pt ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt ngx_http_next_body_filter;


/* The first header of the reply with this name that is to be sent. */
static ngx_table_elt_t *
ngx_http_sandbox_mcp_header_out(ngx_http_request_t *r, const char *name)
{
    size_t len = ngx_strlen(name);
    ngx_list_part_t *part;
    ngx_table_elt_t *h;
    ngx_uint_t i;

    for (part = &r->headers_out.headers.part; part != NULL; part = part->next) {
        h = part->elts;
        for (i = 0; i < part->nelts; i++) {
            if (h[i].hash != 0 && h[i].key.len == len && ngx_strncasecmp(h[i].key.data, (u_char *) name, len) == 0) {
                return &h[i];
            }
        }
    }
    return NULL;
}


/* What was said of another representation is not said of ours; when to try again is. */
static void
ngx_http_sandbox_mcp_hide_headers(ngx_http_request_t *r)
{
    static ngx_str_t kept = ngx_string("Retry-After");
    ngx_list_part_t *part;
    ngx_table_elt_t *h;
    ngx_uint_t i;

    for (part = &r->headers_out.headers.part; part != NULL; part = part->next) {
        h = part->elts;
        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len != kept.len || ngx_strncasecmp(h[i].key.data, kept.data, kept.len) != 0) {
                h[i].hash = 0;
            }
        }
    }
    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_location(r);
    ngx_http_clear_etag(r);
    r->headers_out.content_encoding = NULL;
    r->headers_out.expires = NULL;
    ngx_memzero(&r->headers_out.cache_control, sizeof(r->headers_out.cache_control));
    r->disable_not_modified = 1;
}


static ngx_int_t
ngx_http_sandbox_mcp_send_head(ngx_http_request_t *r, ngx_uint_t status, const char *type, off_t length)
{
    static ngx_str_t cache_control = ngx_string("Cache-Control");
    static ngx_str_t no_store = ngx_string("no-store");

    r->err_status = 0;
    r->headers_out.status = status;
    r->headers_out.status_line.len = 0;
    r->headers_out.content_length_n = length;
    r->headers_out.content_type.data = (u_char *) type;
    r->headers_out.content_type.len = ngx_strlen(type);
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    ngx_str_null(&r->headers_out.charset);
    if (ngx_http_sandbox_add_header(r, &cache_control, &no_store) != NGX_OK) {
        return NGX_ERROR;
    }
    return ngx_http_next_header_filter(r);
}


/* Pushes out what nginx keeps; an empty chain is no error only then. */
static ngx_int_t
ngx_http_sandbox_mcp_flush(ngx_http_request_t *r)
{
    return r->out != NULL || r->connection->buffered ? ngx_http_next_body_filter(r, NULL) : NGX_OK;
}


static void
ngx_http_sandbox_mcp_consume(ngx_chain_t *in)
{
    for ( /* void */ ; in != NULL; in = in->next) {
        in->buf->pos = in->buf->last;
    }
}


static ngx_flag_t
ngx_http_sandbox_mcp_is_last(ngx_chain_t *in)
{
    for ( /* void */ ; in != NULL; in = in->next) {
        if (in->buf->last_buf) {
            return 1;
        }
    }
    return 0;
}


/* The upstream failed after its head: nginx then ends with a bare flush. */
static ngx_flag_t
ngx_http_sandbox_mcp_is_broken(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_buf_t *b = in == NULL ? NULL : in->buf;

    return b != NULL && b->flush && !b->last_buf && ngx_buf_size(b) == 0 && r->upstream != NULL && r->upstream->cleanup == NULL;
}


/* The whole answer, which lies in forward->text. */
static ngx_int_t
ngx_http_sandbox_mcp_send_text(ngx_http_request_t *r, ngx_http_sandbox_mcp_forward_t *forward, ngx_uint_t status)
{
    ngx_buf_t *b = &forward->out;
    ngx_chain_t out;
    ngx_int_t rc;

    if (forward->text.failed) {
        return NGX_ERROR;
    }
    forward->state = NGX_HTTP_SANDBOX_MCP_DONE;
    ngx_http_sandbox_mcp_hide_headers(r);
    rc = ngx_http_sandbox_mcp_send_head(r, status, "application/json", (off_t) forward->text.len);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }
    ngx_memzero(b, sizeof(ngx_buf_t));
    b->pos = (u_char *) forward->text.data;
    b->last = b->pos + forward->text.len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;
    out.buf = b;
    out.next = NULL;
    return ngx_http_next_body_filter(r, &out);
}


/* Instead of what a backend said, or did not say. */
static ngx_int_t
ngx_http_sandbox_mcp_send_lost(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, const char *why)
{
    ngx_http_sandbox_mcp_forward_t *forward = mcp->forward;

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "event=mcp.backend request_id=%s %s", forward->to.request_id, why);
    mcp->outcome = mcp->message.method == SBX_MCP_TOOLS_CALL ? NGX_HTTP_SANDBOX_MCP_TOOL_ERROR : NGX_HTTP_SANDBOX_MCP_ERROR;
    sbx_buf_reset(&forward->text);
    forward->text.max = NGX_HTTP_SANDBOX_MCP_ANSWER_MAX;
    sbx_mcp_reply_lost(&forward->text, &forward->to);
    return ngx_http_sandbox_mcp_send_text(r, forward, NGX_HTTP_OK);
}


/* What a reply is, by its head. */
static ngx_http_sandbox_mcp_state_e
ngx_http_sandbox_mcp_judge(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, ngx_http_sandbox_mcp_forward_t *forward)
{
    const size_t json = sizeof(NGX_HTTP_SANDBOX_MCP_TYPE) - 1, events = sizeof("text/event-stream") - 1;
    ngx_str_t *type = &r->headers_out.content_type;
    ngx_table_elt_t *h;

    forward->kind = SBX_MCP_REPLY_NONE;
    if (forward->status == NGX_HTTP_UNAUTHORIZED
        || (forward->status == NGX_HTTP_FORBIDDEN && ngx_http_sandbox_mcp_header_out(r, "WWW-Authenticate") != NULL))
    {
        return NGX_HTTP_SANDBOX_MCP_THROUGH;
    }
    if (!mcp->message.is_request) {
        return NGX_HTTP_SANDBOX_MCP_SWALLOW;
    }
    if (forward->status < NGX_HTTP_OK || forward->status >= NGX_HTTP_SPECIAL_RESPONSE || r->headers_out.content_encoding != NULL) {
        return NGX_HTTP_SANDBOX_MCP_COLLECT;
    }
    if (forward->wants_stream && type->len >= events && ngx_strncasecmp(type->data, (u_char *) "text/event-stream", events) == 0) {
        return NGX_HTTP_SANDBOX_MCP_STREAM;
    }
    if (type->len < json || ngx_strncasecmp(type->data, (u_char *) NGX_HTTP_SANDBOX_MCP_TYPE, json) != 0) {
        return NGX_HTTP_SANDBOX_MCP_COLLECT;
    }
    h = ngx_http_sandbox_mcp_header_out(r, "Sandbox-Tool-Result");
    forward->kind = h == NULL ? SBX_MCP_REPLY_COMPLETE : sbx_mcp_reply_kind((char *) h->value.data, h->value.len);
    if (!sbx_mcp_reply_may_be(&mcp->message, forward->kind)) {
        forward->kind = SBX_MCP_REPLY_NONE;
    }
    return forward->kind == SBX_MCP_REPLY_COMPLETE || forward->kind == SBX_MCP_REPLY_TASK ? NGX_HTTP_SANDBOX_MCP_OPEN
                                                                                         : NGX_HTTP_SANDBOX_MCP_COLLECT;
}


static ngx_int_t
ngx_http_sandbox_mcp_begin_stream(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, ngx_http_sandbox_mcp_forward_t *forward)
{
    static ngx_str_t buffering = ngx_string("X-Accel-Buffering");
    static ngx_str_t no = ngx_string("no");

    forward->text.max = SBX_MCP_STREAM_OUT_MAX;
    if (ngx_http_sandbox_mcp_forward_asked(mcp, forward) != NGX_OK || sbx_mcp_stream_new(&forward->stream, &forward->to) != 0) {
        return NGX_ERROR;
    }
    mcp->outcome = NGX_HTTP_SANDBOX_MCP_RESULT;
    /* A compressor keeps what it was given until it has more. */
    r->gzip_tested = 1;
    r->gzip_ok = 0;
    ngx_http_sandbox_mcp_hide_headers(r);
    if (ngx_http_sandbox_add_header(r, &buffering, &no) != NGX_OK) {
        return NGX_ERROR;
    }
    return ngx_http_sandbox_mcp_send_head(r, NGX_HTTP_OK, "text/event-stream", -1);
}


static ngx_int_t
ngx_http_sandbox_mcp_header_filter(ngx_http_request_t *r)
{
    ngx_http_sandbox_mcp_t *mcp = r == r->main ? ngx_http_sandbox_mcp(r) : NULL;
    ngx_http_sandbox_mcp_forward_t *forward;
    ngx_table_elt_t *h;
    ngx_int_t n;

    if (mcp == NULL || !mcp->forwarded) {
        return ngx_http_next_header_filter(r);
    }
    forward = mcp->forward;
    /* What is no HTTP nginx takes for HTTP/0.9, and would then speak it to the client. */
    r->http_version = forward->http_version;
    forward->status = r->headers_out.status;
    forward->length = r->headers_out.content_length_n;
    forward->seen = 0;
    forward->to.now_ms = sbx_now_unix_ms();
    h = ngx_http_sandbox_mcp_header_out(r, "Retry-After");
    n = h == NULL ? 0 : ngx_atoi(h->value.data, h->value.len);
    forward->retry_after_s = n < 0 ? 0 : ngx_min(n, 86400);
    forward->state = ngx_http_sandbox_mcp_judge(r, mcp, forward);

    switch (forward->state) {

    case NGX_HTTP_SANDBOX_MCP_THROUGH:
        mcp->outcome = NGX_HTTP_SANDBOX_MCP_REFUSED;
        return ngx_http_next_header_filter(r);

    case NGX_HTTP_SANDBOX_MCP_SWALLOW:
        mcp->outcome = NGX_HTTP_SANDBOX_MCP_ACCEPTED;
        ngx_http_sandbox_mcp_hide_headers(r);
        return ngx_http_sandbox_mcp_send_head(r, NGX_HTTP_ACCEPTED, "", 0);

    case NGX_HTTP_SANDBOX_MCP_STREAM:
        return ngx_http_sandbox_mcp_begin_stream(r, mcp, forward);

    default:
        /* The head waits for what the body says. */
        r->main_filter_need_in_memory = 1;
        r->allow_ranges = 0;
        sbx_buf_reset(&forward->text);
        forward->text.max = SBX_MCP_REPLY_PARSED_MAX;
        return NGX_OK;
    }
}


static ngx_int_t
ngx_http_sandbox_mcp_swallow(ngx_http_request_t *r, ngx_http_sandbox_mcp_forward_t *forward, ngx_chain_t *in)
{
    ngx_flag_t over = ngx_http_sandbox_mcp_is_last(in) || ngx_http_sandbox_mcp_is_broken(r, in);
    ngx_chain_t out;

    ngx_http_sandbox_mcp_consume(in);
    if (!over) {
        return ngx_http_sandbox_mcp_flush(r);
    }
    forward->state = NGX_HTTP_SANDBOX_MCP_DONE;
    ngx_memzero(&forward->out, sizeof(ngx_buf_t));
    forward->out.last_buf = 1;
    forward->out.last_in_chain = 1;
    out.buf = &forward->out;
    out.next = NULL;
    return ngx_http_next_body_filter(r, &out);
}


/* All of the body is here: a refusal, a question, an error. */
static ngx_int_t
ngx_http_sandbox_mcp_answer_collected(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, ngx_http_sandbox_mcp_forward_t *forward)
{
    struct sbx_buf body = forward->text;
    struct sbx_mcp_refusal refusal;
    int rc = 0, status = NGX_HTTP_OK;

    ngx_memzero(&forward->text, sizeof(forward->text));
    forward->text.max = NGX_HTTP_SANDBOX_MCP_ANSWER_MAX;

    if (forward->kind == SBX_MCP_REPLY_NONE) {
        ngx_memzero(&refusal, sizeof(refusal));
        /* A good reply of another kind than was asked for is a bad one. */
        refusal.status = forward->status < NGX_HTTP_BAD_REQUEST ? NGX_HTTP_BAD_GATEWAY : (int) forward->status;
        refusal.text = body.data;
        refusal.len = forward->too_large || forward->status < NGX_HTTP_BAD_REQUEST ? 0 : body.len;
        refusal.retry_after_s = (unsigned) forward->retry_after_s;
        mcp->outcome = mcp->message.method == SBX_MCP_TOOLS_CALL ? NGX_HTTP_SANDBOX_MCP_TOOL_ERROR : NGX_HTTP_SANDBOX_MCP_ERROR;
        sbx_mcp_reply_refusal(&forward->text, &forward->to, &refusal);

    } else if (forward->too_large) {
        rc = SBX_MCP_REPLY_E_FORM;

    } else if (forward->kind == SBX_MCP_REPLY_INPUT_REQUIRED) {
        mcp->outcome = NGX_HTTP_SANDBOX_MCP_INPUT;
        rc = ngx_http_sandbox_mcp_forward_asked(mcp, forward) != NGX_OK
                 ? -ENOMEM
                 : sbx_mcp_reply_input(&forward->text, &forward->to, body.data, body.len, &status);

    } else {
        mcp->outcome = NGX_HTTP_SANDBOX_MCP_ERROR;
        rc = sbx_mcp_reply_error(&forward->text, &forward->to, body.data, body.len, &status);
    }
    sbx_buf_deinit(&body);
    if (rc != 0) {
        return ngx_http_sandbox_mcp_send_lost(r, mcp, "a backend's answer has not the form of its kind");
    }
    return ngx_http_sandbox_mcp_send_text(r, forward, (ngx_uint_t) status);
}


static ngx_int_t
ngx_http_sandbox_mcp_collect(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, ngx_http_sandbox_mcp_forward_t *forward,
    ngx_chain_t *in)
{
    ngx_flag_t last = ngx_http_sandbox_mcp_is_last(in), broken = ngx_http_sandbox_mcp_is_broken(r, in);
    ngx_chain_t *cl;

    for (cl = in; cl != NULL; cl = cl->next) {
        if (ngx_buf_in_memory(cl->buf) && !forward->too_large) {
            sbx_buf_append(&forward->text, cl->buf->pos, (size_t) (cl->buf->last - cl->buf->pos));
            forward->too_large = forward->text.failed;
        }
    }
    ngx_http_sandbox_mcp_consume(in);
    if (broken && forward->kind != SBX_MCP_REPLY_NONE) {
        return ngx_http_sandbox_mcp_send_lost(r, mcp, "a backend's answer broke off");
    }
    if (broken) {
        forward->too_large = 1;
    }
    return last || broken ? ngx_http_sandbox_mcp_answer_collected(r, mcp, forward) : NGX_OK;
}


static void
ngx_http_sandbox_mcp_skip_space(ngx_buf_t *b)
{
    while (b->pos < b->last && (*b->pos == ' ' || *b->pos == '\t' || *b->pos == '\n' || *b->pos == '\r')) {
        b->pos++;
    }
}


/*
 * Up to the first member of a result. NGX_OK: b begins with it, and the head of the answer may go; NGX_AGAIN: there is no more in b; NGX_DECLINED:
 * it is no object.
 */
static ngx_int_t
ngx_http_sandbox_mcp_open(ngx_http_sandbox_mcp_forward_t *forward, ngx_buf_t *b)
{
    if (!ngx_buf_in_memory(b)) {
        return NGX_AGAIN;
    }
    ngx_http_sandbox_mcp_skip_space(b);
    if (forward->state == NGX_HTTP_SANDBOX_MCP_OPEN && b->pos < b->last) {
        if (*b->pos != '{') {
            return NGX_DECLINED;
        }
        b->pos++;
        forward->state = NGX_HTTP_SANDBOX_MCP_FIRST;
        ngx_http_sandbox_mcp_skip_space(b);
    }
    return b->pos < b->last ? NGX_OK : NGX_AGAIN;
}


/* A link of our own, with a buffer of the chain or over a text; NULL without memory. */
static ngx_chain_t **
ngx_http_sandbox_mcp_link(ngx_http_request_t *r, ngx_chain_t **last, ngx_buf_t *b)
{
    ngx_chain_t *cl = b == NULL ? NULL : ngx_alloc_chain_link(r->pool);

    if (cl == NULL) {
        return NULL;
    }
    cl->buf = b;
    cl->next = NULL;
    *last = cl;
    return &cl->next;
}


static ngx_buf_t *
ngx_http_sandbox_mcp_text_buf(ngx_http_request_t *r, const char *text, size_t len)
{
    ngx_buf_t *b = ngx_calloc_buf(r->pool);

    if (b != NULL) {
        b->pos = (u_char *) text;
        b->last = b->pos + len;
        b->memory = 1;
    }
    return b;
}


/* Writes the answer's head, now that is known whether a comma follows it. */
static ngx_int_t
ngx_http_sandbox_mcp_begin_result(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, ngx_http_sandbox_mcp_forward_t *forward,
    u_char first)
{
    off_t length = -1;

    if (sbx_mcp_reply_head(&forward->text, &forward->to, forward->kind) && first != '}') {
        sbx_buf_putc(&forward->text, ',');
    }
    if (forward->text.failed) {
        return NGX_ERROR;
    }
    if (forward->length >= forward->seen) {
        length = (off_t) forward->text.len + forward->length - forward->seen + (off_t) ngx_strlen(sbx_mcp_reply_tail(forward->kind));
    }
    mcp->outcome = forward->kind == SBX_MCP_REPLY_TASK ? NGX_HTTP_SANDBOX_MCP_TASK : NGX_HTTP_SANDBOX_MCP_RESULT;
    forward->state = NGX_HTTP_SANDBOX_MCP_REST;
    ngx_http_sandbox_mcp_hide_headers(r);
    return ngx_http_sandbox_mcp_send_head(r, NGX_HTTP_OK, "application/json", length);
}


/*
 * Takes what is before the first member off the chain. NGX_OK: the head was sent, and *ret is the rest of the chain; NGX_AGAIN: more must come;
 * else what the filter returns.
 */
static ngx_int_t
ngx_http_sandbox_mcp_open_chain(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, ngx_http_sandbox_mcp_forward_t *forward,
    ngx_chain_t *in)
{
    ngx_flag_t over = ngx_http_sandbox_mcp_is_last(in) || ngx_http_sandbox_mcp_is_broken(r, in);
    ngx_chain_t *cl;
    ngx_int_t rc;
    u_char *pos;

    for (cl = in; cl != NULL; cl = cl->next) {
        pos = cl->buf->pos;
        rc = ngx_http_sandbox_mcp_open(forward, cl->buf);
        forward->seen += cl->buf->pos - pos;
        if (rc == NGX_OK) {
            rc = ngx_http_sandbox_mcp_begin_result(r, mcp, forward, *cl->buf->pos);
            return rc > NGX_OK ? NGX_ERROR : rc;
        }
        if (rc == NGX_DECLINED) {
            over = 1;
            break;
        }
    }
    if (!over) {
        return NGX_AGAIN;
    }
    ngx_http_sandbox_mcp_consume(in);
    rc = ngx_http_sandbox_mcp_send_lost(r, mcp, "a backend's answer is no object, or broke off before it was one");
    return rc == NGX_OK ? NGX_DONE : rc;
}


/* A result: the backend's bytes as they are. Its end is known by the length, or comes last. */
static ngx_int_t
ngx_http_sandbox_mcp_pass(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, ngx_http_sandbox_mcp_forward_t *forward,
    ngx_chain_t *in)
{
    const char *tail = sbx_mcp_reply_tail(forward->kind);
    ngx_flag_t over = ngx_http_sandbox_mcp_is_last(in);
    ngx_chain_t *out = NULL, *cl, **last = &out;
    ngx_int_t rc;
    ngx_buf_t *b;

    if (forward->state == NGX_HTTP_SANDBOX_MCP_REST && ngx_http_sandbox_mcp_is_broken(r, in)) {
        /* The head is with the client: only the connection's end can say that this is not all. */
        return NGX_ERROR;
    }
    if (forward->state != NGX_HTTP_SANDBOX_MCP_REST) {
        rc = ngx_http_sandbox_mcp_open_chain(r, mcp, forward, in);
        if (rc != NGX_OK) {
            return rc == NGX_AGAIN || rc == NGX_DONE ? NGX_OK : rc;
        }
        last = ngx_http_sandbox_mcp_link(r, last, ngx_http_sandbox_mcp_text_buf(r, forward->text.data, forward->text.len));
    }
    for (cl = in; cl != NULL && last != NULL; cl = cl->next) {
        forward->seen += ngx_buf_size(cl->buf);
        if (ngx_buf_size(cl->buf) != 0) {
            cl->buf->last_buf = 0;
            last = ngx_http_sandbox_mcp_link(r, last, cl->buf);
        }
    }
    if (last != NULL && (over || (forward->length >= 0 && forward->seen >= forward->length))) {
        forward->state = NGX_HTTP_SANDBOX_MCP_DONE;
        b = ngx_http_sandbox_mcp_text_buf(r, tail, ngx_strlen(tail));
        if (b != NULL) {
            b->last_buf = 1;
            b->last_in_chain = 1;
        }
        last = ngx_http_sandbox_mcp_link(r, last, b);
    }
    if (last == NULL) {
        return NGX_ERROR;
    }
    rc = out == NULL ? ngx_http_sandbox_mcp_flush(r) : ngx_http_next_body_filter(r, out);
    while (out != NULL) {
        cl = out;
        out = out->next;
        ngx_free_chain(r->pool, cl);
    }
    return rc;
}


/* Gives out what the stream made. NGX_OK: all went; NGX_AGAIN: the client is slow. */
static ngx_int_t
ngx_http_sandbox_mcp_give(ngx_http_request_t *r, ngx_http_sandbox_mcp_forward_t *forward, ngx_flag_t last)
{
    ngx_buf_t *b = &forward->out;
    ngx_chain_t out;
    ngx_int_t rc;

    ngx_memzero(b, sizeof(ngx_buf_t));
    b->pos = (u_char *) forward->text.data;
    b->last = b->pos + forward->text.len;
    b->memory = forward->text.len != 0;
    b->flush = 1;
    b->last_buf = last;
    b->last_in_chain = 1;
    out.buf = b;
    out.next = NULL;
    rc = ngx_http_next_body_filter(r, &out);
    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }
    return b->pos == b->last ? NGX_OK : NGX_AGAIN;
}


/* The stream ends without an answer, or with one that can't be. */
static ngx_int_t
ngx_http_sandbox_mcp_stream_lost(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, ngx_http_sandbox_mcp_forward_t *forward)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(SBX_MCP_REPLY_PARSED_MAX);

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "event=mcp.backend request_id=%s a stream ended without an answer",
                  forward->to.request_id);
    mcp->outcome = mcp->message.method == SBX_MCP_TOOLS_CALL ? NGX_HTTP_SANDBOX_MCP_TOOL_ERROR : NGX_HTTP_SANDBOX_MCP_ERROR;
    if (sbx_mcp_stream_is_open(forward->stream)) {
        return NGX_ERROR;
    }
    sbx_mcp_reply_lost(&text, &forward->to);
    if (text.failed) {
        return NGX_ERROR;
    }
    sbx_mcp_stream_event(&forward->text, text.data, text.len);
    return forward->text.failed ? NGX_ERROR : NGX_OK;
}


/* Translates what lies here until enough is gathered. NGX_OK: more may come; NGX_DONE: the answer is among it; NGX_ERROR. */
static ngx_int_t
ngx_http_sandbox_mcp_gather(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, ngx_http_sandbox_mcp_forward_t *forward)
{
    ngx_chain_t *cl;
    ngx_flag_t over;
    size_t n;
    int rc = 0;

    while (forward->in != NULL && forward->text.len < NGX_HTTP_SANDBOX_MCP_GATHERED) {
        cl = forward->in;
        n = ngx_buf_in_memory(cl->buf) ? ngx_min((size_t) (cl->buf->last - cl->buf->pos), SBX_MCP_STREAM_PIECE_MAX) : 0;
        if (n > 0) {
            rc = sbx_mcp_stream_feed(forward->stream, &forward->text, (char *) cl->buf->pos, n);
            cl->buf->pos += n;
        }
        over = rc != 0 || (ngx_buf_size(cl->buf) == 0 && (cl->buf->last_buf || ngx_http_sandbox_mcp_is_broken(r, cl)));
        if (ngx_buf_size(cl->buf) == 0) {
            forward->in = cl->next;
            ngx_free_chain(r->pool, cl);
        }
        if (sbx_mcp_stream_is_over(forward->stream)) {
            return NGX_DONE;
        }
        if (over) {
            return rc < 0 || ngx_http_sandbox_mcp_stream_lost(r, mcp, forward) != NGX_OK ? NGX_ERROR : NGX_DONE;
        }
    }
    return NGX_OK;
}


/* Whether the client has all that was given out; until then nginx must come back. */
static ngx_int_t
ngx_http_sandbox_mcp_given(ngx_http_request_t *r, ngx_http_sandbox_mcp_forward_t *forward)
{
    if (forward->out.pos != forward->out.last) {
        r->buffered |= NGX_HTTP_SANDBOX_MCP_BUFFERED;
        return NGX_AGAIN;
    }
    r->buffered &= ~NGX_HTTP_SANDBOX_MCP_BUFFERED;
    return NGX_OK;
}


/* What was made of one piece is with the client before the next is taken: a slow client holds the backend up, and no memory. */
static ngx_int_t
ngx_http_sandbox_mcp_translate(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, ngx_http_sandbox_mcp_forward_t *forward,
    ngx_chain_t *in)
{
    ngx_int_t rc;

    if (in != NULL && ngx_chain_add_copy(r->pool, &forward->in, in) != NGX_OK) {
        return NGX_ERROR;
    }
    rc = ngx_http_sandbox_mcp_flush(r);

    while (rc != NGX_ERROR && ngx_http_sandbox_mcp_given(r, forward) == NGX_OK && forward->in != NULL) {
        sbx_buf_reset(&forward->text);
        rc = ngx_http_sandbox_mcp_gather(r, mcp, forward);
        if (rc == NGX_DONE) {
            ngx_http_sandbox_mcp_consume(forward->in);
            forward->in = NULL;
            forward->state = NGX_HTTP_SANDBOX_MCP_DONE;
        }
        if (rc != NGX_ERROR && forward->text.len != 0) {
            rc = ngx_http_sandbox_mcp_give(r, forward, rc == NGX_DONE);
        }
    }
    if (rc == NGX_ERROR) {
        r->keepalive = 0;
        return NGX_ERROR;
    }
    return ngx_http_sandbox_mcp_given(r, forward);
}


static ngx_int_t
ngx_http_sandbox_mcp_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_sandbox_mcp_t *mcp = r == r->main ? ngx_http_sandbox_mcp(r) : NULL;
    ngx_http_sandbox_mcp_forward_t *forward;

    if (mcp == NULL || !mcp->forwarded) {
        return ngx_http_next_body_filter(r, in);
    }
    forward = mcp->forward;

    switch (forward->state) {

    case NGX_HTTP_SANDBOX_MCP_WAIT:
    case NGX_HTTP_SANDBOX_MCP_THROUGH:
        return ngx_http_next_body_filter(r, in);

    case NGX_HTTP_SANDBOX_MCP_SWALLOW:
        return ngx_http_sandbox_mcp_swallow(r, forward, in);

    case NGX_HTTP_SANDBOX_MCP_COLLECT:
        return ngx_http_sandbox_mcp_collect(r, mcp, forward, in);

    case NGX_HTTP_SANDBOX_MCP_OPEN:
    case NGX_HTTP_SANDBOX_MCP_FIRST:
    case NGX_HTTP_SANDBOX_MCP_REST:
        return ngx_http_sandbox_mcp_pass(r, mcp, forward, in);

    case NGX_HTTP_SANDBOX_MCP_STREAM:
        return ngx_http_sandbox_mcp_translate(r, mcp, forward, in);

    case NGX_HTTP_SANDBOX_MCP_DONE:
        break;
    }
    ngx_http_sandbox_mcp_consume(in);
    return ngx_http_sandbox_mcp_flush(r) == NGX_ERROR ? NGX_ERROR : ngx_http_sandbox_mcp_given(r, forward);
}


ngx_int_t
ngx_http_sandbox_mcp_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_sandbox_mcp_header_filter;
    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_sandbox_mcp_body_filter;
    return NGX_OK;
}
