/* The HTTP server: listeners, the set of connections, drain and close. */
#include "sbx_http_conn.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 511

int
sbx_http_server_new(struct sbx_http_server **ret, const struct sbx_http_server_spec *spec)
{
    struct sbx_http_server *server;

    if (spec->on_request == NULL || spec->max_head == 0 || spec->max_connections == 0) {
        return -EINVAL;
    }

    server = malloc(sizeof(*server));
    if (server == NULL) {
        return -ENOMEM;
    }
    memset(server, 0,
           offsetof(struct sbx_http_server, read_buf)); /* only what was read is looked at behind it */
    server->spec = *spec;
    (void)uv_timer_init(spec->loop, &server->kick); /* always 0 */
    server->kick.data = server;
    server->n_handles = 1;

    *ret = server;
    return 0;
}

static void
server_on_handle_closed(uv_handle_t *handle)
{
    struct sbx_http_server *server = handle->data;

    if (handle != (uv_handle_t *)&server->kick) {
        memset(handle, 0, sizeof(union sbx_http_listener)); /* a free slot again */
    }
    server->n_handles--;
    sbx_http_server_on_conn_gone(server);
}

static void
server_accept(struct sbx_http_server *server, unsigned i)
{
    union sbx_http_listener *listener = &server->listeners[i];
    struct sbx_http_conn *conn;

    /* libuv stops polling the listener until uv_accept: the rest waits in the kernel's backlog. */
    server->listener_waiting[i] = server->n_conns >= server->spec.max_connections;
    if (server->listener_waiting[i] || server->draining || server->closing) {
        return;
    }

    if (sbx_http_conn_new(&conn, server, listener->handle.type) < 0) {
        server->listener_waiting[i] = true;
        return;
    }
    if (uv_accept(&listener->stream, &conn->peer.stream) < 0) {
        sbx_http_conn_close(conn);
        return;
    }
    if (conn->peer.handle.type == UV_TCP) {
        (void)uv_tcp_nodelay(&conn->peer.tcp, 1); /* only latency is lost */
    }
    if (sbx_http_conn_start(conn) < 0) {
        return; /* closed itself */
    }
}

static void
server_on_connection(uv_stream_t *stream, int status)
{
    struct sbx_http_server *server = stream->data;
    unsigned i;

    for (i = 0; i < SBX_HTTP_MAX_LISTENERS; i++) {
        if (status == 0 && stream == &server->listeners[i].stream) {
            server_accept(server, i);
        }
    }
}

static void
server_close_listeners(struct sbx_http_server *server)
{
    unsigned i;

    for (i = 0; i < SBX_HTTP_MAX_LISTENERS; i++) {
        if (server->listener_open[i]) {
            server->listener_open[i] = false;
            uv_close(&server->listeners[i].handle, server_on_handle_closed);
        }
    }
}

void
sbx_http_server_on_conn_gone(struct sbx_http_server *server)
{
    unsigned i;

    if (server->closing) {
        if (server->n_conns == 0 && server->n_handles == 0) {
            void (*on_closed)(void *arg) = server->on_closed;
            void *arg = server->closed_arg;

            free(server);
            if (on_closed != NULL) {
                on_closed(arg);
            }
        }
        return;
    }

    if (server->draining) {
        void (*on_drained)(void *arg) = server->on_drained;

        if (server->n_conns == 0 && on_drained != NULL) {
            server->on_drained = NULL;
            on_drained(server->drained_arg);
        }
        return;
    }

    for (i = 0; i < SBX_HTTP_MAX_LISTENERS; i++) {
        if (server->listener_open[i] && server->listener_waiting[i]) {
            server_accept(server, i);
        }
    }
}

/* A free slot with its handle initialised by the caller next; NULL when all are taken. */
static union sbx_http_listener *
server_slot(struct sbx_http_server *server, unsigned *ret_index)
{
    unsigned i;

    for (i = 0; i < SBX_HTTP_MAX_LISTENERS; i++) {
        if (!server->listener_open[i] && !uv_is_closing(&server->listeners[i].handle)) {
            *ret_index = i;
            return &server->listeners[i];
        }
    }
    return NULL;
}

/* From here on the slot's handle belongs to the loop and must be closed. */
static int
server_listen(struct sbx_http_server *server, unsigned i, int r)
{
    server->listener_open[i] = true;
    server->listeners[i].handle.data = server;
    server->n_handles++;
    if (r == 0) {
        r = uv_listen(&server->listeners[i].stream, BACKLOG, server_on_connection);
    }
    if (r < 0) {
        server->listener_open[i] = false;
        uv_close(&server->listeners[i].handle, server_on_handle_closed);
    }
    return r;
}

/* Removes a socket file nobody listens on; leaves anything else for bind to trip over. */
static int
socket_file_clear(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct stat st;
    int fd, r;

    if (strlen(path) >= sizeof(address.sun_path)) {
        return -ENAMETOOLONG;
    }
    if (lstat(path, &st) < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    if (!S_ISSOCK(st.st_mode)) {
        return -EEXIST;
    }

    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    r = connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    (void)close(fd); /* never written to */
    if (r != -ECONNREFUSED) {
        return -EADDRINUSE;
    }
    return unlink(path) < 0 ? -errno : 0;
}

int
sbx_http_server_listen_unix(struct sbx_http_server *server, const char *path, unsigned mode)
{
    union sbx_http_listener *listener;
    unsigned i = 0;
    int r;

    r = socket_file_clear(path);
    if (r < 0) {
        return r;
    }
    listener = server_slot(server, &i);
    if (listener == NULL) {
        return -ENOSPC;
    }
    r = uv_pipe_init(server->spec.loop, &listener->pipe, 0);
    if (r < 0) {
        return r;
    }
    r = uv_pipe_bind(&listener->pipe, path);
    /* Before listen, so that nobody connects under the wrong mode. */
    if (r == 0 && chmod(path, (mode_t)mode) < 0) {
        r = -errno;
    }
    return server_listen(server, i, r);
}

static int
address_parse(const char *address, struct sockaddr_storage *ret)
{
    const char *colon = strrchr(address, ':');
    char host[64];
    char *end;
    unsigned long port;
    size_t len;

    if (colon == NULL || colon[1] < '0' || colon[1] > '9') {
        return -EINVAL;
    }
    port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || port > UINT16_MAX) {
        return -EINVAL;
    }

    len = (size_t)(colon - address);
    if (len == 0) {
        return uv_ip4_addr("0.0.0.0", (int)port, (struct sockaddr_in *)ret);
    }
    if (len >= sizeof(host)) {
        return -EINVAL;
    }
    if (address[0] == '[' && address[len - 1] == ']') {
        memcpy(host, address + 1, len - 2);
        host[len - 2] = '\0';
        return uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)ret);
    }
    memcpy(host, address, len);
    host[len] = '\0';
    return uv_ip4_addr(host, (int)port, (struct sockaddr_in *)ret);
}

static unsigned
listener_port(const uv_tcp_t *tcp)
{
    struct sockaddr_storage bound = { 0 };
    int len = (int)sizeof(bound);

    if (uv_tcp_getsockname(tcp, (struct sockaddr *)&bound, &len) < 0) {
        return 0;
    }
    return bound.ss_family == AF_INET ? ntohs(((struct sockaddr_in *)&bound)->sin_port)
                                      : ntohs(((struct sockaddr_in6 *)&bound)->sin6_port);
}

int
sbx_http_server_listen_tcp(struct sbx_http_server *server, const char *address, unsigned *ret_port)
{
    struct sockaddr_storage sockaddr = { 0 };
    union sbx_http_listener *listener;
    unsigned i = 0;
    int r;

    r = address_parse(address, &sockaddr);
    if (r < 0) {
        return r;
    }
    listener = server_slot(server, &i);
    if (listener == NULL) {
        return -ENOSPC;
    }
    r = uv_tcp_init(server->spec.loop, &listener->tcp);
    if (r < 0) {
        return r;
    }
    r = uv_tcp_bind(&listener->tcp, (struct sockaddr *)&sockaddr, 0);
    r = server_listen(server, i, r);
    if (r == 0 && ret_port != NULL) {
        *ret_port = listener_port(&listener->tcp);
    }
    return r;
}

int
sbx_http_server_adopt(struct sbx_http_server *server, int fd)
{
    struct sbx_http_conn *conn;
    uv_handle_type type = uv_guess_handle(fd);
    int r;

    if (type != UV_TCP && type != UV_NAMED_PIPE) {
        r = -EINVAL;
    } else if (server->draining || server->closing || server->n_conns >= server->spec.max_connections) {
        r = -EBUSY;
    } else {
        r = sbx_http_conn_new(&conn, server, type);
    }
    if (r < 0) {
        (void)close(fd); /* taken, and refused */
        return r;
    }

    r = type == UV_TCP ? uv_tcp_open(&conn->peer.tcp, fd) : uv_pipe_open(&conn->peer.pipe, fd);
    if (r < 0) {
        (void)close(fd); /* libuv did not take it */
        sbx_http_conn_close(conn);
        return r;
    }
    return sbx_http_conn_start(conn);
}

static void
server_on_kick(uv_timer_t *timer)
{
    sbx_http_server_on_conn_gone(timer->data);
}

void
sbx_http_server_drain(struct sbx_http_server *server, void (*on_done)(void *arg), void *arg)
{
    struct sbx_http_conn *conn;

    server->draining = true;
    server->on_drained = on_done;
    server->drained_arg = arg;
    server_close_listeners(server);
    for (conn = server->conns; conn != NULL; conn = conn->next) {
        if (conn->state == SBX_HTTP_IDLE) {
            sbx_http_conn_close(conn);
        }
    }
    (void)uv_timer_start(&server->kick, server_on_kick, 0, 0); /* when there is nothing to wait for */
}

unsigned
sbx_http_server_connections(const struct sbx_http_server *server)
{
    return server->n_conns;
}

void
sbx_http_server_close(struct sbx_http_server *server, void (*on_closed)(void *arg), void *arg)
{
    struct sbx_http_conn *conn;

    server->closing = true;
    server->on_closed = on_closed;
    server->closed_arg = arg;
    server_close_listeners(server);
    for (conn = server->conns; conn != NULL; conn = conn->next) {
        sbx_http_conn_close(conn);
    }
    uv_close((uv_handle_t *)&server->kick, server_on_handle_closed);
}
