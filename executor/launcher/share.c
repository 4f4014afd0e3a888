#include "executor/launcher/share.h"

#include <assert.h>

static struct share all = { .next = &all, .prev = &all };

_must_check_ static int
weight_write(struct share *share, const struct cgroup_ops *ops, unsigned n)
{
    unsigned weight = ops->weight_normal / n;
    int r;

    weight = weight > ops->weight_least ? weight : ops->weight_least;
    if (weight == (share->weight != 0 ? share->weight : ops->weight_normal)) {
        return 0;
    }
    r = ops->weigh(share->group, weight);
    if (r == 0) {
        share->weight = weight;
    }
    return r;
}

static unsigned
members_count(uint64_t key)
{
    unsigned n = 0;

    for (const struct share *it = all.next; it != &all; it = it->next) {
        n += it->key == key;
    }
    return n;
}

/* One whose weight is not taken keeps what it had until the number changes again: never more than normal. */
static void
others_weigh(const struct share *but, uint64_t key, const struct cgroup_ops *ops, unsigned n)
{
    for (struct share *it = all.next; it != &all; it = it->next) {
        int r = it->key != key || it == but ? 0 : weight_write(it, ops, n);

        if (r < 0) {
            journal(JOURNAL_WARN, "share.weight", JOURNAL_INT("error", -r));
        }
    }
}

int
share_join(struct share *share, const struct cgroup_ops *ops, const struct cgroup *group, uint64_t key)
{
    unsigned n = 1 + members_count(key);
    int r;

    assert(share->next == NULL);
    if (key == 0) {
        return 0;
    }
    *share = (struct share){ .key = key, .group = group };
    r = weight_write(share, ops, n);
    if (r < 0) {
        return r;
    }
    share->prev = all.prev;
    share->next = &all;
    all.prev->next = share;
    all.prev = share;
    if (n > 1) {
        others_weigh(share, key, ops, n);
    }
    return 0;
}

void
share_leave(struct share *share, const struct cgroup_ops *ops)
{
    unsigned n;

    if (share->next == NULL) {
        return;
    }
    share->next->prev = share->prev;
    share->prev->next = share->next;
    share->next = share->prev = NULL;
    n = members_count(share->key);
    if (n > 0) {
        others_weigh(NULL, share->key, ops, n);
    }
}
