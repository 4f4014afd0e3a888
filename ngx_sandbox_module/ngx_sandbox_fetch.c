/*
 * One exchange:  start -> connect -> (handshake) -> send -> read -> finish. What fails before the server can have taken the request goes
 * on at the next address; finish is the one way out, and cancel the one without a word.
 */

#include "ngx_sandbox_fetch.h"
#include "lib/sbx_http_answer.h"

#define NGX_SANDBOX_FETCH_READ 16384
#define NGX_SANDBOX_FETCH_IDLE 8 /* kept connections of one target in one worker */
#define NGX_SANDBOX_FETCH_DEPTH 9

struct ngx_sandbox_fetch_target_s {
    ngx_str_t authority; /* as the URL has it: the Host field */
    ngx_str_t name;      /* of the server, NUL-terminated: SNI and certificate */
    ngx_str_t path;      /* without a slash at its end */
    ngx_addr_t *addrs;
    ngx_uint_t naddrs;
    ngx_ssl_t *ssl;  /* NULL: plain */
    unsigned ip:1;   /* the name is an address */
    /* Of this worker; the configuration is read before there is one. */
    ngx_connection_t *idle[NGX_SANDBOX_FETCH_IDLE];
};

struct ngx_sandbox_fetch_s {
    ngx_pool_t *pool;
    ngx_sandbox_fetch_target_t *target;
    ngx_sandbox_fetch_done_pt done;
    void *data;
    ngx_log_t *log;
    size_t max_body;
    ngx_str_t request;
    size_t sent;
    ngx_event_t timer;
    ngx_connection_t *c;
    struct sbx_http_answer *reply;
    ngx_uint_t next;  /* address to try */
    const char *why;  /* decided inside _start: told by the timer */
    unsigned background:1;
    unsigned reused:1;
};

static void ngx_sandbox_fetch_connect(ngx_sandbox_fetch_t *fetch);
static void ngx_sandbox_fetch_exchange(ngx_sandbox_fetch_t *fetch);

static void
ngx_sandbox_fetch_close(ngx_connection_t *c)
{
    ngx_pool_t *pool = c->pool;

    if (c->ssl != NULL) {
        /* The peer's farewell is not waited for. */
        c->ssl->no_wait_shutdown = 1;
        (void) ngx_ssl_shutdown(c); /* with that it is over whatever it says */
    }

    ngx_close_connection(c);
    if (pool != NULL) {
        ngx_destroy_pool(pool);
    }
}

static void
ngx_sandbox_fetch_drop(ngx_sandbox_fetch_t *fetch)
{
    if (fetch->c != NULL) {
        ngx_sandbox_fetch_close(fetch->c);
        fetch->c = NULL;
    }

    fetch->reply = sbx_http_answer_free(fetch->reply);
}

static void
ngx_sandbox_fetch_destroy(ngx_sandbox_fetch_t *fetch)
{
    ngx_sandbox_fetch_drop(fetch);

    if (fetch->timer.timer_set) {
        ngx_del_timer(&fetch->timer);
    }

    ngx_destroy_pool(fetch->pool);
}

static void
ngx_sandbox_fetch_fail(ngx_sandbox_fetch_t *fetch, const char *why)
{
    ngx_str_t body = ngx_null_string;

    ngx_sandbox_fetch_drop(fetch);
    if (fetch->timer.timer_set) {
        ngx_del_timer(&fetch->timer);
    }

    fetch->done(fetch->data, 0, &body, why);
    ngx_destroy_pool(fetch->pool);
}

/* A kept connection has nothing to say: whatever comes is its end. */
static void
ngx_sandbox_fetch_idle_handler(ngx_event_t *ev)
{
    ngx_connection_t *c = ev->data;
    ngx_sandbox_fetch_target_t *target = c->data;
    ngx_uint_t i;

    for (i = 0; i < NGX_SANDBOX_FETCH_IDLE; i++) {
        if (target->idle[i] == c) {
            target->idle[i] = NULL;
        }
    }

    ngx_sandbox_fetch_close(c);
}

static void
ngx_sandbox_fetch_deaf_handler(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, ev->log, 0, "sandbox fetch: nothing to write");
}

/* Puts the connection aside for the next exchange when there is room, else leaves it where it is. */
static void
ngx_sandbox_fetch_keep(ngx_sandbox_fetch_t *fetch)
{
    ngx_sandbox_fetch_target_t *target = fetch->target;
    ngx_connection_t *c = fetch->c;
    ngx_uint_t i;

    if (ngx_exiting || ngx_terminate || !sbx_http_answer_keeps(fetch->reply) || fetch->sent != fetch->request.len
        || c->read->eof || c->read->pending_eof || c->read->error
        /* More may lie there already: the next exchange would take it for its answer. */
        || c->read->ready
        || ngx_handle_read_event(c->read, 0) != NGX_OK)
    {
        return;
    }

    for (i = 0; i < NGX_SANDBOX_FETCH_IDLE && target->idle[i] != NULL; i++) { /* void */ }

    if (i == NGX_SANDBOX_FETCH_IDLE) {
        return;
    }

    c->data = target;
    c->idle = 1;
    c->read->handler = ngx_sandbox_fetch_idle_handler;
    c->write->handler = ngx_sandbox_fetch_deaf_handler;
    target->idle[i] = c;
    fetch->c = NULL;
}

static void
ngx_sandbox_fetch_finish(ngx_sandbox_fetch_t *fetch)
{
    const struct sbx_buf *text = sbx_http_answer_body(fetch->reply);
    ngx_str_t body;

    ngx_del_timer(&fetch->timer);
    ngx_sandbox_fetch_keep(fetch);
    if (fetch->c != NULL) {
        ngx_sandbox_fetch_close(fetch->c);
        fetch->c = NULL;
    }

    body.data = (u_char *) (text->data == NULL ? "" : text->data);
    body.len = text->len;
    fetch->done(fetch->data, sbx_http_answer_status(fetch->reply), &body, "");

    ngx_sandbox_fetch_destroy(fetch);
}

/* The connection is of no use: the next address, or the same once more when it was an old connection that ended unasked. */
static void
ngx_sandbox_fetch_next(ngx_sandbox_fetch_t *fetch, const char *why)
{
    if (!fetch->reused && fetch->next == fetch->target->naddrs) {
        ngx_sandbox_fetch_fail(fetch, why);
        return;
    }

    ngx_sandbox_fetch_drop(fetch);
    fetch->reused = 0;
    ngx_sandbox_fetch_connect(fetch);
    if (fetch->why != NULL) {
        ngx_sandbox_fetch_fail(fetch, fetch->why);
    }
}

static ngx_int_t
ngx_sandbox_fetch_send(ngx_sandbox_fetch_t *fetch)
{
    ngx_connection_t *c = fetch->c;
    ssize_t n;

    while (fetch->sent < fetch->request.len) {
        n = c->send(c, fetch->request.data + fetch->sent, fetch->request.len - fetch->sent);
        if (n == NGX_AGAIN) {
            break;
        }
        if (n <= 0) {
            return NGX_ERROR;
        }
        fetch->sent += (size_t) n;
    }

    return ngx_handle_write_event(c->write, 0);
}

/* NGX_AGAIN: more is to come; NGX_OK: whole; NGX_DONE: the fetch is over or started anew. */
static ngx_int_t
ngx_sandbox_fetch_read(ngx_sandbox_fetch_t *fetch)
{
    static u_char buf[NGX_SANDBOX_FETCH_READ];
    ngx_connection_t *c = fetch->c;
    ssize_t n;
    int rc;

    for ( ;; ) {
        n = c->recv(c, buf, sizeof(buf));
        if (n == NGX_AGAIN) {
            return ngx_handle_read_event(c->read, 0) == NGX_OK ? NGX_AGAIN : NGX_ERROR;
        }
        if (n <= 0) {
            return NGX_ERROR;
        }

        rc = sbx_http_answer_feed(fetch->reply, (char *) buf, (size_t) n);
        if (rc == SBX_HTTP_ANSWER_DONE) {
            return NGX_OK;
        }
        if (rc != 0) {
            ngx_sandbox_fetch_fail(fetch, rc == SBX_HTTP_ANSWER_E_SIZE ? "size" : "form");
            return NGX_DONE;
        }
    }
}

static void
ngx_sandbox_fetch_lost(ngx_sandbox_fetch_t *fetch)
{
    /* A request that was sent on a fresh connection is not sent again: somebody may be acting on it. */
    if (fetch->reused && !sbx_http_answer_begun(fetch->reply)) {
        ngx_sandbox_fetch_next(fetch, "closed");
        return;
    }

    ngx_sandbox_fetch_fail(fetch, "closed");
}

static void
ngx_sandbox_fetch_handler(ngx_event_t *ev)
{
    ngx_connection_t *c = ev->data;
    ngx_sandbox_fetch_t *fetch = c->data;
    ngx_int_t rc;

    if (c->close) {
        ngx_sandbox_fetch_fail(fetch, "leaving");
        return;
    }

    if (fetch->sent < fetch->request.len && c->write->ready && ngx_sandbox_fetch_send(fetch) != NGX_OK) {
        ngx_sandbox_fetch_lost(fetch);
        return;
    }

    if (!c->read->ready) {
        return;
    }

    rc = ngx_sandbox_fetch_read(fetch);
    if (rc == NGX_OK) {
        ngx_sandbox_fetch_finish(fetch);
    } else if (rc == NGX_ERROR) {
        ngx_sandbox_fetch_lost(fetch);
    }
}

/* The connection stands: from now on the exchange is all there is. */
static void
ngx_sandbox_fetch_exchange(ngx_sandbox_fetch_t *fetch)
{
    ngx_connection_t *c = fetch->c;

    if (fetch->background && (ngx_exiting || ngx_terminate)) {
        ngx_sandbox_fetch_fail(fetch, "leaving");
        return;
    }

    /* nginx closes idle connections when it leaves, and does not wait for timers that may be cancelled. */
    c->idle = fetch->background;
    fetch->timer.cancelable = fetch->background;
    c->read->handler = ngx_sandbox_fetch_handler;
    c->write->handler = ngx_sandbox_fetch_handler;

    if (ngx_sandbox_fetch_send(fetch) != NGX_OK) {
        ngx_sandbox_fetch_lost(fetch);
    } else if (c->read->ready) {
        ngx_sandbox_fetch_handler(c->read);
    }
}

static ngx_flag_t
ngx_sandbox_fetch_trusts(ngx_sandbox_fetch_t *fetch)
{
    ngx_connection_t *c = fetch->c;
    X509 *cert;
    int fits;

    if (SSL_get_verify_result(c->ssl->connection) != X509_V_OK) {
        return 0;
    }

    if (!fetch->target->ip) {
        return ngx_ssl_check_host(c, &fetch->target->name) == NGX_OK;
    }

    cert = SSL_get1_peer_certificate(c->ssl->connection);
    fits = cert != NULL && X509_check_ip_asc(cert, (char *) fetch->target->name.data, 0) == 1;
    X509_free(cert);

    return fits;
}

static void
ngx_sandbox_fetch_handshake_handler(ngx_connection_t *c)
{
    ngx_sandbox_fetch_t *fetch = c->data;

    if (!c->ssl->handshaked) {
        ngx_sandbox_fetch_next(fetch, "tls");
        return;
    }

    if (!ngx_sandbox_fetch_trusts(fetch)) {
        ngx_log_error(NGX_LOG_ERR, fetch->log, 0, "event=fetch.certificate host=\"%V\" reason=\"%s\"",
                      &fetch->target->name, X509_verify_cert_error_string(SSL_get_verify_result(c->ssl->connection)));
        ngx_sandbox_fetch_fail(fetch, "certificate");
        return;
    }

    ngx_sandbox_fetch_exchange(fetch);
}

static void
ngx_sandbox_fetch_handshake(ngx_sandbox_fetch_t *fetch)
{
    ngx_sandbox_fetch_target_t *target = fetch->target;
    ngx_connection_t *c = fetch->c;
    ngx_int_t rc;

    /* The handshake has handlers of nginx's own, which do not know that a worker leaves: it waits for this. */
    c->idle = 0;

    if (ngx_ssl_create_connection(target->ssl, c, NGX_SSL_CLIENT) != NGX_OK
        || (!target->ip && SSL_set_tlsext_host_name(c->ssl->connection, (char *) target->name.data) == 0))
    {
        ngx_sandbox_fetch_fail(fetch, "memory");
        return;
    }

    rc = ngx_ssl_handshake(c);
    if (rc == NGX_AGAIN) {
        c->ssl->handler = ngx_sandbox_fetch_handshake_handler;
        return;
    }

    ngx_sandbox_fetch_handshake_handler(c);
}

static void
ngx_sandbox_fetch_connected_handler(ngx_event_t *ev)
{
    ngx_connection_t *c = ev->data;
    ngx_sandbox_fetch_t *fetch = c->data;
    socklen_t len = sizeof(int);
    int err = 0;

    if (c->close) {
        ngx_sandbox_fetch_fail(fetch, "leaving");
        return;
    }

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }
    if (err != 0) {
        ngx_log_error(NGX_LOG_INFO, fetch->log, err, "sandbox fetch: connect() to \"%V\" failed",
                      &fetch->target->authority);
        ngx_sandbox_fetch_next(fetch, "connect");
        return;
    }

    /* An event for reading alone may be the news that the connection failed, never that it stands. */
    if (!c->write->ready) {
        return;
    }

    if (fetch->target->ssl != NULL) {
        ngx_sandbox_fetch_handshake(fetch);
    } else {
        ngx_sandbox_fetch_exchange(fetch);
    }
}

static ngx_connection_t *
ngx_sandbox_fetch_take_idle(ngx_sandbox_fetch_target_t *target)
{
    ngx_connection_t *c;
    ngx_uint_t i;

    for (i = 0; i < NGX_SANDBOX_FETCH_IDLE; i++) {
        c = target->idle[i];
        if (c != NULL) {
            target->idle[i] = NULL;
            return c;
        }
    }

    return NULL;
}

static ngx_connection_t *
ngx_sandbox_fetch_open(ngx_sandbox_fetch_t *fetch)
{
    ngx_sandbox_fetch_target_t *target = fetch->target;
    ngx_peer_connection_t pc;
    ngx_int_t rc;

    for (rc = NGX_ERROR; rc != NGX_OK && rc != NGX_AGAIN && fetch->next < target->naddrs; fetch->next++) {
        ngx_memzero(&pc, sizeof(pc));
        pc.sockaddr = target->addrs[fetch->next].sockaddr;
        pc.socklen = target->addrs[fetch->next].socklen;
        pc.name = &target->addrs[fetch->next].name;
        pc.get = ngx_event_get_peer;
        pc.log = ngx_cycle->log; /* outlives a kept connection */
        pc.log_error = NGX_ERROR_INFO;

        rc = ngx_event_connect_peer(&pc);
        if (rc != NGX_OK && rc != NGX_AGAIN && pc.connection != NULL) {
            ngx_close_connection(pc.connection);
        }
    }

    return rc == NGX_OK || rc == NGX_AGAIN ? pc.connection : NULL;
}

/*
 * Gets a connection under way; what happens on it comes from the loop. Sets fetch->why when there is none to be had.
 */
static void
ngx_sandbox_fetch_connect(ngx_sandbox_fetch_t *fetch)
{
    ngx_connection_t *c;

    fetch->sent = 0;
    fetch->reply = sbx_http_answer_new(fetch->max_body);
    if (fetch->reply == NULL) {
        fetch->why = "memory";
        return;
    }

    c = fetch->next == 0 ? ngx_sandbox_fetch_take_idle(fetch->target) : NULL;
    if (c != NULL) {
        fetch->reused = 1;
    } else {
        c = ngx_sandbox_fetch_open(fetch);
    }
    if (c == NULL) {
        fetch->why = "connect";
        return;
    }

    if (c->pool == NULL) {
        c->pool = ngx_create_pool(256, ngx_cycle->log);
        if (c->pool == NULL) {
            ngx_close_connection(c);
            fetch->why = "memory";
            return;
        }
    }

    c->data = fetch;
    c->idle = fetch->background;
    fetch->c = c;
    c->read->handler = fetch->reused ? ngx_sandbox_fetch_handler : ngx_sandbox_fetch_connected_handler;
    c->write->handler = c->read->handler;
    /* One that stands already gets no event of its own. */
    if (c->write->ready) {
        ngx_post_event(c->write, &ngx_posted_events);
    }
}

static void
ngx_sandbox_fetch_timer_handler(ngx_event_t *ev)
{
    ngx_sandbox_fetch_t *fetch = ev->data;

    ngx_sandbox_fetch_fail(fetch, fetch->why != NULL ? fetch->why : "timeout");
}

static ngx_int_t
ngx_sandbox_fetch_write_request(ngx_sandbox_fetch_t *fetch, const ngx_sandbox_fetch_spec_t *spec)
{
    ngx_sandbox_fetch_target_t *target = fetch->target;
    ngx_str_t method = spec->method, path = target->path;
    u_char *p;
    size_t len;

    if (method.len == 0) {
        if (spec->body.len == 0) {
            ngx_str_set(&method, "GET");
        } else {
            ngx_str_set(&method, "POST");
        }
    }
    if (path.len == 0 && spec->uri.len == 0) {
        ngx_str_set(&path, "/");
    }

    len = sizeof(" HTTP/1.1" CRLF "Host: " CRLF "Connection: keep-alive" CRLF "Content-Length: " CRLF CRLF)
          + NGX_SIZE_T_LEN + method.len + path.len + spec->uri.len + target->authority.len + spec->headers.len
          + spec->body.len + 1;
    p = ngx_pnalloc(fetch->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    fetch->request.data = p;
    p = ngx_sprintf(p, "%V %V%V HTTP/1.1" CRLF "Host: %V" CRLF "Connection: keep-alive" CRLF "%V", &method, &path,
                    &spec->uri, &target->authority, &spec->headers);
    if (spec->body.len != 0) {
        p = ngx_sprintf(p, "Content-Length: %uz" CRLF, spec->body.len);
    }
    p = ngx_cpymem(p, CRLF, sizeof(CRLF) - 1);
    if (spec->body.len != 0) {
        p = ngx_cpymem(p, spec->body.data, spec->body.len);
    }
    fetch->request.len = (size_t) (p - fetch->request.data);

    return NGX_OK;
}

ngx_sandbox_fetch_t *
ngx_sandbox_fetch_start(ngx_sandbox_fetch_target_t *target, const ngx_sandbox_fetch_spec_t *spec)
{
    ngx_sandbox_fetch_t *fetch;
    ngx_pool_t *pool;

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    fetch = ngx_pcalloc(pool, sizeof(ngx_sandbox_fetch_t));
    if (fetch == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    fetch->pool = pool;
    fetch->target = target;
    fetch->done = spec->done;
    fetch->data = spec->data;
    fetch->log = spec->log;
    fetch->max_body = spec->max_body;
    fetch->background = spec->background;
    fetch->timer.handler = ngx_sandbox_fetch_timer_handler;
    fetch->timer.data = fetch;
    fetch->timer.log = ngx_cycle->log;

    if (ngx_sandbox_fetch_write_request(fetch, spec) != NGX_OK) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    ngx_sandbox_fetch_connect(fetch);
    ngx_add_timer(&fetch->timer, fetch->why != NULL ? 0 : spec->timeout);

    return fetch;
}

void
ngx_sandbox_fetch_cancel(ngx_sandbox_fetch_t *fetch)
{
    ngx_sandbox_fetch_destroy(fetch);
}

const char *
ngx_sandbox_fetch_field(const ngx_sandbox_fetch_t *fetch, const char *name)
{
    return fetch->reply == NULL ? NULL : sbx_http_answer_field(fetch->reply, name);
}

static ngx_int_t
ngx_sandbox_fetch_target_tls(ngx_conf_t *cf, ngx_sandbox_fetch_target_t *target, ngx_str_t *ca)
{
    ngx_pool_cleanup_t *cln;
    ngx_str_t file;

    target->ssl = ngx_pcalloc(cf->pool, sizeof(ngx_ssl_t));
    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (target->ssl == NULL || cln == NULL) {
        return NGX_ERROR;
    }

    target->ssl->log = cf->log;
    if (ngx_ssl_create(target->ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL) != NGX_OK) {
        return NGX_ERROR;
    }
    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = target->ssl;

    if (ca != NULL) {
        file = *ca; /* it is made a full name in place */
        return ngx_ssl_trusted_certificate(cf, target->ssl, &file, NGX_SANDBOX_FETCH_DEPTH);
    }

    if (SSL_CTX_set_default_verify_paths(target->ssl->ctx) != 1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "the system's CA certificates cannot be used");
        return NGX_ERROR;
    }

    return NGX_OK;
}

/* "http://" or "https://" is cut off; 0 when it is neither or has bytes that no URL has. */
static ngx_flag_t
ngx_sandbox_fetch_scheme(ngx_url_t *u, ngx_str_t *url, ngx_flag_t *ret_tls)
{
    size_t i, len;

    for (i = 0; i < url->len; i++) {
        if (url->data[i] <= ' ' || url->data[i] >= 0x7f || url->data[i] == '#' || url->data[i] == '@') {
            return 0;
        }
    }

    *ret_tls = url->len > 8 && ngx_strncmp(url->data, "https://", 8) == 0;
    len = *ret_tls ? 8 : 7;
    if (url->len <= len || (!*ret_tls && ngx_strncmp(url->data, "http://", 7) != 0)) {
        return 0;
    }

    u->url.data = url->data + len;
    u->url.len = url->len - len;
    u->default_port = *ret_tls ? 443 : 80;
    u->uri_part = 1;

    return 1;
}

static ngx_int_t
ngx_sandbox_fetch_target_names(ngx_conf_t *cf, ngx_sandbox_fetch_target_t *target, ngx_url_t *u)
{
    u_char address[16];
    size_t len;

    if (u->family == AF_UNIX) {
        ngx_str_set(&target->authority, "localhost");
        ngx_str_set(&target->name, "localhost");
    } else {
        len = u->uri.len == 0 ? u->url.len : (size_t) (u->uri.data - u->url.data);
        target->authority.data = u->url.data;
        target->authority.len = len;

        target->name.data = ngx_pnalloc(cf->pool, u->host.len + 1);
        if (target->name.data == NULL) {
            return NGX_ERROR;
        }
        target->name.len = u->host.len;
        *ngx_cpymem(target->name.data, u->host.data, u->host.len) = '\0';
        target->ip = ngx_inet_addr(u->host.data, u->host.len) != INADDR_NONE
                     || ngx_inet6_addr(u->host.data, u->host.len, address) == NGX_OK;
    }

    target->path = u->uri;
    while (target->path.len > 0 && target->path.data[target->path.len - 1] == '/') {
        target->path.len--;
    }

    return NGX_OK;
}

ngx_sandbox_fetch_target_t *
ngx_sandbox_fetch_target(ngx_conf_t *cf, ngx_str_t *url, ngx_str_t *ca)
{
    ngx_sandbox_fetch_target_t *target;
    ngx_flag_t tls;
    ngx_url_t u;

    ngx_memzero(&u, sizeof(u));
    if (!ngx_sandbox_fetch_scheme(&u, url, &tls)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid URL \"%V\"", url);
        return NULL;
    }

    if (ngx_parse_url(cf->pool, &u) != NGX_OK || u.naddrs == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s in URL \"%V\"", u.err != NULL ? u.err : "no address", url);
        return NULL;
    }

    target = ngx_pcalloc(cf->pool, sizeof(ngx_sandbox_fetch_target_t));
    if (target == NULL) {
        return NULL;
    }

    target->addrs = u.addrs;
    target->naddrs = u.naddrs;
    if (ngx_sandbox_fetch_target_names(cf, target, &u) != NGX_OK
        || (tls && ngx_sandbox_fetch_target_tls(cf, target, ca) != NGX_OK))
    {
        return NULL;
    }

    return target;
}
