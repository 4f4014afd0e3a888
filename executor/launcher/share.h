/*
 * Sandboxes adopted with the same non-zero share divide what one sandbox weighs on the
 * processors, from ADOPT until they are dead: a tenant with many jobs weighs as much
 * as one with one. A share that takes more than its part, of the host or of what sandboxes
 * use, is greedy: it weighs next to nothing, and behind one that is not it only gets what that
 * leaves. Greedy ones among themselves keep their parts.
 */
#pragma once

#include "executor/launcher/cgroup.h"

struct share_key;

struct share {
    struct share *next, *prev; /* all that are in; NULL when this one is not */
    struct share_key *key;
    const struct cgroup *group;
    unsigned weight; /* as written last; 0: the kernel's, never written */
    uint64_t cpu_ms; /* as told last */
    bool is_idle;
};

/* The group must outlive its membership. -errno: its own weight was not taken, and it is not in. */
_must_check_ int share_join(struct share *share, const struct cgroup_ops *ops, const struct cgroup *group,
                            uint64_t key);
/* For one that is not in, too. */
void share_leave(struct share *share, const struct cgroup_ops *ops);
/* For one that has left: its group weighs what a new one does, whatever it was given meanwhile. */
_must_check_ int share_restore(struct share *share, const struct cgroup_ops *ops, const struct cgroup *group);
/* What it used since it joined; for one that is not in, too. */
void share_used(struct share *share, uint64_t cpu_ms);
/* `ms` have passed since the last call. Finds who is greedy now, and weighs. */
void shares_tick(const struct cgroup_ops *ops, uint64_t ms, unsigned n_cpus);
/* True while one that is in is of a share that has more than its part of the host. */
bool shares_hog(void);
/* False for one that is not in. */
bool share_is_hog(const struct share *share);
