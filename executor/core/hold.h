/*
 * Records that may wait a moment for what belongs to them, so that both are one commit: each is let go of when its time is
 * up, in the order in which they came, unless somebody took it before. All wait equally long.
 */
#pragma once

#include "executor/core/timer.h"
#include "lib/sbx_list.h"

struct holds;

/* Part of what is held; unlinked by hold_init. */
struct hold {
    struct list link;
    uint64_t due_ms;
};

static inline void
hold_init(struct hold *hold)
{
    list_init(&hold->link);
}

/* `release` is called from the loop; the hold is not in there any more. */
_must_check_ int holds_new(struct holds **ret, struct timers *timers, uint64_t ms,
                           void (*release)(void *arg, struct hold *hold), void *arg);
struct holds *holds_free(struct holds *holds); /* what is in there is unlinked by its owners before */
void holds_add(struct holds *holds, struct hold *hold);
/* Legal for one that is in none. */
void hold_take(struct hold *hold);
