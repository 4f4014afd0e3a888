#include "executor/core/hold.h"

#include <stdlib.h>

struct holds {
    struct list list; /* the first is due first */
    struct timers *timers;
    struct timer *timer;
    uint64_t ms;
    void (*release)(void *arg, struct hold *hold);
    void *arg;
};

/* The timer stays armed for one that was taken meanwhile: it then finds nothing, and nobody pays for arming it anew. */
static void
holds_on_time(void *arg)
{
    struct holds *holds = arg;
    const uint64_t now = timers_now_ms(holds->timers);

    while (!list_empty(&holds->list)) {
        struct hold *hold = list_entry(holds->list.next, struct hold, link);

        if (hold->due_ms > now) {
            timer_start(holds->timer, hold->due_ms - now);
            return;
        }
        hold_take(hold);
        holds->release(holds->arg, hold);
    }
}

int
holds_new(struct holds **ret, struct timers *timers, uint64_t ms,
          void (*release)(void *arg, struct hold *hold), void *arg)
{
    struct holds *holds;
    int r;

    holds = calloc(1, sizeof(*holds));
    if (holds == NULL) {
        return -ENOMEM;
    }
    *holds = (struct holds){ .timers = timers, .ms = ms, .release = release, .arg = arg };
    list_init(&holds->list);
    r = timer_new(&holds->timer, timers, holds_on_time, holds);
    if (r) {
        free(holds);
        return r;
    }
    *ret = holds;
    return 0;
}

struct holds *
holds_free(struct holds *holds)
{
    if (holds != NULL) {
        assert(list_empty(&holds->list));
        timer_free(holds->timer);
        free(holds);
    }
    return NULL;
}

void
holds_add(struct holds *holds, struct hold *hold)
{
    hold->due_ms = timers_now_ms(holds->timers) + holds->ms;
    if (list_empty(&holds->list)) {
        timer_start(holds->timer, holds->ms);
    }
    list_append(&holds->list, &hold->link);
}

void
hold_take(struct hold *hold)
{
    list_remove(&hold->link);
}
