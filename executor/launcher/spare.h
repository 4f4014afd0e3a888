/*
 * Sandboxes that are made for nobody yet: from when nobody else waits for what is in their group any more, until
 * somebody wants them or a bound has passed, they have the processors that nobody else wants.
 */
#pragma once

#include "executor/launcher/cgroup.h"
#include "lib/sbx_list.h"

/* One sandbox's. All zeroes: not light. */
struct spare {
    struct list link; /* while it is light */
    bool is_light;
    bool is_stuck; /* an end could not be written */
    const struct cgroup *group;
    uint64_t until_ms;
};

/* Until spare_end, or until its time has passed. False: it was, or this cannot be written, which is told of. */
bool spare_begin(struct spare *spare, const struct cgroup_ops *ops, const struct cgroup *group, uint64_t now);
/* It has a new group's weight again; also legal when it is not light. < 0: it has not, and the next call tries once more. */
_must_check_ int spare_end(struct spare *spare, const struct cgroup_ops *ops);
/* Ends what has been light for so long. */
void spares_tick(const struct cgroup_ops *ops, uint64_t now);
/* Until the next ends; -1: none is light. */
int spares_timeout(uint64_t now);
