/*
 * A run in a sandbox, and what can be fetched after it.
 * In reading order: process_run starts the pipes and the agent's step; the step's
 * end asks the launcher for the kernel's numbers; run_finish hands on the last
 * output and tells the caller. LAUNCH_ENDED or a lost launcher cut in anywhere.
 */
#include "executor/runtime/process.h"

#include <assert.h>
#include <string.h>

#include "executor/runtime/agent_reply.h"

static int
run_rc(const struct process_sandbox *sandbox)
{
    if (sandbox->outcome.report.has_verdict || sandbox->refused) {
        return RUNTIME_E_ENDED;
    }
    return sandbox->agent_rc;
}

/* on_done, once, after all output. What is closed takes its time, and an answer waits for on_done. */
static void
run_finish(struct process_sandbox *sandbox, int rc)
{
    struct payload_io *io;

    if (sandbox->io != NULL && !sandbox->refused) {
        sandbox->draining = true;
        payload_io_drain(sandbox->io);
    }
    if (sandbox->state != PROCESS_RUNNING) {
        return; /* the last output made the caller destroy */
    }
    process_set_state(sandbox, PROCESS_ENDED);
    sandbox->finished = true;
    if (rc == 0 && sandbox->refused) {
        rc = RUNTIME_E_ENDED; /* among the last output */
    }
    io = steal(&sandbox->io); /* the sandbox may be gone after this */
    sandbox->events.on_done(sandbox->events_arg, rc, &sandbox->outcome);
    (void)payload_io_close(io); /* NULL, always */
}

static void
run_on_stats(void *arg, int rc, struct launch_reply *reply)
{
    struct process_sandbox *sandbox = arg;

    sandbox->call = NULL;
    if (rc != 0) {
        run_finish(sandbox, RUNTIME_E_UNAVAILABLE);
        return;
    }
    process_report(sandbox, &reply->message.report);
    run_finish(sandbox, run_rc(sandbox));
}

/* What the agent says is not enough: a limit may have been met that it did not notice, or hides. */
static void
run_stat(struct process_sandbox *sandbox, enum launch_type type)
{
    if (process_call(sandbox, (uint16_t)type, sandbox->process->spec.agent_timeout_ms, run_on_stats) != 0) {
        process_defer(sandbox, run_finish, RUNTIME_E_UNAVAILABLE);
    }
}

/* Asked before the reply is judged: launcher and judge are at work side by side. */
void
process_run_on_reply(void *arg)
{
    struct process_sandbox *sandbox = arg;

    /* Only a run that is over has its clocks stopped: fetching its files takes time that is not its own. */
    sandbox->settling = true;
    run_stat(sandbox, LAUNCH_SETTLE);
}

static void
run_on_agent(void *arg, int rc)
{
    static const int map[] = {
        [0] = 0,
        [AGENT_CLIENT_E_LOST] = RUNTIME_E_AGENT,
        [AGENT_CLIENT_E_NONSENSE] = RUNTIME_E_AGENT,
        [AGENT_CLIENT_E_REFUSED] = RUNTIME_E_REFUSED,
    };
    struct process_sandbox *sandbox = arg;

    sandbox->agent_rc = map[rc];
    if (!sandbox->settling) {
        run_stat(sandbox, LAUNCH_STAT);
    }
}

/* Called by payload_io. After a false the run is as good as over: only its numbers are still wanted. */
static bool
run_on_output(void *arg, int fd, const char *data, size_t len)
{
    struct process_sandbox *sandbox = arg;
    bool more;

    more = sandbox->events.on_output(sandbox->events_arg, fd, data, len);
    if (more || sandbox->state != PROCESS_RUNNING) {
        return more;
    }
    sandbox->refused = true;
    sandbox->agent = agent_client_close(sandbox->agent);
    if (sandbox->call == NULL && !sandbox->draining) {
        run_stat(sandbox, LAUNCH_STAT);
    }
    return false;
}

static int
run_start_io(struct process_sandbox *sandbox, const struct runtime_run *run)
{
    struct payload_io_spec spec = {
        .loop = sandbox->process->spec.loop,
        .buffer = sandbox->process->buffer,
        .input = run->stdin_data,
        .input_len = run->stdin_len,
        .on_output = run_on_output,
        .arg = sandbox,
    };

    for (unsigned i = 0; i < SBX_COUNT(sandbox->fds); i++) {
        spec.fds[i] = sandbox->fds[i];
        sandbox->fds[i] = -1;
    }
    return payload_io_new(&sandbox->io, &spec);
}

/* The caller is told by the return value, so on_done and on_output must not come. An agent that has the step already
 * ends it with its connection. */
static int
run_unstarted(struct process_sandbox *sandbox, int r)
{
    sandbox->agent = agent_client_close(sandbox->agent);
    sandbox->io = payload_io_close(sandbox->io);
    process_set_state(sandbox, PROCESS_ENDED);
    return r;
}

int
process_run(struct sandbox *base, const struct runtime_run *run, const struct runtime_events *events,
            void *arg)
{
    struct process_sandbox *sandbox = process_sandbox(base);
    int r, rc;

    process_set_state(sandbox, PROCESS_RUNNING);
    sandbox->events = *events;
    sandbox->events_arg = arg;
    if (sandbox->dead != 0) {
        process_defer(sandbox, run_finish, sandbox->dead);
        return 0;
    }
    /* The agent has the request while the pipes are got ready: nothing is read before the loop's next turn. */
    rc = agent_client_run(sandbox->agent, run, &sandbox->outcome, run_on_agent, sandbox);
    r = rc < 0 ? rc : run_start_io(sandbox, run);
    if (r) {
        return run_unstarted(sandbox, r);
    }
    if (rc > 0) {
        sandbox->agent_rc = RUNTIME_E_AGENT;
        run_stat(sandbox, LAUNCH_STAT);
    }
    return 0;
}

static void
fetch_finish(struct process_sandbox *sandbox, int rc)
{
    if (!sandbox->fetching) {
        return; /* it was told that the sandbox died, before this turn came */
    }
    sandbox->fetching = false;
    sandbox->done(sandbox->arg, rc);
}

static void
fetch_on_data(void *arg, const char *data, size_t len)
{
    struct process_sandbox *sandbox = arg;

    sandbox->on_data(sandbox->arg, data, len);
}

static void
fetch_on_agent(void *arg, int rc)
{
    fetch_finish(arg, rc == 0 ? 0 : rc == AGENT_CLIENT_E_REFUSED ? RUNTIME_E_REFUSED : RUNTIME_E_AGENT);
}

int
process_fetch(struct sandbox *base, const char *path, uint64_t max_bytes,
              void (*on_data)(void *arg, const char *data, size_t len), runtime_done_fn done, void *arg)
{
    struct process_sandbox *sandbox = process_sandbox(base);
    struct agent_fetch fetch = { .path = path, .max_bytes = max_bytes, .on_data = fetch_on_data };
    int r;

    assert(sandbox->state == PROCESS_ENDED && !sandbox->fetching);
    if (!agent_reply_path_valid(path, strlen(path))) {
        return -EINVAL;
    }
    sandbox->fetching = true;
    sandbox->on_data = on_data;
    sandbox->done = done;
    sandbox->arg = arg;
    r = AGENT_CLIENT_E_LOST;
    if (sandbox->agent != NULL) {
        r = agent_client_fetch(sandbox->agent, &fetch, fetch_on_agent, sandbox);
    }
    if (r > 0) {
        process_defer(sandbox, fetch_finish, sandbox->dead != 0 ? sandbox->dead : RUNTIME_E_AGENT);
        r = 0;
    }
    if (r < 0) {
        sandbox->fetching = false;
    }
    return r;
}

void
process_run_died(struct process_sandbox *sandbox)
{
    bool answered = sandbox->call != NULL && !sandbox->refused; /* only the numbers were still missing */

    sandbox->call = launch_call_cancel(sandbox->call);
    sandbox->agent = agent_client_close(sandbox->agent);
    if (sandbox->state == PROCESS_ENDED) {
        if (sandbox->fetching) {
            fetch_finish(sandbox, sandbox->dead);
        }
        return;
    }
    if (sandbox->dead == RUNTIME_E_UNAVAILABLE) {
        run_finish(sandbox, RUNTIME_E_UNAVAILABLE);
        return;
    }
    if (!answered) {
        sandbox->agent_rc = RUNTIME_E_AGENT;
    }
    run_finish(sandbox, run_rc(sandbox));
}
