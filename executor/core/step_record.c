#include "executor/core/step_record.h"

#include <stdlib.h>
#include <string.h>

#define B(state) (1u << STEP_##state)
#define ENDS (B(SUCCEEDED) | B(FAILED) | B(LIMIT_EXCEEDED) | B(CANCELLED) | B(LOST))
static const struct {
    const char *status;
    unsigned next;
} step_states[STEP_N_STATES] = {
    [STEP_QUEUED] = { "queued", B(RUNNING) | B(FAILED) | B(CANCELLED) | B(LOST) | B(LIMIT_EXCEEDED) },
    [STEP_RUNNING] = { "running", ENDS },
    [STEP_SUCCEEDED] = { "succeeded", 0 },
    [STEP_FAILED] = { "failed", 0 },
    [STEP_LIMIT_EXCEEDED] = { "limit_exceeded", 0 },
    [STEP_CANCELLED] = { "cancelled", 0 },
    [STEP_LOST] = { "lost", 0 },
};
#undef ENDS
#undef B

const char *
step_state_status(enum step_state state)
{
    return step_states[state].status;
}

bool
step_state_final(enum step_state state)
{
    return step_states[state].next == 0;
}

bool
step_state_follows(enum step_state from, enum step_state to)
{
    return (step_states[from].next & 1u << to) != 0;
}

const char *
step_interpreter_name(enum step_interpreter interpreter)
{
    switch (interpreter) {
    case INTERPRETER_ALIVE:
        return "alive";
    case INTERPRETER_DEAD:
        return "dead";
    case INTERPRETER_UNKNOWN:
        break;
    }
    return NULL;
}

bool
step_state_parse(const char *status, enum step_state *ret)
{
    for (unsigned i = 0; i < STEP_N_STATES; i++) {
        if (strcmp(status, step_states[i].status) == 0) {
            *ret = (enum step_state)i;
            return true;
        }
    }
    return false;
}

void
step_record_deinit(struct step_record *record)
{
    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        free(record->stream[i].data);
    }
    free(record->results_json);
    free(record->error_json);
    free(record->violation_json);
    free(record->usage_json);
    memset(record, 0, sizeof(*record));
}
