/*
 * A hostile agent at the executor's whole client: each call is answered by the next part of the input (parts end
 * at a NUL), in pieces, through a real socket and loop. Byte 0 says how: health or a run and a file, the
 * size of pieces, whether the client is closed before it has its answer.
 */
#include "executor/runtime/agent_client.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "executor/runtime/agent_reply.h"

#define MAX_FILE 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct call {
    unsigned n_done;
    int rc;
    uint64_t n_bytes;
    bool closed;
};

static void
on_done(void *arg, int rc)
{
    struct call *call = arg;

    assert(!call->closed && call->n_done == 0 && rc >= 0);
    call->n_done++;
    call->rc = rc;
}

static void
on_data(void *arg, const char *data, size_t len)
{
    struct call *call = arg;

    (void)data;
    assert(!call->closed && call->n_done == 0 && len > 0);
    call->n_bytes += len;
    assert(call->n_bytes <= MAX_FILE);
}

struct input {
    const uint8_t *data;
    size_t size, piece;
};

static void
turn(uv_loop_t *loop, int fd)
{
    char sink[4096];

    uv_run(loop, UV_RUN_NOWAIT);
    while (recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0) {
        continue;
    }
    uv_run(loop, UV_RUN_NOWAIT);
}

/* One part of the input, or less when the call is over before. */
static void
answer(struct input *input, uv_loop_t *loop, int fd, const struct call *call)
{
    const uint8_t *end = memchr(input->data, 0, input->size);
    size_t left = end != NULL ? (size_t)(end - input->data) : input->size;

    turn(loop, fd);
    while (left > 0 && call->n_done == 0) {
        size_t len = left < input->piece ? left : input->piece;

        if (send(fd, input->data, len, MSG_NOSIGNAL) <= 0) {
            break;
        }
        input->data += len;
        input->size -= len;
        left -= len;
        turn(loop, fd);
    }
    input->data += left;
    input->size -= left;
    if (input->size > 0) {
        input->data++;
        input->size--;
    }
}

static void
check_outcome(const struct runtime_outcome *outcome, const struct runtime_run *run, int rc)
{
    uint64_t total = 0;

    assert(memchr(outcome->message, '\0', sizeof(outcome->message)) != NULL);
    if (rc != 0) {
        assert(outcome->artifacts == NULL && outcome->result_json == NULL);
        return;
    }
    assert(outcome->exited == (outcome->signal[0] == '\0') && outcome->n_artifacts <= run->max_artifacts);
    for (unsigned i = 0; i < outcome->n_artifacts; i++) {
        assert(agent_reply_path_valid(outcome->artifacts[i].path, strlen(outcome->artifacts[i].path)));
        total += outcome->artifacts[i].size;
    }
    assert(total <= run->max_artifact_bytes);
}

static void
fetch(struct agent_client *client, const char *path, struct input *input, uv_loop_t *loop, int fd)
{
    const struct agent_fetch file = { .path = path, .max_bytes = MAX_FILE, .on_data = on_data };
    struct call call = { 0 };

    if (agent_client_fetch(client, &file, on_done, &call) != 0) {
        return;
    }
    answer(input, loop, fd, &call);
    if (call.n_done == 0) {
        (void)shutdown(fd, SHUT_WR);
        turn(loop, fd);
    }
    assert(call.n_done == 1);
}

static void
converse(struct agent_client **client, struct input *input, uv_loop_t *loop, int fd, uint8_t how)
{
    const struct runtime_run run = { .id = "job_01m7yep0vh3nhv2pk7vh28r48r",
                                     .language = "python",
                                     .code = "pass",
                                     .code_len = 4,
                                     .max_artifacts = 3,
                                     .max_artifact_bytes = 1000 };
    struct runtime_outcome outcome = { 0 };
    struct call call = { 0 };
    int r = (how & 1) != 0 ? agent_client_health(*client, 60000, on_done, &call)
                           : agent_client_run(*client, &run, &outcome, on_done, &call);

    if (r != 0) {
        return;
    }
    for (int i = 0; i < 2 && call.n_done == 0; i++) {
        answer(input, loop, fd, &call);
    }
    if (call.n_done == 0 && (how & 2) != 0) {
        call.closed = true;
        *client = agent_client_close(*client);
    } else if (call.n_done == 0) {
        (void)shutdown(fd, SHUT_WR);
        turn(loop, fd);
        assert(call.n_done == 1);
    }
    if (call.n_done == 1 && (how & 1) == 0) {
        check_outcome(&outcome, &run, call.rc);
        fetch(*client, outcome.n_artifacts > 0 ? outcome.artifacts[0].path : "none", input, loop, fd);
    }
    runtime_outcome_deinit(&outcome);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data + 1, size - 1, size > 0 ? (data[0] >> 2) + 1u : 1u };
    struct agent_client_spec spec = { .timeout_ms = 60000, .input = AGENT_STDIN_BODY };
    struct agent_client *client;
    uv_loop_t loop;
    int pair[2];

    if (size == 0) {
        return 0;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* valid arguments */
    if (uv_loop_init(&loop) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0) {
        abort();
    }
    spec.loop = &loop;
    spec.fd = pair[0];
    if (agent_client_new(&client, &spec) != 0) {
        abort();
    }
    converse(&client, &input, &loop, pair[1], data[0]);
    close(pair[1]);
    client = agent_client_close(client);
    while (uv_run(&loop, UV_RUN_NOWAIT) != 0) {
        continue;
    }
    if (uv_loop_close(&loop) != 0) {
        abort();
    }
    return 0;
}
