/*
 * A tier with a launcher and an agent that the test plays: one sandbox is a box. A test need not use all of it.
 */
#pragma once

#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-variable"

#include "executor/runtime/runtime.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "t/unit/launch_peer.h"

enum { CREATE_MS = 400, AGENT_MS = 300 };

static struct runtime *runtime;
static bool is_forking; /* the launcher says so of what it makes */

/* The far ends of one sandbox's descriptors, and what was heard of it. */
struct box {
    struct sandbox *sandbox;
    uint64_t id;
    int http, in, out, err;
    char request[65536];

    unsigned n_created, n_adopted, n_done, n_fetched, n_destroyed, n_dead;
    int created_rc, adopted_rc, done_rc, fetched_rc, destroyed_rc;
    const struct runtime_outcome *outcome;
    struct sbx_buf output[2];
    size_t refuse_after; /* bytes of output; 0: never */
    bool destroy_on_output, destroy_on_done;
    struct sbx_buf fetched;
};

static void
box_init(struct box *box)
{
    memset(box, 0, sizeof(*box));
    box->http = box->in = box->out = box->err = -1;
    box->output[0].max = box->output[1].max = box->fetched.max = 16u << 20;
}

static void
box_hangup(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void
box_deinit(struct box *box)
{
    box_hangup(&box->http);
    box_hangup(&box->in);
    box_hangup(&box->out);
    box_hangup(&box->err);
    sbx_buf_deinit(&box->output[0]);
    sbx_buf_deinit(&box->output[1]);
    sbx_buf_deinit(&box->fetched);
}

static void
box_on_created(void *arg, int rc, struct sandbox *sandbox)
{
    struct box *box = arg;

    box->n_created++;
    box->created_rc = rc;
    box->sandbox = sandbox;
}

static void
box_on_adopted(void *arg, int rc)
{
    struct box *box = arg;

    box->n_adopted++;
    box->adopted_rc = rc;
}

static void
box_on_destroyed(void *arg, int rc)
{
    struct box *box = arg;

    box->n_destroyed++;
    box->destroyed_rc = rc;
}

static void
box_destroy(struct box *box)
{
    struct sandbox *sandbox = steal(&box->sandbox);

    sandbox->ops->destroy(sandbox, box_on_destroyed, box);
}

static bool
box_on_output(void *arg, int fd, const char *data, size_t len)
{
    struct box *box = arg;

    assert(box->n_done == 0 && box->sandbox != NULL && len > 0 && (fd == 1 || fd == 2));
    sbx_buf_append(&box->output[fd - 1], data, len);
    if (box->refuse_after == 0 || box->output[0].len + box->output[1].len < box->refuse_after) {
        return true;
    }
    if (box->destroy_on_output) {
        box_destroy(box);
    }
    return false;
}

static void
box_on_done(void *arg, int rc, const struct runtime_outcome *outcome)
{
    struct box *box = arg;

    box->n_done++;
    box->done_rc = rc;
    box->outcome = outcome;
    if (box->destroy_on_done) {
        box_destroy(box);
    }
}

static void
box_on_data(void *arg, const char *data, size_t len)
{
    struct box *box = arg;

    assert(len > 0);
    sbx_buf_append(&box->fetched, data, len);
}

static void
box_on_fetched(void *arg, int rc)
{
    struct box *box = arg;

    box->n_fetched++;
    box->fetched_rc = rc;
}

static void
box_on_dead(void *arg)
{
    struct box *box = arg;

    box->n_dead++;
}

static enum sbx_isolation tier = SBX_ISOLATION_PROCESS;

static void
runtime_begin(void)
{
    struct process_spec spec = {
        .loop = &loop,
        .launch_socket = socket_path,
        .create_timeout_ms = CREATE_MS,
        .agent_timeout_ms = AGENT_MS,
    };

    uv_update_time(&loop);
    assert((tier == SBX_ISOLATION_GVISOR ? runtime_gvisor_new : runtime_process_new)(&runtime, &spec) == 0);
    peer_accept();
    peer_greet();
    for (unsigned i = 0; i < 1000 && !runtime->ops->available(runtime); i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert(runtime->ops->available(runtime));
}

static void
runtime_end(void)
{
    runtime = runtime->ops->free(runtime);
    if (peer >= 0) {
        peer_hangup();
    }
    loop_settle();
    close(listener);
    peer_listen();
}

/* One HTTP request, whole. Its body. */
static const char *
agent_receive(struct box *box)
{
    size_t len = 0, want = SIZE_MAX;
    const char *head_end = NULL, *field;

    while (len < want && peer_wait(box->http)) {
        ssize_t n = recv(box->http, box->request + len, sizeof(box->request) - 1 - len, MSG_DONTWAIT);

        if (n <= 0) {
            return NULL;
        }
        len += (size_t)n;
        box->request[len] = '\0';
        head_end = strstr(box->request, "\r\n\r\n");
        if (head_end != NULL) {
            field = strstr(box->request, "Content-Length: ");
            want =
                (size_t)(head_end + 4 - box->request) + (field == NULL ? 0 : strtoul(field + 16, NULL, 10));
        }
    }
    return len < want ? NULL : head_end + 4;
}

static void
agent_say(struct box *box, const char *text)
{
    (void)send(box->http, text, strlen(text), MSG_NOSIGNAL); /* one who hung up is what some tests want */
}

static void
agent_answer(struct box *box, int status, const char *body)
{
    char reply[4096];

    (void)snprintf(reply, sizeof(reply), "HTTP/1.1 %d Text\r\nContent-Length: %zu\r\n\r\n%s", status,
                   strlen(body), body);
    agent_say(box, reply);
}

static void
launcher_answer(const struct launch_head *request, uint16_t type, const struct launch_report *report)
{
    union launch_message message = { 0 };
    bool is_head = type == LAUNCH_ADOPTED || type == LAUNCH_HASTENED;

    if (report != NULL) {
        message.report = *report;
    }
    message.head = *request;
    peer_send(&message, type, is_head ? sizeof(message.head) : sizeof(message.report), 0);
}

static void
launcher_ended(const struct box *box, enum launch_limit verdict)
{
    union launch_message message = {
        .report = { .verdict = verdict, .verdict_limit = 10, .verdict_observed = 11, .cpu_ms = 9 }
    };

    message.head.sandbox = box->id;
    peer_send(&message, LAUNCH_ENDED, sizeof(message.report), 0);
}

static bool is_output_a_file; /* which cannot be waited for */

static void
launcher_created(struct box *box, const struct launch_head *request, uint64_t id)
{
    union launch_message message = { .head = *request };
    int http[2], in[2] = { -1, -1 }, out[2], err[2], fds[LAUNCH_N_FDS];
    unsigned n_fds = 0;

    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, http) == 0);
    assert(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
    assert(tier == SBX_ISOLATION_GVISOR || pipe2(in, O_CLOEXEC) == 0);
    if (is_output_a_file) {
        close(out[0]);
        out[0] = memfd_create("output", MFD_CLOEXEC);
        assert(out[0] >= 0);
    }
    box->id = id;
    box->http = http[1];
    box->in = in[0];
    box->out = out[1];
    box->err = err[1];
    fds[n_fds++] = http[0];
    if (in[1] >= 0) {
        fds[n_fds++] = in[1];
    }
    fds[n_fds++] = out[0];
    fds[n_fds++] = err[0];
    peer_fds = fds;
    message.head.sandbox = id;
    message.created.is_forked = is_forking;
    peer_send(&message, LAUNCH_CREATED, sizeof(message.created), n_fds);
    peer_fds = NULL;
    for (unsigned i = 0; i < n_fds; i++) {
        close(fds[i]);
    }
}

static void
box_ask(struct box *box)
{
    box_init(box);
    uv_update_time(&loop);
    assert(runtime->ops->create(runtime, "default", NULL, RUNTIME_PREPARE_ANY, box_on_created, box) == 0);
    assert(box->n_created == 0);
}

/* create up to the health check's arrival. */
static void
box_make(struct box *box, uint64_t id)
{
    union launch_message message;

    box_ask(box);
    assert(peer_receive(&message).type == LAUNCH_CREATE && message.create.isolation == tier);
    launcher_created(box, &message.head, id);
    assert(agent_receive(box) != NULL);
    assert(strncmp(box->request, "GET /v1/health HTTP/1.1\r\n", 25) == 0);
}

static void
box_warm(struct box *box, uint64_t id)
{
    box_make(box, id);
    agent_answer(box, 200, "{\"status\":\"ok\"}");
    assert(turn_until(&box->n_created, 1) && box->created_rc == 0);
}

/* clang-format off */
static const struct sbx_limits limits = { .value = {
    [SBX_LIMIT_CPU_RATE] = 1000,
    [SBX_LIMIT_CPU] = 2000,
    [SBX_LIMIT_MEMORY] = 64u << 20,
    [SBX_LIMIT_DISK] = 1u << 20,
    [SBX_LIMIT_PROCESSES] = 10,
    [SBX_LIMIT_TIME] = 3000,
    [SBX_LIMIT_OUTPUT] = 1u << 20,
} };
/* clang-format on */

static void
box_adopt(struct box *box)
{
    union launch_message message;

    uv_update_time(&loop);
    assert(box->sandbox->ops->adopt(box->sandbox, &limits, UINT64_MAX - 1, box_on_adopted, box) == 0);
    assert(peer_receive(&message).type == LAUNCH_ADOPT && message.head.sandbox == box->id);
    assert(message.adopt.share == UINT64_MAX - 1);
    assert(message.adopt.limits.wall_ms == 3000 && message.adopt.limits.processes == 10 &&
           message.adopt.limits.cpu_millis == 1000);
    launcher_answer(&message.head, LAUNCH_ADOPTED, NULL);
    assert(turn_until(&box->n_adopted, 1) && box->adopted_rc == 0);
}

static const char *const globs[] = { "out/*" };
static const char *const args[] = { "a", "b c" };
static const struct runtime_env env[] = { { "NAME", "v\"alue" } };
static const struct runtime_file files[] = { { "data.csv", "a,b\n", 4 } };
static struct runtime_run run;
static const struct runtime_events events = { .on_output = box_on_output, .on_done = box_on_done };

static void
run_init(void)
{
    run = (struct runtime_run){
        .id = "job_1",
        .language = "python",
        .code = "print(1)",
        .code_len = 8,
        .args = args,
        .n_args = 2,
        .env = env,
        .n_env = 1,
        .files = files,
        .n_files = 1,
        .event_json = "{\"a\":1}",
        .event_len = 7,
        .artifacts = globs,
        .n_artifacts = 1,
        .max_artifacts = 4,
        .max_artifact_bytes = 1000,
        .limits = limits,
    };
}

static void
box_start(struct box *box)
{
    uv_update_time(&loop);
    assert(box->sandbox->ops->run(box->sandbox, &run, &events, box) == 0);
    assert(box->n_done == 0);
    assert(agent_receive(box) != NULL);
}

/* Up to the step's arrival at the agent. */
static void
box_step(struct box *box, uint64_t id)
{
    box_warm(box, id);
    box_adopt(box);
    box_start(box);
    assert(strncmp(box->request, "POST /v1/steps HTTP/1.1\r\n", 25) == 0);
}

static void
box_stats(const struct box *box, const struct launch_report *report)
{
    union launch_message message;

    assert(peer_receive(&message).type == LAUNCH_STAT && message.head.sandbox == box->id);
    launcher_answer(&message.head, LAUNCH_STATS, report);
}

/* The same after a good end of a step, when the clocks are stopped. */
static void
box_settled(const struct box *box, const struct launch_report *report)
{
    union launch_message message;

    assert(peer_receive(&message).type == LAUNCH_SETTLE && message.head.sandbox == box->id);
    launcher_answer(&message.head, LAUNCH_STATS, report);
}

/* Destroys (unless a callback did) and plays the launcher's part. */
static void
box_end(struct box *box)
{
    union launch_message message;

    if (box->sandbox != NULL) {
        box_destroy(box);
    }
    assert(box->n_destroyed == 0);
    if (peer >= 0) {
        ok(peer_receive(&message).type == LAUNCH_DESTROY && message.head.sandbox == box->id,
           "DESTROY is sent");
        launcher_answer(&message.head, LAUNCH_DESTROYED, NULL);
    }
    ok(turn_until(&box->n_destroyed, 1) && box->destroyed_rc == 0, "and the end is told");
    box_deinit(box);
}

static const struct launch_report running = {
    .running = 1, .cpu_ms = 5, .wall_ms = 7, .peak_memory_bytes = 4096
};
