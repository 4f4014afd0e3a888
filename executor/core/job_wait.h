/*
 * Waiting for a job: told once, from the loop, when it is over and durable, when
 * the time is up, or when the store failed it. A waiter that leaves changes nothing.
 */
#pragma once

#include "executor/core/job.h"

struct job_waiter;

enum job_wait_result {
    JOB_WAIT_OVER,    /* terminal, result durable */
    JOB_WAIT_TIMEOUT, /* not yet; its accept record is durable */
    JOB_WAIT_STORE,   /* the store failed: refused, or the result cannot be kept now */
};

/* `job` borrows until return; it may be freed right afterwards. */
typedef void (*job_wait_fn)(void *arg, enum job_wait_result result, struct job *job);

/* *ret is valid until `done` is called. `ms` 0: as soon as the accept record is durable. */
_must_check_ int job_wait(struct job_waiter **ret, struct job *job, struct timers *timers, uint64_t ms,
                          job_wait_fn done, void *arg);
void job_wait_cancel(struct job_waiter *waiter); /* accepts NULL */
/* The accept record became durable: those whose time was up are told. */
void job_wait_accepted(struct job *job);
/* Tells and removes all. */
void job_wait_tell(struct job *job, enum job_wait_result result);
