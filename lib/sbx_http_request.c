/* What a handler may ask of a request, and what a head must be to reach one. */
#include "sbx_http_conn.h"

#include <poll.h>
#include <string.h>
#include <strings.h>

void
sbx_http_request_reset(struct sbx_http_request *request)
{
    struct sbx_http_conn *conn = request->conn;
    struct sbx_http_head head = request->head;

    sbx_http_head_reset(&head);
    /* A body may have been large; a quiet connection holds no memory for it. */
    sbx_buf_deinit(&request->body);
    *request = (struct sbx_http_request){ .conn = conn, .head = head, .query = "", .keep = true };
}

void
sbx_http_request_deinit(struct sbx_http_request *request)
{
    sbx_buf_deinit(&request->head.text);
    sbx_buf_deinit(&request->body);
}

static bool
request_target_ok(struct sbx_http_request *request)
{
    char *target = request->head.text.data;
    char *query;
    const char *p;

    /* Origin form only: absolute and authority forms are a proxy's business. */
    if (target[0] != '/') {
        return false;
    }
    for (p = target; *p != '\0'; p++) {
        if (*p <= ' ' || *p > '~' || *p == '#') {
            return false;
        }
    }

    query = strchr(target, '?');
    if (query != NULL) {
        *query = '\0';
        request->query = query + 1;
    }
    return true;
}

/* One protocol, whole and alone: anything else is a way to be understood in two ways. */
static bool
request_upgrade_ok(const struct sbx_http_request *request, const http_parser *parser)
{
    const char *upgrade = sbx_http_head_get(&request->head, "upgrade");

    if (!parser->upgrade && upgrade == NULL) {
        return true;
    }
    return request->conn->server->spec.upgrades && upgrade != NULL && strcasecmp(upgrade, "websocket") == 0 &&
           sbx_http_head_count(&request->head, "upgrade") == 1 && parser->upgrade &&
           parser->method == HTTP_GET && parser->http_minor == 1 &&
           sbx_http_head_count(&request->head, "content-length") == 0 &&
           sbx_http_head_count(&request->head, "transfer-encoding") == 0;
}

int
sbx_http_request_check(struct sbx_http_request *request, const http_parser *parser)
{
    const char *coding = sbx_http_head_get(&request->head, "transfer-encoding");
    unsigned n_host = sbx_http_head_count(&request->head, "host");

    if (parser->http_major != 1 || parser->http_minor > 1) {
        return parser->http_major == 0 ? 400 : 505;
    }
    if (!request_upgrade_ok(request, parser) || parser->method == HTTP_CONNECT ||
        !request_target_ok(request)) {
        return 400;
    }
    if (n_host > 1 || (n_host == 0 && parser->http_minor == 1)) {
        return 400;
    }
    /* http-parser takes any list that ends in chunked; a second coding or header is an attack on someone. */
    if (coding != NULL) {
        if (strcasecmp(coding, "chunked") != 0 ||
            sbx_http_head_count(&request->head, "transfer-encoding") > 1 || parser->http_minor == 0 ||
            sbx_http_head_count(&request->head, "content-length") > 0) {
            return 400;
        }
    }

    request->keep = http_should_keep_alive(parser) != 0;
    request->no_body_out = parser->method == HTTP_HEAD;
    request->has_body =
        coding != NULL || ((parser->flags & F_CONTENTLENGTH) != 0 && parser->content_length > 0);
    return 0;
}

const char *
sbx_http_request_method(const struct sbx_http_request *request)
{
    return http_method_str((enum http_method)request->conn->parser.method);
}

const char *
sbx_http_request_path(const struct sbx_http_request *request)
{
    return request->head.text.data;
}

const char *
sbx_http_request_query(const struct sbx_http_request *request)
{
    return request->query;
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes one query value up to '&' or the end. */
static bool
param_decode(const char *p, char *out, size_t size)
{
    size_t n = 0;

    for (; *p != '\0' && *p != '&'; p++) {
        char c = *p == '+' ? ' ' : *p;

        if (*p == '%') {
            int high = hex_digit(p[1]);
            int low = high < 0 ? -1 : hex_digit(p[2]);

            if (low < 0 || (high == 0 && low == 0)) {
                return false;
            }
            c = (char)(high * 16 + low);
            p += 2;
        }
        if (n + 1 >= size) {
            return false;
        }
        out[n++] = c;
    }

    out[n] = '\0';
    return true;
}

bool
sbx_http_request_param(const struct sbx_http_request *request, const char *name, char *out, size_t size)
{
    size_t len = strlen(name);
    const char *p = request->query;

    while (p != NULL && *p != '\0') {
        if (strncmp(p, name, len) == 0 && p[len] == '=') {
            return size > 0 && param_decode(p + len + 1, out, size);
        }
        p = strchr(p, '&');
        p = p == NULL ? NULL : p + 1;
    }

    return false;
}

const char *
sbx_http_request_header(const struct sbx_http_request *request, const char *name)
{
    return sbx_http_head_get(&request->head, name);
}

unsigned
sbx_http_request_header_count(const struct sbx_http_request *request, const char *name)
{
    return sbx_http_head_count(&request->head, name);
}

const char *
sbx_http_request_body(const struct sbx_http_request *request, size_t *ret_len)
{
    *ret_len = request->body.len;
    return request->body.data == NULL ? "" : request->body.data;
}

void
sbx_http_request_drop_body(struct sbx_http_request *request)
{
    sbx_buf_deinit(&request->body);
}

void
sbx_http_request_set_max_body(struct sbx_http_request *request, size_t max_body)
{
    request->max_body = max_body;
}

void
sbx_http_request_stream(struct sbx_http_request *request,
                        bool (*on_data)(struct sbx_http_request *request, const char *data, size_t len))
{
    request->on_data = on_data;
}

void
sbx_http_request_resume(struct sbx_http_request *request)
{
    struct sbx_http_conn *conn = request->conn;

    if (!conn->paused || conn->state != SBX_HTTP_BODY) {
        return;
    }
    conn->paused = false;
    sbx_http_conn_kick(conn);
}

void
sbx_http_request_on_abort(struct sbx_http_request *request,
                          void (*on_abort)(struct sbx_http_request *request))
{
    request->on_abort = on_abort;
}

bool
sbx_http_request_left(struct sbx_http_request *request)
{
    struct sbx_http_conn *conn = request->conn;
    struct pollfd peer = { .fd = -1, .events = POLLRDHUP };

    if (request->reply == SBX_HTTP_REPLY_ENDED) {
        return false;
    }
    if (conn->state != SBX_HTTP_CLOSING && uv_fileno(&conn->peer.handle, &peer.fd) == 0 &&
        poll(&peer, 1, 0) > 0) {
        sbx_http_conn_close(conn);
    }
    return conn->state == SBX_HTTP_CLOSING;
}

void
sbx_http_request_set_user(struct sbx_http_request *request, void *user)
{
    request->user = user;
}

void *
sbx_http_request_user(const struct sbx_http_request *request)
{
    return request->user;
}
