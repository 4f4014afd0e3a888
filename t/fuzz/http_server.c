/* Any bytes at the HTTP server, in pieces, through a real socket and loop. */
#include "lib/sbx_http_server.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
fuzz_on_data(struct sbx_http_request *request, const char *data, size_t len)
{
    (void)request;
    return len == 0 || data[0] != 'p';
}

static void
fuzz_on_head(struct sbx_http_request *request, void *arg)
{
    const char *path = sbx_http_request_path(request);

    (void)arg;
    if (path[1] == 's') {
        sbx_http_request_stream(request, fuzz_on_data);
    } else if (path[1] == 'e') {
        sbx_http_reply(request, 403, NULL, NULL, 0, NULL, 0);
    }
}

static void
fuzz_on_request(struct sbx_http_request *request, void *arg)
{
    char value[16];
    size_t len;
    const char *body = sbx_http_request_body(request, &len);

    (void)arg;
    if (sbx_http_request_path(request)[0] != '/' || sbx_http_request_header_count(request, "host") > 1 ||
        len > 4096) {
        abort();
    }
    if (sbx_http_request_param(request, "p", value, sizeof(value)) && strlen(value) >= sizeof(value)) {
        abort();
    }
    if (sbx_http_request_path(request)[1] == 'c') {
        sbx_http_reply_start(request, 200, NULL, NULL, 0, -1);
        sbx_http_reply_write(request, body, len);
        sbx_http_reply_end(request);
    } else if (sbx_http_request_path(request)[1] != 'h') {
        sbx_http_reply(request, 200, "text/plain", NULL, 0, body, len);
    }
}

static void
fuzz_drain(uv_loop_t *loop, int fd)
{
    char sink[65536];
    int i;

    for (i = 0; i < 4; i++) {
        uv_run(loop, UV_RUN_NOWAIT);
        while (recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0) {
            continue;
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sbx_http_server_spec spec = {
        .max_head = 2048,
        .max_body = 4096,
        .max_connections = 1,
        .head_timeout_ms = 5000,
        .body_timeout_ms = 5000,
        .send_timeout_ms = 5000,
        .idle_timeout_ms = 5000,
        .on_head = fuzz_on_head,
        .on_request = fuzz_on_request,
    };
    struct sbx_http_server *server;
    uv_loop_t loop;
    size_t piece = size > 0 ? data[0] + 1u : 1, off = 1;
    int pair[2];

    signal(SIGPIPE, SIG_IGN);
    if (uv_loop_init(&loop) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0) {
        abort();
    }
    spec.loop = &loop;
    if (sbx_http_server_new(&server, &spec) < 0 || sbx_http_server_adopt(server, pair[1]) < 0) {
        abort();
    }

    while (off < size) {
        size_t len = size - off < piece ? size - off : piece;

        if (send(pair[0], data + off, len, MSG_NOSIGNAL) <= 0) {
            break;
        }
        off += len;
        piece *= 2;
        fuzz_drain(&loop, pair[0]);
    }
    (void)shutdown(pair[0], SHUT_WR);
    fuzz_drain(&loop, pair[0]);
    close(pair[0]);
    fuzz_drain(&loop, -1);

    sbx_http_server_close(server, NULL, NULL);
    while (uv_run(&loop, UV_RUN_NOWAIT) != 0) {
        continue;
    }
    if (uv_loop_close(&loop) != 0) {
        abort();
    }
    return 0;
}
