/*
 * A group at its memory limit whose processes do nothing but read their own programs back in: the kernel always finds
 * a page of the program to throw away, so it never calls that out of memory, and the sandbox would keep the disk of all
 * busy until its time is over.
 */
#pragma once

#include "executor/launcher/cgroup.h"

#define THRASH_SAMPLE_MS 200
#define THRASH_SAMPLES 5 /* in a row */

struct thrash {
    uint64_t sampled_ms; /* 0: none yet */
    struct cgroup_reclaim last;
    unsigned n_bad;
};

/* To be asked while the group is at its limit. True once the last samples in a row were bad. */
_must_check_ bool thrash_check(struct thrash *thrash, struct cgroup *group, const struct cgroup_ops *ops,
                               uint64_t now_ms);
