#include "executor/launcher/share.h"

#include <assert.h>
#include <stdlib.h>

/*
 * Weights alone do not hold. On Linux 6.18 a group that forks without pause keeps tasks beside it waiting for
 * hundreds of ms, whatever they weigh: its virtual time hardly advances, as if it were placed wrongly at each
 * change of its weight, which comes with each fork and exit. One that weighs little next to the others cannot do
 * it (docs/performance.md), one that is idle still less. Also on a kernel that is right, one that has not had its part should not wait out the
 * turns of one that has had more.
 *
 * Used time is forgotten within WINDOW_MS. A part of the host leaves room for one that is about to come. On a host
 * that is busy with other things nobody gets that much, so twice the mean of what shares use is too much as well;
 * that counts among sandboxes only, and sends nobody behind the host's own processes.
 */
#define WINDOW_MS 256
#define GREEDY_PART 32
#define CALM_PERCENT 75 /* of a part: no longer greedy */
#define ACTIVE_US 5000  /* used of a window by one that is at work though none of its jobs runs now */
#define LITTLE_US 25000 /* never too much */

struct share_key {
    struct share_key *next;
    uint64_t number;
    uint64_t used_us; /* within the window, about */
    unsigned n_members;
    unsigned fresh_ms; /* so long one that joined counts as at work, as what it used is not known yet */
    bool is_greedy;    /* more than its part of what sandboxes use or of the host */
    bool is_hog;       /* of the host */
};

static struct share all = { .next = &all, .prev = &all };
static struct share_key *keys; /* with members, or used lately */
static unsigned n_hogs;        /* members of such keys */
static bool is_under_pressure; /* one is at work that is not greedy */
static bool has_no_idle;       /* this kernel */

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

/* Only while somebody else is there: idle groups have one weight, so the greedy would have no parts. */
_must_check_ static int
idle_write(struct share *share, const struct cgroup_ops *ops)
{
    bool is_idle = share->key->is_greedy && is_under_pressure;
    int r;

    if (is_idle == share->is_idle || has_no_idle) {
        return 0;
    }
    r = ops->idle(share->group, is_idle);
    if (r == -ENOENT) {
        has_no_idle = true;
        return 0;
    }
    if (r == 0) {
        share->is_idle = is_idle;
        share->weight = 0; /* whoever comes back has a new group's */
    }
    return r;
}

_must_check_ static int
weight_write(struct share *share, const struct cgroup_ops *ops, unsigned n)
{
    unsigned weight = ops->weight_normal / (share->key->is_greedy ? GREEDY_PART : 1) / n;
    int r = idle_write(share, ops);

    if (r < 0 || share->is_idle) {
        return r;
    }
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
    unsigned n = key->n_members;

    for (struct share *it = all.next; n > 0 && it != &all; it = it->next) {
        int r = it->key != key ? 0 : weight_write(it, ops, n);

        if (r < 0) {
            journal(JOURNAL_WARN, "share.weight", JOURNAL_INT("error", -r));
        }
    }
}

/* The greedy go behind those that are not, while one of these is at work. */
static void
pressure_note(const struct cgroup_ops *ops, bool is_pressed)
{
    if (is_pressed == is_under_pressure) {
        return;
    }
    is_under_pressure = is_pressed;
    for (const struct share_key *key = keys; key != NULL; key = key->next) {
        if (key->is_greedy) {
            members_weigh(key, ops);
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
    n_hogs += key->is_hog;
    members_weigh(key, ops);
    share->prev = all.prev;
    share->next = &all;
    all.prev->next = share;
    all.prev = share;
    key->fresh_ms = WINDOW_MS;
    if (!key->is_greedy) {
        pressure_note(ops, true);
    }
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
    n_hogs -= share->key->is_hog;
    members_weigh(share->key, ops);
    share->key = NULL; /* which may go with the next tick */
}

_must_check_ int
share_restore(struct share *share, const struct cgroup_ops *ops, const struct cgroup *group)
{
    int r = share->is_idle ? ops->idle(group, false) : 0;

    assert(share->next == NULL);
    if (r == 0 && share->weight != 0 && share->weight != ops->weight_normal) {
        r = ops->weigh(group, ops->weight_normal);
    }
    return r;
}

void
share_used(struct share *share, uint64_t cpu_ms)
{
    if (share->next != NULL && cpu_ms > share->cpu_ms) {
        share->key->used_us += (cpu_ms - share->cpu_ms) * 1000;
        share->cpu_ms = cpu_ms;
    }
}

static bool
is_over(const struct share_key *key, uint64_t part_us, bool was_over)
{
    return key->used_us > (was_over ? part_us * CALM_PERCENT / 100 : part_us);
}

static void
key_judge(struct share_key *key, const struct cgroup_ops *ops, uint64_t host_part_us, uint64_t mean_part_us)
{
    bool is_hog = is_over(key, host_part_us, key->is_hog);
    bool is_greedy = is_over(key, host_part_us < mean_part_us ? host_part_us : mean_part_us, key->is_greedy);

    if (is_hog != key->is_hog) {
        key->is_hog = is_hog;
        n_hogs = is_hog ? n_hogs + key->n_members : n_hogs - key->n_members;
    }
    if (is_greedy != key->is_greedy) {
        key->is_greedy = is_greedy;
        members_weigh(key, ops);
    }
}

/* Forgets, and sums up what is left; returns how many are at work. */
static uint64_t
keys_age(uint64_t ms, uint64_t whole_us, uint64_t *ret_used_us)
{
    uint64_t n_active = 0;

    *ret_used_us = 0;
    for (struct share_key *key = keys; key != NULL; key = key->next) {
        key->used_us = key->used_us * WINDOW_MS / (WINDOW_MS + ms);
        key->used_us = key->used_us < whole_us ? key->used_us : whole_us; /* told late, and all at once */
        key->fresh_ms -= (unsigned)(ms < key->fresh_ms ? ms : key->fresh_ms);
        *ret_used_us += key->used_us;
        n_active += key->n_members > 0 || key->used_us >= ACTIVE_US;
    }
    return n_active;
}

void
shares_tick(const struct cgroup_ops *ops, uint64_t ms, unsigned n_cpus)
{
    const uint64_t whole_us = WINDOW_MS * 1000ull * n_cpus;
    uint64_t used_us, n_active = keys_age(ms, whole_us, &used_us);
    bool is_pressed = false;
    uint64_t mean_part_us = n_active < 2 ? whole_us : 2 * used_us / (n_active + 1);

    mean_part_us = mean_part_us > LITTLE_US ? mean_part_us : LITTLE_US;
    for (struct share_key **at = &keys; *at != NULL;) {
        struct share_key *key = *at;

        key_judge(key, ops, whole_us / (n_active + 1), mean_part_us);
        is_pressed = is_pressed || (!key->is_greedy && key->n_members > 0 &&
                                    (key->fresh_ms > 0 || key->used_us >= ACTIVE_US));
        if (key->n_members == 0 && key->used_us < 1000) {
            *at = key->next;
            free(key);
        } else {
            at = &key->next;
        }
    }
    pressure_note(ops, is_pressed);
}

bool
shares_hog(void)
{
    return n_hogs > 0;
}

bool
share_is_hog(const struct share *share)
{
    return share->next != NULL && share->key->is_hog;
}
