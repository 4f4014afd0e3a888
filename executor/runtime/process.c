/*
 * Sandboxes made by sandbox-launch, each with a session agent: the process tier, and
 * what the gVisor tier shares with it, which is nearly all.
 *
 *                                         +--> ATTACHED
 *                                        /           \
 *   CREATING --> WARM --> ADOPTING --> ADOPTED --> RUNNING --> ENDED
 *       \          \          \           \           \          \
 *        +----------+----------+-----------+-----------+----------+--> GONE
 *
 * GONE: destroy was called; the memory goes when the launcher has nothing left of
 * it and libuv has let go. That a sandbox died is not a state but a fact beside it
 * (`dead`): each state answers it in its own way.
 */
#include "executor/runtime/process.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "executor/runtime/agent_reply.h"
#include "lib/sbx_mux.h"

enum {
    DESTROY_TIMEOUT_MS = 30000,
};

#define B(s) (1u << PROCESS_##s)
static const unsigned process_next[N_PROCESS_STATES] = {
    [PROCESS_CREATING] = B(WARM) | B(GONE),
    [PROCESS_WARM] = B(ADOPTING) | B(GONE),
    [PROCESS_ADOPTING] = B(ADOPTED) | B(GONE),
    [PROCESS_ADOPTED] = B(RUNNING) | B(ATTACHED) | B(GONE),
    [PROCESS_RUNNING] = B(ENDED) | B(GONE),
    [PROCESS_ENDED] = B(GONE),
    [PROCESS_ATTACHED] = B(GONE),
    [PROCESS_GONE] = 0,
};
#undef B

void
process_set_state(struct process_sandbox *sandbox, enum process_state state)
{
    assert((process_next[sandbox->state] & 1u << state) != 0);
    sandbox->state = state;
}

void
process_log(const struct process *process, const char *event, const char *detail)
{
    if (process->spec.log != NULL) {
        process->spec.log(process->spec.log_arg, event, detail);
    }
}

static void
sandbox_on_turn(uv_timer_t *timer)
{
    struct process_sandbox *sandbox = timer->data;

    sandbox->turn_fn(sandbox, sandbox->turn_rc);
}

void
process_defer(struct process_sandbox *sandbox, void (*fn)(struct process_sandbox *sandbox, int rc), int rc)
{
    process_defer_by(sandbox, 0, fn, rc);
}

void
process_defer_by(struct process_sandbox *sandbox, uint64_t ms,
                 void (*fn)(struct process_sandbox *sandbox, int rc), int rc)
{
    sandbox->turn_fn = fn;
    sandbox->turn_rc = rc;
    /* Fails only for a closing handle, and that is closed last. */
    (void)uv_timer_start(&sandbox->turn, sandbox_on_turn, ms, 0);
}

static int
sandbox_request(struct process_sandbox *sandbox, const union launch_message *message, uint64_t deadline_ms,
                launch_reply_fn done)
{
    struct launch_request request = {
        .message = message,
        .deadline_ms = deadline_ms,
        .done = done,
        .arg = sandbox,
    };

    assert(sandbox->call == NULL);
    if (sandbox->process->closing) {
        return -ESHUTDOWN;
    }
    return launch_client_call(sandbox->process->launcher, &sandbox->call, &request);
}

int
process_call_beside(struct process_sandbox *sandbox, struct launch_call **ret_call, uint16_t type,
                    launch_reply_fn done)
{
    union launch_message message = { .head = { .type = type, .sandbox = sandbox->launch_id } };
    struct launch_request request = {
        .message = &message,
        .deadline_ms = sandbox->process->spec.agent_timeout_ms,
        .done = done,
        .arg = sandbox,
    };

    assert(*ret_call == NULL);
    if (sandbox->process->closing) {
        return -ESHUTDOWN;
    }
    return launch_client_call(sandbox->process->launcher, ret_call, &request);
}

int
process_call(struct process_sandbox *sandbox, uint16_t type, uint64_t deadline_ms, launch_reply_fn done)
{
    union launch_message message = { .head = { .type = type, .sandbox = sandbox->launch_id } };

    return sandbox_request(sandbox, &message, deadline_ms, done);
}

static enum sbx_limit
verdict_limit(uint32_t verdict)
{
    switch ((enum launch_limit)verdict) {
    case LAUNCH_LIMIT_CPU:
        return SBX_LIMIT_CPU;
    case LAUNCH_LIMIT_MEMORY:
        return SBX_LIMIT_MEMORY;
    case LAUNCH_LIMIT_DISK:
        return SBX_LIMIT_DISK;
    case LAUNCH_LIMIT_PROCESSES:
        return SBX_LIMIT_PROCESSES;
    case LAUNCH_LIMIT_NONE:
    case LAUNCH_LIMIT_TIME:
        break;
    }
    return SBX_LIMIT_TIME;
}

void
process_report(struct process_sandbox *sandbox, const struct launch_report *report)
{
    sandbox->outcome.report = (struct runtime_report){
        .cpu_ms = report->cpu_ms,
        .wall_ms = report->wall_ms,
        .peak_memory_bytes = report->peak_memory_bytes,
        .disk_bytes = report->disk_bytes,
        .cpu_throttled_ms = report->cpu_throttled_ms,
        .host_oom = report->host_oom != 0,
        .has_verdict = report->verdict != LAUNCH_LIMIT_NONE,
        .verdict = verdict_limit(report->verdict),
        .verdict_limit = report->verdict_limit,
        .verdict_observed = report->verdict_observed,
        .verdict_files = report->verdict_files != 0,
    };
}

static void
process_release(struct process *process)
{
    if (process->closing && process->launcher_closed && list_empty(&process->sandboxes)) {
        free(process->buffer);
        free(process);
    }
}

static void
sandbox_on_closed(uv_handle_t *handle)
{
    struct process_sandbox *sandbox = handle->data;
    struct process *process = sandbox->process;

    list_remove(&sandbox->link);
    free(sandbox);
    process_release(process);
}

/* The end of destroy: nothing of the sandbox is left anywhere. */
static void
sandbox_gone(struct process_sandbox *sandbox, int rc)
{
    runtime_done_fn done = sandbox->done;
    void *arg = sandbox->arg;

    uv_close((uv_handle_t *)&sandbox->turn, sandbox_on_closed);
    if (done != NULL) {
        done(arg, rc);
    }
}

static void
sandbox_on_destroyed(void *arg, int rc, struct launch_reply *reply)
{
    struct process_sandbox *sandbox = arg;

    sandbox->call = NULL;
    if (rc == LAUNCH_CLIENT_E_ERROR) {
        process_log(sandbox->process, "launcher.destroy_refused", reply->message.error.stage);
    } else if (rc == LAUNCH_CLIENT_E_TIMEOUT) {
        process_log(sandbox->process, "launcher.destroy_late", "the sandbox may not be gone yet");
    }
    /* A connection that ended took the sandbox with it. */
    sandbox_gone(sandbox, rc == 0 || rc == LAUNCH_CLIENT_E_GONE ? 0 : RUNTIME_E_UNAVAILABLE);
}

static void
sandbox_close_fds(struct process_sandbox *sandbox)
{
    for (unsigned i = 0; i < SBX_COUNT(sandbox->fds); i++) {
        if (sandbox->fds[i] >= 0) {
            close(sandbox->fds[i]);
            sandbox->fds[i] = -1;
        }
    }
}

/* Lets go of everything on our side of the sandbox. */
static void
sandbox_detach(struct process_sandbox *sandbox)
{
    sandbox->call = launch_call_cancel(sandbox->call);
    sandbox->hasten_call = launch_call_cancel(sandbox->hasten_call);
    sandbox->stat_call = launch_call_cancel(sandbox->stat_call);
    sandbox->lost_call = launch_call_cancel(sandbox->lost_call);
    sandbox->mux = sbx_mux_close(sandbox->mux);
    sandbox->agent = agent_client_close(sandbox->agent);
    sandbox->io = payload_io_close(sandbox->io);
    sandbox_close_fds(sandbox);
    (void)uv_timer_stop(&sandbox->turn); /* cannot fail */
    runtime_outcome_deinit(&sandbox->outcome);
    sandbox->on_dead = NULL;
}

static void
process_destroy(struct sandbox *base, runtime_done_fn done, void *arg)
{
    struct process_sandbox *sandbox = process_sandbox(base);

    process_set_state(sandbox, PROCESS_GONE);
    sandbox_detach(sandbox);
    sandbox->done = done;
    sandbox->arg = arg;
    /* When the request cannot be made the launcher keeps the sandbox until the connection ends. */
    if (sandbox->launch_id == 0 ||
        process_call(sandbox, LAUNCH_DESTROY, DESTROY_TIMEOUT_MS, sandbox_on_destroyed) != 0) {
        process_defer(sandbox, sandbox_gone, 0);
    }
}

static void
sandbox_create_failed(struct process_sandbox *sandbox, int rc)
{
    runtime_created_fn created = sandbox->created;
    void *arg = sandbox->arg;

    process_destroy(&sandbox->base, NULL, NULL);
    created(arg, rc, NULL);
}

static void
sandbox_on_nonsense(void *arg, const char *what)
{
    struct process_sandbox *sandbox = arg;

    process_log(sandbox->process, "agent.nonsense", what);
}

/* An agent that refuses to prepare is as healthy as one that does, and its sandbox as good without. */
static void
sandbox_on_ready(void *arg, int rc)
{
    struct process_sandbox *sandbox = arg;

    if (rc != 0 && rc != AGENT_CLIENT_E_REFUSED) {
        process_log(sandbox->process, "agent.not_ready", "no healthy answer from a new agent");
        sandbox_create_failed(sandbox, RUNTIME_E_AGENT);
        return;
    }
    if (rc == AGENT_CLIENT_E_REFUSED && sandbox->prepare == RUNTIME_PREPARE_ANY) {
        process_log(sandbox->process, "agent.unprepared", sandbox->language);
    }
    sandbox->base.is_prepared = sandbox->language[0] != '\0' && rc == 0;
    sandbox->base.is_forked = sandbox->base.is_prepared && sandbox->is_forking;
    process_set_state(sandbox, PROCESS_WARM);
    sandbox->created(sandbox->arg, 0, &sandbox->base);
}

/* What is asked first waits for the agent's start. */
static int
sandbox_ask_ready(struct process_sandbox *sandbox)
{
    uint64_t now = uv_now(sandbox->process->spec.loop);
    uint64_t left = sandbox->created_by > now ? sandbox->created_by - now : 1;
    const struct agent_prepare prepare = {
        .language = sandbox->language,
        .is_forked = sandbox->prepare == RUNTIME_PREPARE_FORKED,
    };

    if (sandbox->language[0] == '\0') {
        return agent_client_health(sandbox->agent, left, sandbox_on_ready, sandbox);
    }
    return agent_client_prepare(sandbox->agent, &prepare, left, sandbox_on_ready, sandbox);
}

static void
sandbox_on_hastened(void *arg, int rc _unused_, struct launch_reply *reply _unused_)
{
    struct process_sandbox *sandbox = arg;

    sandbox->hasten_call = NULL; /* whatever came of it, it ends by itself */
}

/* What is not said costs some ms. */
static void
sandbox_hasten(struct process_sandbox *sandbox)
{
    if (sandbox->launch_id != 0 && sandbox->hasten_call == NULL) {
        (void)!process_call_beside(sandbox, &sandbox->hasten_call, LAUNCH_HASTEN, sandbox_on_hastened);
    }
}

static void
process_hasten(struct runtime *runtime, const void *arg)
{
    struct process *process = (struct process *)(void *)runtime;
    struct list *it, *after;

    list_each (it, after, &process->sandboxes) {
        struct process_sandbox *sandbox = list_entry(it, struct process_sandbox, link);

        if (sandbox->state == PROCESS_CREATING && sandbox->arg == arg && !sandbox->is_hastened) {
            sandbox->is_hastened = true;
            sandbox_hasten(sandbox);
            return;
        }
    }
}

/* Takes the descriptors of the reply. */
static int
sandbox_attach(struct process_sandbox *sandbox, struct launch_reply *reply)
{
    struct process *process = sandbox->process;
    struct agent_client_spec spec = {
        .loop = process->spec.loop,
        .fd = reply->fds[0],
        .timeout_ms = process->spec.agent_timeout_ms,
        .input = process->tier->input,
        .on_nonsense = sandbox_on_nonsense,
        .on_step_reply = process_run_on_reply,
        .arg = sandbox,
    };
    int r;

    sandbox->launch_id = reply->message.head.sandbox;
    sandbox->is_forking = reply->message.created.is_forked != 0;
    reply->fds[0] = -1;
    for (unsigned i = 0; i < process->tier->n_pipes; i++) {
        sandbox->fds[process->tier->pipes[i]] = reply->fds[i + 1];
        reply->fds[i + 1] = -1;
    }
    if (sandbox->is_hastened) {
        sandbox_hasten(sandbox);
    }
    r = agent_client_new(&sandbox->agent, &spec);
    return r ? r : sandbox_ask_ready(sandbox);
}

/* That there is no such tier comes back with each try: said once. */
static int
sandbox_create_refused(struct process_sandbox *sandbox, const struct launch_error *error)
{
    struct process *process = sandbox->process;
    bool told = process->unsupported;
    char detail[128];

    process->unsupported = error->error == EOPNOTSUPP;
    if (!told || !process->unsupported) {
        (void)snprintf(detail, sizeof(detail), "%s: %s: errno %d", process->ops.name, error->stage,
                       error->error); /* fits */
        process_log(process, "launcher.create_refused", detail);
    }
    return process->unsupported ? RUNTIME_E_UNSUPPORTED : RUNTIME_E_UNAVAILABLE;
}

static void
sandbox_on_created(void *arg, int rc, struct launch_reply *reply)
{
    struct process_sandbox *sandbox = arg;
    int why = RUNTIME_E_UNAVAILABLE;

    sandbox->call = NULL;
    if (rc == LAUNCH_CLIENT_E_ERROR) {
        why = sandbox_create_refused(sandbox, &reply->message.error);
    }
    if (rc != 0) {
        sandbox_create_failed(sandbox, why);
        return;
    }
    sandbox->process->unsupported = false;
    if (sandbox_attach(sandbox, reply) != 0) {
        sandbox_create_failed(sandbox, RUNTIME_E_AGENT);
    }
}

static struct process_sandbox *
sandbox_new(struct process *process)
{
    struct process_sandbox *sandbox;

    sandbox = calloc(1, sizeof(*sandbox));
    if (sandbox == NULL) {
        return NULL;
    }
    if (uv_timer_init(process->spec.loop, &sandbox->turn) != 0) {
        free(sandbox);
        return NULL;
    }
    sandbox->turn.data = sandbox;
    sandbox->base.ops = process->base.ops;
    sandbox->process = process;
    for (unsigned i = 0; i < SBX_COUNT(sandbox->fds); i++) {
        sandbox->fds[i] = -1;
    }
    list_append(&process->sandboxes, &sandbox->link);
    return sandbox;
}

static int
process_create(struct runtime *runtime, const char *template_name, const char *language,
               enum runtime_prepare prepare, runtime_created_fn done, void *arg)
{
    struct process *process = (struct process *)(void *)runtime;
    union launch_message message = { .head = { .type = LAUNCH_CREATE } };
    struct process_sandbox *sandbox;
    size_t len = strlen(template_name), language_len = language == NULL ? 0 : strlen(language);
    int r;

    if (len >= sizeof(message.create.template_name) || language_len > RUNTIME_MAX_LANGUAGE) {
        return -ENAMETOOLONG;
    }
    if (process->closing) {
        return -ESHUTDOWN;
    }
    memcpy(message.create.template_name, template_name, len);
    if (language_len < sizeof(message.create.prepare) && language_len > 0) {
        memcpy(message.create.prepare, language, language_len); /* not longer than the agent's */
    }
    message.create.isolation = (uint32_t)process->tier->isolation;
    message.create.is_spare = prepare == RUNTIME_PREPARE_ANY;
    sandbox = sandbox_new(process);
    if (sandbox == NULL) {
        return -ENOMEM;
    }
    if (language != NULL) {
        memcpy(sandbox->language, language, language_len);
    }
    sandbox->prepare = prepare;
    sandbox->created = done;
    sandbox->arg = arg;
    sandbox->created_by = uv_now(process->spec.loop) + process->spec.create_timeout_ms;
    r = sandbox_request(sandbox, &message, process->spec.create_timeout_ms, sandbox_on_created);
    if (r) {
        process_destroy(&sandbox->base, NULL, NULL);
    }
    return r;
}

static void
sandbox_adopt_done(struct process_sandbox *sandbox, int rc)
{
    sandbox->done(sandbox->arg, rc);
}

static void
sandbox_on_adopted(void *arg, int rc, struct launch_reply *reply)
{
    struct process_sandbox *sandbox = arg;

    sandbox->call = NULL;
    if (rc == LAUNCH_CLIENT_E_ERROR) {
        process_log(sandbox->process, "launcher.adopt_refused", reply->message.error.stage);
    }
    if (rc == 0) {
        process_set_state(sandbox, PROCESS_ADOPTED);
    }
    sandbox_adopt_done(sandbox, rc == 0 ? 0 : RUNTIME_E_UNAVAILABLE);
}

/* False when a limit is missing: the launcher would take 0 as the limit, or worse as none. */
static bool
adopt_message(union launch_message *message, uint64_t launch_id, const struct sbx_limits *limits,
              uint64_t share)
{
    const uint64_t *value = limits->value;

    for (unsigned i = 0; i < SBX_N_LIMITS; i++) {
        if (value[i] == 0 && i != SBX_LIMIT_OUTPUT) {
            return false;
        }
    }
    if (value[SBX_LIMIT_CPU_RATE] > UINT32_MAX || value[SBX_LIMIT_PROCESSES] > UINT32_MAX) {
        return false;
    }
    *message = (union launch_message){ .head = { .type = LAUNCH_ADOPT, .sandbox = launch_id } };
    message->adopt.share = share;
    message->adopt.limits = (struct launch_limits){
        .memory_bytes = value[SBX_LIMIT_MEMORY],
        .disk_bytes = value[SBX_LIMIT_DISK],
        .cpu_ms = value[SBX_LIMIT_CPU],
        .wall_ms = value[SBX_LIMIT_TIME],
        .cpu_millis = (uint32_t)value[SBX_LIMIT_CPU_RATE],
        .processes = (uint32_t)value[SBX_LIMIT_PROCESSES],
    };
    return true;
}

static int
process_adopt(struct sandbox *base, const struct sbx_limits *limits, uint64_t share, runtime_done_fn done,
              void *arg)
{
    struct process_sandbox *sandbox = process_sandbox(base);
    union launch_message message;

    if (!adopt_message(&message, sandbox->launch_id, limits, share)) {
        return -EINVAL;
    }
    process_set_state(sandbox, PROCESS_ADOPTING);
    sandbox->processes = message.adopt.limits.processes;
    sandbox->on_dead = NULL;
    sandbox->done = done;
    sandbox->arg = arg;
    if (sandbox->dead != 0) {
        process_defer(sandbox, sandbox_adopt_done, sandbox->dead);
        return 0;
    }
    return sandbox_request(sandbox, &message, sandbox->process->spec.agent_timeout_ms, sandbox_on_adopted);
}

static void
sandbox_tell_dead(struct process_sandbox *sandbox, int rc _unused_)
{
    void (*on_dead)(void *arg) = sandbox->on_dead;

    sandbox->on_dead = NULL;
    if (on_dead != NULL && sandbox->state == PROCESS_WARM) {
        on_dead(sandbox->dead_arg);
    }
}

static void
process_on_dead(struct sandbox *base, void (*dead)(void *arg), void *arg)
{
    struct process_sandbox *sandbox = process_sandbox(base);

    sandbox->on_dead = dead;
    sandbox->dead_arg = arg;
    if (dead != NULL && sandbox->dead != 0) {
        process_defer(sandbox, sandbox_tell_dead, 0);
    }
}

/* Called from the loop only. The sandbox may be GONE afterwards. */
static void
sandbox_died(struct process_sandbox *sandbox, int why)
{
    sandbox->dead = why;
    switch (sandbox->state) {
    case PROCESS_CREATING:
        sandbox_create_failed(sandbox, why);
        break;
    case PROCESS_WARM:
        sandbox_tell_dead(sandbox, why);
        break;
    case PROCESS_ADOPTING:
        if (sandbox->call != NULL) {
            sandbox->call = launch_call_cancel(sandbox->call);
            sandbox_adopt_done(sandbox, why);
        }
        break;
    case PROCESS_RUNNING:
    case PROCESS_ENDED:
        process_run_died(sandbox);
        break;
    case PROCESS_ATTACHED:
        process_attach_died(sandbox);
        break;
    case PROCESS_ADOPTED: /* run or attach will say so */
    case PROCESS_GONE:
    case N_PROCESS_STATES:
        break;
    }
}

static struct process_sandbox *
process_find(struct process *process, uint64_t launch_id)
{
    struct list *it, *after;

    list_each (it, after, &process->sandboxes) {
        struct process_sandbox *sandbox = list_entry(it, struct process_sandbox, link);

        if (launch_id != 0 && sandbox->launch_id == launch_id && sandbox->state != PROCESS_GONE) {
            return sandbox;
        }
    }
    return NULL;
}

static void
process_on_sandbox_ended(void *arg, const struct launch_report *report)
{
    struct process *process = arg;
    struct process_sandbox *sandbox = process_find(process, report->head.sandbox);

    if (sandbox == NULL || sandbox->dead != 0) {
        return; /* it was being destroyed when it ended */
    }
    if (!sandbox->finished) {
        process_report(sandbox, report);
    }
    sandbox_died(sandbox, RUNTIME_E_ENDED);
}

/* Callbacks may create and destroy sandboxes: neither takes one out of the list in this turn. */
static void
process_lose_all(struct process *process)
{
    struct list *it, *after;

    list_each (it, after, &process->sandboxes) {
        struct process_sandbox *sandbox = list_entry(it, struct process_sandbox, link);
        bool had = sandbox->launch_id != 0;

        sandbox->launch_id = 0;
        if (had && sandbox->dead == 0) {
            sandbox_died(sandbox, RUNTIME_E_UNAVAILABLE);
        }
    }
}

static bool
process_on_walls(void *arg, const struct launch_walls *walls)
{
    struct process *process = arg;
    uint64_t missing = 0;

    for (unsigned i = 0; i < SBX_N_WALLS; i++) {
        if (walls->wall[i].state == SBX_WALL_MISSING) {
            missing |= SBX_WALL_BIT(i);
        }
    }
    process->walls.known = true;
    process->walls.missing = missing & SBX_WALLS_REQUIRED;
    process->walls.refused =
        process->spec.judge != NULL &&
        !process->spec.judge(process->spec.judge_arg, process->walls.missing, !process->was_down);
    return !process->walls.refused;
}

static void
process_walls(const struct runtime *runtime, struct runtime_walls *ret)
{
    *ret = ((const struct process *)(const void *)runtime)->walls;
}

static void
process_tried(struct process *process)
{
    if (!process->was_tried && process->spec.tried != NULL) {
        process->was_tried = true;
        process->spec.tried(process->spec.judge_arg);
    }
}

static void
process_on_launcher_up(void *arg)
{
    struct process *process = arg;

    process->last_why = NULL;
    process_log(process, "launcher.up", "");
    process_tried(process);
}

static void
process_on_launcher_down(void *arg, const char *why)
{
    struct process *process = arg;

    process->was_down = true;
    /* Each attempt fails alike: said once. */
    if (why != process->last_why) {
        process->last_why = why;
        process_log(process, "launcher.down", why);
    }
    process_lose_all(process);
    process_tried(process);
}

static void
process_on_launcher_closed(void *arg)
{
    struct process *process = arg;

    process_lose_all(process);
    process->launcher_closed = true;
    process_release(process);
}

static bool
process_available(const struct runtime *runtime)
{
    const struct process *process = (const struct process *)(const void *)runtime;

    return !process->closing && launch_client_ready(process->launcher);
}

static struct runtime *
process_free(struct runtime *runtime)
{
    struct process *process = (struct process *)(void *)runtime;

    if (process == NULL || process->closing) {
        return NULL;
    }
    process->closing = true;
    launch_client_close(process->launcher, process_on_launcher_closed, process);
    return NULL;
}

static const struct runtime_ops process_ops = {
    .create = process_create,
    .hasten = process_hasten,
    .adopt = process_adopt,
    .run = process_run,
    .fetch = process_fetch,
    .attach = process_attach,
    .stat = process_stat,
    .pause = process_pause,
    .destroy = process_destroy,
    .on_dead = process_on_dead,
    .available = process_available,
    .walls = process_walls,
    .free = process_free,
};

int
process_new(struct runtime **ret, const struct process_spec *spec, const struct process_tier *tier)
{
    struct launch_client_spec launcher = {
        .loop = spec->loop,
        .path = spec->launch_socket,
        .hello_timeout_ms = spec->agent_timeout_ms,
        .on_walls = process_on_walls,
        .on_up = process_on_launcher_up,
        .on_down = process_on_launcher_down,
        .on_ended = process_on_sandbox_ended,
    };
    struct process *process;
    int r;

    process = calloc(1, sizeof(*process));
    if (process == NULL) {
        return -ENOMEM;
    }
    process->tier = tier;
    process->ops = process_ops;
    process->ops.name = sbx_isolation_name(tier->isolation);
    process->base.ops = &process->ops;
    process->spec = *spec;
    list_init(&process->sandboxes);
    launcher.arg = process;
    process->buffer = malloc(PAYLOAD_IO_READ);
    r = process->buffer == NULL ? -ENOMEM : launch_client_new(&process->launcher, &launcher);
    if (r) {
        free(process->buffer);
        free(process);
        return r;
    }
    /* A payload that closes its stdin must cost a failed write, not the daemon: pipes have no MSG_NOSIGNAL.
     */
    (void)signal(SIGPIPE, SIG_IGN); /* valid arguments */
    *ret = &process->base;
    return 0;
}

int
runtime_process_new(struct runtime **ret, const struct process_spec *spec)
{
    static const struct process_tier tier = {
        .isolation = SBX_ISOLATION_PROCESS,
        .n_pipes = LAUNCH_N_FDS - 1,
        .pipes = { PROCESS_STDIN, PROCESS_STDOUT, PROCESS_STDERR },
        .input = AGENT_STDIN_PIPE,
    };

    return process_new(ret, spec, &tier);
}
