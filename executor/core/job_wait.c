#include "executor/core/job_wait.h"

#include <stdlib.h>

struct job_waiter {
    struct list link;
    struct job *job;
    struct timer *timer;
    job_wait_fn done;
    void *arg;
    bool time_is_up;
};

static void
waiter_free(struct job_waiter *waiter)
{
    list_remove(&waiter->link);
    timer_free(waiter->timer);
    free(waiter);
}

static void
waiter_tell(struct job_waiter *waiter, enum job_wait_result result)
{
    struct job *job = waiter->job;
    job_wait_fn done = waiter->done;
    void *arg = waiter->arg;

    waiter_free(waiter);
    done(arg, result, job);
}

static void
waiter_on_time(void *arg)
{
    struct job_waiter *waiter = arg;

    waiter->time_is_up = true;
    if (waiter->job->accepted) {
        waiter_tell(waiter, JOB_WAIT_TIMEOUT);
    }
}

int
job_wait(struct job_waiter **ret, struct job *job, struct timers *timers, uint64_t ms, job_wait_fn done,
         void *arg)
{
    struct job_waiter *waiter;
    int r;

    waiter = calloc(1, sizeof(*waiter));
    if (waiter == NULL) {
        return -ENOMEM;
    }
    list_init(&waiter->link);
    r = timer_new(&waiter->timer, timers, waiter_on_time, waiter);
    if (r) {
        free(waiter);
        return r;
    }
    waiter->job = job;
    waiter->done = done;
    waiter->arg = arg;
    list_append(&job->waiters, &waiter->link);
    timer_start(waiter->timer, ms);
    *ret = waiter;
    return 0;
}

void
job_wait_cancel(struct job_waiter *waiter)
{
    if (waiter != NULL) {
        waiter_free(waiter);
    }
}

void
job_wait_accepted(struct job *job)
{
    struct list *it, *after;

    list_each (it, after, &job->waiters) {
        struct job_waiter *waiter = list_entry(it, struct job_waiter, link);

        if (waiter->time_is_up) {
            waiter_tell(waiter, JOB_WAIT_TIMEOUT);
        }
    }
}

void
job_wait_tell(struct job *job, enum job_wait_result result)
{
    while (!list_empty(&job->waiters)) {
        waiter_tell(list_entry(list_pop(&job->waiters), struct job_waiter, link), result);
    }
}
