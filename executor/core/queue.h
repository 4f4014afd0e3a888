/*
 * Admission: who may wait and who runs next. Bounded in jobs and bytes; fair by
 * turns: tenants in a ring, the agents of a tenant in a ring, first come first
 * served inside an agent. A tenant at its concurrency cap is passed over, and none takes
 * the last slots, nor the last memory, for itself alone. Pure: no
 * clock, no loop.
 */
#pragma once

#include "executor/core/list.h"

enum {
    QUEUE_E_FULL = 1,    /* everybody's room is used */
    QUEUE_E_TENANT_FULL, /* this tenant's is */
};

struct queue;
struct queue_tenant;
struct queue_agent;

/* Embedded in a job. Zeroed: in no queue. */
struct queue_item {
    struct list link;
    struct queue_tenant *tenant; /* set while waiting or running */
    struct queue_agent *agent;   /* set while waiting */
    size_t weight;
};

struct queue_spec {
    unsigned max_running;
    unsigned max_waiting;
    unsigned max_waiting_per_tenant;
    uint64_t max_bytes; /* waiting and running together */
    /* Optional: whether it may run now. What may not is passed over and keeps its place. */
    bool (*fits)(void *arg, struct queue_item *item);
    void *fits_arg;
};

struct queue_stats {
    unsigned waiting, running, tenants;
    uint64_t bytes;
};

_must_check_ int queue_new(struct queue **ret, const struct queue_spec *spec);
/* Every item must have left. */
struct queue *queue_free(struct queue *queue);
/*
 * Takes a place at the end. `cap`: how many of this tenant's may run at once, 0 for any number; the last one
 * said holds. Room counts free running slots too, so an idle queue of length 0 admits.
 */
_must_check_ int queue_put(struct queue *queue, struct queue_item *item, const char *tenant,
                           const char *agent, unsigned cap);
/* The next one to run, which from now on counts as running; NULL when none may. */
struct queue_item *queue_next(struct queue *queue);
/* A running one waits again, ahead of all others of its agent. */
_must_check_ int queue_put_back(struct queue *queue, struct queue_item *item, const char *agent);
/* Waiting or running, it leaves. `ran_ms` > 0 teaches the estimate of queue_retry_after_s. */
void queue_leave(struct queue *queue, struct queue_item *item, uint64_t ran_ms);
/* When a place is likely to be free: 1 to 60 seconds, from how long runs took lately and who is ahead. */
unsigned queue_retry_after_s(const struct queue *queue, const char *tenant);
void queue_stats(const struct queue *queue, struct queue_stats *ret);
