#include "executor/core/session_state.h"

#include <string.h>

#define B(state) (1u << SESSION_##state)
static const struct {
    const char *name;
    unsigned next;
} session_states[SESSION_N_STATES] = {
    [SESSION_STARTING] = { "starting", B(RUNNING) | B(ENDED) },
    [SESSION_RUNNING] = { "running", B(PAUSED) | B(ENDED) },
    [SESSION_PAUSED] = { "paused", B(RUNNING) | B(ENDED) },
    [SESSION_ENDED] = { "ended", 0 },
};
#undef B

static const struct {
    const char *name, *text;
} session_reasons[SESSION_N_REASONS] = {
    [SESSION_NO_REASON] = { NULL, "the session has not ended" },
    [SESSION_CANCELLED] = { "cancelled", "the session was deleted" },
    [SESSION_TTL] = { "ttl", "the session's time was over" },
    [SESSION_IDLE] = { "idle", "the session was idle for too long" },
    [SESSION_POLICY] = { "policy", "a policy ended the session" },
    [SESSION_ADMIN] = { "admin", "an operator ended the session" },
    [SESSION_CRASH] = { "crash", "the session's sandbox broke" },
    [SESSION_OOM] = { "oom", "the session used more memory than it may" },
    [SESSION_EVICTED] = { "evicted", "the executor stopped" },
    [SESSION_LIMIT_EXCEEDED] = { "limit_exceeded", "the session exceeded a limit" },
    [SESSION_LOST] = { "lost", "the session was lost with its executor" },
    [SESSION_FAILED] = { "failed", "the session could not be started" },
};

const char *
session_state_name(enum session_state state)
{
    return session_states[state].name;
}

bool
session_state_parse(const char *name, enum session_state *ret)
{
    for (unsigned i = 0; i < SESSION_N_STATES; i++) {
        if (strcmp(name, session_states[i].name) == 0) {
            *ret = (enum session_state)i;
            return true;
        }
    }
    return false;
}

bool
session_state_follows(enum session_state from, enum session_state to)
{
    return (session_states[from].next & 1u << to) != 0;
}

const char *
session_reason_name(enum session_reason reason)
{
    return session_reasons[reason].name;
}

bool
session_reason_parse(const char *name, enum session_reason *ret)
{
    for (unsigned i = SESSION_NO_REASON + 1; i < SESSION_N_REASONS; i++) {
        if (strcmp(name, session_reasons[i].name) == 0) {
            *ret = (enum session_reason)i;
            return true;
        }
    }
    return false;
}

const char *
session_reason_text(enum session_reason reason)
{
    return session_reasons[reason].text;
}
