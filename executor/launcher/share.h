/*
 * Sandboxes adopted with the same non-zero share divide what one sandbox weighs on the
 * processors, from ADOPT until they are dead: a tenant with many jobs weighs as much
 * as one with one.
 */
#pragma once

#include "executor/launcher/cgroup.h"

struct share {
    struct share *next, *prev; /* all that are in; NULL when this one is not */
    uint64_t key;
    const struct cgroup *group;
    unsigned weight; /* as written last; 0: the kernel's, never written */
};

/* The group must outlive its membership. -errno: its own weight was not taken, and it is not in. */
_must_check_ int share_join(struct share *share, const struct cgroup_ops *ops, const struct cgroup *group,
                            uint64_t key);
/* For one that is not in, too. */
void share_leave(struct share *share, const struct cgroup_ops *ops);
