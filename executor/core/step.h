/*
 * A live step of a session: its record, its code until it was sent, its output so far, its feed and who waits. Lives in
 * its session's list from admission until its result is told and durable. step_set_state is the only writer of
 * record.state.
 *
 *   step_submit: accept record (overlaps the run) -> its turn -> interpreter up -> code in, output out -> END
 *   -> once the accept record is durable the waiters are told, and the result record follows
 */
#pragma once

#include "executor/core/audit.h"
#include "executor/core/feed.h"
#include "executor/core/session.h"
#include "executor/core/step_record.h"
#include "executor/core/waiter.h"
#include "lib/sbx_capture.h"

#define STEP_MAX_DISPLAYS 32
#define STEP_MAX_ITEM_BYTES (8u << 20)
#define STEP_MAX_DISPLAY_BYTES (16u << 20)

enum {
    STEP_E_QUEUE_FULL = 1,
    STEP_E_CONTEXTS_FULL, /* the session has as many interpreters as it may */
    STEP_E_LANGUAGE,      /* the context has another language */
};

/* What a step is to run. Borrows until return, but for the code. */
struct step_ask {
    struct job_spec *spec;    /* code, env; taken on success */
    const char *context_name; /* NULL: the language's own */
    const char *language;     /* canonical, of the registry; NULL: the context's */
    uint64_t timeout_ms;
    const struct sbx_context *context;
    const char *request_sha256;
    struct idempotency_entry *idempotency; /* NULL: no key */
};

struct step;

/* The session runs or is starting. */
_must_check_ int step_submit(struct step **ret, struct session *session, const struct step_ask *ask);
/* When the running one is likely to be over, so that another may wait: 1 to 3600 seconds. */
unsigned step_retry_after_s(const struct session *session);
/* Live, of this session; also one that has ended and whose result is not durable yet. Else NULL. */
struct step *step_find(const struct session *session, const char *id);
/* Brings the output so far into the record; -ENOMEM leaves it as it was. */
_must_check_ int step_render(struct step *step);
/* Of a link of session->steps. */
struct step *step_of(struct list *link);
struct step_record *step_record(struct step *step);
/* What it says as it happens; borrows: feed_ref keeps it. */
struct feed *step_feed(const struct step *step);
/* What it said so far; borrows. */
const struct sbx_capture *step_capture(const struct step *step, unsigned stream);
/* Its accept record is durable: it exists for others. */
bool step_accepted(const struct step *step);
/* Told when it is over, or when the time is up. */
_must_check_ int step_wait(struct waiter **ret, struct step *step, uint64_t ms, waiter_fn done, void *arg);
/* Asks for its end; one that has ended is left alone. */
void step_cancel(struct step *step);
/* The same for a request, which the end's event names; `reason` as in audit_asker_new. */
void step_cancel_by(struct step *step, const struct sbx_context *context, const char *reason);

/*
 * The data of its feed's events, for who makes a feed again from a record: "start" when it was started, one "display" or
 * "result" for each of results, then as closing events "usage" when there is one, and "end".
 */
void step_event_start(struct sbx_buf *out, const struct step_record *record);
void step_event_end(struct sbx_buf *out, const struct step_record *record);
