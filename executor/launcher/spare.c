#include "executor/launcher/spare.h"

/* A refill is done within some ms where there is time for it. Where there is none, it is not put off for ever. */
#define LIGHT_MS 50

/* In the order of their ends. */
static struct list all = { &all, &all };
static bool has_no_idle; /* this kernel */

bool
spare_begin(struct spare *spare, const struct cgroup_ops *ops, const struct cgroup *group, uint64_t now)
{
    int r;

    if (spare->is_light || has_no_idle) {
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
    *spare = (struct spare){ .is_light = true, .group = group, .until_ms = now + LIGHT_MS };
    list_append(&all, &spare->link);
    return true;
}

int
spare_end(struct spare *spare, const struct cgroup_ops *ops)
{
    int r;

    if (!spare->is_light && !spare->is_stuck) {
        return 0;
    }
    if (spare->is_light) {
        list_remove(&spare->link);
        spare->is_light = false;
    }
    r = ops->idle(spare->group, false);
    spare->is_stuck = r < 0;
    return r;
}

/* The one whose end comes next; NULL: none is light. */
static struct spare *
first(void)
{
    return list_empty(&all) ? NULL : list_entry(all.next, struct spare, link);
}

void
spares_tick(const struct cgroup_ops *ops, uint64_t now)
{
    struct spare *spare;

    while ((spare = first()) != NULL && spare->until_ms <= now) {
        int r = spare_end(spare, ops);

        if (r < 0) {
            journal(JOURNAL_WARN, "spare.weight", JOURNAL_INT("error", -r));
        }
    }
}

int
spares_timeout(uint64_t now)
{
    const struct spare *spare = first();

    if (spare == NULL) {
        return -1;
    }
    return spare->until_ms > now ? (int)(spare->until_ms - now) : 0;
}
