/*
 * The states of a session.
 *
 *   starting --> running <--> paused
 *       \           \          /
 *        +-----------+--------+--> ended (one reason, for ever)
 */
#pragma once

#include "lib/sbx_base.h"

enum session_state { SESSION_STARTING, SESSION_RUNNING, SESSION_PAUSED, SESSION_ENDED, SESSION_N_STATES };

enum session_reason {
    SESSION_NO_REASON,      /* it has not ended */
    SESSION_CANCELLED,      /* somebody deleted it */
    SESSION_TTL,            /* its time was over */
    SESSION_IDLE,           /* nobody used it for too long */
    SESSION_POLICY,         /* a policy took it away */
    SESSION_ADMIN,          /* an operator did */
    SESSION_CRASH,          /* its sandbox or its agent broke */
    SESSION_OOM,            /* it used more memory than it has */
    SESSION_EVICTED,        /* the executor stopped, or needed the room */
    SESSION_LIMIT_EXCEEDED, /* another limit; the violation says which */
    SESSION_LOST,           /* an earlier executor had it */
    SESSION_FAILED,         /* it never came to run */
    SESSION_N_REASONS
};

const char *session_state_name(enum session_state state);
_must_check_ bool session_state_parse(const char *name, enum session_state *ret);
bool session_state_follows(enum session_state from, enum session_state to);
/* NULL for NO_REASON. */
const char *session_reason_name(enum session_reason reason);
_must_check_ bool session_reason_parse(const char *name, enum session_reason *ret);
/* One sentence for a person, without a full stop: "the session was idle for too long". */
const char *session_reason_text(enum session_reason reason);
