/*
 * Inside of the HTTP server, shared by sbx_http_server.c (listeners, life of the
 * server), sbx_http_conn.c (bytes in, states), sbx_http_request.c (what a handler
 * may ask) and sbx_http_reply.c (bytes out). Nobody else includes it.
 *
 *   IDLE --> HEAD --> BODY --> WAIT --> FLUSH --> IDLE        kept alive
 *               \        \                 \--> LINGER --> CLOSING
 *                +--------+--> FLUSH            error or early reply
 *   any --> CLOSING
 */
#pragma once

#include "sbx_http_head.h"
#include "sbx_http_server.h"

#pragma GCC visibility push(hidden)

#define SBX_HTTP_READ_SIZE 65536u
#define SBX_HTTP_MAX_LISTENERS 4u

enum sbx_http_state {
    SBX_HTTP_IDLE,
    SBX_HTTP_HEAD,
    SBX_HTTP_BODY,
    SBX_HTTP_WAIT,   /* request complete, reply not yet */
    SBX_HTTP_FLUSH,  /* reply complete, bytes of it still with us */
    SBX_HTTP_LINGER, /* sending side shut, rest of the input thrown away */
    SBX_HTTP_CLOSING
};

enum sbx_http_reply_state { SBX_HTTP_REPLY_NONE, SBX_HTTP_REPLY_STARTED, SBX_HTTP_REPLY_ENDED };

enum sbx_http_event { SBX_HTTP_EVENT_NONE, SBX_HTTP_EVENT_HEAD, SBX_HTTP_EVENT_DATA, SBX_HTTP_EVENT_END };

struct sbx_http_conn;

struct sbx_http_request {
    struct sbx_http_conn *conn;
    struct sbx_http_head head;
    const char *query;
    struct sbx_buf body;
    size_t max_body;
    bool has_body;
    bool told; /* the handler knows this request */
    bool keep; /* the client may send another one */
    bool no_body_out;
    bool chunked_out;
    uint64_t left_out; /* of a reply with a length */
    enum sbx_http_reply_state reply;
    bool (*on_data)(struct sbx_http_request *request, const char *data, size_t len);
    void (*on_abort)(struct sbx_http_request *request);
    void (*on_drain)(struct sbx_http_request *request);
    void (*on_detached)(void *arg, int fd); /* NULL: this is no detaching */
    void *detached_arg;
    int detached_fd; /* or a negative errno */
    void *user;
};

struct sbx_http_conn {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } peer;
    uv_timer_t recv_timer;
    uv_timer_t send_timer;
    uv_timer_t kick; /* runs the connection from the loop, never from a handler's call */
    uv_shutdown_t shutdown;
    unsigned n_handles; /* not yet closed */
    enum sbx_http_state state;
    struct sbx_http_server *server;
    struct sbx_http_conn *prev, *next;

    http_parser parser;
    struct sbx_http_guard guard;
    size_t head_bytes;
    enum sbx_http_event event; /* set by the parser's callbacks, which then pause it */
    const char *data;          /* of SBX_HTTP_EVENT_DATA */
    size_t data_len;

    struct sbx_buf stash; /* read, not yet parsed */
    bool running;         /* sbx_http_conn_run is on the stack */
    bool reading;
    bool paused; /* by the handler's on_data */
    bool eof;
    size_t last_pending; /* write queue when the send timer was set */
    struct sbx_http_request request;
};

union sbx_http_listener {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct sbx_http_server {
    struct sbx_http_server_spec spec;
    union sbx_http_listener listeners[SBX_HTTP_MAX_LISTENERS];
    bool listener_open[SBX_HTTP_MAX_LISTENERS];
    bool listener_waiting[SBX_HTTP_MAX_LISTENERS]; /* a peer waits for a free connection */
    uv_timer_t kick;
    unsigned n_handles;
    unsigned n_conns;
    struct sbx_http_conn *conns;
    bool draining;
    bool closing;
    void (*on_drained)(void *arg);
    void *drained_arg;
    void (*on_closed)(void *arg);
    void *closed_arg;
    uint64_t date_s;
    char date[32];
    char read_buf[SBX_HTTP_READ_SIZE]; /* one thread, and each read is parsed or stashed at once */
};

/* sbx_http_conn.c */
/* -ENOMEM or 0; the peer handle is initialised, not yet connected. */
_must_check_ int sbx_http_conn_new(struct sbx_http_conn **ret, struct sbx_http_server *server,
                                   uv_handle_type type);
_must_check_ int sbx_http_conn_start(struct sbx_http_conn *conn);
void sbx_http_conn_close(struct sbx_http_conn *conn);
/* Moves on as far as input, reply and queue allow; makes callbacks. */
void sbx_http_conn_run(struct sbx_http_conn *conn);
/* The same from the loop, soon. */
void sbx_http_conn_kick(struct sbx_http_conn *conn);

/* sbx_http_reply.c */
/* Sends bytes as they are (interim replies); closes on failure. */
void sbx_http_conn_write(struct sbx_http_conn *conn, const void *a, size_t a_len, const void *b,
                         size_t b_len);
/* The server's own error reply. */
void sbx_http_reply_error(struct sbx_http_request *request, int status);

/* sbx_http_request.c */
void sbx_http_request_reset(struct sbx_http_request *request);
void sbx_http_request_deinit(struct sbx_http_request *request);
/* Checks a complete head; 0 or the status to refuse it with. */
int sbx_http_request_check(struct sbx_http_request *request, const http_parser *parser);

/* sbx_http_server.c */
void sbx_http_server_on_conn_gone(struct sbx_http_server *server);

#pragma GCC visibility pop
