#include "executor/launcher/spare.h"

/* A refill is done within some ms where there is time for it. Where there is none, it is not put off for ever. */
#define LIGHT_MS 50

/* In the order of their ends. */
static struct spare all = { .next = &all, .prev = &all };
static bool has_no_idle; /* this kernel */

bool
spare_begin(struct spare *spare, const struct cgroup_ops *ops, const struct cgroup *group, uint64_t now)
{
    int r;

    if (spare->next != NULL || has_no_idle) {
        return false;
    }
    r = ops->idle(group, true);
    if (r < 0) {
        has_no_idle = r == -ENOENT;
        if (!has_no_idle) {
            journal(JOURNAL_WARN, "spare.weight", JOURNAL_INT("error", -r));
        }
        return false;
    }
    *spare = (struct spare){ .next = &all, .prev = all.prev, .group = group, .until_ms = now + LIGHT_MS };
    all.prev->next = spare;
    all.prev = spare;
    return true;
}

int
spare_end(struct spare *spare, const struct cgroup_ops *ops)
{
    int r;

    if (spare->next == NULL && !spare->is_stuck) {
        return 0;
    }
    if (spare->next != NULL) {
        spare->next->prev = spare->prev;
        spare->prev->next = spare->next;
        spare->next = spare->prev = NULL;
    }
    r = ops->idle(spare->group, false);
    spare->is_stuck = r < 0;
    return r;
}

void
spares_tick(const struct cgroup_ops *ops, uint64_t now)
{
    while (all.next != &all && all.next->until_ms <= now) {
        int r = spare_end(all.next, ops);

        if (r < 0) {
            journal(JOURNAL_WARN, "spare.weight", JOURNAL_INT("error", -r));
        }
    }
}

int
spares_timeout(uint64_t now)
{
    return all.next == &all ? -1 : all.next->until_ms > now ? (int)(all.next->until_ms - now) : 0;
}
