/*
 * HTTP/1.1 client over one connected stream socket (the agent's). The peer is
 * hostile: head, body and time are bounded, interim (1xx) and upgrade replies
 * are refused, one request at a time. Callbacks: done exactly once, never from
 * inside the call that started the request, never after close returned.
 */
#pragma once

#include <uv.h>

#include "sbx_http_server.h" /* struct sbx_http_header */

#pragma GCC visibility push(hidden)

struct sbx_http_client;

enum {
    SBX_HTTP_CLIENT_E_PROTOCOL = 1, /* not HTTP, too large, broken off */
    SBX_HTTP_CLIENT_E_TIMEOUT,
    SBX_HTTP_CLIENT_E_CLOSED,
};

struct sbx_http_exchange {
    const char *method;
    const char *path;
    const struct sbx_http_header *headers;
    unsigned n_headers;
    const void *body; /* borrows until on_done */
    size_t len;
    size_t max_reply;     /* bytes of body */
    uint64_t deadline_ms; /* for the whole exchange */
    /* NULL: the body is buffered and handed to on_done. */
    void (*on_data)(void *arg, int status, const char *data, size_t len);
    /* rc 0 or SBX_HTTP_CLIENT_E_*; body borrows until return. */
    void (*on_done)(void *arg, int rc, int status, const char *body, size_t len);
    void *arg;
};

_must_check_ int sbx_http_client_new(struct sbx_http_client **ret, uv_loop_t *loop, int fd); /* takes fd */
/* -EBUSY while another exchange runs. */
_must_check_ int sbx_http_client_send(struct sbx_http_client *client,
                                      const struct sbx_http_exchange *exchange);
/*
 * Gives the socket away and frees the client: a descriptor of the caller's, or a negative errno. Between exchanges only
 * (-EBUSY), on_done's call included; then the peer has said nothing that was not asked for.
 */
_must_check_ int sbx_http_client_detach(struct sbx_http_client *client);
/* Closes and frees; a running exchange gets no callback. Accepts NULL, returns NULL. */
struct sbx_http_client *sbx_http_client_close(struct sbx_http_client *client);

#pragma GCC visibility pop
