/*
 * One connection to a hostile peer. Everything that happens comes from the loop:
 * the exchange ends in client_finish, which is the only place that calls on_done.
 * After a failure the connection is closed before on_done, so that the request's
 * body, which libuv borrowed, is no longer in use.
 */
#include "sbx_http_client.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "sbx_http_head.h"

#define MAX_REPLY_HEAD 32768
#define MAX_REQUEST_HEAD 65536

enum client_state {
    CLIENT_READY,
    CLIENT_BUSY,
    CLIENT_BROKEN, /* closed or closing; nothing can be sent any more */
};

struct sbx_http_client {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } peer;
    uv_timer_t deadline;
    uv_write_t write;
    unsigned n_handles;
    enum client_state state;
    bool orphan; /* the owner called close */
    bool in_callback;

    struct sbx_http_exchange exchange;
    struct sbx_buf request;
    bool exchanging; /* on_done is owed */
    bool written;
    bool replied;
    int rc; /* what on_done says once the handles are closed */
    bool keep;

    http_parser parser;
    struct sbx_http_guard guard;
    struct sbx_http_head head;
    size_t head_bytes;
    size_t body_bytes;
    struct sbx_buf body;
    char read_buf[65536]; /* the last: it is not cleared for each connection */
};

static void
client_free(struct sbx_http_client *client)
{
    sbx_buf_deinit(&client->request);
    sbx_buf_deinit(&client->head.text);
    sbx_buf_deinit(&client->body);
    free(client);
}

static void
client_finish(struct sbx_http_client *client, int rc)
{
    struct sbx_http_exchange exchange = client->exchange;
    struct sbx_buf body = client->body;

    /* The owner may start the next exchange, or close, from inside on_done. */
    client->body = (struct sbx_buf){ 0 };
    client->exchanging = false;
    exchange.on_done(exchange.arg, rc, rc == 0 ? client->parser.status_code : 0,
                     rc == 0 && body.data != NULL ? body.data : "", rc == 0 ? body.len : 0);
    sbx_buf_deinit(&body);
}

static void
client_on_handle_closed(uv_handle_t *handle)
{
    struct sbx_http_client *client = handle->data;

    if (--client->n_handles > 0) {
        return;
    }

    if (client->exchanging && !client->orphan) {
        client->in_callback = true;
        client_finish(client, client->rc);
        client->in_callback = false;
    }
    if (client->orphan) {
        client_free(client);
    }
}

static void
client_break(struct sbx_http_client *client, int rc)
{
    if (client->state == CLIENT_BROKEN) {
        return;
    }

    client->state = CLIENT_BROKEN;
    client->rc = rc;
    uv_close(&client->peer.handle, client_on_handle_closed);
    uv_close((uv_handle_t *)&client->deadline, client_on_handle_closed);
}

/* The reply came early or the request went late: both must be over. */
static void
client_settle(struct sbx_http_client *client)
{
    if (client->state != CLIENT_BUSY || !client->written || !client->replied) {
        return;
    }

    uv_timer_stop(&client->deadline);
    if (!client->keep) {
        client_break(client, 0); /* on_done follows with the reply when closed */
        return;
    }
    client->state = CLIENT_READY;
    client_finish(client, 0);
}

static int
client_on_header_field(http_parser *parser, const char *data, size_t len)
{
    struct sbx_http_client *client = parser->data;

    return sbx_http_head_name(&client->head, data, len);
}

static int
client_on_header_value(http_parser *parser, const char *data, size_t len)
{
    struct sbx_http_client *client = parser->data;

    return sbx_http_head_value(&client->head, data, len);
}

static int
client_on_headers_complete(http_parser *parser)
{
    struct sbx_http_client *client = parser->data;
    const struct sbx_http_exchange *exchange = &client->exchange;
    const char *coding = sbx_http_head_end(&client->head) < 0
                             ? "overflow"
                             : sbx_http_head_get(&client->head, "transfer-encoding");
    bool head_only = strcmp(exchange->method, "HEAD") == 0;
    bool sized = (parser->flags & (F_CHUNKED | F_CONTENTLENGTH)) != 0;

    if (parser->http_major != 1 || parser->http_minor > 1 || parser->upgrade || parser->status_code < 200 ||
        parser->status_code > 599) {
        return -1;
    }
    if (coding != NULL &&
        (strcasecmp(coding, "chunked") != 0 || sbx_http_head_count(&client->head, "transfer-encoding") > 1)) {
        return -1;
    }
    /* A body that ends with the connection cannot be told from one that was cut off. */
    if (!sized && !head_only && parser->status_code != 204 && parser->status_code != 304) {
        return -1;
    }
    if (!head_only && (parser->flags & F_CONTENTLENGTH) != 0 &&
        parser->content_length > exchange->max_reply) {
        return -1;
    }

    client->keep = http_should_keep_alive(parser) != 0;
    return head_only ? 1 : 0;
}

static int
client_on_body(http_parser *parser, const char *data, size_t len)
{
    struct sbx_http_client *client = parser->data;
    const struct sbx_http_exchange *exchange = &client->exchange;

    if (len > exchange->max_reply - client->body_bytes) {
        return -1;
    }
    client->body_bytes += len;

    if (exchange->on_data == NULL) {
        client->body.max = exchange->max_reply + 1;
        sbx_buf_append(&client->body, data, len);
        return client->body.failed ? -1 : 0;
    }
    exchange->on_data(exchange->arg, parser->status_code, data, len);
    return client->state == CLIENT_BROKEN ? -1 : 0; /* the owner may have closed */
}

static int
client_on_message_complete(http_parser *parser)
{
    struct sbx_http_client *client = parser->data;

    client->replied = true;
    http_parser_pause(parser, 1); /* nothing may follow: see client_feed */
    return 0;
}

static const http_parser_settings client_settings = {
    .on_header_field = client_on_header_field,
    .on_header_value = client_on_header_value,
    .on_headers_complete = client_on_headers_complete,
    .on_body = client_on_body,
    .on_message_complete = client_on_message_complete,
};

/* False when the bytes are no reply, or more than one. */
static bool
client_feed(struct sbx_http_client *client, const char *data, size_t len)
{
    size_t n;

    if (client->state != CLIENT_BUSY || client->replied) {
        return false; /* nobody asked */
    }

    if (!client->guard.done) {
        n = sbx_http_guard_feed(&client->guard, data, len);
        client->head_bytes += n;
        if (client->guard.bad || client->head_bytes > MAX_REPLY_HEAD) {
            return false;
        }
    }

    n = http_parser_execute(&client->parser, &client_settings, data, len);
    if (client->replied) {
        return n == len;
    }
    return HTTP_PARSER_ERRNO(&client->parser) == HPE_OK;
}

static void
client_on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct sbx_http_client *client = handle->data;

    (void)suggested; /* the buffer is parsed before the next read */
    *buf = uv_buf_init(client->read_buf, sizeof(client->read_buf));
}

static void
client_on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
    struct sbx_http_client *client = stream->data;

    if (client->state == CLIENT_BROKEN || nread == 0) {
        return;
    }
    if (nread < 0) {
        client_break(client, client->exchanging && client->head_bytes > 0 ? SBX_HTTP_CLIENT_E_PROTOCOL
                                                                          : SBX_HTTP_CLIENT_E_CLOSED);
        return;
    }

    if (!client_feed(client, buf->base, (size_t)nread)) {
        client_break(client, SBX_HTTP_CLIENT_E_PROTOCOL);
        return;
    }
    client_settle(client);
}

static void
client_on_deadline(uv_timer_t *timer)
{
    client_break(timer->data, SBX_HTTP_CLIENT_E_TIMEOUT);
}

static void
client_on_written(uv_write_t *req, int status)
{
    struct sbx_http_client *client = req->data;

    if (client->state == CLIENT_BROKEN) {
        return;
    }
    if (status < 0) {
        client_break(client, SBX_HTTP_CLIENT_E_CLOSED);
        return;
    }
    client->written = true;
    client_settle(client);
}

int
sbx_http_client_new(struct sbx_http_client **ret, uv_loop_t *loop, int fd)
{
    struct sbx_http_client *client;
    uv_handle_type type = uv_guess_handle(fd);
    int r;

    client = type == UV_TCP || type == UV_NAMED_PIPE ? malloc(sizeof(*client)) : NULL;
    if (client == NULL) {
        (void)close(fd); /* taken, and refused */
        return type == UV_TCP || type == UV_NAMED_PIPE ? -ENOMEM : -EINVAL;
    }
    memset(client, 0,
           offsetof(struct sbx_http_client, read_buf)); /* only what was read is looked at behind it */

    r = type == UV_TCP ? uv_tcp_init(loop, &client->peer.tcp) : uv_pipe_init(loop, &client->peer.pipe, 0);
    if (r < 0) {
        (void)close(fd); /* taken, and refused */
        free(client);
        return r;
    }
    (void)uv_timer_init(loop, &client->deadline); /* always 0 */
    client->peer.handle.data = client;
    client->deadline.data = client;
    client->n_handles = 2;
    client->head.text.max = MAX_REPLY_HEAD + 2 * SBX_HTTP_MAX_HEADERS;
    client->request.max = MAX_REQUEST_HEAD;

    r = type == UV_TCP ? uv_tcp_open(&client->peer.tcp, fd) : uv_pipe_open(&client->peer.pipe, fd);
    if (r < 0) {
        (void)close(fd); /* libuv did not take it */
    } else {
        r = uv_read_start(&client->peer.stream, client_on_alloc, client_on_read);
    }
    if (r < 0) {
        sbx_http_client_close(client);
        return r;
    }

    *ret = client;
    return 0;
}

static void
client_build(struct sbx_http_client *client, const struct sbx_http_exchange *exchange)
{
    struct sbx_buf *out = &client->request;
    unsigned i;

    sbx_buf_reset(out);
    sbx_buf_printf(out, "%s %s HTTP/1.1\r\nHost: agent\r\n", exchange->method, exchange->path);
    for (i = 0; i < exchange->n_headers; i++) {
        sbx_buf_printf(out, "%s: %s\r\n", exchange->headers[i].name, exchange->headers[i].value);
    }
    if (exchange->len > 0 || strcmp(exchange->method, "GET") != 0) {
        sbx_buf_printf(out, "Content-Length: %zu\r\n", exchange->len);
    }
    sbx_buf_puts(out, "\r\n");
}

static int
client_write(struct sbx_http_client *client)
{
    const struct sbx_http_exchange *exchange = &client->exchange;
    uv_buf_t bufs[2];

    bufs[0] = uv_buf_init(client->request.data, (unsigned)client->request.len);
    bufs[1] = (uv_buf_t){ .len = exchange->len };
    /* libuv only reads what it writes, though its buffers are not const. */
    memcpy(&bufs[1].base, &exchange->body, sizeof(bufs[1].base));
    client->write.data = client;
    return uv_write(&client->write, &client->peer.stream, bufs, exchange->len > 0 ? 2 : 1, client_on_written);
}

int
sbx_http_client_send(struct sbx_http_client *client, const struct sbx_http_exchange *exchange)
{
    int r;

    if (client->state == CLIENT_BUSY) {
        return -EBUSY;
    }
    if (client->state == CLIENT_BROKEN) {
        return SBX_HTTP_CLIENT_E_CLOSED;
    }

    client_build(client, exchange);
    if (client->request.failed) {
        return -ENOMEM;
    }

    client->exchange = *exchange;
    client->written = false;
    client->replied = false;
    client->keep = false;
    client->head_bytes = 0;
    client->body_bytes = 0;
    client->guard = (struct sbx_http_guard){ 0 };
    sbx_http_head_reset(&client->head);
    http_parser_init(&client->parser, HTTP_RESPONSE);
    client->parser.data = client;

    r = client_write(client);
    if (r < 0) {
        return r;
    }
    client->state = CLIENT_BUSY;
    client->exchanging = true;
    (void)uv_timer_start(&client->deadline, client_on_deadline, exchange->deadline_ms, 0); /* callback set */
    return 0;
}

int
sbx_http_client_detach(struct sbx_http_client *client)
{
    uv_os_fd_t fd = -1;
    int r = client->state == CLIENT_BUSY ? -EBUSY : client->state == CLIENT_BROKEN ? -ECONNRESET : 0;

    if (r == 0) {
        r = uv_fileno(&client->peer.handle, &fd);
    }
    if (r == 0) {
        r = fcntl(fd, F_DUPFD_CLOEXEC, 0); /* closing takes the loop's own */
        r = r < 0 ? -errno : r;
    }
    sbx_http_client_close(client);
    return r;
}

struct sbx_http_client *
sbx_http_client_close(struct sbx_http_client *client)
{
    if (client == NULL || client->orphan) {
        return NULL;
    }

    client->orphan = true;
    client->exchanging = false;
    if (client->state != CLIENT_BROKEN) {
        client_break(client, 0);
    } else if (client->n_handles == 0 && !client->in_callback) {
        client_free(client);
    }
    return NULL;
}
