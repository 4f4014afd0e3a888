/*
 * Somebody waits for something to be over: told once, from the loop, when it is, or when the time is up. A waiter that
 * leaves changes nothing.
 */
#pragma once

#include "executor/core/timer.h"
#include "lib/sbx_list.h"

struct waiter;

enum waiter_result {
    WAITER_OVER,    /* what was waited for happened, and is durable */
    WAITER_TIMEOUT, /* not yet; that it exists is durable */
    WAITER_STORE,   /* the store failed */
};

typedef void (*waiter_fn)(void *arg, enum waiter_result result);

/*
 * *ret is valid until `done` is called. Nobody is told of a timeout before *accepted, which lives as long as the list.
 * `kind` tells waiters of one list apart.
 */
_must_check_ int waiter_new(struct waiter **ret, struct list *list, struct timers *timers, uint64_t ms,
                            const bool *accepted, unsigned kind, waiter_fn done, void *arg);
void waiter_cancel(struct waiter *waiter); /* accepts NULL */
/* *accepted became true: those whose time was up are told. */
void waiter_accepted(struct list *list);
/* Tells and removes all of this kind. */
void waiter_tell(struct list *list, unsigned kind, enum waiter_result result);
