/* What the files of sessions and steps share. */
#pragma once

#include "executor/core/session.h"
#include "executor/core/sessions.h"

/* So long is the kernel waited for: whoever reads, or deletes, gets what is known otherwise. */
#define SESSION_MEASURE_MS 500

/* Kinds of waiters of a session. */
enum { SESSION_WAITS_RUN, SESSION_WAITS_END, SESSION_WAITS_PAUSE, SESSION_WAITS_USAGE };

/* session.c */
_must_check_ int session_new(struct session **ret, struct sessions *sessions);
struct session *session_free(struct session *session);
static inline void
session_freep(struct session **session)
{
    session_free(*session);
}
/* The only writer of record.state. */
void session_set_state(struct session *session, enum session_state state);
/* Arms the clock that ends it; after anything that moves its end nearer. */
void session_arm(struct session *session);
/* As session_end, on the loop's next turn: for who is inside of what the end would tell. The first reason holds. */
void session_end_soon(struct session *session, enum session_reason reason);
/* The sandbox is attached and has its files. */
void session_started(struct session *session);
/* Its connection or its sandbox is gone. report NULL: nothing is known. */
void session_on_lost(void *arg, int rc, const struct runtime_report *report);
void session_on_accepted(void *arg, int rc, const struct db_result *result);
/* A step is gone: the session may be too. */
void session_check_gone(struct session *session);
/* No step runs or waits: the executor that stops waits for that. */
void session_rest(struct session *session);
/* When it would end for being idle, on timers_now_ms's clock; 0: it is not idle. */
uint64_t session_idle_at(const struct session *session);

/* It has ended, and what it used is known as far as it will be: its sandbox goes, its end is stored. */
void session_settle(struct session *session);
/* A pause that waited for the kernel's numbers. */
void session_pause_due(struct session *session);

/* session_usage.c */
/* What the kernel said; NULL: nothing. */
void session_usage_take(struct session *session, const struct runtime_report *report);
struct usage;
/* What it used and is not in usage yet. */
void session_usage_due(const struct session *session, struct usage *ret);
/* Asks the kernel and then writes that down, when enough has gathered. */
void session_usage_record(struct session *session);
/* What is known goes on record. */
void session_usage_keep(struct session *session);

/* sessions.c */
const struct sessions_spec *sessions_get_spec(const struct sessions *sessions);
struct sessions_stats *sessions_count(struct sessions *sessions);
struct pool *sessions_pool(const struct sessions *sessions, const char *template_name,
                           enum sbx_isolation isolation);
bool sessions_draining(const struct sessions *sessions);
/* The session leaves the table and is freed. */
void sessions_forget(struct session *session);
/* A sandbox is being destroyed, or is gone. */
void sessions_add_destroying(struct sessions *sessions, int n);

/* session_start.c */
_must_check_ int session_start_new(struct session *session,
                                   struct job_spec *spec); /* takes spec on success */
/* Its row is on its way, or durable: take a sandbox. */
void session_start_begin(struct session *session);
/* It was never admitted: the spec stays the caller's. */
void session_start_drop(struct session *session);
/* It ends while it starts: nothing follows. */
void session_start_stop(struct session *session);

/* session_context.c */
enum { CONTEXT_E_FULL = 1, CONTEXT_E_LANGUAGE };
/* There is one by this name from now on. language NULL: of one that is there, else the session's. */
_must_check_ int session_context_get(struct session_context **ret, struct session *session, const char *name,
                                     const char *language);
/* The interpreter is asked for; the step that waits for it is told (step_context_ready). */
_must_check_ int session_context_start(struct session_context *context);
void session_context_set_state(struct session_context *context, enum session_context_state state);
void session_contexts_free(struct session *session);

/* step.c */
/* A live step is in it, or waits to be. */
bool session_context_is_used(const struct session_context *context);
/* Starts the next of its steps when it may. */
void step_next(struct session *session);
/* The interpreter that the running step waits for is up (message NULL), or cannot be. */
void step_context_ready(struct session *session, struct session_context *context, const char *message);
/* The session has ended: so do its steps. */
void steps_end(struct session *session);
