/*
 * Admission: who may wait and who runs next. Bounded in jobs and bytes; fair by
 * turns: of tenants those that run least, the agents of a tenant in a ring, first come
 * first served inside an agent. A tenant at its concurrency cap is passed over, and none
 * takes the last slots, nor the last memory, for itself alone. Pure: no
 * clock, no loop.
 */
#pragma once

#include "lib/sbx_list.h"

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
    /* Optional: for how long a running one has held its slot, and the most it will. */
    void (*look)(void *arg, struct queue_item *item, uint64_t *age_ms, uint64_t *most_ms);
    void *arg; /* of both */
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
/* How many others of its tenant run. */
unsigned queue_running_beside(const struct queue_item *item);
/* Whether the next start is one at which who runs much is as good as who runs nothing. */
bool queue_is_by_ring(const struct queue *queue);
/* A running one waits again, ahead of all others of its agent. */
_must_check_ int queue_put_back(struct queue *queue, struct queue_item *item, const char *agent);
/* Waiting or running, it leaves. `ran_ms` > 0, for how long it held its slot, teaches the forecast. */
void queue_leave(struct queue *queue, struct queue_item *item, uint64_t ran_ms);
/*
 * The forecast: the queue played on as if nothing else came and each run took as long as those of its tenant did lately
 * (queue_forecast.c).
 */
/* Of one that waits: 1 is the next to start. 0: it does not wait. */
unsigned queue_position(const struct queue *queue, const struct queue_item *item);
/* When queue_put of such a one, refused now, is likely to succeed: 1 to 3600 seconds. */
unsigned queue_retry_after_s(const struct queue *queue, const char *tenant, size_t weight, unsigned cap);
void queue_stats(const struct queue *queue, struct queue_stats *ret);
