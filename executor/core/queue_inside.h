/* What the queue and its forecast share. */
#pragma once

#include "executor/core/estimate.h"
#include "executor/core/queue.h"
#include "lib/sbx_context.h"

struct queue_agent {
    struct list link; /* in tenant->agents; only while something waits */
    struct list items;
    char name[SBX_NAME_MAX + 1];
};

struct queue_tenant {
    struct list link; /* in queue->tenants (the ring) */
    struct list agents;
    unsigned waiting, running, cap;
    uint64_t bytes, waiting_bytes;
    struct estimate runs;      /* how long its runs hold their slot */
    struct queue_tenant *copy; /* the forecast's, while it is made */
    char name[SBX_NAME_MAX + 1];
};

struct queue {
    struct queue_spec spec;
    struct list tenants;
    struct list items; /* running ones, the oldest first */
    unsigned waiting, running, n_tenants;
    unsigned n_starts; /* it may wrap */
    uint64_t bytes;
    struct estimate runs; /* of all */
};

struct queue_tenant *queue_tenant_find(const struct queue *queue, const char *name);
unsigned queue_idle_slots(const struct queue *queue);
/* Those that the tenant (NULL: one that has nothing here) could take now. */
unsigned queue_idle_slots_for(const struct queue *queue, const struct queue_tenant *tenant, unsigned cap);
/*
 * Whose turn is next: of the tenants that may start one and of which `can`, unless it is NULL, says so, the one that runs
 * least, and of such the first in the ring. NULL: no one's. `looks`, unless it is NULL, grows by those that were looked at.
 */
struct queue_tenant *queue_turn(const struct queue *queue,
                                bool (*can)(const struct queue *queue, struct queue_tenant *tenant),
                                unsigned *looks);
/* The turn is taken: it goes to the end of the ring, and counts. */
void queue_turn_taken(struct queue *queue, struct queue_tenant *tenant);
/* 0 or QUEUE_E_*. */
int queue_check_room(const struct queue *queue, const struct queue_tenant *tenant, size_t weight,
                     unsigned cap);
