/*
 * A job or a step as the run that an agent knows: one handle, one status, what it said and what it left. A view: everything
 * borrows from the record. What may not be told before it is durable is not in it. Pure.
 */
#pragma once

#include "executor/core/job_record.h"
#include "executor/core/step_record.h"

#define TOOL_RUN_ID_LEN (2 * SBX_ID_LEN + 2)

enum tool_run_end {
    TOOL_RUN_LIVE,
    TOOL_RUN_ENDED, /* by itself: whatever came of it, the call did what was asked */
    TOOL_RUN_CANCELLED,
    TOOL_RUN_STOPPED, /* by a limit or a policy */
    TOOL_RUN_LOST,    /* it is not known what came of it, or it never ran */
};

struct tool_run {
    char id[TOOL_RUN_ID_LEN]; /* "<job id>" or "<session id>.<step id>" */
    const char *session_id;   /* NULL: a job */
    const char *status;
    enum tool_run_end end;
    uint64_t created_ms, started_ms, finished_ms; /* Unix; 0: not yet */
    unsigned queue_position;                      /* 0: unknown, or none */
    bool has_exit_code;
    int exit_code;
    const char *signal; /* "": none */
    const struct job_stream *stream;
    bool truncated;
    const char *result_json;                /* a job's; NULL: none */
    const char *displays_json, *error_json; /* a step's; NULL: none */
    const char *violation_json, *usage_json, *skipped_json;
    const char *message; /* "": none */
    const struct job_artifact *files;
    unsigned n_files;
    bool restarted, interpreter_dead; /* of a step */
};

void tool_run_of_job(struct tool_run *ret, const struct job_record *record);
void tool_run_of_step(struct tool_run *ret, const struct step_record *record);
