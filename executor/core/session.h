/*
 * A live session: a sandbox that one tenant keeps, its interpreters, its steps in their order, and the clocks that end it.
 * Lives in the table from admission until its end is durable and told. session_set_state is the only writer of
 * record.state, session_end the only way to its end.
 *
 * For those who work in a session (files, processes, watches):
 *   - session_mux is where channels are opened; NULL unless the session runs.
 *   - A hook is called when the session ends, before its connection goes: whoever has a channel must forget it there and
 *     answer whom it serves. Channels that end with SBX_MUX_E_LOST need nothing else: the hook follows with the reason.
 *   - session_hold while an operation is under way, session_touch for an instant's use: both keep it from being idle.
 *   - session_nonsense when the agent said what no honest agent says.
 */
#pragma once

#include "executor/core/audit_means.h"
#include "executor/core/budget.h"
#include "executor/core/estimate.h"
#include "executor/core/session_record.h"
#include "executor/core/timer.h"
#include "executor/runtime/runtime.h"
#include "lib/sbx_jsonw.h"
#include "lib/sbx_list.h"
#include "lib/sbx_mux.h"

#define SESSION_CONTEXT_DEFAULT "default"
#define SESSION_MAX_CONTEXTS 8
#define SESSION_MAX_WAITING 32               /* steps */
#define SESSION_MAX_WAITING_BYTES (8u << 20) /* of their code and env */

struct sessions; /* all of them: sessions.h */
struct session;
struct session_start;
struct step;
struct idempotency_entry;
struct session_processes;

/* Embedded in whatever ends with the session. Zeroed: not hooked. */
struct session_hook {
    struct list link;
    /* Unhooked before. The session's state is ENDED and its reason is set; its mux can still be reset upon. */
    void (*fn)(struct session_hook *hook, struct session *session);
};

enum session_context_state { CONTEXT_STARTING, CONTEXT_READY, CONTEXT_BUSY, CONTEXT_CRASHED };

/* A named interpreter. */
struct session_context {
    struct list link;
    struct session *session;
    char name[SBX_NAME_MAX + 1];
    const char *language; /* of the registry */
    enum session_context_state state;
    unsigned restarts;
    bool up;                     /* the agent knows it */
    bool ending;                 /* and was told to forget it */
    bool wanted;                 /* one of its name is to follow */
    struct sbx_channel *channel; /* of its start or its end */
};

struct session {
    struct list link; /* in the table */
    struct session_record record;
    struct sessions *sessions;
    struct sbx_limits limits;
    uint64_t share;              /* of the processors: the same for all of the tenant, never 0 */
    struct sandbox *sandbox;     /* NULL before it was taken and once its destruction was asked for */
    struct sbx_mux *mux;         /* borrows: the sandbox's */
    struct session_start *start; /* while it is starting */
    struct list hooks;
    struct list contexts;
    unsigned n_contexts;
    struct list steps;    /* live ones, in order */
    struct step *running; /* NULL: none */
    unsigned n_waiting;
    size_t waiting_bytes;
    struct estimate step_runs; /* how long its steps took */
    struct list waiters;
    struct timer *timer; /* ttl and idle, the end that is due, then the store's retry */
    unsigned holds;
    uint64_t born_ms, used_ms; /* of its birth and its last use, on timers_now_ms's clock */
    uint64_t running_ms;       /* monotonic; 0: not yet */
    enum session_reason due;   /* it ends for this on the loop's next turn */
    const char *due_message;   /* constant text; NULL: none */
    struct runtime_env *env;   /* of every interpreter and process in it; one block */
    unsigned n_env;
    struct idempotency_entry *idempotency;
    struct session_processes *processes;        /* theirs who have some */
    struct runtime_report used;                 /* the kernel's numbers when it was last asked */
    uint64_t recorded_cpu_ms, recorded_wall_ms; /* of those, in usage already */
    uint64_t over_ms;                           /* monotonic, when it was settled; 0: not yet */
    struct budget_use budget;
    bool record_due;               /* once the kernel has answered */
    struct sbx_policy_input asked; /* what policies are asked about while it lives */
    bool is_governed;
    struct audit_means means;
    struct audit_asker *pause_by, *ended_by; /* NULL: nobody */
    bool start_told;                         /* its event is on the way */
    bool has_budget; /* there is one that it counts against: it is asked after each step */
    bool accepted;   /* its row is durable */
    bool refused;    /* it will never be: the session does not exist for anybody */
    bool pausing;    /* it is being stopped, or let go on */
    bool pause_due;  /* once the kernel has answered */
    bool measuring;  /* the kernel is asked */
    bool lost;       /* its sandbox or its agent is: there is nobody to ask */
    bool settled;    /* it has ended and its sandbox is given back */
    bool ending;     /* inside of session_end */
    bool stored;     /* so is its end */
    bool destroying; /* the runtime's callback is still to come */
};

/* NULL unless it runs: not while it starts, is paused or has ended. */
struct sbx_mux *session_mux(const struct session *session);
/* It was used now. */
void session_touch(struct session *session);
/* Something is under way in it until session_release, or its end. */
void session_hold(struct session *session);
void session_release(struct session *session);
/* Legal also for one that is hooked already. */
void session_hook_add(struct session *session, struct session_hook *hook,
                      void (*fn)(struct session_hook *hook, struct session *session));
void session_hook_remove(struct session_hook *hook);
/* The agent is not to be believed any more: the session ends with `crash` on the loop's next turn. `what` is for the log. */
void session_nonsense(struct session *session, const char *what);
/*
 * It may live for ttl_ms from now on, not beyond its longest life, and be idle for so long; 0 leaves either as it is.
 * Takes *metadata_json when that is not NULL.
 */
void session_extend(struct session *session, uint64_t ttl_ms, uint64_t idle_timeout_ms, char **metadata_json);
/* When it would end for being idle, Unix; 0: it is not idle. */
uint64_t session_idle_expires_ms(const struct session *session);
enum {
    SESSION_PAUSE_E_BUSY = 1, /* a step runs or waits, or it is being paused or resumed */
    SESSION_PAUSE_E_STATE,    /* it neither runs nor is paused */
};
/* Stops all of its processes where they are, or lets them go on; what is so already is left so. Told by
 * session_wait_pause. */
_must_check_ int session_pause(struct session *session, bool pause);
/* The same for a request, which the event names. */
_must_check_ int session_pause_by(struct session *session, bool pause, const struct sbx_context *context);
/* Has the kernel asked what it uses, once at a time; session_wait_usage tells. False: what is known is all there is. */
bool session_measure(struct session *session);
/* As last measured. */
void session_usage_write(struct sbx_jsonw *w, const char *key, const struct session *session);
/* Ends it now: hooks and steps are told before this returns. A session that has ended is left alone. `message` "" or text. */
void session_end(struct session *session, enum session_reason reason, const char *message);
/* Cancelled by a request, which the end's event names; `reason` as in audit_asker_new. */
void session_cancel_by(struct session *session, const struct sbx_context *context, const char *reason);

struct session_context *session_context_find(const struct session *session, const char *name);
enum { SESSION_CONTEXT_E_FULL = 1, SESSION_CONTEXT_E_EXISTS, SESSION_CONTEXT_E_BUSY };
/* Starts an interpreter: a new name. `language` is canonical and of the registry. */
_must_check_ int session_context_add(struct session *session, const char *name, const char *language);
/* Ends one. BUSY while a step uses or waits for it. */
_must_check_ int session_context_remove(struct session_context *context);
const char *session_context_state_name(enum session_context_state state);
