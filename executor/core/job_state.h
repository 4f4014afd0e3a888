/*
 * The states of a job.
 *
 *   queued <--> starting --> running --> finishing --> succeeded | failed | timed_out |
 *      \            \                     ^            limit_exceeded | denied | cancelled | lost
 *       +------------+-------------------/
 *
 * starting goes back to queued when there was no sandbox to be had: nothing of
 * the tenant's had run. finishing is over when the result is durable; the public
 * status of starting, running and finishing is "running".
 */
#pragma once

#include "lib/sbx_base.h"

enum job_state {
    JOB_QUEUED,
    JOB_STARTING,
    JOB_RUNNING,
    JOB_FINISHING,
    JOB_SUCCEEDED,
    JOB_FAILED,
    JOB_TIMED_OUT,
    JOB_LIMIT_EXCEEDED,
    JOB_DENIED,
    JOB_CANCELLED,
    JOB_LOST,
    JOB_N_STATES
};

/* The public name, e.g. "limit_exceeded". */
const char *job_state_status(enum job_state state);
bool job_state_final(enum job_state state);
bool job_state_follows(enum job_state from, enum job_state to);
/* From a public name; "running" gives JOB_RUNNING. False when there is none such. */
_must_check_ bool job_state_parse(const char *status, enum job_state *ret);
