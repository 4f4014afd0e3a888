/* Any bytes as a reply of the agent, in pieces, through a real socket and loop. */
#include "lib/sbx_http_client.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_REPLY 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    unsigned n_done;
    size_t n_data;
};

static void
fuzz_on_data(void *arg, int status, const char *data, size_t len)
{
    struct outcome *outcome = arg;

    (void)data;
    outcome->n_data += len;
    if (status < 200 || status > 599 || outcome->n_data > MAX_REPLY) {
        abort();
    }
}

static void
fuzz_on_done(void *arg, int rc, int status, const char *body, size_t len)
{
    struct outcome *outcome = arg;

    (void)body;
    outcome->n_done++;
    if (len > MAX_REPLY || (rc == 0) != (status != 0)) {
        abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome outcome = { 0 };
    struct sbx_http_exchange exchange = {
        .method = size > 0 && (data[0] & 1) != 0 ? "HEAD" : "GET",
        .path = "/",
        .max_reply = MAX_REPLY,
        .deadline_ms = 60000,
        .on_data = size > 0 && (data[0] & 2) != 0 ? fuzz_on_data : NULL,
        .on_done = fuzz_on_done,
        .arg = &outcome,
    };
    struct sbx_http_client *client;
    size_t piece = size > 0 ? (data[0] >> 2) + 1u : 1, off = 1;
    uv_loop_t loop;
    int pair[2], i;

    signal(SIGPIPE, SIG_IGN);
    if (uv_loop_init(&loop) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0 ||
        sbx_http_client_new(&client, &loop, pair[0]) < 0 || sbx_http_client_send(client, &exchange) != 0) {
        abort();
    }

    while (off < size) {
        size_t len = size - off < piece ? size - off : piece;

        if (send(pair[1], data + off, len, MSG_NOSIGNAL) <= 0) {
            break;
        }
        off += len;
        piece *= 2;
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    close(pair[1]);
    for (i = 0; i < 10; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    if (outcome.n_done != 1) {
        abort();
    }

    client = sbx_http_client_close(client);
    while (uv_run(&loop, UV_RUN_NOWAIT) != 0) {
        continue;
    }
    if (uv_loop_close(&loop) != 0) {
        abort();
    }
    return 0;
}
