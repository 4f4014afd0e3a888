/* The HTTP client against a scripted peer that lies, stalls, floods and leaves. */
#include "lib/sbx_http_client.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/sbx_time.h"
#include "t/unit/tap.h"

#define DEADLINE_MS 30000
#define MAX_REPLY 100

static uv_loop_t loop;
static struct sbx_http_client *client;
static int peer;

static struct {
    unsigned n_done;
    int rc;
    int status;
    char body[4096];
    size_t len;
    size_t n_data;
    bool close_in_done, close_in_data, send_in_done, detach_in_done;
    int fd; /* of a detach */
} got;

static void test_on_data(void *arg, int status, const char *data, size_t len);
static void test_on_done(void *arg, int rc, int status, const char *body, size_t len);

static struct sbx_http_exchange
exchange_of(const char *method, uint64_t deadline_ms)
{
    return (struct sbx_http_exchange){
        .method = method,
        .path = "/x",
        .max_reply = MAX_REPLY,
        .deadline_ms = deadline_ms,
        .on_done = test_on_done,
        .arg = &got,
    };
}

static void
test_on_done(void *arg, int rc, int status, const char *body, size_t len)
{
    struct sbx_http_exchange next = exchange_of("GET", DEADLINE_MS);

    (void)arg;
    got.n_done++;
    got.rc = rc;
    if (got.detach_in_done) {
        got.fd = sbx_http_client_detach(client);
        client = NULL;
    }
    got.status = status;
    got.len = len;
    (void)snprintf(got.body, sizeof(got.body), "%.*s", (int)len, body);
    if (got.close_in_done) {
        client = sbx_http_client_close(client);
    } else if (got.send_in_done) {
        got.send_in_done = false;
        if (sbx_http_client_send(client, &next) != 0) {
            abort();
        }
    }
}

static void
test_on_data(void *arg, int status, const char *data, size_t len)
{
    (void)arg;
    (void)data;
    got.status = status;
    got.n_data += len;
    if (got.close_in_data) {
        client = sbx_http_client_close(client);
    }
}

static void
setup(void)
{
    int pair[2];

    memset(&got, 0, sizeof(got));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0 ||
        sbx_http_client_new(&client, &loop, pair[0]) < 0) {
        abort();
    }
    peer = pair[1];
}

static void
spin(unsigned turns)
{
    while (turns-- > 0) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
}

static void
teardown(void)
{
    client = sbx_http_client_close(client);
    spin(10);
    close(peer);
    is_int(uv_loop_alive(&loop), 0, "  nothing is left");
}

static void
peer_send(const char *data, size_t len)
{
    size_t off = 0;

    while (off < len) {
        ssize_t n = send(peer, data + off, len - off, MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN) {
            return;
        }
        off += n > 0 ? (size_t)n : 0;
        spin(1);
    }
}

static void
wait_done(unsigned n)
{
    uint64_t end = sbx_now_mono_ms() + DEADLINE_MS;

    while (got.n_done < n && sbx_now_mono_ms() < end) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
}

/* One exchange against these bytes; shut: the peer leaves after them. */
static void
exchange(const char *method, const char *reply, size_t len, bool shut, bool stream)
{
    struct sbx_http_exchange spec = exchange_of(method, shut ? DEADLINE_MS : 300);

    spec.on_data = stream ? test_on_data : NULL;
    if (sbx_http_client_send(client, &spec) != 0 || got.n_done != 0) {
        abort();
    }
    peer_send(reply, len);
    if (shut) {
        (void)shutdown(peer, SHUT_RDWR);
    }
    wait_done(1);
}

static const struct {
    const char *name;
    const char *reply;
} hostile[] = {
    { "not HTTP", "hello\r\n\r\n" },
    { "HTTP/0.9 style", "<html>\r\n\r\n" },
    { "HTTP/2.0", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n" },
    { "HTTP/1.2", "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n" },
    { "status 99", "HTTP/1.1 99 No\r\nContent-Length: 0\r\n\r\n" },
    { "status 600", "HTTP/1.1 600 No\r\nContent-Length: 0\r\n\r\n" },
    { "status 999999", "HTTP/1.1 999999 No\r\nContent-Length: 0\r\n\r\n" },
    { "status of letters", "HTTP/1.1 abc No\r\nContent-Length: 0\r\n\r\n" },
    { "interim 100", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" },
    { "interim 103", "HTTP/1.1 103 Hints\r\n\r\n" },
    { "101 upgrade", "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" },
    { "both framings",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
    { "two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na" },
    { "length list", "HTTP/1.1 200 OK\r\nContent-Length: 1,1\r\n\r\na" },
    { "negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" },
    { "length past 64 bits", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n" },
    { "length over the ceiling", "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" },
    { "unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n" },
    { "two codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" },
    { "no framing", "HTTP/1.1 200 OK\r\n\r\nabc" },
    { "bad chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" },
    { "chunk over the ceiling",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n"
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
    { "bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n" },
    { "one bare LF", "HTTP/1.1 200 OK\r\nContent-Length: 0\n\r\n" },
    { "folded field", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n" },
    { "space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n" },
    { "tab before the colon", "HTTP/1.1 200 OK\r\nContent-Length\t: 0\r\n\r\n" },
    { "control character in a field", "HTTP/1.1 200 OK\r\nX: \x01\r\nContent-Length: 0\r\n\r\n" },
    { "field without a colon", "HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 0\r\n\r\n" },
    { "bytes after the reply", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nmore" },
    { "a second reply at once",
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" },
};

static void
test_hostile(void)
{
    size_t i;

    for (i = 0; i < SBX_COUNT(hostile); i++) {
        setup();
        exchange("GET", hostile[i].reply, strlen(hostile[i].reply), false, i % 2 == 1);
        ok(got.n_done == 1 && got.rc == SBX_HTTP_CLIENT_E_PROTOCOL && got.status == 0, "%s", hostile[i].name);
        teardown();
    }

    setup();
    exchange("GET", "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n", 47, false, false);
    is_int(got.rc, SBX_HTTP_CLIENT_E_PROTOCOL, "NUL in a field");
    teardown();
}

static void
test_broken_off(void)
{
    static const char *const cut[] = {
        "HTTP/1.1 2",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
    };
    struct sbx_http_exchange spec = exchange_of("GET", DEADLINE_MS);
    size_t i;

    for (i = 0; i < SBX_COUNT(cut); i++) {
        setup();
        exchange("GET", cut[i], strlen(cut[i]), true, false);
        ok(got.n_done == 1 && got.rc == SBX_HTTP_CLIENT_E_PROTOCOL, "cut off in the middle");
        is_int(sbx_http_client_send(client, &spec), SBX_HTTP_CLIENT_E_CLOSED,
               "  nothing can be sent after it");
        teardown();
    }

    setup();
    exchange("GET", "", 0, true, false);
    is_int(got.rc, SBX_HTTP_CLIENT_E_CLOSED, "gone without a byte");
    teardown();

    setup();
    close(peer);
    peer = -1;
    spin(10);
    is_int(sbx_http_client_send(client, &spec), SBX_HTTP_CLIENT_E_CLOSED, "gone before the request");
    is_int((int)got.n_done, 0, "which gets no callback then");
    teardown();

    setup();
    peer_send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 38);
    spin(10);
    is_int(sbx_http_client_send(client, &spec), SBX_HTTP_CLIENT_E_CLOSED, "a reply nobody asked for ends it");
    teardown();
}

static void
test_floods(void)
{
    static char field[70000];
    struct sbx_http_exchange spec = exchange_of("POST", 300);
    static char body[4 << 20];

    memset(field, 'a', sizeof(field));
    memcpy(field, "HTTP/1.1 200 OK\r\nX: ", 20);
    setup();
    exchange("GET", field, sizeof(field), false, false);
    is_int(got.rc, SBX_HTTP_CLIENT_E_PROTOCOL, "a head without end");
    teardown();

    setup();
    exchange("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", 41, false, false);
    is_int(got.rc, SBX_HTTP_CLIENT_E_TIMEOUT, "a body that stops");
    teardown();

    setup();
    exchange("GET", "", 0, false, false);
    is_int(got.rc, SBX_HTTP_CLIENT_E_TIMEOUT, "no answer at all");
    teardown();

    setup();
    spec.body = body;
    spec.len = sizeof(body);
    is_int(sbx_http_client_send(client, &spec), 0, "a body that nobody reads");
    wait_done(1);
    is_int(got.rc, SBX_HTTP_CLIENT_E_TIMEOUT, "ends by the deadline");
    teardown();

    setup();
    is_int(sbx_http_client_send(client, &spec), 0, "an answer before the body was read");
    peer_send("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", 38);
    spin(20);
    is_int((int)got.n_done, 0, "is kept while libuv still holds the body");
    wait_done(1);
    is_int(got.rc, SBX_HTTP_CLIENT_E_TIMEOUT, "and lost when it never gets rid of it");
    teardown();
}

static void
test_good(void)
{
    static const char plain[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
    static const char chunks[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;e\r\nc\r\n0\r\n\r\n";
    struct sbx_http_exchange spec = exchange_of("GET", DEADLINE_MS);
    char request[512];
    ssize_t n;
    size_t i;

    setup();
    exchange("GET", plain, sizeof(plain) - 1, false, false);
    ok(got.rc == 0 && got.status == 200 && strcmp(got.body, "abc") == 0, "a reply with a length");
    n = recv(peer, request, sizeof(request) - 1, 0);
    request[n > 0 ? n : 0] = '\0';
    ok(strncmp(request, "GET /x HTTP/1.1\r\nHost: ", 23) == 0 && strstr(request, "Content-Length") == NULL,
       "asked for");

    is_int(sbx_http_client_send(client, &spec), 0, "a second exchange");
    is_int(sbx_http_client_send(client, &spec), -EBUSY, "but not a third at the same time");
    for (i = 0; i < sizeof(chunks) - 1; i++) {
        peer_send(&chunks[i], 1);
    }
    wait_done(2);
    ok(got.rc == 0 && strcmp(got.body, "abc") == 0, "a reply in chunks, byte by byte");
    teardown();

    setup();
    exchange("GET", chunks, sizeof(chunks) - 1, false, true);
    ok(got.rc == 0 && got.n_data == 3 && got.len == 0, "a streamed reply");
    teardown();

    setup();
    exchange("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", 40, false, false);
    ok(got.rc == 0 && got.len == 0, "HEAD takes no body");
    teardown();

    setup();
    exchange("DELETE", "HTTP/1.1 204 Gone\r\n\r\n", 21, false, false);
    ok(got.rc == 0 && got.status == 204, "204 needs no length");
    teardown();

    setup();
    exchange("GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", 60, false, false);
    ok(got.rc == 0 && strcmp(got.body, "abc") == 0, "a reply that closes");
    is_int(sbx_http_client_send(client, &spec), SBX_HTTP_CLIENT_E_CLOSED, "is the last");
    teardown();

    setup();
    got.send_in_done = true;
    exchange("GET", plain, sizeof(plain) - 1, false, false);
    peer_send(plain, sizeof(plain) - 1);
    wait_done(2);
    ok(got.n_done == 2 && got.rc == 0, "the next exchange may start in on_done");
    teardown();

    setup();
    got.close_in_done = true;
    exchange("GET", plain, sizeof(plain) - 1, false, false);
    ok(got.n_done == 1 && client == NULL, "closing in on_done");
    teardown();

    setup();
    got.close_in_data = true;
    spec = exchange_of("GET", DEADLINE_MS);
    spec.on_data = test_on_data;
    is_int(sbx_http_client_send(client, &spec), 0, "closing in on_data");
    peer_send(plain, sizeof(plain) - 1);
    spin(20);
    ok(got.n_done == 0 && got.n_data == 3, "ends without on_done");
    teardown();

    setup();
    is_int(sbx_http_client_send(client, &spec), 0, "closing while an exchange runs");
    client = sbx_http_client_close(client);
    spin(20);
    is_int((int)got.n_done, 0, "gets no callback");
    teardown();
    ok(sbx_http_client_close(NULL) == NULL, "close takes NULL");
}

static void
test_detach(void)
{
    static const char plain[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    static const char with_more[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nmore";
    static const char last[] = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    struct sbx_http_exchange spec = exchange_of("GET", DEADLINE_MS);
    char bytes[256];

    setup();
    got.detach_in_done = true;
    exchange("GET", plain, sizeof(plain) - 1, false, false);
    ok(got.fd > 2 && client == NULL, "the socket is given away in on_done");
    is_int(fcntl(got.fd, F_GETFD), FD_CLOEXEC, "closed on exec");
    spin(5);
    (void)send(peer, "abc", 3, MSG_NOSIGNAL);
    spin(5);
    is_int(recv(got.fd, bytes, sizeof(bytes), 0), 3, "the client reads no more");
    close(got.fd);
    teardown();

    setup();
    got.detach_in_done = true;
    exchange("GET", with_more, sizeof(with_more) - 1, false, false);
    ok(got.rc == SBX_HTTP_CLIENT_E_PROTOCOL && got.fd == -ECONNRESET, "not with bytes nobody asked for");
    teardown();

    setup();
    got.detach_in_done = true;
    exchange("GET", last, sizeof(last) - 1, false, false);
    ok(got.rc == 0 && got.fd == -ECONNRESET, "nor when the peer closes");
    teardown();

    setup();
    is_int(sbx_http_client_send(client, &spec), 0, "while an exchange runs");
    is_int(sbx_http_client_detach(client), -EBUSY, "there is nothing to give away");
    client = NULL;
    spin(5);
    is_int((int)got.n_done, 0, "and the client is gone");
    teardown();
}

int
main(void)
{
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
    test_hostile();
    test_broken_off();
    test_floods();
    test_good();
    test_detach();
    ok(sbx_http_client_new(&client, &loop, open("/dev/null", O_RDWR | O_CLOEXEC)) < 0,
       "a descriptor that is no socket");
    spin(5);
    is_int(uv_loop_close(&loop), 0, "nothing is left in the loop");
    return done_testing();
}
