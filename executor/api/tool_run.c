#include "executor/api/tool_run.h"

#include <stdio.h>

static enum tool_run_end
end_of_job(enum job_state state)
{
    switch (state) {
    case JOB_QUEUED:
    case JOB_STARTING:
    case JOB_RUNNING:
    case JOB_FINISHING:
        return TOOL_RUN_LIVE;
    case JOB_SUCCEEDED:
    case JOB_FAILED:
        return TOOL_RUN_ENDED;
    case JOB_CANCELLED:
        return TOOL_RUN_CANCELLED;
    case JOB_LIMIT_EXCEEDED:
    case JOB_DENIED:
        return TOOL_RUN_STOPPED;
    case JOB_TIMED_OUT:
    case JOB_LOST:
    case JOB_N_STATES:
        break;
    }
    return TOOL_RUN_LOST;
}

static enum tool_run_end
end_of_step(enum step_state state)
{
    switch (state) {
    case STEP_QUEUED:
    case STEP_RUNNING:
        return TOOL_RUN_LIVE;
    case STEP_SUCCEEDED:
    case STEP_FAILED:
        return TOOL_RUN_ENDED;
    case STEP_CANCELLED:
        return TOOL_RUN_CANCELLED;
    case STEP_LIMIT_EXCEEDED:
        return TOOL_RUN_STOPPED;
    case STEP_LOST:
    case STEP_N_STATES:
        break;
    }
    return TOOL_RUN_LOST;
}

void
tool_run_of_job(struct tool_run *ret, const struct job_record *record)
{
    *ret = (struct tool_run){
        .status = job_state_status(record->state),
        .end = end_of_job(record->state),
        .created_ms = record->created_ms,
        .started_ms = record->started_ms,
        .queue_position = record->state == JOB_QUEUED ? record->queue_position : 0,
        .signal = "",
        .stream = record->stream,
        .truncated = record->truncated,
        .message = "",
    };
    (void)snprintf(ret->id, sizeof(ret->id), "%s", record->id.text); /* fits */
    if (ret->end == TOOL_RUN_LIVE) {
        return; /* its end may be known, but is not durable */
    }
    ret->finished_ms = record->finished_ms;
    ret->has_exit_code = record->has_exit_code;
    ret->exit_code = record->exit_code;
    ret->signal = record->signal;
    ret->result_json = record->result_json;
    ret->violation_json = record->violation_json;
    ret->usage_json = record->usage_json;
    ret->skipped_json = record->skipped_json;
    ret->message = record->message;
    ret->files = record->artifacts;
    ret->n_files = record->n_artifacts;
}

void
tool_run_of_step(struct tool_run *ret, const struct step_record *record)
{
    *ret = (struct tool_run){
        .session_id = record->session_id.text,
        .status = step_state_status(record->state),
        .end = end_of_step(record->state),
        .created_ms = record->created_ms,
        .started_ms = record->started_ms,
        .finished_ms = record->finished_ms,
        .has_exit_code = record->has_exit_code,
        .exit_code = record->exit_code,
        .signal = record->signal,
        .stream = record->stream,
        .truncated = record->truncated,
        .displays_json = record->results_json,
        .error_json = record->error_json,
        .violation_json = record->violation_json,
        .usage_json = record->usage_json,
        .message = record->message,
        .restarted = record->restarted,
        .interpreter_dead = record->interpreter == INTERPRETER_DEAD,
    };
    (void)snprintf(ret->id, sizeof(ret->id), "%s.%s", record->session_id.text, record->id.text); /* fits */
}
