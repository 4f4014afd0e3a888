/* What is known of a step of a session: the form that a live one, a row of the database and every reply share. */
#pragma once

#include "executor/core/job_record.h"

enum step_state {
    STEP_QUEUED,
    STEP_RUNNING,
    STEP_SUCCEEDED,
    STEP_FAILED,
    STEP_LIMIT_EXCEEDED,
    STEP_CANCELLED,
    STEP_LOST,
    STEP_N_STATES
};

enum step_interpreter { INTERPRETER_UNKNOWN, INTERPRETER_ALIVE, INTERPRETER_DEAD };

struct step_record {
    struct sbx_id id;
    struct sbx_id session_id;
    uint64_t number; /* 1, 2, 3 ... in the session */
    enum step_state state;
    char tenant[SBX_NAME_MAX + 1];
    char subject[SBX_SUBJECT_MAX + 1];
    char request_id[SBX_NAME_MAX + 1];
    char context[SBX_NAME_MAX + 1];
    char language[JOB_LANGUAGE_LEN];
    char code_sha256[SBX_SHA256_HEX];
    uint64_t created_ms, started_ms, finished_ms; /* Unix; 0: not yet */
    bool has_exit_code;
    int exit_code;
    char signal[16];
    enum step_interpreter interpreter;
    bool restarted; /* the interpreter, before it */
    struct job_stream stream[JOB_N_STREAMS];
    bool truncated;
    bool brief;           /* from a listing: output and results were not read */
    char *results_json;   /* array of {"kind","data":{mime: value}} */
    char *error_json;     /* {"name","value","traceback"} */
    char *violation_json; /* object */
    char *usage_json;     /* object */
    char message[JOB_MESSAGE_LEN];
};

/* NULL: it is not known. */
const char *step_interpreter_name(enum step_interpreter interpreter);
const char *step_state_status(enum step_state state);
bool step_state_final(enum step_state state);
bool step_state_follows(enum step_state from, enum step_state to);
_must_check_ bool step_state_parse(const char *status, enum step_state *ret);
void step_record_deinit(struct step_record *record);
static inline void
step_record_deinitp(struct step_record *record)
{
    step_record_deinit(record);
}
