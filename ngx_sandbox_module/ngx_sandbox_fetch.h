/*
 * The gateway's own requests: HTTP/1.1 in nginx's event loop, over unix sockets, TCP and TLS. Nothing here blocks; names
 * are resolved with the configuration. An answer is bounded in size and in time, redirects are not followed, and
 * a server's certificate is verified, chain and name.
 */
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>

#pragma GCC visibility push(hidden)

typedef struct ngx_sandbox_fetch_s ngx_sandbox_fetch_t;
typedef struct ngx_sandbox_fetch_target_s ngx_sandbox_fetch_target_t;

/*
 * The end of an exchange, once, never from inside _start and never after _cancel. `status` is 200 to 599, or 0 when there is no
 * answer: `why` is then a constant slug ("connect", "tls", "certificate", "timeout", "closed", "form", "size", "memory",
 * "leaving"), else "". `body` is borrowed until the return. The fetch is over: its handle must not be used afterwards
 * (inside the callback ngx_sandbox_fetch_field may be).
 */
typedef void (*ngx_sandbox_fetch_done_pt)(void *data, ngx_uint_t status, ngx_str_t *body, const char *why);

/* All texts are copied. Whoever fills them answers for there being no line end where none belongs. */
typedef struct {
    ngx_str_t method;  /* empty: GET, with a body POST */
    ngx_str_t uri;     /* is put after the target's own path; may be empty */
    ngx_str_t headers; /* whole lines, each with its CRLF; Host, Connection and Content-Length are not among them */
    ngx_str_t body;
    size_t max_body;    /* bytes of the answer's */
    ngx_msec_t timeout; /* of everything: connecting, handshake, answer */
    ngx_sandbox_fetch_done_pt done;
    void *data;
    ngx_log_t *log;        /* lives as long as the exchange */
    unsigned background:1; /* a worker that leaves does not wait for it: done is called with "leaving" */
} ngx_sandbox_fetch_spec_t;

/*
 * http://host[:port][/path], https://…, http://unix:/path.sock:[/path]. `ca`: a file of CA certificates, relative to the
 * configuration; NULL: the system's. Only while the configuration is read; lives as long as cf->pool. NULL after logging.
 */
ngx_sandbox_fetch_target_t *ngx_sandbox_fetch_target(ngx_conf_t *cf, ngx_str_t *url, ngx_str_t *ca);

/* NULL when out of memory or of connections: then done is not called. */
ngx_sandbox_fetch_t *ngx_sandbox_fetch_start(ngx_sandbox_fetch_target_t *target, const ngx_sandbox_fetch_spec_t *spec);

/* Drops the exchange: done is not called. */
void ngx_sandbox_fetch_cancel(ngx_sandbox_fetch_t *fetch);

/* First value of the answer's header field, NULL when absent. Only inside done, while status is not 0. */
const char *ngx_sandbox_fetch_field(const ngx_sandbox_fetch_t *fetch, const char *name);

#pragma GCC visibility pop
