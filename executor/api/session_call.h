/* The session that a route names, for every handler under /v1/sessions/{id}. */
#pragma once

#include "executor/api/call.h"
#include "executor/core/sessions.h"

enum session_call_need {
    SESSION_CALL_RUNNING, /* a paused one is 409, and so is one that is still starting */
    SESSION_CALL_ALIVE,   /* starting, running or paused */
};

/*
 * The live session; NULL when the call was or will be answered: 404 when the tenant has no such session, 410 with the
 * reason when it has ended.
 */
struct session *session_call(struct call *call, enum session_call_need need);
/* Answers 410 with the reason: for who finds out later, as in a session_hook. Ends the call. */
void session_call_gone(struct call *call, const struct session_record *record);
struct sessions *call_sessions(const struct call *call);
/* The live session of call->id, also one that has just ended; NULL: none, and nothing was answered. */
struct session *session_call_live(const struct call *call);
