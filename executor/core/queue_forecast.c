/*
 * The queue played on: its tenants are copied without their items, the running ones end in the order of what is left of
 * them, and who may start by queue.c's own rules starts. Bounded: a queue of many capped tenants is played as far as
 * FORECAST_MAX_LOOKS reach and the rest is counted by turns.
 */
#include "executor/core/queue_inside.h"

#include <stdlib.h>
#include <string.h>

#define FORECAST_GUESS_MS 5000 /* a run's length before any was seen */
#define FORECAST_MAX_LOOKS 20000u
#define FORECAST_MAX_S 3600

struct forecast_run {
    uint64_t end_ms, weight;
    unsigned number; /* of those that end at once the one that began first is the first */
    struct queue_tenant *tenant;
};

struct forecast {
    struct queue queue; /* a copy, as are its tenants */
    struct queue_tenant *tenants;
    struct forecast_run *runs; /* a heap, the first to end on top */
    unsigned n_runs, n_pushed, looks;
    uint64_t now_ms;
};

static void
heap_swap(struct forecast_run *a, struct forecast_run *b)
{
    struct forecast_run c = *a;

    *a = *b;
    *b = c;
}

static bool
ends_before(const struct forecast_run *a, const struct forecast_run *b)
{
    return a->end_ms != b->end_ms ? a->end_ms < b->end_ms : a->number < b->number;
}

static void
heap_push(struct forecast *forecast, struct forecast_run run)
{
    struct forecast_run *heap = forecast->runs;
    unsigned i = forecast->n_runs++;

    run.number = forecast->n_pushed++;
    heap[i] = run;
    for (; i > 0 && ends_before(&heap[i], &heap[(i - 1) / 2]); i = (i - 1) / 2) {
        heap_swap(&heap[i], &heap[(i - 1) / 2]);
    }
}

static struct forecast_run
heap_pop(struct forecast *forecast)
{
    struct forecast_run *heap = forecast->runs, top = heap[0];
    unsigned n = --forecast->n_runs, i = 0;

    heap[0] = heap[n];
    for (;;) {
        unsigned least = i;

        for (unsigned child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++) {
            least = ends_before(&heap[child], &heap[least]) ? child : least;
        }
        if (least == i) {
            return top;
        }
        heap_swap(&heap[i], &heap[least]);
        i = least;
    }
}

static struct queue_tenant *
forecast_tenant(struct forecast *forecast, const char *name)
{
    return queue_tenant_find(&forecast->queue, name);
}

static void
forecast_add_running(struct forecast *forecast, const struct queue *queue)
{
    for (struct list *it = queue->items.next; it != &queue->items; it = it->next) {
        struct queue_item *item = list_entry(it, struct queue_item, link);
        uint64_t age_ms = 0, most_ms = 0;

        if (queue->spec.look != NULL) {
            queue->spec.look(queue->spec.arg, item, &age_ms, &most_ms);
        }
        heap_push(forecast,
                  (struct forecast_run){
                      .end_ms = estimate_left_ms(&item->tenant->runs, FORECAST_GUESS_MS, age_ms, most_ms),
                      .weight = item->weight,
                      .tenant = item->tenant->copy,
                  });
    }
}

static void
forecast_deinit(struct forecast *forecast)
{
    free(forecast->tenants);
    free(forecast->runs);
}

static int
forecast_init(struct forecast *forecast, const struct queue *queue)
{
    unsigned n = 0;

    *forecast = (struct forecast){ .queue = *queue };
    list_init(&forecast->queue.tenants);
    list_init(&forecast->queue.items);
    forecast->tenants = calloc(queue->n_tenants + 1, sizeof(*forecast->tenants));
    forecast->runs = calloc((size_t)queue->running + queue->spec.max_running, sizeof(*forecast->runs));
    if (forecast->tenants == NULL || forecast->runs == NULL) {
        forecast_deinit(forecast);
        return -ENOMEM;
    }
    for (struct list *it = queue->tenants.next; it != &queue->tenants; it = it->next) {
        struct queue_tenant *tenant = list_entry(it, struct queue_tenant, link);

        forecast->tenants[n] = *tenant;
        tenant->copy = &forecast->tenants[n];
        list_append(&forecast->queue.tenants, &forecast->tenants[n++].link);
    }
    forecast_add_running(forecast, queue);
    return 0;
}

/* As item_run does. */
static void
forecast_start(struct forecast *forecast, struct queue_tenant *tenant)
{
    uint64_t weight = tenant->waiting_bytes / tenant->waiting;

    queue_turn_taken(&forecast->queue, tenant);
    tenant->waiting_bytes -= weight;
    heap_push(forecast,
              (struct forecast_run){
                  .end_ms = forecast->now_ms + estimate_left_ms(&tenant->runs, FORECAST_GUESS_MS, 0, 0),
                  .weight = weight,
                  .tenant = tenant,
              });
}

/* The tenant that starts one now, NULL: none may. */
static struct queue_tenant *
forecast_next(struct forecast *forecast)
{
    struct queue_tenant *tenant = queue_turn(&forecast->queue, NULL, &forecast->looks);

    if (tenant != NULL) {
        forecast_start(forecast, tenant);
    }
    return tenant;
}

/* The next run ends; false when none runs. */
static bool
forecast_end(struct forecast *forecast)
{
    struct forecast_run run;

    if (forecast->n_runs == 0) {
        return false;
    }
    run = heap_pop(forecast);
    forecast->now_ms = run.end_ms;
    run.tenant->running--;
    run.tenant->bytes -= run.weight;
    forecast->queue.running--;
    forecast->queue.bytes -= run.weight;
    return true;
}

static unsigned
least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned
list_place(const struct list *head, const struct list *link)
{
    unsigned n = 0;

    for (const struct list *it = head->next; it != link; it = it->next) {
        n++;
    }
    return n;
}

static unsigned
list_length(const struct list *head)
{
    return list_place(head, head);
}

/* How many of its own tenant start before it: the agents take turns, each in its order. */
static unsigned
place_in_tenant(const struct queue_item *item)
{
    unsigned own = list_place(&item->agent->items, &item->link), n = own;
    bool before = true; /* in the ring, so its turn comes first */

    for (struct list *it = item->tenant->agents.next; it != &item->tenant->agents; it = it->next) {
        const struct queue_agent *agent = list_entry(it, struct queue_agent, link);

        if (agent == item->agent) {
            before = false;
        } else {
            n += least(list_length(&agent->items), before ? own + 1 : own);
        }
    }
    return n;
}

/* The same between tenants, when there are no caps. */
static unsigned
place_by_turns(const struct queue *queue, const struct queue_tenant *own, unsigned place)
{
    unsigned n = place;
    bool before = true;

    for (struct list *it = queue->tenants.next; it != &queue->tenants; it = it->next) {
        const struct queue_tenant *tenant = list_entry(it, struct queue_tenant, link);

        if (tenant == own) {
            before = false;
        } else {
            n += least(tenant->waiting, before ? place + 1 : place);
        }
    }
    return n + 1;
}

unsigned
queue_position(const struct queue *queue, const struct queue_item *item)
{
    struct forecast forecast;
    struct queue_tenant *own, *tenant;
    unsigned left, place, position = 0;

    if (item->agent == NULL) {
        return 0;
    }
    place = place_in_tenant(item);
    left = place + 1;
    if (forecast_init(&forecast, queue) != 0) {
        return place_by_turns(queue, item->tenant, place);
    }
    own = item->tenant->copy;
    while (left > 0 && forecast.looks < FORECAST_MAX_LOOKS) {
        tenant = forecast_next(&forecast);
        if (tenant == NULL && !forecast_end(&forecast)) {
            break;
        }
        position += tenant != NULL;
        left -= tenant == own;
    }
    if (left > 0) {
        position += place_by_turns(&forecast.queue, own, left - 1);
    }
    forecast_deinit(&forecast);
    return position;
}

unsigned
queue_retry_after_s(const struct queue *queue, const char *tenant_name, size_t weight, unsigned cap)
{
    struct forecast forecast;
    const struct queue_tenant *tenant;
    uint64_t ms;

    if (forecast_init(&forecast, queue) != 0) {
        return 1;
    }
    tenant = forecast_tenant(&forecast, tenant_name);
    while (queue_check_room(&forecast.queue, tenant, weight, cap) != 0 &&
           forecast.looks < FORECAST_MAX_LOOKS) {
        if (forecast_next(&forecast) == NULL && !forecast_end(&forecast)) {
            break;
        }
    }
    /* Some take longer than the mean: so much is added once. */
    ms = forecast.now_ms == 0
             ? 0
             : forecast.now_ms + 4 * (tenant != NULL ? tenant->runs.deviation_ms : queue->runs.deviation_ms);
    forecast_deinit(&forecast);
    if (ms >= 1000ul * FORECAST_MAX_S) {
        return FORECAST_MAX_S;
    }
    return ms < 1000 ? 1 : (unsigned)((ms + 999) / 1000);
}
