#include "executor/core/queue_inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * A tenant that runs something takes another slot only while it runs fewer than this times those that are idle:
 * alone it comes to about three quarters of all, and the next tenant finds one idle. (Dynamic thresholds, as for
 * buffers shared by the ports of a switch: Choudhury and Hahne, 1998.)
 */
#define QUEUE_GREED 3u
/*
 * Each so many starts one is by the ring alone: else who runs much would wait for ever behind many who run little.
 */
#define QUEUE_BY_RING 4u

static inline void
queue_freep(struct queue **queue)
{
    queue_free(*queue);
}

int
queue_new(struct queue **ret, const struct queue_spec *spec)
{
    _cleanup_(queue_freep) struct queue *queue = NULL;

    if (spec->max_running == 0) {
        return -EINVAL;
    }
    queue = calloc(1, sizeof(*queue));
    if (queue == NULL) {
        return -ENOMEM;
    }
    queue->spec = *spec;
    list_init(&queue->tenants);
    list_init(&queue->items);
    *ret = steal(&queue);
    return 0;
}

struct queue *
queue_free(struct queue *queue)
{
    if (queue == NULL) {
        return NULL;
    }
    assert(queue->waiting == 0 && queue->running == 0);
    free(queue);
    return NULL;
}

struct queue_tenant *
queue_tenant_find(const struct queue *queue, const char *name)
{
    for (struct list *it = queue->tenants.next; it != &queue->tenants; it = it->next) {
        struct queue_tenant *tenant = list_entry(it, struct queue_tenant, link);

        if (strcmp(tenant->name, name) == 0) {
            return tenant;
        }
    }
    return NULL;
}

static struct queue_tenant *
tenant_get(struct queue *queue, const char *name)
{
    struct queue_tenant *tenant = queue_tenant_find(queue, name);
    size_t len = strlen(name);

    if (tenant != NULL) {
        return tenant;
    }
    tenant = len <= SBX_NAME_MAX ? calloc(1, sizeof(*tenant)) : NULL;
    if (tenant == NULL) {
        return NULL;
    }
    memcpy(tenant->name, name, len);
    list_init(&tenant->agents);
    tenant->runs = queue->runs; /* the best guess there is */
    list_append(&queue->tenants, &tenant->link);
    queue->n_tenants++;
    return tenant;
}

static void
tenant_drop_if_idle(struct queue *queue, struct queue_tenant *tenant)
{
    if (tenant->waiting + tenant->running > 0) {
        return;
    }
    list_remove(&tenant->link);
    queue->n_tenants--;
    free(tenant);
}

static struct queue_agent *
agent_get(struct queue_tenant *tenant, const char *name)
{
    size_t len = strlen(name);
    struct queue_agent *agent;

    for (struct list *it = tenant->agents.next; it != &tenant->agents; it = it->next) {
        agent = list_entry(it, struct queue_agent, link);
        if (strcmp(agent->name, name) == 0) {
            return agent;
        }
    }
    agent = len <= SBX_NAME_MAX ? calloc(1, sizeof(*agent)) : NULL;
    if (agent == NULL) {
        return NULL;
    }
    memcpy(agent->name, name, len);
    list_init(&agent->items);
    list_append(&tenant->agents, &agent->link);
    return agent;
}

static void
agent_drop_if_idle(struct queue_agent *agent)
{
    if (list_empty(&agent->items)) {
        list_remove(&agent->link);
        free(agent);
    }
}

unsigned
queue_idle_slots(const struct queue *queue)
{
    return queue->running < queue->spec.max_running ? queue->spec.max_running - queue->running : 0;
}

/* The k-th more is taken while running + k - 1 < GREED * (idle - k + 1), or with nothing running. */
static unsigned
greed_slots(unsigned idle, unsigned running)
{
    uint64_t most = (uint64_t)QUEUE_GREED * idle + QUEUE_GREED;
    uint64_t slots = most > running ? (most - running) / (QUEUE_GREED + 1) : 0;

    if (slots == 0 && running == 0) {
        slots = 1;
    }
    return slots < idle ? (unsigned)slots : idle;
}

/* Slots the tenant could take now are room for it besides its share of the waiting line. */
unsigned
queue_idle_slots_for(const struct queue *queue, const struct queue_tenant *tenant, unsigned cap)
{
    unsigned running = tenant == NULL ? 0 : tenant->running;
    unsigned slots = greed_slots(queue_idle_slots(queue), running);
    unsigned own = cap == 0 ? slots : cap > running ? cap - running : 0;

    return own < slots ? own : slots;
}

/* As with slots: no one tenant's bodies fill the memory. One job may always run, however large: its body's ceiling
 * is checked elsewhere. */
static int
queue_check_bytes(const struct queue *queue, const struct queue_tenant *tenant, size_t weight)
{
    uint64_t own = tenant == NULL ? 0 : tenant->bytes;
    uint64_t part = queue->spec.max_bytes / (QUEUE_GREED + 1) * QUEUE_GREED;

    if (queue->bytes > 0 && queue->bytes + weight > queue->spec.max_bytes) {
        return QUEUE_E_FULL;
    }
    return own > 0 && own + weight > part ? QUEUE_E_TENANT_FULL : 0;
}

int
queue_check_room(const struct queue *queue, const struct queue_tenant *tenant, size_t weight, unsigned cap)
{
    uint64_t own_waiting = tenant == NULL ? 0 : tenant->waiting;
    unsigned idle = queue_idle_slots_for(queue, tenant, cap);

    if (own_waiting >= (uint64_t)queue->spec.max_waiting_per_tenant + idle) {
        return QUEUE_E_TENANT_FULL;
    }
    if (queue->waiting >= (uint64_t)queue->spec.max_waiting + idle) {
        return QUEUE_E_FULL;
    }
    return queue_check_bytes(queue, tenant, weight);
}

int
queue_put(struct queue *queue, struct queue_item *item, const char *tenant_name, const char *agent_name,
          unsigned cap)
{
    struct queue_tenant *tenant = queue_tenant_find(queue, tenant_name);
    struct queue_agent *agent;
    int r;

    assert(item->tenant == NULL);
    r = queue_check_room(queue, tenant, item->weight, cap);
    if (r) {
        return r;
    }
    tenant = tenant_get(queue, tenant_name);
    if (tenant == NULL) {
        return -ENOMEM;
    }
    agent = agent_get(tenant, agent_name);
    if (agent == NULL) {
        tenant_drop_if_idle(queue, tenant);
        return -ENOMEM;
    }

    tenant->cap = cap;
    tenant->waiting++;
    queue->waiting++;
    queue->bytes += item->weight;
    tenant->bytes += item->weight;
    tenant->waiting_bytes += item->weight;
    item->tenant = tenant;
    item->agent = agent;
    list_append(&agent->items, &item->link);
    return 0;
}

/* Whoever had a turn goes to the end of its ring. */
static void
ring_rotate(struct list *head, struct list *link)
{
    list_remove(link);
    list_append(head, link);
}

static struct queue_item *
agent_first(const struct queue *queue, struct queue_agent *agent)
{
    for (struct list *it = agent->items.next; it != &agent->items; it = it->next) {
        struct queue_item *item = list_entry(it, struct queue_item, link);

        if (queue->spec.fits == NULL || queue->spec.fits(queue->spec.arg, item)) {
            return item;
        }
    }
    return NULL;
}

static struct queue_item *
tenant_first(const struct queue *queue, struct queue_tenant *tenant)
{
    struct queue_item *item = NULL;

    for (struct list *it = tenant->agents.next; it != &tenant->agents && item == NULL; it = it->next) {
        item = agent_first(queue, list_entry(it, struct queue_agent, link));
    }
    return item;
}

static bool
tenant_can_start(const struct queue *queue, struct queue_tenant *tenant)
{
    return tenant_first(queue, tenant) != NULL;
}

bool
queue_is_by_ring(const struct queue *queue)
{
    return queue->n_starts % QUEUE_BY_RING == QUEUE_BY_RING - 1;
}

struct queue_tenant *
queue_turn(const struct queue *queue, bool (*can)(const struct queue *queue, struct queue_tenant *tenant),
           unsigned *looks)
{
    bool is_by_ring = queue_is_by_ring(queue);
    struct queue_tenant *next = NULL;

    if (queue_idle_slots(queue) == 0 || queue->waiting == 0) {
        return NULL;
    }
    for (struct list *it = queue->tenants.next; it != &queue->tenants; it = it->next) {
        struct queue_tenant *tenant = list_entry(it, struct queue_tenant, link);

        if (looks != NULL) {
            ++*looks;
        }
        if (tenant->waiting == 0 || (next != NULL && tenant->running >= next->running) ||
            queue_idle_slots_for(queue, tenant, tenant->cap) == 0 || (can != NULL && !can(queue, tenant))) {
            continue;
        }
        next = tenant;
        if (is_by_ring || tenant->running == 0) {
            break;
        }
    }
    return next;
}

void
queue_turn_taken(struct queue *queue, struct queue_tenant *tenant)
{
    ring_rotate(&queue->tenants, &tenant->link);
    queue->n_starts++;
    tenant->waiting--;
    tenant->running++;
    queue->waiting--;
    queue->running++;
}

static void
item_run(struct queue *queue, struct queue_item *item)
{
    struct queue_tenant *tenant = item->tenant;
    struct queue_agent *agent = item->agent;

    list_remove(&item->link);
    list_append(&queue->items, &item->link);
    tenant->waiting_bytes -= item->weight;
    item->agent = NULL;
    ring_rotate(&tenant->agents, &agent->link);
    agent_drop_if_idle(agent);
    queue_turn_taken(queue, tenant);
}

struct queue_item *
queue_next(struct queue *queue)
{
    struct queue_tenant *tenant = queue_turn(queue, tenant_can_start, NULL);
    struct queue_item *item = tenant == NULL ? NULL : tenant_first(queue, tenant);

    if (item != NULL) {
        item_run(queue, item);
    }
    return item;
}

unsigned
queue_running_beside(const struct queue_item *item)
{
    unsigned running = item->tenant == NULL ? 0 : item->tenant->running;

    return running > 0 && item->agent == NULL ? running - 1 : running;
}

int
queue_put_back(struct queue *queue, struct queue_item *item, const char *agent_name)
{
    struct queue_tenant *tenant = item->tenant;
    struct queue_agent *agent;

    assert(tenant != NULL && item->agent == NULL);
    agent = agent_get(tenant, agent_name);
    if (agent == NULL) {
        return -ENOMEM;
    }
    list_remove(&item->link);
    /* Appending before the first is prepending. */
    list_append(agent->items.next, &item->link);
    item->agent = agent;
    tenant->running--;
    tenant->waiting++;
    tenant->waiting_bytes += item->weight;
    queue->running--;
    queue->waiting++;
    return 0;
}

void
queue_leave(struct queue *queue, struct queue_item *item, uint64_t ran_ms)
{
    struct queue_tenant *tenant = item->tenant;

    if (tenant == NULL) {
        return;
    }
    list_remove(&item->link);
    if (item->agent != NULL) {
        tenant->waiting_bytes -= item->weight;
        agent_drop_if_idle(item->agent);
        item->agent = NULL;
        tenant->waiting--;
        queue->waiting--;
    } else {
        tenant->running--;
        queue->running--;
    }
    queue->bytes -= item->weight;
    tenant->bytes -= item->weight;
    item->tenant = NULL;
    if (ran_ms > 0) {
        estimate_add(&queue->runs, ran_ms);
        estimate_add(&tenant->runs, ran_ms);
    }
    tenant_drop_if_idle(queue, tenant);
}

void
queue_stats(const struct queue *queue, struct queue_stats *ret)
{
    *ret = (struct queue_stats){
        .waiting = queue->waiting,
        .running = queue->running,
        .tenants = queue->n_tenants,
        .bytes = queue->bytes,
    };
}
