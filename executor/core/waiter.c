#include "executor/core/waiter.h"

#include <stdlib.h>

struct waiter {
    struct list link;
    struct timer *timer;
    const bool *accepted;
    unsigned kind;
    waiter_fn done;
    void *arg;
    bool time_is_up;
};

static void
waiter_free(struct waiter *waiter)
{
    list_remove(&waiter->link);
    timer_free(waiter->timer);
    free(waiter);
}

static void
waiter_finish(struct waiter *waiter, enum waiter_result result)
{
    waiter_fn done = waiter->done;
    void *arg = waiter->arg;

    waiter_free(waiter);
    done(arg, result);
}

static void
waiter_on_time(void *arg)
{
    struct waiter *waiter = arg;

    waiter->time_is_up = true;
    if (*waiter->accepted) {
        waiter_finish(waiter, WAITER_TIMEOUT);
    }
}

int
waiter_new(struct waiter **ret, struct list *list, struct timers *timers, uint64_t ms, const bool *accepted,
           unsigned kind, waiter_fn done, void *arg)
{
    struct waiter *waiter;
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
    waiter->accepted = accepted;
    waiter->kind = kind;
    waiter->done = done;
    waiter->arg = arg;
    list_append(list, &waiter->link);
    timer_start(waiter->timer, ms);
    *ret = waiter;
    return 0;
}

void
waiter_cancel(struct waiter *waiter)
{
    if (waiter != NULL) {
        waiter_free(waiter);
    }
}

/* Whoever is told may make others leave: the list is looked at anew each time. */
static struct waiter *
waiter_pick(struct list *list, bool late, unsigned kind)
{
    for (struct list *it = list->next; it != list; it = it->next) {
        struct waiter *waiter = list_entry(it, struct waiter, link);

        if (late ? waiter->time_is_up : waiter->kind == kind) {
            return waiter;
        }
    }
    return NULL;
}

void
waiter_accepted(struct list *list)
{
    struct waiter *waiter;

    while ((waiter = waiter_pick(list, true, 0)) != NULL) {
        waiter_finish(waiter, WAITER_TIMEOUT);
    }
}

void
waiter_tell(struct list *list, unsigned kind, enum waiter_result result)
{
    struct waiter *waiter;

    while ((waiter = waiter_pick(list, false, kind)) != NULL) {
        waiter_finish(waiter, result);
    }
}
