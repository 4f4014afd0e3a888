#include "executor/launcher/thrash.h"

#include <string.h>

#define PAGE 4096
#define REFAULTS_MIN 1024 /* pages in one sample */
#define TURNOVER 4        /* so often the whole cache was read in again */

/* Programs that are mapped fault; what reads a file, however often, does not. */
static bool
is_bad(const struct cgroup_reclaim *now, const struct cgroup_reclaim *last)
{
    uint64_t refaults = now->refaults - last->refaults;

    return now->refaults > last->refaults && now->major_faults >= last->major_faults + 2 &&
           refaults >= REFAULTS_MIN && refaults * PAGE >= TURNOVER * now->cache_bytes;
}

_must_check_ bool
thrash_check(struct thrash *thrash, struct cgroup *group, const struct cgroup_ops *ops, uint64_t now_ms)
{
    struct cgroup_reclaim now;

    if (thrash->sampled_ms != 0 && now_ms - thrash->sampled_ms < THRASH_SAMPLE_MS) {
        return thrash->n_bad >= THRASH_SAMPLES;
    }
    if (ops->reclaim(group, &now) < 0) {
        return false;
    }
    thrash->n_bad = thrash->sampled_ms != 0 && is_bad(&now, &thrash->last) ? thrash->n_bad + 1 : 0;
    thrash->last = now;
    thrash->sampled_ms = now_ms;
    return thrash->n_bad >= THRASH_SAMPLES;
}
