/*
 * The conversation with a session's agent. In reading order: process_attach asks for it; the agent's 200 makes the
 * socket the channels'. What ends it is the socket's end, after which the launcher is asked what it was, or the
 * launcher's own word, after which the socket has a moment to deliver what was said last.
 */
#include "executor/runtime/process.h"
#include "lib/sbx_mux.h"

enum {
    /* The agent is dead: its socket ends as soon as it is read. */
    LAST_WORDS_MS = 200,
};

static void
attach_tell(struct process_sandbox *sandbox, int rc)
{
    runtime_attached_fn attached = sandbox->attached;

    sandbox->attached = NULL;
    attached(sandbox->lost_arg, rc, sandbox->mux);
}

/* Once: the first who knows says it. */
static void
lost_tell(struct process_sandbox *sandbox, int rc)
{
    runtime_stat_fn on_lost = sandbox->on_lost;
    bool has_verdict = sandbox->outcome.report.has_verdict || sandbox->outcome.report.host_oom;

    sandbox->on_lost = NULL;
    if (on_lost == NULL) {
        return;
    }
    rc = rc == RUNTIME_E_AGENT && has_verdict ? RUNTIME_E_ENDED : rc;
    on_lost(sandbox->lost_arg, rc, rc == RUNTIME_E_UNAVAILABLE ? NULL : &sandbox->outcome.report);
}

static void
lost_on_stats(void *arg, int rc, struct launch_reply *reply)
{
    struct process_sandbox *sandbox = arg;

    sandbox->lost_call = NULL;
    if (rc == 0) {
        process_report(sandbox, &reply->message.report);
    }
    lost_tell(sandbox, rc == 0 ? RUNTIME_E_AGENT : RUNTIME_E_UNAVAILABLE);
}

static void
attach_on_mux_lost(void *arg, const char *why)
{
    struct process_sandbox *sandbox = arg;

    sandbox->is_lost = true;
    if (sandbox->dead != 0) {
        lost_tell(sandbox, sandbox->dead);
        return;
    }
    process_log(sandbox->process, "agent.lost", why);
    if (process_call_beside(sandbox, &sandbox->lost_call, LAUNCH_STAT, lost_on_stats) != 0) {
        lost_tell(sandbox, RUNTIME_E_UNAVAILABLE);
    }
}

static int
attach_start_mux(struct process_sandbox *sandbox)
{
    struct sbx_mux_spec spec = {
        .loop = sandbox->process->spec.loop,
        .fd = agent_client_detach(sandbox->agent),
        .max_channels = SBX_MUX_SESSION_CHANNELS,
        .max_open = SBX_MUX_OPEN_MAX,
        .on_lost = attach_on_mux_lost,
        .arg = sandbox,
    };

    sandbox->agent = NULL;
    return spec.fd < 0 ? spec.fd : sbx_mux_new(&sandbox->mux, &spec);
}

static void
attach_on_agent(void *arg, int rc)
{
    struct process_sandbox *sandbox = arg;

    attach_tell(sandbox, rc == 0 && attach_start_mux(sandbox) == 0 ? 0 : RUNTIME_E_AGENT);
}

int
process_attach(struct sandbox *base, runtime_stat_fn on_lost, runtime_attached_fn done, void *arg)
{
    struct process_sandbox *sandbox = process_sandbox(base);
    int r;

    process_set_state(sandbox, PROCESS_ATTACHED);
    sandbox->attached = done;
    sandbox->on_lost = on_lost;
    sandbox->lost_arg = arg;
    if (sandbox->dead != 0) {
        process_defer(sandbox, attach_tell, sandbox->dead);
        return 0;
    }
    r = agent_client_attach(sandbox->agent, sandbox->processes, attach_on_agent, sandbox);
    if (r > 0) {
        process_defer(sandbox, attach_tell, RUNTIME_E_AGENT);
        r = 0;
    }
    if (r < 0) {
        sandbox->attached = NULL;
        sandbox->on_lost = NULL;
    }
    return r;
}

static void
attach_on_late(struct process_sandbox *sandbox, int rc _unused_)
{
    sbx_mux_abort(sandbox->mux, "the sandbox is dead");
}

void
process_attach_died(struct process_sandbox *sandbox)
{
    sandbox->agent = agent_client_close(sandbox->agent);
    if (sandbox->mux == NULL) {
        if (sandbox->attached != NULL) {
            attach_tell(sandbox, sandbox->dead);
        }
    } else if (sandbox->is_lost) {
        sandbox->lost_call = launch_call_cancel(sandbox->lost_call);
        lost_tell(sandbox, sandbox->dead);
    } else {
        process_defer_by(sandbox, LAST_WORDS_MS, attach_on_late, 0);
    }
}

static void
stat_finish(struct process_sandbox *sandbox, int rc)
{
    runtime_stat_fn on_stat = sandbox->on_stat;

    sandbox->on_stat = NULL;
    on_stat(sandbox->stat_arg, rc, rc == 0 ? &sandbox->outcome.report : NULL);
}

static void
stat_on_stats(void *arg, int rc, struct launch_reply *reply)
{
    struct process_sandbox *sandbox = arg;

    sandbox->stat_call = NULL;
    if (rc == LAUNCH_CLIENT_E_ERROR && reply->message.error.error == EOPNOTSUPP) {
        stat_finish(sandbox, RUNTIME_E_UNSUPPORTED);
        return;
    }
    if (rc == 0 && sandbox->dead == 0) {
        process_report(sandbox, &reply->message.report);
    }
    stat_finish(sandbox, rc == 0 ? 0 : RUNTIME_E_UNAVAILABLE);
}

/* What the launcher answers with its numbers. */
static int
stat_ask(struct process_sandbox *sandbox, uint16_t type, runtime_stat_fn done, void *arg)
{
    int r;

    if (sandbox->on_stat != NULL) {
        return -EBUSY;
    }
    if (sandbox->launch_id == 0) {
        return -ESHUTDOWN; /* on_lost is on its way; a launcher that came back knows nothing of it */
    }
    sandbox->on_stat = done;
    sandbox->stat_arg = arg;
    r = process_call_beside(sandbox, &sandbox->stat_call, type, stat_on_stats);
    if (r < 0) {
        sandbox->on_stat = NULL;
    }
    return r;
}

int
process_stat(struct sandbox *base, runtime_stat_fn done, void *arg)
{
    return stat_ask(process_sandbox(base), LAUNCH_STAT, done, arg);
}

int
process_pause(struct sandbox *base, bool is_paused, runtime_stat_fn done, void *arg)
{
    return stat_ask(process_sandbox(base), is_paused ? LAUNCH_FREEZE : LAUNCH_THAW, done, arg);
}
