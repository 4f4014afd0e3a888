/* The HTTP server over real sockets: what it serves, and above all what it refuses. */
#include "lib/sbx_http_server.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/sbx_time.h"
#include "t/unit/tap.h"

#define DEADLINE_MS 30000

static uv_loop_t loop;
static struct sbx_http_server *server;
static struct sbx_http_request *held; /* answered later by the test */
static unsigned n_requests, n_aborts, n_drains;
static size_t streamed;
static unsigned n_detached;
static int detached_fd;
static bool pause_stream;

static void
test_on_abort(struct sbx_http_request *request)
{
    held = held == request ? NULL : held;
    n_aborts++;
}

static void
test_on_drain(struct sbx_http_request *request)
{
    n_drains++;
    sbx_http_reply_end(request);
}

static bool
test_on_data(struct sbx_http_request *request, const char *data, size_t len)
{
    (void)data;
    held = request;
    streamed += len;
    return !pause_stream;
}

static void
test_on_head(struct sbx_http_request *request, void *arg)
{
    const char *path = sbx_http_request_path(request);

    (void)arg;
    sbx_http_request_on_abort(request, test_on_abort);
    if (strcmp(path, "/early") == 0) {
        sbx_http_reply(request, 403, "text/plain", NULL, 0, "early", 5);
    } else if (strcmp(path, "/stream") == 0) {
        sbx_http_request_stream(request, test_on_data);
    } else if (strcmp(path, "/roomy") == 0) {
        sbx_http_request_set_max_body(request, 1 << 20);
    }
}

static void
test_on_detached(void *arg, int fd)
{
    *(int *)arg = fd;
    n_detached++;
}

static void
reply_large(struct sbx_http_request *request)
{
    static char block[1 << 20];
    unsigned i;

    memset(block, 'x', sizeof(block));
    sbx_http_reply_start(request, 200, "text/plain", NULL, 0, -1);
    sbx_http_reply_on_drain(request, test_on_drain);
    for (i = 0; i < 8; i++) {
        sbx_http_reply_write(request, block, sizeof(block));
    }
}

static void
test_on_request(struct sbx_http_request *request, void *arg)
{
    static const struct sbx_http_header split[] = { { "X-Fine", "yes" },
                                                    { "X-Split", "a\r\nX-Evil: 1" },
                                                    { "X Bad", "1" } };
    const char *path = sbx_http_request_path(request);
    char value[8], text[256];
    size_t len;
    const char *body = sbx_http_request_body(request, &len);

    (void)arg;
    n_requests++;
    if (strcmp(path, "/detach") == 0) {
        sbx_http_reply_detach(request, split, 1, test_on_detached, &detached_fd);
    } else if (strcmp(path, "/hold") == 0) {
        held = request;
    } else if (strcmp(path, "/large") == 0) {
        reply_large(request);
    } else if (strcmp(path, "/chunks") == 0) {
        sbx_http_reply_start(request, 200, "text/plain", NULL, 0, -1);
        sbx_http_reply_write(request, "ab", 2);
        sbx_http_reply_write(request, "", 0);
        sbx_http_reply_write(request, "cde", 3);
        sbx_http_reply_end(request);
    } else if (strcmp(path, "/sized") == 0) {
        sbx_http_reply_start(request, 200, "text/plain", NULL, 0, 4);
        sbx_http_reply_write(request, "abcdef", 6);
        sbx_http_reply_end(request);
    } else if (strcmp(path, "/short") == 0) {
        sbx_http_reply_start(request, 200, "text/plain", NULL, 0, 10);
        sbx_http_reply_write(request, "abc", 3);
        sbx_http_reply_end(request);
    } else if (strcmp(path, "/split") == 0) {
        sbx_http_reply(request, 200, "text/plain", split, 3, "", 0);
    } else if (strcmp(path, "/empty") == 0) {
        sbx_http_reply(request, 204, NULL, NULL, 0, NULL, 0);
    } else if (strcmp(path, "/param") == 0) {
        bool found = sbx_http_request_param(request, "p", value, sizeof(value));

        (void)snprintf(text, sizeof(text), "%s|%s", found ? "yes" : "no", found ? value : "");
        sbx_http_reply(request, 200, "text/plain", NULL, 0, text, strlen(text));
    } else if (strcmp(path, "/header") == 0) {
        (void)snprintf(text, sizeof(text), "[%s]x%u", sbx_http_request_header(request, "x-test"),
                       sbx_http_request_header_count(request, "X-TEST"));
        sbx_http_reply(request, 200, "text/plain", NULL, 0, text, strlen(text));
    } else {
        (void)snprintf(text, sizeof(text), "%s %s?%s %.*s", sbx_http_request_method(request), path,
                       sbx_http_request_query(request), (int)(len > 64 ? 64 : len), body);
        sbx_http_reply(request, 200, "text/plain", NULL, 0, text, strlen(text));
        /* A second answer must change nothing. */
        sbx_http_reply(request, 500, "text/plain", NULL, 0, "twice", 5);
    }
}

static bool is_dateless;

static void
server_start(uint64_t ms)
{
    const struct sbx_http_server_spec spec = {
        .loop = &loop,
        .max_head = 4096,
        .max_body = 1000,
        .max_connections = 4,
        .head_timeout_ms = ms,
        .body_timeout_ms = ms,
        .send_timeout_ms = ms,
        .idle_timeout_ms = ms,
        .is_dateless = is_dateless,
        .on_head = test_on_head,
        .on_request = test_on_request,
    };

    if (sbx_http_server_new(&server, &spec) < 0) {
        abort();
    }
    held = NULL;
    n_requests = n_aborts = n_drains = n_detached = 0;
    detached_fd = 0;
    streamed = 0;
    pause_stream = false;
}

static void
on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void
run_until(bool *flag)
{
    uint64_t end = sbx_now_mono_ms() + DEADLINE_MS;

    while (!*flag && sbx_now_mono_ms() < end) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
}

static void
server_stop(void)
{
    bool closed = false;

    sbx_http_server_close(server, on_closed, &closed);
    run_until(&closed);
    if (!closed) {
        printf("Bail out! the server did not close\n");
        exit(1);
    }
}

static int
peer_new(void)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 ||
        sbx_http_server_adopt(server, pair[1]) < 0) {
        abort();
    }
    return pair[0];
}

static void
peer_send(int fd, const char *data, size_t len)
{
    uint64_t end = sbx_now_mono_ms() + DEADLINE_MS;
    size_t off = 0;

    while (off < len && sbx_now_mono_ms() < end) {
        ssize_t n = send(fd, data + off, len - off, MSG_NOSIGNAL);

        if (n > 0) {
            off += (size_t)n;
        } else if (errno != EAGAIN) {
            return;
        }
        uv_run(&loop, UV_RUN_NOWAIT);
    }
}

/* Reads until `until` was seen, or the end of the stream. */
static char *
peer_read(int fd, const char *until, size_t *ret_len)
{
    static char reply[16 << 20];
    uint64_t end = sbx_now_mono_ms() + DEADLINE_MS;
    size_t len = 0;
    ssize_t n;

    while (sbx_now_mono_ms() < end && len < sizeof(reply) - 1) {
        uv_run(&loop, UV_RUN_NOWAIT);
        n = recv(fd, reply + len, sizeof(reply) - 1 - len, 0);
        len += n > 0 ? (size_t)n : 0;
        reply[len] = '\0';
        if (n == 0 || (n < 0 && errno != EAGAIN) ||
            (n > 0 && until != NULL && strstr(reply, until) != NULL)) {
            break;
        }
    }

    *ret_len = len;
    return reply;
}

/* One connection, these bytes, then everything until the server closes. */
static const char *
talk(const char *data, size_t len, bool shut)
{
    const char *reply;
    size_t n;
    int fd = peer_new();

    peer_send(fd, data, len);
    if (shut) {
        (void)shutdown(fd, SHUT_WR);
    }
    reply = peer_read(fd, NULL, &n);
    close(fd);
    uv_run(&loop, UV_RUN_NOWAIT);
    return reply;
}

static const char *
say(const char *text, bool shut)
{
    return talk(text, strlen(text), shut);
}

static void
peer_say(int fd, const char *text)
{
    peer_send(fd, text, strlen(text));
}

static int
status_of(const char *reply)
{
    return strncmp(reply, "HTTP/1.1 ", 9) == 0 ? (int)strtol(reply + 9, NULL, 10) : 0;
}

#define HOST "Host: a\r\n"
#define CLOSE "Connection: close\r\n"

static const struct {
    const char *name;
    const char *input;
    int status;
} refused[] = {
    { "HTTP/0.9", "GET /\r\n\r\n", 400 },
    { "HTTP/2.0", "GET / HTTP/2.0\r\n" HOST "\r\n", 505 },
    { "HTTP/1.2", "GET / HTTP/1.2\r\n" HOST "\r\n", 505 },
    { "no version number", "GET / HTTP/x\r\n" HOST "\r\n", 400 },
    { "garbage", "\x16\x03\x01\x02\r\n\r\n", 400 },
    { "unknown method", "FROB / HTTP/1.1\r\n" HOST "\r\n", 400 },
    { "lower-case method", "get / HTTP/1.1\r\n" HOST "\r\n", 400 },
    { "CONNECT", "CONNECT a:80 HTTP/1.1\r\n" HOST "\r\n", 400 },
    { "absolute form", "GET http://a/ HTTP/1.1\r\n" HOST "\r\n", 400 },
    { "asterisk form", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 400 },
    { "fragment", "GET /#x HTTP/1.1\r\n" HOST "\r\n", 400 },
    { "high byte in target", "GET /\xff HTTP/1.1\r\n" HOST "\r\n", 400 },
    { "space before target", "GET  /x y HTTP/1.1\r\n" HOST "\r\n", 400 },
    { "no Host", "GET / HTTP/1.1\r\n\r\n", 400 },
    { "two Hosts", "GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400 },
    { "two Hosts, one in capitals", "GET / HTTP/1.1\r\n" HOST "HOST: b\r\n\r\n", 400 },
    { "both framings",
      "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
    { "both framings, swapped",
      "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400 },
    { "two lengths", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400 },
    { "length list", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3, 3\r\n\r\nabc", 400 },
    { "negative length", "POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", 400 },
    { "signed length", "POST / HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\nabc", 400 },
    { "hexadecimal length", "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x3\r\n\r\nabc", 400 },
    { "length past 64 bits", "POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999\r\n\r\n",
      400 },
    { "length over the ceiling", "POST / HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n", 413 },
    { "unknown coding", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n", 400 },
    { "two codings", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400 },
    { "chunked twice", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
      400 },
    { "two coding fields",
      "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      400 },
    { "mangled coding", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400 },
    { "chunked in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
    { "chunk size is no number", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
      400 },
    { "chunk size past 64 bits",
      "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400 },
    { "chunk without its CRLF",
      "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400 },
    { "chunk size line ends in LF",
      "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400 },
    { "bare LF after the request line", "GET / HTTP/1.1\n" HOST "\r\n", 400 },
    { "bare LF after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", 400 },
    { "bare LF as the empty line", "GET / HTTP/1.1\r\n" HOST "\n", 400 },
    { "bare CR in a value", "GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", 400 },
    { "folded field", "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", 400 },
    { "field folded with a tab", "GET / HTTP/1.1\r\n" HOST "X: a\r\n\tb\r\n\r\n", 400 },
    { "space before the first field", "GET / HTTP/1.1\r\n " HOST "\r\n", 400 },
    { "space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400 },
    { "space before a length's colon", "POST / HTTP/1.1\r\n" HOST "Content-Length : 1\r\n\r\na", 400 },
    { "tab before a coding's colon",
      "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400 },
    { "field without a name", "GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n", 400 },
    { "field without a colon", "GET / HTTP/1.1\r\n" HOST "nonsense\r\n\r\n", 400 },
    { "control character in a value", "GET / HTTP/1.1\r\n" HOST "X: a\x01\r\n\r\n", 400 },
    { "control character first in a value", "GET / HTTP/1.1\r\n" HOST "X: \x01\r\n\r\n", 400 },
    { "DEL in a name", "GET / HTTP/1.1\r\n" HOST "X\x7f: a\r\n\r\n", 400 },
    { "upgrade", "GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 400 },
    { "unknown expectation", "POST / HTTP/1.1\r\n" HOST "Expect: cake\r\nContent-Length: 1\r\n\r\n", 417 },
};

static void
test_refused(void)
{
    size_t i;

    server_start(5000);
    for (i = 0; i < SBX_COUNT(refused); i++) {
        is_int(status_of(say(refused[i].input, false)), refused[i].status, "%s", refused[i].name);
    }
    is_int((int)n_requests, 0, "none of them reached the handler");
    ok(strstr(say("GET / HTTP/9.9\r\n\r\n", false), "\r\nConnection: close\r\n") != NULL,
       "a refusal says that it closes");
    is_int(status_of(talk("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", 29, false)), 400, "NUL in a value");
    server_stop();
}

static void
test_refused_large(void)
{
    struct sbx_buf buf = SBX_BUF_INIT(1 << 20);
    unsigned i;

    server_start(5000);

    sbx_buf_puts(&buf, "GET /");
    for (i = 0; i < 5000; i++) {
        sbx_buf_putc(&buf, 'a');
    }
    is_int(status_of(talk(buf.data, buf.len, false)), 431, "a target that never ends");

    sbx_buf_reset(&buf);
    sbx_buf_puts(&buf, "GET / HTTP/1.1\r\n" HOST);
    for (i = 0; i < 120; i++) {
        sbx_buf_puts(&buf, "X: y\r\n");
    }
    sbx_buf_puts(&buf, "\r\n");
    is_int(status_of(talk(buf.data, buf.len, false)), 431, "more fields than allowed");

    sbx_buf_reset(&buf);
    for (i = 0; i < 3000; i++) {
        sbx_buf_puts(&buf, "\r\n");
    }
    is_int(status_of(talk(buf.data, buf.len, false)), 431, "empty lines without end");

    sbx_buf_reset(&buf);
    sbx_buf_puts(&buf, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    for (i = 0; i < 300; i++) {
        sbx_buf_puts(&buf, "4\r\nabcd\r\n");
    }
    is_int(status_of(talk(buf.data, buf.len, false)), 413, "chunks past the ceiling");
    is_int((int)n_requests, 0, "none of them reached the handler");
    is_int((int)n_aborts, 1, "and the one whose head was seen was aborted once");

    sbx_buf_deinit(&buf);
    server_stop();
}

static void
test_broken_off(void)
{
    static const char *const inputs[] = {
        "GET / HT",
        "GET / HTTP/1.1\r\n" HOST,
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nabc",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n",
        "POST /stream HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nabc",
    };
    size_t i;

    server_start(5000);
    for (i = 0; i < SBX_COUNT(inputs); i++) {
        is_int(status_of(talk(inputs[i], strlen(inputs[i]), true)), 400, "broken off in the middle");
    }
    is_int((int)n_requests, 0, "a truncated request never reached the handler");
    is_int((int)n_aborts, 5, "each that showed its head was aborted once");
    is_str(say("", true), "", "a connection without a byte gets none");
    server_stop();
}

static void
test_deadlines(void)
{
    const char *reply;
    size_t len;
    int fd;

    server_start(250);
    is_str(say("", false), "", "idle: closed without a word");
    is_int(status_of(say("GET / HT", false)), 408, "a head that stops");
    is_int(status_of(say("POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nab", false)), 408,
           "a body that stops");
    is_int((int)n_aborts, 1, "the handler was told");

    fd = peer_new();
    peer_say(fd, "GET /large HTTP/1.1\r\n" HOST "\r\n");
    while (sbx_http_server_connections(server) > 0) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    is_int((int)n_aborts, 2, "a client that does not read its reply is let go");
    reply = peer_read(fd, NULL, &len);
    ok(len < (8 << 20) && status_of(reply) == 200, "it got less than the whole");
    close(fd);

    fd = peer_new();
    peer_say(fd, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    {
        uint64_t end = sbx_now_mono_ms() + 600;

        while (sbx_now_mono_ms() < end) {
            uv_run(&loop, UV_RUN_NOWAIT);
        }
    }
    ok(held != NULL, "the handler's own time has no deadline here");
    if (held != NULL) {
        sbx_http_reply(held, 200, NULL, NULL, 0, "late", 4);
    }
    ok(strstr(peer_read(fd, "late", &len), "\r\n\r\nlate") != NULL, "its late answer arrives");
    close(fd);
    server_stop();
}

static void
test_serves(void)
{
    const char *reply;

    server_start(5000);
    reply = say("GET /a?b=c HTTP/1.1\r\n" HOST CLOSE "\r\n", false);
    is_int(status_of(reply), 200, "a plain request");
    ok(strstr(reply, "GET /a?b=c ") != NULL && strstr(reply, "twice") == NULL, "is answered once");
    ok(strstr(reply, "\r\nDate: ") != NULL && strstr(reply, " GMT\r\n") != NULL, "with a date");

    reply = say("HEAD /a HTTP/1.1\r\n" HOST CLOSE "\r\n", false);
    ok(strstr(reply, "Content-Length: 9\r\n") != NULL && strstr(reply, "\r\n\r\n")[4] == '\0',
       "HEAD has no body");

    reply = say("GET /a HTTP/1.0\r\n\r\n", false);
    ok(status_of(reply) == 200 && strstr(reply, "Connection: close") != NULL, "HTTP/1.0 closes");
    reply = say("GET /chunks HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false);
    ok(strstr(reply, "chunked") == NULL && strstr(reply, "\r\n\r\nabcde") != NULL,
       "HTTP/1.0 gets no chunks, even when it asks to be kept");
    reply = say("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n", false);
    ok(strstr(reply, "Connection: keep-alive\r\n") != NULL && strstr(reply, "GET /b?") != NULL,
       "HTTP/1.0 may ask to be kept");

    reply = say("GET /chunks HTTP/1.1\r\n" HOST CLOSE "\r\n", false);
    ok(strstr(reply, "\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n") != NULL, "a streamed reply is chunked");
    reply = say("GET /sized HTTP/1.1\r\n" HOST CLOSE "\r\n", false);
    ok(strstr(reply, "\r\n\r\nabcd") != NULL && strstr(reply, "abcde") == NULL, "no byte more than promised");
    reply = say("GET /short HTTP/1.1\r\n" HOST "\r\n", false);
    ok(strstr(reply, "\r\n\r\nabc") != NULL, "fewer than promised: the connection ends");
    reply = say("GET /empty HTTP/1.1\r\n" HOST CLOSE "\r\n", false);
    ok(status_of(reply) == 204 && strstr(reply, "Content-Length") == NULL, "204 has no length");
    reply = say("GET /split HTTP/1.1\r\n" HOST CLOSE "\r\n", false);
    ok(strstr(reply, "X-Fine: yes") != NULL && strstr(reply, "Evil") == NULL &&
           strstr(reply, "X Bad") == NULL,
       "a header with a line break is not sent");
    reply = say("GET /header HTTP/1.1\r\n" HOST CLOSE "x-TEST: \t v \t\r\nX-Test:\r\n\r\n", false);
    ok(strstr(reply, "\r\n\r\n[v]x2") != NULL, "header values are trimmed and counted without case");
    server_stop();
}

static void
test_dateless(void)
{
    const char *reply;

    is_dateless = true;
    server_start(5000);
    reply = say("GET /a HTTP/1.1\r\n" HOST CLOSE "\r\n", false);
    ok(status_of(reply) == 200 && strstr(reply, "\r\nContent-Length: ") != NULL, "a server without dates");
    ok(strstr(reply, "Date:") == NULL, "says none");
    server_stop();
    is_dateless = false;
}

static void
test_params(void)
{
    static const struct {
        const char *query;
        const char *want;
    } cases[] = {
        { "p=a%20b+c", "yes|a b c" },
        { "q=1&p=2", "yes|2" },
        { "p=", "yes|" },
        { "p", "no|" },
        { "", "no|" },
        { "pp=1", "no|" },
        { "p=%", "no|" },
        { "p=%4", "no|" },
        { "p=%zz", "no|" },
        { "p=%00", "no|" },
        { "p=12345678", "no|" },
        { "p=1234567", "yes|1234567" },
        { "p=1&p=2", "yes|1" },
        { "p=%2", "no|" },
        { "&&p=%41", "yes|A" },
    };
    char request[128], want[64];
    size_t i;

    server_start(5000);
    for (i = 0; i < SBX_COUNT(cases); i++) {
        (void)snprintf(request, sizeof(request), "GET /param?%s HTTP/1.1\r\n" HOST CLOSE "\r\n",
                       cases[i].query);
        (void)snprintf(want, sizeof(want), "\r\n\r\n%s", cases[i].want);
        ok(strcmp(strstr(talk(request, strlen(request), false), "\r\n\r\n"), want) == 0, "%s",
           cases[i].query);
    }
    server_stop();
}

static void
test_bodies(void)
{
    static const char small[] = "POST / HTTP/1.1\r\n" HOST CLOSE "Content-Length: 3\r\n\r\nabc";
    static char big[700000];
    const char *reply;
    char head[128];
    size_t len, i;
    int fd;

    server_start(5000);
    reply = say(small, false);
    ok(strstr(reply, "POST /? abc") != NULL, "a body with a length");
    reply = say("POST / HTTP/1.1\r\n" HOST CLOSE
                "Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nTrailer: 1\r\n\r\n",
                false);
    ok(strstr(reply, "POST /? abc") != NULL, "a body in chunks, with an extension and a trailer");

    fd = peer_new();
    for (i = 0; i < strlen(small); i++) {
        peer_send(fd, small + i, 1);
    }
    ok(strstr(peer_read(fd, NULL, &len), "POST /? abc") != NULL, "byte by byte");
    close(fd);

    memset(big, 'z', sizeof(big));
    (void)snprintf(head, sizeof(head), "POST /roomy HTTP/1.1\r\n" HOST CLOSE "Content-Length: %zu\r\n\r\n",
                   sizeof(big));
    fd = peer_new();
    peer_send(fd, head, strlen(head));
    peer_send(fd, big, sizeof(big));
    is_int(status_of(peer_read(fd, NULL, &len)), 200, "a ceiling raised for one request");
    close(fd);

    (void)snprintf(head, sizeof(head), "POST /stream HTTP/1.1\r\n" HOST CLOSE "Content-Length: %zu\r\n\r\n",
                   sizeof(big));
    fd = peer_new();
    pause_stream = true;
    peer_send(fd, head, strlen(head));
    (void)!send(fd, big, 100000, MSG_NOSIGNAL);
    for (i = 0; i < 50; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    ok(streamed > 0 && streamed <= 65536, "a paused stream gives one piece");
    pause_stream = false;
    sbx_http_request_resume(held);
    close(fd);
    for (i = 0; i < 50 && n_aborts == 0; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    is_int((int)n_aborts, 1, "and its abort when the client leaves");

    fd = peer_new();
    streamed = 0;
    peer_send(fd, head, strlen(head));
    peer_send(fd, big, sizeof(big));
    is_int(status_of(peer_read(fd, NULL, &len)), 200, "a body streamed past the buffered ceiling");
    is_int((int)streamed, (int)sizeof(big), "every byte of it");
    close(fd);
    server_stop();
}

/* A reply of five bytes of which `sent` were written when its source broke, with the next request there already. */
static const char *
break_after(size_t sent, const char *method)
{
    char text[256];
    const char *reply;
    size_t len;
    int fd = peer_new();

    (void)snprintf(text, sizeof(text),
                   "%s /hold HTTP/1.1\r\n" HOST "\r\nGET /2 HTTP/1.1\r\n" HOST CLOSE "\r\n",
                   method); /* fits */
    held = NULL;
    peer_say(fd, text);
    for (unsigned i = 0; i < 1000 && held == NULL; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    if (held == NULL) {
        return "";
    }
    sbx_http_reply_start(held, 200, "text/plain", NULL, 0, 5);
    sbx_http_reply_write(held, "first", sent);
    sbx_http_reply_break(held);
    reply = peer_read(fd, NULL, &len);
    close(fd);
    return reply;
}

static void
test_breaks(void)
{
    ok(strstr(break_after(4, "GET"), "GET /2?") == NULL, "a reply that broke off ends the connection");
    ok(strstr(break_after(0, "GET"), "GET /2?") == NULL, "also before its first byte");
    ok(strstr(break_after(5, "GET"), "GET /2?") != NULL,
       "one of which all has left is whole: the next request is served");
    ok(strstr(break_after(0, "HEAD"), "GET /2?") != NULL, "as is one that has no body");
}

static void
test_order(void)
{
    const char *reply, *one, *two;
    size_t len;
    unsigned i;
    int fd;

    server_start(5000);
    fd = peer_new();
    peer_say(fd, "GET /hold HTTP/1.1\r\n" HOST "\r\nGET /2 HTTP/1.1\r\n" HOST CLOSE "\r\n");
    for (i = 0; i < 20; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    is_int((int)n_requests, 1, "a pipelined request waits for the one before it");
    ok(held != NULL, "which is still open");
    sbx_http_reply(held, 200, NULL, NULL, 0, "first", 5);
    is_int((int)n_requests, 1, "and is not served from inside that one's answer");
    reply = peer_read(fd, NULL, &len);
    one = strstr(reply, "first");
    two = strstr(reply, "GET /2?");
    ok(one != NULL && two != NULL && one < two, "both are answered in order");
    close(fd);

    test_breaks();
    reply =
        say("GET /1 HTTP/1.1\r\n" HOST "\r\nGET /2 HTTP/1.1\r\n" HOST "\r\nGET /3 HTTP/1.1\r\n" HOST "\r\n",
            true);
    ok(strstr(reply, "GET /1?") != NULL && strstr(reply, "GET /3?") != NULL,
       "pipelined by a client that shut its sending side");

    reply = say("POST /early HTTP/1.1\r\n" HOST "Content-Length: 500\r\n\r\nGET /2 HTTP/1.1\r\n" HOST "\r\n",
                false);
    ok(status_of(reply) == 403 && strstr(reply, "Connection: close") != NULL &&
           strstr(reply, "GET /2") == NULL,
       "answered before its body came: nothing after it is read as a request");
    reply = say("GET /early HTTP/1.1\r\n" HOST "\r\nGET /2 HTTP/1.1\r\n" HOST CLOSE "\r\n", false);
    ok(status_of(reply) == 403 && strstr(reply, "GET /2?") != NULL, "without a body the connection lives on");

    fd = peer_new();
    peer_say(fd, "POST / HTTP/1.1\r\n" HOST CLOSE "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    ok(strcmp(peer_read(fd, "\r\n\r\n", &len), "HTTP/1.1 100 Continue\r\n\r\n") == 0,
       "100-continue is answered");
    peer_say(fd, "abc");
    ok(strstr(peer_read(fd, NULL, &len), "POST /? abc") != NULL, "then the body is taken");
    close(fd);
    reply = say("POST /early HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n", false);
    is_int(status_of(reply), 403, "no 100-continue for a request refused early");
    server_stop();
}

static void
test_aborts(void)
{
    unsigned i;
    size_t len;
    int fd;

    server_start(5000);
    fd = peer_new();
    peer_say(fd, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    close(fd);
    for (i = 0; i < 50 && n_aborts == 0; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    is_int((int)n_aborts, 1, "a client that leaves aborts its request");
    ok(held == NULL, "the very one");

    fd = peer_new();
    peer_say(fd, "GET /large HTTP/1.1\r\n" HOST CLOSE "\r\n");
    (void)peer_read(fd, NULL, &len);
    ok(len > (8 << 20), "a large reply arrives whole");
    is_int((int)n_drains, 1, "after one call that it was taken");
    is_int((int)n_aborts, 1, "and no abort");
    close(fd);

    fd = peer_new();
    peer_say(fd, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    ok(held != NULL, "a request is open");
    server_stop();
    is_int((int)n_aborts, 2, "closing the server aborts it");
    close(fd);

    /* Between two turns of the loop. */
    server_start(5000);
    fd = peer_new();
    peer_say(fd, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    ok(!sbx_http_request_left(held), "a client that is there");
    shutdown(fd, SHUT_WR);
    ok(sbx_http_request_left(held) && n_aborts == 0, "one that leaves is gone before that was read");
    uv_run(&loop, UV_RUN_NOWAIT);
    is_int((int)n_aborts, 1, "and that aborts its request, from the loop");
    close(fd);
    server_stop();
}

static int
connect_unix(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void
test_listen(void)
{
    static const char *const bad[] = { "",
                                       "9000",
                                       "127.0.0.1",
                                       "127.0.0.1:",
                                       "127.0.0.1:x",
                                       "127.0.0.1:65536",
                                       "127.0.0.1:-1",
                                       "localhost:1",
                                       "[::1:80",
                                       "1.2.3:80",
                                       "300.1.1.1:80" };
    char dir[] = "/tmp/sbx-http-XXXXXX", path[64], file[64];
    unsigned port = 0, i;
    struct stat st;
    size_t len;
    int fds[6], fd;

    server_start(5000);
    for (i = 0; i < SBX_COUNT(bad); i++) {
        ok(sbx_http_server_listen_tcp(server, bad[i], &port) < 0, "%s", bad[i]);
    }
    is_int(sbx_http_server_listen_tcp(server, "127.0.0.1:0", &port), 0, "listens on a free port");
    ok(port > 0, "and says which");

    if (mkdtemp(dir) == NULL) {
        abort();
    }
    (void)snprintf(path, sizeof(path), "%s/s", dir);
    (void)snprintf(file, sizeof(file), "%s/f", dir);
    is_int(sbx_http_server_listen_unix(server, path, 0600), 0, "listens on a path");
    ok(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600, "with the mode asked for");
    is_int(sbx_http_server_listen_unix(server, path, 0600), -EADDRINUSE, "not over a living server's socket");
    close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    is_int(sbx_http_server_listen_unix(server, file, 0600), -EEXIST, "not over a plain file");
    ok(stat(file, &st) == 0, "which is still there");

    for (i = 0; i < 6; i++) {
        fds[i] = connect_unix(path);
    }
    for (i = 0; i < 20; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    is_int((int)sbx_http_server_connections(server), 4, "no more connections than allowed");
    close(fds[0]);
    peer_say(fds[4], "GET /five HTTP/1.1\r\n" HOST "\r\n");
    ok(strstr(peer_read(fds[4], "five", &len), "GET /five?") != NULL, "the next is served when one leaves");
    for (i = 1; i < 6; i++) {
        close(fds[i]);
    }
    server_stop();
    ok(stat(path, &st) < 0, "the socket file goes with the server");

    /* A stale socket file: bound, and nobody listens any more. */
    {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        memcpy(address.sun_path, path, strlen(path));
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
            abort();
        }
        close(fd);
    }
    server_start(5000);
    is_int(sbx_http_server_listen_unix(server, path, 0600), 0, "a stale socket file is replaced");
    server_stop();
    unlink(file);
    rmdir(dir);
}

static void
test_drain(void)
{
    bool drained = false;
    size_t len;
    int idle, busy, turns, i;

    server_start(5000);
    idle = peer_new();
    busy = peer_new();
    peer_say(busy, "GET /hold HTTP/1.1\r\n" HOST "\r\n");
    sbx_http_server_drain(server, on_closed, &drained);
    ok(!drained, "drain says nothing from inside its call");
    is_str(peer_read(idle, NULL, &len), "", "an idle connection is closed");
    ok(!drained && held != NULL, "a running request goes on");
    sbx_http_reply(held, 200, NULL, NULL, 0, "done", 4);
    ok(strstr(peer_read(busy, NULL, &len), "Connection: close") != NULL, "its answer says close");
    close(busy);
    close(idle);
    run_until(&drained);
    ok(drained, "then the server is drained");
    server_stop();

    /* Each turn of the loop is one more point at which the server may be told to close. */
    for (turns = 0; turns < 4; turns++) {
        server_start(5000);
        busy = peer_new();
        peer_say(busy, "GET /hold HTTP/1.1\r\n" HOST CLOSE "\r\n");
        sbx_http_reply(held, 200, NULL, NULL, 0, "bye", 3);
        for (i = 0; i < turns; i++) {
            uv_run(&loop, UV_RUN_NOWAIT);
        }
        server_stop();
        close(busy);
    }
    pass("closed while a connection lingers");

    drained = false;
    server_start(5000);
    sbx_http_server_drain(server, on_closed, &drained);
    run_until(&drained);
    ok(drained, "a server without connections drains too");
    server_stop();
}

static void
run_until_detached(void)
{
    uint64_t end = sbx_now_mono_ms() + DEADLINE_MS;

    while (n_detached == 0 && sbx_now_mono_ms() < end) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
}

static void
test_detach(void)
{
    static const char detach[] = "GET /detach HTTP/1.1\r\n" HOST "\r\n";
    char bytes[8];
    const char *reply;
    size_t len;
    int fd;

    server_start(5000);
    fd = peer_new();
    peer_say(fd, "GET /detach HTTP/1.1\r\n" HOST "\r\n");
    reply = peer_read(fd, "\r\n\r\n", &len);
    ok(status_of(reply) == 200 && strstr(reply, "X-Fine: yes") != NULL, "the answer comes first");
    run_until_detached();
    ok(detached_fd > 2, "then the socket is given away");
    is_uint(sbx_http_server_connections(server), 0, "the server has it no more");
    is_int(fcntl(detached_fd, F_GETFD), FD_CLOEXEC, "it is closed on exec");
    peer_say(fd, "hello");
    is_int(recv(detached_fd, bytes, sizeof(bytes), 0), 5, "what the client says now is its new owner's");
    is_int(send(detached_fd, "world!", 6, MSG_NOSIGNAL), 6, "and back");
    is_int(recv(fd, bytes, sizeof(bytes), 0), 6, "to the client");
    close(detached_fd);
    close(fd);
    server_stop();
    is_uint(n_detached, 1, "told once");
    is_uint(n_aborts, 0, "and no abort");

    server_start(5000);
    fd = peer_new();
    peer_say(fd, "GET /detach HTTP/1.1\r\n" HOST "\r\nearly");
    run_until_detached();
    is_int(detached_fd, -EPROTO, "a client that speaks before it has the answer");
    close(fd);
    server_stop();

    server_start(5000);
    fd = peer_new();
    peer_say(fd, "GET /detach HTTP/1.1\r\n" HOST "\r\nGET / HTTP/1.1\r\n" HOST "\r\n");
    run_until_detached();
    is_int(detached_fd, -EPROTO, "or asks for more");
    is_uint(n_requests, 1, "which is not answered");
    close(fd);
    server_stop();

    server_start(5000);
    fd = peer_new();
    (void)send(fd, detach, sizeof(detach) - 1, MSG_NOSIGNAL);
    (void)shutdown(fd, SHUT_WR);
    run_until_detached();
    ok(n_detached == 1 && (detached_fd < 0 || close(detached_fd) == 0),
       "a client that leaves: told all the same");
    close(fd);
    server_stop();

    server_start(5000);
    fd = peer_new();
    (void)send(fd, detach, sizeof(detach) - 1, MSG_NOSIGNAL);
    server_stop();
    ok(n_detached == 0 || detached_fd < 0, "a server that closes first gives nothing away");
    close(fd);
}

int
main(void)
{
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
    test_refused();
    test_refused_large();
    test_broken_off();
    test_deadlines();
    test_serves();
    test_dateless();
    test_params();
    test_bodies();
    test_order();
    test_aborts();
    test_listen();
    test_drain();
    test_detach();
    is_int(uv_loop_close(&loop), 0, "nothing is left in the loop");
    return done_testing();
}
