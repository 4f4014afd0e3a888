#include "executor/launcher/share.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Weights alone do not hold. Linux 6.13 to 6.19 misplace a group on a processor's time line whenever its weight
 * there changes while it runs, and the weight changes with each fork and exit in it: a group that forks without
 * pause keeps tasks beside it waiting for hundreds of ms, whatever they weigh. The error goes with the group's
 * part of the weight there, so one that weighs little next to the others cannot do it. Also on a kernel that is
 * right, one that has not had its part should not wait out the turns of one that has had more.
 *
 * Used time is forgotten within WINDOW_MS. A part leaves room for one that is about to come.
 */
#define WINDOW_MS 256
#define GREEDY_PART 32
#define CALM_PERCENT 75 /* of a part: no longer greedy */

struct share_key {
    struct share_key *next;
    uint64_t number;
    uint64_t used_us; /* within the window, about */
    unsigned n_members;
    bool is_greedy;
};

static struct share all = { .next = &all, .prev = &all };
static struct share_key *keys; /* with members, or used lately */
static unsigned n_greedy;      /* members of greedy keys */

static struct share_key *
key_get(uint64_t number)
{
    struct share_key *key = keys;

    while (key != NULL && key->number != number) {
        key = key->next;
    }
    if (key == NULL) {
        key = calloc(1, sizeof(*key));
        if (key != NULL) {
            *key = (struct share_key){ .number = number, .next = keys };
            keys = key;
        }
    }
    return key;
}

_must_check_ static int
weight_write(struct share *share, const struct cgroup_ops *ops, unsigned n)
{
    unsigned weight = ops->weight_normal / (share->key->is_greedy ? GREEDY_PART : 1) / n;
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

/* One whose weight is not taken keeps what it had until the number changes again: never more than normal. */
static void
members_weigh(const struct share_key *key, const struct cgroup_ops *ops)
{
    for (struct share *it = all.next; it != &all; it = it->next) {
        int r = it->key != key ? 0 : weight_write(it, ops, key->n_members);

        if (r < 0) {
            journal(JOURNAL_WARN, "share.weight", JOURNAL_INT("error", -r));
        }
    }
}

int
share_join(struct share *share, const struct cgroup_ops *ops, const struct cgroup *group, uint64_t number)
{
    struct share_key *key;
    int r;

    assert(share->next == NULL);
    if (number == 0) {
        return 0;
    }
    key = key_get(number);
    if (key == NULL) {
        return -ENOMEM;
    }
    *share = (struct share){ .key = key, .group = group };
    r = weight_write(share, ops, key->n_members + 1);
    if (r < 0) {
        share->key = NULL;
        return r;
    }
    key->n_members++;
    n_greedy += key->is_greedy;
    members_weigh(key, ops);
    share->prev = all.prev;
    share->next = &all;
    all.prev->next = share;
    all.prev = share;
    return 0;
}

void
share_leave(struct share *share, const struct cgroup_ops *ops)
{
    if (share->next == NULL) {
        return;
    }
    share->next->prev = share->prev;
    share->prev->next = share->next;
    share->next = share->prev = NULL;
    share->key->n_members--;
    n_greedy -= share->key->is_greedy;
    members_weigh(share->key, ops);
    share->key = NULL; /* which may go with the next tick */
}

void
share_used(struct share *share, uint64_t cpu_ms)
{
    if (share->next != NULL && cpu_ms > share->cpu_ms) {
        share->key->used_us += (cpu_ms - share->cpu_ms) * 1000;
        share->cpu_ms = cpu_ms;
    }
}

static void
key_judge(struct share_key *key, const struct cgroup_ops *ops, uint64_t part_us)
{
    bool is_greedy = key->used_us > (key->is_greedy ? part_us * CALM_PERCENT / 100 : part_us);

    if (is_greedy == key->is_greedy) {
        return;
    }
    key->is_greedy = is_greedy;
    n_greedy = is_greedy ? n_greedy + key->n_members : n_greedy - key->n_members;
    members_weigh(key, ops);
}

void
shares_tick(const struct cgroup_ops *ops, uint64_t ms, unsigned n_cpus)
{
    const uint64_t whole_us = WINDOW_MS * 1000ull * n_cpus;
    uint64_t n_active = 0;

    for (const struct share_key *key = keys; key != NULL; key = key->next) {
        n_active += key->n_members > 0;
    }
    for (struct share_key **at = &keys; *at != NULL;) {
        struct share_key *key = *at;

        key->used_us = key->used_us * WINDOW_MS / (WINDOW_MS + ms);
        key->used_us = key->used_us < whole_us ? key->used_us : whole_us; /* told late, and all at once */
        key_judge(key, ops, whole_us / (n_active + 1));
        if (key->n_members == 0 && key->used_us < 1000) {
            *at = key->next;
            free(key);
        } else {
            at = &key->next;
        }
    }
}

bool
shares_greedy(void)
{
    return n_greedy > 0;
}

bool
share_is_greedy(const struct share *share)
{
    return share->next != NULL && share->key->is_greedy;
}
