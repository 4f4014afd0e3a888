/* What the files of a step share. */
#pragma once

#include "executor/core/session_inside.h"
#include "executor/core/step.h"
#include "executor/runtime/session_reply.h"

/* Rich output: announced by a NOTE, then its bytes, item after item; what came whole is in `json`. */
struct step_displays {
    struct sbx_buf json;               /* "[{...},{...}", without its end */
    struct sbx_buf one;                /* now, as far as it has come */
    struct sbx_jsonw w;                /* into that */
    struct session_reply_display *now; /* announced, its bytes are coming; NULL: none */
    unsigned item;                     /* of now */
    struct sbx_buf data;               /* of that item, so far */
    uint64_t left;                     /* bytes of that item to come */
    uint64_t bytes;                    /* kept, of all */
    unsigned n;                        /* kept */
    uint64_t dropped;
    bool dropping; /* this one is too much: its bytes go nowhere */
};

struct step {
    struct list link; /* in the session, by number */
    struct session *session;
    struct step_record record;
    struct job_spec *spec; /* code and env, until it has ended */
    struct session_context *context;
    struct idempotency_entry *idempotency; /* until the accept record is durable */
    struct feed *feed;
    struct list waiters;
    struct timer *timer; /* overdue, then the store's retry */
    struct sbx_channel *channel;
    struct session_reply_step
        *said; /* its end as the agent tells it, until the kernel has told its own; else NULL */
    struct sbx_capture capture[JOB_N_STREAMS];
    struct sbx_sha256 *digest[JOB_N_STREAMS];            /* NULL until there is output */
    char app[SBX_NAME_MAX + 1], agent[SBX_NAME_MAX + 1]; /* who asked: not always who made the session */
    struct audit_means means;
    struct audit_asker *cancelled_by; /* NULL: nobody yet */
    bool start_told;                  /* its event is on the way */
    struct step_displays displays;
    unsigned n_displays;
    uint64_t timeout_ms;
    uint64_t running_ms; /* monotonic; 0: it never ran */
    size_t sent;         /* bytes of its code */
    bool shut;
    bool queued;                     /* waits for its turn */
    bool cancelled, output_exceeded; /* why it was interrupted; both may be */
    bool interrupted;                /* the agent was told */
    bool accepted;                   /* the accept record is durable */
    bool refused;                    /* it will never be: it does not exist for anybody */
    bool holds_for_accept;           /* the store failed last time: run only what is durable */
};

/* step_run.c: its interpreter is up. It ends by step_ended, later or on the loop's next turn. */
void step_run(struct step *step);
/* Its turn, but its interpreter is not up: it is asked for when nobody has, and step_context_ready follows. */
void step_wait_for_interpreter(struct step *step);
/* Asks the agent to stop it. */
void step_interrupt(struct step *step);
void step_on_time(void *arg);
/* The kernel has told all it has to tell of the session, and did not end it: so it was as the agent said. */
void step_judged(struct step *step);
void step_unsay(struct step *step);

/* step.c: the only writer of record.state. */
void step_set_state(struct step *step, enum step_state state);
/* It is over; the outcome is in the record but for its state. It may be freed. */
void step_ended(struct step *step, enum step_state state);
/* The event of its start, once both are true: it runs, and it is durable that there is such a step. */
void step_tell_start(struct step *step);
void step_say(struct step *step, const char *message);
/* The result is on its way to the store, again. */
void step_store(struct step *step);

/* step_events.c */
void step_feed_start(struct step *step);
/* Usage and end; then the feed is closed. */
void step_feed_end(struct step *step);

/* step_displays.c: what the agent says, judged: false is nonsense. */
_must_check_ bool step_displays_note(struct step *step, const char *json, size_t len);
_must_check_ bool step_displays_data(struct step *step, const char *data, size_t len);
/* Nothing of them is missing. */
bool step_displays_complete(const struct step *step);
/* Puts what came whole into the record. */
void step_displays_take(struct step *step);
void step_displays_deinit(struct step_displays *displays);
