/*
 * What agents call by the names of tools. Each of these is a handler of the plain interface with another answer: who may, what
 * is granted, what is recorded are that one's.
 */
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/handlers.h"
#include "executor/api/jobs.h"
#include "executor/api/tool_call.h"

#define OFFSET_DIGITS 18

void
handle_tool_job_create(struct call *call)
{
    if (tool_ask(call)) {
        handle_job_create(call);
    }
}

void
handle_tool_step_create(struct call *call)
{
    if (tool_ask(call)) {
        handle_step_create(call);
    }
}

void
handle_tool_session_create(struct call *call)
{
    if (tool_ask(call)) {
        handle_session_create(call);
    }
}

void
handle_tool_session_delete(struct call *call)
{
    if (tool_ask(call)) {
        handle_session_delete(call);
    }
}

static bool
take_offset(struct call *call, unsigned which, const char *name)
{
    struct sbx_field_error err = { 0 };
    char text[OFFSET_DIGITS + 2];

    switch (call_param(call, name, text, sizeof(text))) {
    case CALL_PARAM_ABSENT:
        return true;
    case CALL_PARAM_FINE:
        if (*text == '\0' || strlen(text) > OFFSET_DIGITS || text[strspn(text, "0123456789")] != '\0') {
            break;
        }
        if (call->tool == NULL) {
            sbx_field_error_set(&err, name, "is of answers to tools");
            call_problem_field(call, &err);
            return false;
        }
        call->tool->has_offset[which] = true;
        call->tool->offset[which] = strtoull(text, NULL, 10);
        return true;
    case CALL_PARAM_BAD:
        break;
    }
    sbx_field_error_set(&err, name, "must be a number of bytes");
    call_problem_field(call, &err);
    return false;
}

static bool
run_ask(struct call *call)
{
    if (!tool_ask(call)) {
        return false;
    }
    if (call->tool != NULL) {
        call->tool->task = false; /* whoever waits for a run has its handle */
    }
    return take_offset(call, JOB_STDOUT, "stdout_offset") && take_offset(call, JOB_STDERR, "stderr_offset");
}

void
handle_run_job_get(struct call *call)
{
    if (run_ask(call)) {
        handle_job_get(call);
    }
}

void
handle_run_step_get(struct call *call)
{
    if (run_ask(call)) {
        handle_step_get(call);
    }
}

static bool
cancel_ask(struct call *call)
{
    if (!tool_ask(call)) {
        return false;
    }
    if (call->tool != NULL) {
        call->tool->cancelling = true;
        call->tool->task = false;
    }
    return true;
}

void
handle_run_job_cancel(struct call *call)
{
    if (cancel_ask(call)) {
        handle_job_cancel(call);
    }
}

void
handle_run_step_cancel(struct call *call)
{
    if (cancel_ask(call)) {
        handle_step_cancel(call);
    }
}

void
handle_task_job_get(struct call *call)
{
    if (tool_ask_task(call, false)) {
        handle_job_get(call);
    }
}

void
handle_task_job_cancel(struct call *call)
{
    if (tool_ask_task(call, true)) {
        handle_job_cancel(call);
    }
}

void
handle_task_step_get(struct call *call)
{
    if (tool_ask_task(call, false)) {
        handle_step_get(call);
    }
}

void
handle_task_step_cancel(struct call *call)
{
    if (tool_ask_task(call, true)) {
        handle_step_cancel(call);
    }
}
