/*
 * One connection of the HTTP server: bytes in, http-parser, deadlines, states.
 * The parser's callbacks only note what happened and pause it; handlers are
 * called from sbx_http_conn_run, so that no parser is on the stack below them
 * and none of their own calls makes a callback.
 */
#include "sbx_http_conn.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* After the last reply the client may still be sending; long enough to let it read the reply. */
#define LINGER_MS 1000

static struct sbx_http_conn *
conn_of(http_parser *parser)
{
    return parser->data;
}

static int
conn_on_url(http_parser *parser, const char *data, size_t len)
{
    return sbx_http_head_target(&conn_of(parser)->request.head, data, len);
}

static int
conn_on_header_field(http_parser *parser, const char *data, size_t len)
{
    return sbx_http_head_name(&conn_of(parser)->request.head, data, len);
}

static int
conn_on_header_value(http_parser *parser, const char *data, size_t len)
{
    return sbx_http_head_value(&conn_of(parser)->request.head, data, len);
}

static int
conn_on_headers_complete(http_parser *parser)
{
    struct sbx_http_conn *conn = conn_of(parser);

    if (sbx_http_head_end(&conn->request.head) < 0) {
        return -1;
    }

    conn->event = SBX_HTTP_EVENT_HEAD;
    http_parser_pause(parser, 1);
    return 0;
}

static int
conn_on_body(http_parser *parser, const char *data, size_t len)
{
    struct sbx_http_conn *conn = conn_of(parser);

    conn->event = SBX_HTTP_EVENT_DATA;
    conn->data = data;
    conn->data_len = len;
    http_parser_pause(parser, 1);
    return 0;
}

static int
conn_on_message_complete(http_parser *parser)
{
    conn_of(parser)->event = SBX_HTTP_EVENT_END;
    http_parser_pause(parser, 1);
    return 0;
}

static const http_parser_settings conn_settings = {
    .on_url = conn_on_url,
    .on_header_field = conn_on_header_field,
    .on_header_value = conn_on_header_value,
    .on_headers_complete = conn_on_headers_complete,
    .on_body = conn_on_body,
    .on_message_complete = conn_on_message_complete,
};

static void
conn_on_handle_closed(uv_handle_t *handle)
{
    struct sbx_http_conn *conn = handle->data;
    struct sbx_http_request *request = &conn->request;
    struct sbx_http_server *server = conn->server;

    if (--conn->n_handles > 0) {
        return;
    }

    /* Here and not in conn_close: whoever closed may be the handler itself. */
    if (request->told && request->reply != SBX_HTTP_REPLY_ENDED && request->on_abort != NULL) {
        request->on_abort(request);
    }

    if (conn->prev != NULL) {
        conn->prev->next = conn->next;
    } else {
        server->conns = conn->next;
    }
    if (conn->next != NULL) {
        conn->next->prev = conn->prev;
    }

    if (request->on_detached != NULL) {
        request->on_detached(request->detached_arg, request->detached_fd);
    }
    sbx_http_request_deinit(request);
    sbx_buf_deinit(&conn->stash);
    free(conn);
    server->n_conns--;
    sbx_http_server_on_conn_gone(server);
}

void
sbx_http_conn_close(struct sbx_http_conn *conn)
{
    if (conn->state == SBX_HTTP_CLOSING) {
        return;
    }

    conn->state = SBX_HTTP_CLOSING;
    uv_close(&conn->peer.handle, conn_on_handle_closed);
    uv_close((uv_handle_t *)&conn->recv_timer, conn_on_handle_closed);
    uv_close((uv_handle_t *)&conn->send_timer, conn_on_handle_closed);
    uv_close((uv_handle_t *)&conn->kick, conn_on_handle_closed);
}

/* Answers for the server itself and gives the connection up. */
static void
conn_refuse(struct sbx_http_conn *conn, int status)
{
    struct sbx_http_request *request = &conn->request;
    bool abort = request->told && request->reply != SBX_HTTP_REPLY_ENDED;

    if (abort) {
        request->told = false;
        if (request->on_abort != NULL) {
            request->on_abort(request);
        }
    }

    if (request->reply != SBX_HTTP_REPLY_NONE) {
        sbx_http_conn_close(conn); /* half a reply cannot become an error any more */
        return;
    }

    request->keep = false;
    sbx_http_reply_error(request, status);
    if (conn->state != SBX_HTTP_CLOSING) {
        conn->state = SBX_HTTP_FLUSH;
        uv_timer_stop(&conn->recv_timer);
    }
}

static void
conn_on_deadline(uv_timer_t *timer)
{
    struct sbx_http_conn *conn = timer->data;

    if (conn->state == SBX_HTTP_HEAD || conn->state == SBX_HTTP_BODY) {
        conn_refuse(conn, 408);
        sbx_http_conn_run(conn);
    } else {
        sbx_http_conn_close(conn);
    }
}

static void
conn_set_deadline(struct sbx_http_conn *conn, uint64_t ms)
{
    uv_timer_stop(&conn->recv_timer);
    if (ms > 0) {
        (void)uv_timer_start(&conn->recv_timer, conn_on_deadline, ms, 0); /* cannot fail: callback set */
    }
}

static void
conn_begin(struct sbx_http_conn *conn)
{
    http_parser_init(&conn->parser, HTTP_REQUEST);
    conn->parser.data = conn;
    conn->guard = (struct sbx_http_guard){ 0 };
    conn->head_bytes = 0;
    conn->paused = false;
    conn->state = SBX_HTTP_HEAD;
    conn_set_deadline(conn, conn->server->spec.head_timeout_ms);
}

/* Feeds the parser until it has an event or needs more. */
static size_t
conn_execute(struct sbx_http_conn *conn, const char *data, size_t len)
{
    size_t n;

    conn->event = SBX_HTTP_EVENT_NONE;
    n = http_parser_execute(&conn->parser, &conn_settings, data, len);
    if (HTTP_PARSER_ERRNO(&conn->parser) == HPE_PAUSED) {
        http_parser_pause(&conn->parser, 0);
    }
    return n;
}

static void
conn_expect(struct sbx_http_conn *conn, bool more_here)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const char *expect = sbx_http_head_get(&conn->request.head, "expect");

    if (expect == NULL || conn->parser.http_minor == 0) {
        return;
    }
    if (strcasecmp(expect, "100-continue") != 0) {
        conn_refuse(conn, 417);
        return;
    }
    if (conn->request.has_body && !more_here) {
        sbx_http_conn_write(conn, interim, sizeof(interim) - 1, NULL, 0);
    }
}

static void
conn_on_head(struct sbx_http_conn *conn, bool more_here)
{
    struct sbx_http_request *request = &conn->request;
    const struct sbx_http_server_spec *spec = &conn->server->spec;
    int status;

    conn->state = SBX_HTTP_BODY;
    conn_set_deadline(conn, spec->body_timeout_ms);

    status = sbx_http_request_check(request, &conn->parser);
    if (status != 0) {
        conn_refuse(conn, status);
        return;
    }

    request->max_body = spec->max_body;
    if (spec->on_head != NULL) {
        request->told = true;
        spec->on_head(request, spec->arg);
    }
    if (conn->state != SBX_HTTP_BODY || request->reply != SBX_HTTP_REPLY_NONE) {
        return;
    }

    if (request->on_data == NULL && request->has_body && (conn->parser.flags & F_CHUNKED) == 0 &&
        conn->parser.content_length > request->max_body) {
        conn_refuse(conn, 413);
        return;
    }
    conn_expect(conn, more_here);
}

static void
conn_on_data(struct sbx_http_conn *conn)
{
    struct sbx_http_request *request = &conn->request;

    if (request->reply == SBX_HTTP_REPLY_ENDED) {
        return;
    }

    conn_set_deadline(conn, conn->server->spec.body_timeout_ms);
    if (request->on_data != NULL) {
        conn->paused = !request->on_data(request, conn->data, conn->data_len);
        if (conn->paused && conn->state == SBX_HTTP_BODY) {
            uv_timer_stop(&conn->recv_timer); /* the handler's time, not the client's */
        }
        return;
    }

    if (conn->data_len > request->max_body - request->body.len) {
        conn_refuse(conn, 413);
        return;
    }
    request->body.max = request->max_body + 1;
    sbx_buf_append(&request->body, conn->data, conn->data_len);
    if (request->body.failed) {
        conn_refuse(conn, 503);
    }
}

static void
conn_on_end(struct sbx_http_conn *conn)
{
    struct sbx_http_request *request = &conn->request;

    conn->state = SBX_HTTP_WAIT;
    uv_timer_stop(&conn->recv_timer);
    if (request->reply != SBX_HTTP_REPLY_ENDED) {
        request->told = true;
        conn->server->spec.on_request(request, conn->server->spec.arg);
    }
}

static int
conn_parse_status(const struct sbx_http_conn *conn)
{
    bool overflow = conn->request.head.overflow || HTTP_PARSER_ERRNO(&conn->parser) == HPE_HEADER_OVERFLOW;

    return overflow ? 431 : 400;
}

static size_t
conn_feed_head(struct sbx_http_conn *conn, const char *data, size_t len)
{
    size_t take, n;

    take = sbx_http_guard_feed(&conn->guard, data, len);
    if (take > conn->server->spec.max_head - conn->head_bytes) {
        conn_refuse(conn, 431);
        return take;
    }
    conn->head_bytes += take;
    if (conn->guard.bad) {
        conn_refuse(conn, 400);
        return take;
    }

    n = conn_execute(conn, data, take);
    if (HTTP_PARSER_ERRNO(&conn->parser) != HPE_OK) {
        conn_refuse(conn, conn_parse_status(conn));
    } else if ((conn->event == SBX_HTTP_EVENT_HEAD) != conn->guard.done) {
        conn_refuse(conn, 400); /* two opinions about where the head ends */
    } else if (conn->event == SBX_HTTP_EVENT_HEAD) {
        /* The parser stands before the LF of the empty line. */
        conn_on_head(conn, len > n + 1);
    }
    return n;
}

static size_t
conn_feed_body(struct sbx_http_conn *conn, const char *data, size_t len)
{
    size_t n = conn_execute(conn, data, len);

    if (HTTP_PARSER_ERRNO(&conn->parser) != HPE_OK) {
        conn_refuse(conn, conn_parse_status(conn));
    } else if (conn->event == SBX_HTTP_EVENT_DATA) {
        conn_on_data(conn);
    } else if (conn->event == SBX_HTTP_EVENT_END) {
        conn_on_end(conn);
    }
    return n;
}

/* libuv 1.44 calls it without asking whether it is there when the handle is closed first. */
static void
conn_on_shutdown(uv_shutdown_t *req, int status)
{
    (void)req;    /* part of the connection */
    (void)status; /* lingering has a deadline either way */
}

static void
conn_linger(struct sbx_http_conn *conn)
{
    conn->state = SBX_HTTP_LINGER;
    sbx_buf_reset(&conn->stash);
    if (conn->eof || uv_shutdown(&conn->shutdown, &conn->peer.stream, conn_on_shutdown) < 0) {
        sbx_http_conn_close(conn);
        return;
    }
    conn_set_deadline(conn, LINGER_MS);
}

/* The socket's way out: closing takes only the loop's descriptor of it. */
static void
conn_detach(struct sbx_http_conn *conn)
{
    struct sbx_http_request *request = &conn->request;
    uv_os_fd_t fd = -1;
    int r = uv_fileno(&conn->peer.handle, &fd);

    if (r == 0 && (conn->stash.len > 0 || conn->eof)) {
        r = -EPROTO; /* what was read already is nobody's */
    }
    if (r == 0) {
        r = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        r = r < 0 ? -errno : r;
    }
    request->detached_fd = r;
    sbx_http_conn_close(conn);
}

/* What follows from the reply being complete. */
static void
conn_settle(struct sbx_http_conn *conn)
{
    struct sbx_http_request *request = &conn->request;

    if (request->reply == SBX_HTTP_REPLY_ENDED &&
        (conn->state == SBX_HTTP_WAIT || (conn->state == SBX_HTTP_BODY && request->has_body))) {
        request->keep = request->keep && conn->state == SBX_HTTP_WAIT;
        conn->state = SBX_HTTP_FLUSH;
        uv_timer_stop(&conn->recv_timer);
    }

    if (conn->state != SBX_HTTP_FLUSH || uv_stream_get_write_queue_size(&conn->peer.stream) > 0) {
        return;
    }

    if (request->on_detached != NULL) {
        return; /* conn_run sees to it, when it knows what else was read */
    }
    if (request->keep && !conn->server->draining) {
        sbx_http_request_reset(request);
        conn->state = SBX_HTTP_IDLE;
        conn_set_deadline(conn, conn->server->spec.idle_timeout_ms);
    } else {
        conn_linger(conn);
    }
}

static bool
conn_hungry(const struct sbx_http_conn *conn)
{
    return conn->state == SBX_HTTP_IDLE || conn->state == SBX_HTTP_HEAD ||
           (conn->state == SBX_HTTP_BODY && !conn->paused);
}

/* Parses as much as the state allows; returns bytes consumed. */
static size_t
conn_feed(struct sbx_http_conn *conn, const char *data, size_t len)
{
    size_t off = 0;

    while (conn_settle(conn), off < len && conn_hungry(conn)) {
        if (conn->state == SBX_HTTP_IDLE) {
            conn_begin(conn);
        }
        if (conn->state == SBX_HTTP_HEAD) {
            off += conn_feed_head(conn, data + off, len - off);
        } else {
            off += conn_feed_body(conn, data + off, len - off);
        }
    }

    return conn->state == SBX_HTTP_LINGER || conn->state == SBX_HTTP_CLOSING ? len : off;
}

static void
conn_on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct sbx_http_conn *conn = handle->data;

    (void)suggested; /* one buffer a server, see its comment */
    *buf = uv_buf_init(conn->server->read_buf, SBX_HTTP_READ_SIZE);
}

static void conn_on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf);

/* Reading goes on while a handler works, so that a client's leaving is seen, until the stash is full. */
static void
conn_set_reading(struct sbx_http_conn *conn)
{
    bool want = !conn->eof && conn->stash.len < SBX_HTTP_READ_SIZE;

    if (conn->state == SBX_HTTP_CLOSING || want == conn->reading) {
        return;
    }

    if (!want) {
        (void)uv_read_stop(&conn->peer.stream); /* always 0 */
    } else if (uv_read_start(&conn->peer.stream, conn_on_alloc, conn_on_read) < 0) {
        sbx_http_conn_close(conn);
    }
    conn->reading = want;
}

/* The client will send no more: what does that mean for where we are? */
static void
conn_settle_eof(struct sbx_http_conn *conn)
{
    if (!conn->eof) {
        return;
    }

    switch (conn->state) {
    case SBX_HTTP_HEAD:
    case SBX_HTTP_BODY:
        if (!conn->paused) {
            conn_refuse(conn, 400); /* broken off; a client that only shut its sending side reads this */
            conn_settle(conn);
        }
        break;
    case SBX_HTTP_IDLE:
    case SBX_HTTP_WAIT:
    case SBX_HTTP_LINGER:
        sbx_http_conn_close(conn);
        break;
    case SBX_HTTP_FLUSH:
    case SBX_HTTP_CLOSING:
        break;
    }
}

static void
conn_run(struct sbx_http_conn *conn, const char *data, size_t len)
{
    struct sbx_buf *stash = &conn->stash;
    size_t n;

    conn->running = true;
    if (stash->len > 0) {
        sbx_buf_append(stash, data, len);
        n = conn_feed(conn, stash->data, stash->len);
        sbx_buf_consume(stash, n < stash->len ? n : stash->len); /* lingering has emptied it */
    } else {
        n = conn_feed(conn, data, len);
        if (n < len) {
            sbx_buf_append(stash, data + n, len - n);
        }
    }
    conn->running = false;

    if (stash->len == 0 && stash->data != NULL) {
        sbx_buf_deinit(stash); /* a quiet connection holds no memory for it */
    }

    if (stash->failed) {
        sbx_http_conn_close(conn);
    }
    if (conn->state == SBX_HTTP_FLUSH && conn->request.on_detached != NULL &&
        uv_stream_get_write_queue_size(&conn->peer.stream) == 0) {
        conn_detach(conn);
    }
    conn_settle_eof(conn);
    conn_set_reading(conn);
}

void
sbx_http_conn_run(struct sbx_http_conn *conn)
{
    if (conn->state != SBX_HTTP_CLOSING && !conn->running) {
        conn_run(conn, "", 0);
    }
}

static void
conn_on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
    struct sbx_http_conn *conn = stream->data;

    if (nread > 0) {
        conn_run(conn, buf->base, (size_t)nread);
    } else if (nread == UV_EOF) {
        conn->eof = true;
        conn->reading = false;
        sbx_http_conn_run(conn);
    } else if (nread < 0) {
        sbx_http_conn_close(conn);
    }
}

static void
conn_on_kick(uv_timer_t *timer)
{
    sbx_http_conn_run(timer->data);
}

void
sbx_http_conn_kick(struct sbx_http_conn *conn)
{
    if (conn->state != SBX_HTTP_CLOSING && !conn->running) {
        (void)uv_timer_start(&conn->kick, conn_on_kick, 0, 0); /* cannot fail: callback set */
    }
}

int
sbx_http_conn_new(struct sbx_http_conn **ret, struct sbx_http_server *server, uv_handle_type type)
{
    uv_loop_t *loop = server->spec.loop;
    struct sbx_http_conn *conn;
    int r;

    conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        return -ENOMEM;
    }

    r = type == UV_TCP ? uv_tcp_init(loop, &conn->peer.tcp) : uv_pipe_init(loop, &conn->peer.pipe, 0);
    if (r < 0) {
        free(conn);
        return r;
    }
    (void)uv_timer_init(loop, &conn->recv_timer); /* these three always return 0 */
    (void)uv_timer_init(loop, &conn->send_timer);
    (void)uv_timer_init(loop, &conn->kick);
    conn->n_handles = 4;
    conn->peer.handle.data = conn;
    conn->recv_timer.data = conn;
    conn->send_timer.data = conn;
    conn->kick.data = conn;

    conn->server = server;
    conn->stash.max = 2 * SBX_HTTP_READ_SIZE + 1;
    conn->request.conn = conn;
    conn->request.head.text.max = server->spec.max_head + 2ul * SBX_HTTP_MAX_HEADERS;
    sbx_http_request_reset(&conn->request);

    conn->next = server->conns;
    if (conn->next != NULL) {
        conn->next->prev = conn;
    }
    server->conns = conn;
    server->n_conns++;
    *ret = conn;
    return 0;
}

int
sbx_http_conn_start(struct sbx_http_conn *conn)
{
    conn_set_deadline(conn, conn->server->spec.idle_timeout_ms);
    conn_set_reading(conn);
    return conn->state == SBX_HTTP_CLOSING ? -EIO : 0;
}
