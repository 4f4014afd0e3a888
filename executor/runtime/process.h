/*
 * Inside of the tiers that sandbox-launch makes: process.c creates, adopts and destroys; process_run.c runs and
 * fetches; process_attach.c holds conversations; gvisor.c says what is different there.
 */
#pragma once

#include <uv.h>

#include "executor/runtime/agent_client.h"
#include "executor/runtime/launch_client.h"
#include "executor/runtime/payload_io.h"
#include "executor/runtime/runtime.h"
#include "lib/sbx_list.h"

enum process_state {
    PROCESS_CREATING,
    PROCESS_WARM,
    PROCESS_ADOPTING,
    PROCESS_ADOPTED,
    PROCESS_RUNNING,
    PROCESS_ENDED,
    PROCESS_ATTACHED,
    PROCESS_GONE,
    N_PROCESS_STATES
};

enum { PROCESS_STDIN, PROCESS_STDOUT, PROCESS_STDERR, PROCESS_N_PIPES };

/* What one tier has of its own. */
struct process_tier {
    enum sbx_isolation isolation;
    /* Of CREATED, after the agent's socket, in their order there. */
    unsigned n_pipes;
    unsigned pipes[PROCESS_N_PIPES];
    enum agent_stdin input; /* AGENT_STDIN_PIPE: PROCESS_STDIN is among the pipes */
};

struct process {
    struct runtime base;
    struct runtime_ops ops; /* base.ops */
    const struct process_tier *tier;
    struct process_spec spec;
    struct launch_client *launcher;
    struct list sandboxes;
    bool closing;         /* free was called */
    bool launcher_closed; /* and the launcher's client is gone */
    const char *last_why; /* the last reason logged for having no launcher */
    bool was_down;        /* a try to connect failed, or a connection ended */
    bool was_tried;       /* spec.tried was called */
    bool unsupported;     /* the launcher has no such tier, and that was logged */
    struct runtime_walls walls;
    char *buffer; /* PAYLOAD_IO_READ bytes for whichever pipe is read */
};

struct process_sandbox {
    struct sandbox base;
    enum runtime_prepare prepare;
    bool is_hastened; /* somebody waits for it by now */
    struct launch_call *hasten_call;
    bool is_forking; /* the launcher says that it has an interpreter forked into it */
    struct list link;
    struct process *process;
    enum process_state state;
    uint64_t launch_id;  /* 0: the launcher has none for us */
    uint64_t created_by; /* deadline of the creation, on the loop's clock */
    int dead;            /* 0, or why nothing works here any more: RUNTIME_E_ENDED, RUNTIME_E_UNAVAILABLE */
    int fds[PROCESS_N_PIPES]; /* ours, -1: taken or never there */
    struct agent_client *agent;
    struct payload_io *io;
    struct launch_call *call; /* under way; at most one */

    /* What must be told on the loop's next turn because it was known too early. */
    uv_timer_t turn;
    void (*turn_fn)(struct process_sandbox *sandbox, int rc);
    int turn_rc;

    char language[RUNTIME_MAX_LANGUAGE + 1]; /* to be prepared for; "": none */
    runtime_created_fn created;
    runtime_done_fn done; /* of adopt, fetch or destroy */
    void *arg;            /* of created or done */
    void (*on_dead)(void *arg);
    void *dead_arg;

    struct runtime_events events;
    void *events_arg;
    bool finished; /* on_done was called */
    bool draining; /* the last output is being handed on */
    bool refused;  /* on_output returned false */
    bool settling; /* the agent's reply is there, and the launcher was asked for the last numbers */
    int agent_rc;  /* RUNTIME_E_*, once the agent is done */
    struct runtime_outcome outcome;

    void (*on_data)(void *arg, const char *data, size_t len);
    bool fetching;

    unsigned processes; /* limit of them */
    struct sbx_mux *mux;
    bool is_lost;                 /* attached, and that it no longer is was told or is being asked about */
    runtime_attached_fn attached; /* NULL: told */
    runtime_stat_fn on_lost;
    void *lost_arg; /* of attached and on_lost */
    struct launch_call *lost_call;
    struct launch_call *stat_call;
    runtime_stat_fn on_stat;
    void *stat_arg;
};

static inline struct process_sandbox *
process_sandbox(struct sandbox *sandbox)
{
    return (struct process_sandbox *)(void *)sandbox;
}

_must_check_ int process_new(struct runtime **ret, const struct process_spec *spec,
                             const struct process_tier *tier);
/* The only writer of sandbox->state. */
void process_set_state(struct process_sandbox *sandbox, enum process_state state);
/* Calls fn(sandbox, rc) on the loop's next turn, unless the sandbox is destroyed before. */
void process_defer(struct process_sandbox *sandbox, void (*fn)(struct process_sandbox *sandbox, int rc),
                   int rc);
/* The same after a while. */
void process_defer_by(struct process_sandbox *sandbox, uint64_t ms,
                      void (*fn)(struct process_sandbox *sandbox, int rc), int rc);
/* Sends a request about this sandbox that needs no more than its head. */
_must_check_ int process_call(struct process_sandbox *sandbox, uint16_t type, uint64_t deadline_ms,
                              launch_reply_fn done);
/* The same beside sandbox->call, as a call of its own. */
_must_check_ int process_call_beside(struct process_sandbox *sandbox, struct launch_call **ret_call,
                                     uint16_t type, launch_reply_fn done);
void process_log(const struct process *process, const char *event, const char *detail);
void process_report(struct process_sandbox *sandbox, const struct launch_report *report);

int process_run(struct sandbox *base, const struct runtime_run *run, const struct runtime_events *events,
                void *arg);
int process_fetch(struct sandbox *base, const char *path, uint64_t max_bytes,
                  void (*on_data)(void *arg, const char *data, size_t len), runtime_done_fn done, void *arg);
int process_attach(struct sandbox *base, runtime_stat_fn on_lost, runtime_attached_fn done, void *arg);
int process_stat(struct sandbox *base, runtime_stat_fn done, void *arg);
int process_pause(struct sandbox *base, bool is_paused, runtime_stat_fn done, void *arg);
/* A whole reply to a run's step has come, and is about to be judged. */
void process_run_on_reply(void *arg);
/* The sandbox died (sandbox->dead is set) in ATTACHED. */
void process_attach_died(struct process_sandbox *sandbox);
/* The sandbox died (sandbox->dead is set) in RUNNING or ENDED. */
void process_run_died(struct process_sandbox *sandbox);
