/*
 * Replies: head, framing and the bytes still on their way. Each write copies
 * into one allocation that libuv gives back when the kernel has it all.
 */
#include "sbx_http_conn.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define MAX_REPLY_HEAD 65536

struct reply_write {
    uv_write_t req;
    char data[];
};

static void
reply_on_send_timeout(uv_timer_t *timer)
{
    struct sbx_http_conn *conn = timer->data;
    size_t pending = uv_stream_get_write_queue_size(&conn->peer.stream);

    if (pending > 0 && pending >= conn->last_pending) {
        sbx_http_conn_close(conn);
        return;
    }

    conn->last_pending = pending;
    if (pending == 0) {
        uv_timer_stop(timer);
    }
}

static void
reply_watch(struct sbx_http_conn *conn)
{
    uint64_t ms = conn->server->spec.send_timeout_ms;
    size_t pending = uv_stream_get_write_queue_size(&conn->peer.stream);

    if (pending == 0) {
        uv_timer_stop(&conn->send_timer);
    } else if (ms > 0 && !uv_is_active((uv_handle_t *)&conn->send_timer)) {
        conn->last_pending = pending;
        (void)uv_timer_start(&conn->send_timer, reply_on_send_timeout, ms,
                             ms); /* cannot fail: callback set */
    }
}

static void
reply_on_written(uv_write_t *req, int status)
{
    struct sbx_http_conn *conn = req->data;
    struct sbx_http_request *request = &conn->request;

    free(req); /* first member of struct reply_write */
    if (conn->state == SBX_HTTP_CLOSING) {
        return;
    }
    if (status < 0) {
        sbx_http_conn_close(conn);
        return;
    }

    reply_watch(conn);
    if (request->reply == SBX_HTTP_REPLY_STARTED && request->on_drain != NULL &&
        uv_stream_get_write_queue_size(&conn->peer.stream) == 0) {
        request->on_drain(request);
    }
    sbx_http_conn_run(conn);
}

void
sbx_http_conn_write(struct sbx_http_conn *conn, const void *a, size_t a_len, const void *b, size_t b_len)
{
    struct reply_write *write;
    uv_buf_t buf;

    if (conn->state == SBX_HTTP_CLOSING) {
        return;
    }

    write = a_len + b_len > UINT32_MAX ? NULL : malloc(sizeof(*write) + a_len + b_len);
    if (write == NULL) {
        sbx_http_conn_close(conn);
        return;
    }
    memcpy(write->data, a, a_len);
    if (b_len > 0) {
        memcpy(write->data + a_len, b, b_len);
    }

    write->req.data = conn;
    buf = uv_buf_init(write->data, (unsigned)(a_len + b_len));
    if (uv_write(&write->req, &conn->peer.stream, &buf, 1, reply_on_written) < 0) {
        free(write);
        sbx_http_conn_close(conn);
        return;
    }
    reply_watch(conn);
}

static const char *
reply_date(struct sbx_http_server *server)
{
    uint64_t now = (uint64_t)time(NULL);
    time_t seconds = (time_t)now;
    struct tm tm;

    if (now != server->date_s && gmtime_r(&seconds, &tm) != NULL) {
        (void)strftime(server->date, sizeof(server->date), "%a, %d %b %Y %H:%M:%S GMT",
                       &tm); /* fits: fixed form */
        server->date_s = now;
    }
    return server->date;
}

/* A line break in a value would start a header, or a reply, of somebody else's choice. */
static bool
reply_header_ok(const struct sbx_http_header *header)
{
    return header->name[0] != '\0' && strpbrk(header->name, "\r\n: ") == NULL &&
           strpbrk(header->value, "\r\n") == NULL;
}

static void
reply_head(struct sbx_http_request *request, struct sbx_buf *out, int status, const char *content_type,
           const struct sbx_http_header *headers, unsigned n_headers)
{
    struct sbx_http_conn *conn = request->conn;
    unsigned i;

    /* The rest of a request that is answered early is not read: no other can follow. */
    if (conn->server->draining || (conn->state < SBX_HTTP_WAIT && request->has_body)) {
        request->keep = false;
    }

    sbx_buf_printf(out, "HTTP/1.1 %d %s\r\n", status, http_status_str((enum http_status)status));
    if (!conn->server->spec.is_dateless) {
        sbx_buf_printf(out, "Date: %s\r\n", reply_date(conn->server));
    }
    if (content_type != NULL) {
        sbx_buf_printf(out, "Content-Type: %s\r\n", content_type);
    }
    for (i = 0; i < n_headers; i++) {
        if (reply_header_ok(&headers[i])) {
            sbx_buf_printf(out, "%s: %s\r\n", headers[i].name, headers[i].value);
        }
    }
}

/* The last lines of the head, which say where the body ends. */
static void
reply_framing(struct sbx_http_request *request, struct sbx_buf *out, int status, int64_t length)
{
    bool old = request->conn->parser.http_major == 1 && request->conn->parser.http_minor == 0;

    if (status == 101) {
        request->no_body_out = true;
        sbx_buf_puts(out, "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        return;
    }
    if (status == 204 || status == 304) {
        request->no_body_out = true;
    } else if (length >= 0) {
        sbx_buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)length);
    } else if (old) {
        request->keep = false; /* 1.0 knows only the end of the connection */
    } else {
        sbx_buf_puts(out, "Transfer-Encoding: chunked\r\n");
        request->chunked_out = true;
    }

    if (!request->keep) {
        sbx_buf_puts(out, "Connection: close\r\n");
    } else if (old) {
        sbx_buf_puts(out, "Connection: keep-alive\r\n");
    }
    sbx_buf_puts(out, "\r\n");
    request->left_out = length < 0 ? UINT64_MAX : (uint64_t)length;
}

static void
reply_finish(struct sbx_http_request *request)
{
    request->reply = SBX_HTTP_REPLY_ENDED;
    sbx_http_conn_kick(request->conn);
}

static void
reply_send(struct sbx_http_request *request, struct sbx_buf *head, const void *body, size_t len)
{
    if (head->failed) {
        sbx_http_conn_close(request->conn);
    } else {
        sbx_http_conn_write(request->conn, head->data, head->len, body, len);
    }
}

void
sbx_http_reply(struct sbx_http_request *request, int status, const char *content_type,
               const struct sbx_http_header *headers, unsigned n_headers, const void *body, size_t len)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf head = SBX_BUF_INIT(MAX_REPLY_HEAD);

    if (request->reply != SBX_HTTP_REPLY_NONE) {
        return;
    }

    reply_head(request, &head, status, content_type, headers, n_headers);
    reply_framing(request, &head, status, (int64_t)len);
    reply_send(request, &head, body, request->no_body_out ? 0 : len);
    reply_finish(request);
}

static void
reply_detach(struct sbx_http_request *request, int status, const struct sbx_http_header *headers,
             unsigned n_headers)
{
    request->detached_fd = -ECONNRESET;
    if (request->reply != SBX_HTTP_REPLY_NONE || request->conn->state != SBX_HTTP_WAIT) {
        sbx_http_conn_close(request->conn);
        return;
    }
    sbx_http_reply(request, status, NULL, headers, n_headers, "", 0);
}

void
sbx_http_reply_detach(struct sbx_http_request *request, const struct sbx_http_header *headers,
                      unsigned n_headers, void (*on_detached)(void *arg, int fd), void *arg)
{
    request->on_detached = on_detached;
    request->detached_arg = arg;
    reply_detach(request, 200, headers, n_headers);
}

void
sbx_http_reply_upgrade(struct sbx_http_request *request, const struct sbx_http_header *headers,
                       unsigned n_headers, void (*on_detached)(void *arg, int fd), void *arg)
{
    request->on_detached = on_detached;
    request->detached_arg = arg;
    reply_detach(request, 101, headers, n_headers);
}

void
sbx_http_reply_error(struct sbx_http_request *request, int status)
{
    const struct sbx_http_server_spec *spec = &request->conn->server->spec;
    struct sbx_http_error error = {
        .status = status,
        .body = SBX_BUF_INIT(MAX_REPLY_HEAD),
        .content_type = "text/plain",
    };
    struct sbx_http_header headers[2] = { { "Cache-Control", "no-store" } };
    unsigned n = 1;

    if (spec->on_error != NULL) {
        spec->on_error(&error, spec->arg);
    } else {
        sbx_buf_printf(&error.body, "%d %s\n", status, http_status_str((enum http_status)status));
    }
    if (error.request_id[0] != '\0') {
        headers[n++] = (struct sbx_http_header){ "X-Request-Id", error.request_id };
    }
    sbx_http_reply(request, status, error.content_type, headers, n, error.body.failed ? "" : error.body.data,
                   error.body.failed ? 0 : error.body.len);
    sbx_buf_deinit(&error.body);
}

void
sbx_http_reply_start(struct sbx_http_request *request, int status, const char *content_type,
                     const struct sbx_http_header *headers, unsigned n_headers, int64_t length)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf head = SBX_BUF_INIT(MAX_REPLY_HEAD);

    if (request->reply != SBX_HTTP_REPLY_NONE) {
        return;
    }

    reply_head(request, &head, status, content_type, headers, n_headers);
    reply_framing(request, &head, status, length);
    request->reply = SBX_HTTP_REPLY_STARTED;
    reply_send(request, &head, NULL, 0);
}

void
sbx_http_reply_write(struct sbx_http_request *request, const void *data, size_t len)
{
    char frame[32];
    struct sbx_buf chunk = SBX_BUF_INIT(UINT32_MAX);

    if (request->reply != SBX_HTTP_REPLY_STARTED || request->no_body_out || len == 0) {
        return;
    }

    if (!request->chunked_out) {
        /* More than was promised would be read as the next reply. */
        len = len < request->left_out ? len : (size_t)request->left_out;
        request->left_out -= request->left_out == UINT64_MAX ? 0 : len;
        if (len > 0) {
            sbx_http_conn_write(request->conn, data, len, NULL, 0);
        }
        return;
    }

    (void)snprintf(frame, sizeof(frame), "%zx\r\n", len); /* at most 18 bytes */
    sbx_buf_append(&chunk, data, len);
    sbx_buf_puts(&chunk, "\r\n");
    if (chunk.failed) {
        sbx_http_conn_close(request->conn);
    } else {
        sbx_http_conn_write(request->conn, frame, strlen(frame), chunk.data, chunk.len);
    }
    sbx_buf_deinit(&chunk);
}

size_t
sbx_http_reply_pending(const struct sbx_http_request *request)
{
    return uv_stream_get_write_queue_size(&request->conn->peer.stream);
}

void
sbx_http_reply_on_drain(struct sbx_http_request *request, void (*on_drain)(struct sbx_http_request *request))
{
    request->on_drain = on_drain;
}

void
sbx_http_reply_end(struct sbx_http_request *request)
{
    if (request->reply != SBX_HTTP_REPLY_STARTED) {
        return;
    }

    if (!request->no_body_out && request->chunked_out) {
        sbx_http_conn_write(request->conn, "0\r\n\r\n", 5, NULL, 0);
    } else if (!request->no_body_out && request->left_out != UINT64_MAX && request->left_out > 0) {
        /* Fewer bytes than promised: the client learns it by the end of the connection. */
        request->keep = false;
    }
    reply_finish(request);
}

void
sbx_http_reply_break(struct sbx_http_request *request)
{
    if (request->reply != SBX_HTTP_REPLY_STARTED) {
        return;
    }

    /* All that was promised has left: the client has its reply, and may have sent the next request. */
    request->keep = request->keep && (request->no_body_out || request->left_out == 0);
    reply_finish(request);
}
