#include "executor/core/job_state.h"

#include <string.h>

#define B(state) (1u << JOB_##state)
#define ENDS                                                                                                 \
    (B(SUCCEEDED) | B(FAILED) | B(TIMED_OUT) | B(LIMIT_EXCEEDED) | B(DENIED) | B(CANCELLED) | B(LOST))
static const struct {
    const char *status;
    unsigned next;
} job_states[JOB_N_STATES] = {
    [JOB_QUEUED] = { "queued", B(STARTING) | B(FINISHING) },
    [JOB_STARTING] = { "running", B(QUEUED) | B(RUNNING) | B(FINISHING) },
    [JOB_RUNNING] = { "running", B(FINISHING) },
    [JOB_FINISHING] = { "running", ENDS },
    [JOB_SUCCEEDED] = { "succeeded", 0 },
    [JOB_FAILED] = { "failed", 0 },
    [JOB_TIMED_OUT] = { "timed_out", 0 },
    [JOB_LIMIT_EXCEEDED] = { "limit_exceeded", 0 },
    [JOB_DENIED] = { "denied", 0 },
    [JOB_CANCELLED] = { "cancelled", 0 },
    [JOB_LOST] = { "lost", 0 },
};
#undef ENDS
#undef B

const char *
job_state_status(enum job_state state)
{
    return job_states[state].status;
}

bool
job_state_final(enum job_state state)
{
    return job_states[state].next == 0;
}

bool
job_state_follows(enum job_state from, enum job_state to)
{
    return (job_states[from].next & 1u << to) != 0;
}

bool
job_state_parse(const char *status, enum job_state *ret)
{
    if (strcmp(status, "running") == 0) {
        *ret = JOB_RUNNING;
        return true;
    }
    for (unsigned i = 0; i < JOB_N_STATES; i++) {
        if (strcmp(status, job_states[i].status) == 0) {
            *ret = (enum job_state)i;
            return true;
        }
    }
    return false;
}
