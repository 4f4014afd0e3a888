/*
 * HTTP/1.1 server over libuv streams, parsing by http-parser. Shared by
 * executord and the session agent. One request at a time per connection;
 * pipelined ones wait. Bodies arrive by content-length or chunked; anything
 * else is refused here (both framings, duplicate Content-Length or Host, obs-fold,
 * HTTP/0.9, Upgrade).
 *
 * Ownership: a request belongs to its connection. The handler answers exactly
 * once, now or later. When the client goes away first, `on_abort` is called once
 * and the request must not be touched after it returns. No callback is ever made
 * from inside a call of the handler's own. A client that shuts its sending side
 * while a request is being answered has gone away. libuv writes without
 * MSG_NOSIGNAL: the process must ignore SIGPIPE. A timeout of 0 is none.
 */
#pragma once

#include <uv.h>

#include "sbx_buf.h"

#pragma GCC visibility push(hidden)

struct sbx_http_server;
struct sbx_http_request;

struct sbx_http_header {
    const char *name;
    const char *value;
};

#define SBX_HTTP_REQUEST_ID_LEN 65

/* An answer to what never became a request. */
struct sbx_http_error {
    int status;
    struct sbx_buf body;
    const char *content_type;
    char request_id[SBX_HTTP_REQUEST_ID_LEN]; /* "": it is told none */
};

struct sbx_http_server_spec {
    uv_loop_t *loop;
    size_t max_head; /* request line and headers, bytes (431) */
    size_t max_body; /* default ceiling of a buffered body (413) */
    unsigned max_connections;
    /* A GET without a body, of HTTP/1.1, may ask for "Upgrade: websocket": the handler sees the header, and answers as it
     * likes, or sbx_http_reply_upgrade. Else it is refused (400). */
    bool upgrades;
    uint64_t head_timeout_ms; /* first byte to end of head (408) */
    uint64_t body_timeout_ms; /* between two pieces of body (408) */
    uint64_t send_timeout_ms; /* a reply that makes no progress: closed */
    uint64_t idle_timeout_ms; /* between requests: closed */
    bool is_dateless;         /* no Date: the one client there is does not look */
    /* Called when the head is complete: the place to refuse early (then reply) or to stream the body.
     * Optional. */
    void (*on_head)(struct sbx_http_request *request, void *arg);
    /* Called when the body is complete (buffered unless streamed). */
    void (*on_request)(struct sbx_http_request *request, void *arg);
    /* Says what an error is that the server itself makes (400 408 413 431); optional. */
    void (*on_error)(struct sbx_http_error *error, void *arg);
    void *arg;
};

_must_check_ int sbx_http_server_new(struct sbx_http_server **ret, const struct sbx_http_server_spec *spec);
/* Replaces a stale socket file; mode as for chmod. */
_must_check_ int sbx_http_server_listen_unix(struct sbx_http_server *server, const char *path, unsigned mode);
/* `address` is "127.0.0.1:9000", "[::1]:9000" or ":9000" (any). Returns the bound port in *ret_port. */
_must_check_ int sbx_http_server_listen_tcp(struct sbx_http_server *server, const char *address,
                                            unsigned *ret_port);
/* Takes a connected stream socket and serves it. */
_must_check_ int sbx_http_server_adopt(struct sbx_http_server *server, int fd);
/* Stops listening, closes idle connections, answers running requests with Connection: close; then on_done. */
void sbx_http_server_drain(struct sbx_http_server *server, void (*on_done)(void *arg), void *arg);
unsigned sbx_http_server_connections(const struct sbx_http_server *server);
/* Closes everything; the memory goes when libuv has let go. */
void sbx_http_server_close(struct sbx_http_server *server, void (*on_closed)(void *arg), void *arg);

const char *sbx_http_request_method(const struct sbx_http_request *request);
/* Path as sent (percent-encoded), without query; query "" when none. */
const char *sbx_http_request_path(const struct sbx_http_request *request);
const char *sbx_http_request_query(const struct sbx_http_request *request);
/* Decoded value of a query parameter into out (NUL-terminated); false when absent, malformed or too long. */
bool sbx_http_request_param(const struct sbx_http_request *request, const char *name, char *out, size_t size);
/* Value of a header (name without case), NULL when absent. Two of one name: the first; count tells. */
const char *sbx_http_request_header(const struct sbx_http_request *request, const char *name);
unsigned sbx_http_request_header_count(const struct sbx_http_request *request, const char *name);
const char *sbx_http_request_body(const struct sbx_http_request *request, size_t *ret_len);
/* The body is not wanted any more; its memory is given back. */
void sbx_http_request_drop_body(struct sbx_http_request *request);
/* In on_head: another ceiling for this request's buffered body. */
void sbx_http_request_set_max_body(struct sbx_http_request *request, size_t max_body);
/* In on_head: stream the body instead of buffering it. on_data returns false to pause until resume. */
void sbx_http_request_stream(struct sbx_http_request *request,
                             bool (*on_data)(struct sbx_http_request *request, const char *data, size_t len));
void sbx_http_request_resume(struct sbx_http_request *request);
void sbx_http_request_on_abort(struct sbx_http_request *request,
                               void (*on_abort)(struct sbx_http_request *request));
/* Whether the client has left, known to the kernel alone so far or not: who says yes answers no more, on_abort follows. What
 * is written to it would be lost, and a socket's end is read only after the timers and the sockets before it. */
bool sbx_http_request_left(struct sbx_http_request *request);
void sbx_http_request_set_user(struct sbx_http_request *request, void *user);
void *sbx_http_request_user(const struct sbx_http_request *request);

/* A whole reply. `headers` has n entries, copied; body copied. Content-Length and, unless dateless, Date are added. */
void sbx_http_reply(struct sbx_http_request *request, int status, const char *content_type,
                    const struct sbx_http_header *headers, unsigned n_headers, const void *body, size_t len);
/* A streamed reply: length < 0 is chunked. Then any number of writes, then end. */
void sbx_http_reply_start(struct sbx_http_request *request, int status, const char *content_type,
                          const struct sbx_http_header *headers, unsigned n_headers, int64_t length);
void sbx_http_reply_write(struct sbx_http_request *request, const void *data, size_t len);
/* Bytes not yet taken by the kernel; and a call when they are. */
size_t sbx_http_reply_pending(const struct sbx_http_request *request);
void sbx_http_reply_on_drain(struct sbx_http_request *request,
                             void (*on_drain)(struct sbx_http_request *request));
void sbx_http_reply_end(struct sbx_http_request *request);
/* Instead of the end: what was promised does not come, and the client learns it by the end of the connection. */
void sbx_http_reply_break(struct sbx_http_request *request);
/*
 * Answers 200 with nothing, and when the kernel has that gives the socket away: on_detached is called once, when the
 * connection is gone from the server, with a descriptor of the callee's, or a negative errno when there is none: the
 * client left, or spoke before it had the answer, or the server is closed. Of a complete request only.
 */
void sbx_http_reply_detach(struct sbx_http_request *request, const struct sbx_http_header *headers,
                           unsigned n_headers, void (*on_detached)(void *arg, int fd), void *arg);
/* The same with 101, "Upgrade: websocket" and these headers. */
void sbx_http_reply_upgrade(struct sbx_http_request *request, const struct sbx_http_header *headers,
                            unsigned n_headers, void (*on_detached)(void *arg, int fd), void *arg);

#pragma GCC visibility pop
