#include "executor/core/pool_share.h"

#include <assert.h>
#include <stdlib.h>

/* Of a thousand, each tick: 1000 * (1 - 2^(-POOL_SHARE_TICK_MS / POOL_SHARE_HALF_MS)) */
#define SHARE_DECAY 23
#define SHARE_UNIT 1000u

struct pool_share {
    struct pool_share_spec spec;
    struct list claims;
    struct list members; /* a ring: who was asked last is the last */
    unsigned refills;
    uint64_t quiet_at_ms; /* from then on refills begin */
    bool is_ticking, is_dirty;
    struct timer *tick; /* armed while a peak decays */
    struct timer *wake; /* 0 ms */
};

static void share_on_tick(void *arg);
static void share_on_wake(void *arg);

static inline void
pool_share_freep(struct pool_share **share)
{
    pool_share_free(*share);
}

int
pool_share_new(struct pool_share **ret, const struct pool_share_spec *spec)
{
    _cleanup_(pool_share_freep) struct pool_share *share = NULL;
    int r;

    if (spec->timers == NULL || spec->max_refills == 0) {
        return -EINVAL;
    }
    share = calloc(1, sizeof(*share));
    if (share == NULL) {
        return -ENOMEM;
    }
    share->spec = *spec;
    list_init(&share->claims);
    list_init(&share->members);
    r = timer_new(&share->tick, spec->timers, share_on_tick, share);
    r = r ? r : timer_new(&share->wake, spec->timers, share_on_wake, share);
    if (r) {
        return r;
    }
    *ret = steal(&share);
    return 0;
}

struct pool_share *
pool_share_free(struct pool_share *share)
{
    if (share == NULL) {
        return NULL;
    }
    assert(list_empty(&share->members) && list_empty(&share->claims));
    timer_free(share->wake);
    timer_free(share->tick);
    free(share);
    return NULL;
}

void
pool_share_join(struct pool_share *share, struct pool_member *member)
{
    member->share = share;
    list_append(&share->members, &member->link);
}

void
pool_share_leave(struct pool_member *member)
{
    if (member->share != NULL) {
        list_remove(&member->link);
        member->share = NULL;
    }
}

static unsigned
claim_wants(const struct pool_claim *claim)
{
    uint64_t want = (claim->peak + SHARE_UNIT - 1) / SHARE_UNIT;

    want = want > claim->min ? want : claim->min;
    return want < claim->max ? (unsigned)want : claim->max;
}

struct purse {
    uint64_t memory;
    unsigned number;
};

static bool
purse_has(const struct purse *purse, const struct pool_claim *claim)
{
    return purse->number > 0 && purse->memory >= claim->memory;
}

static void
purse_give(struct purse *purse, struct pool_claim *claim)
{
    purse->number--;
    purse->memory -= claim->memory;
    claim->size++;
}

/* Whoever would have the least memory with one more gets it, until all have what they want or nothing is left. */
static void
share_fill(struct pool_share *share, struct purse *purse)
{
    struct pool_claim *least;

    do {
        struct list *it, *after;
        uint64_t least_memory = UINT64_MAX;

        least = NULL;
        list_each (it, after, &share->claims) {
            struct pool_claim *claim = list_entry(it, struct pool_claim, link);
            uint64_t memory = (claim->size + UINT64_C(1)) * claim->memory;

            if (claim->size < claim->goal && memory < least_memory && purse_has(purse, claim)) {
                least = claim;
                least_memory = memory;
            }
        }
        if (least != NULL) {
            purse_give(purse, least);
        }
    } while (least != NULL);
}

/* True when all of it fits, and then it is given. */
static bool
share_give_all(struct pool_share *share)
{
    struct list *it, *after;
    uint64_t memory = 0, number = 0;

    list_each (it, after, &share->claims) {
        const struct pool_claim *claim = list_entry(it, struct pool_claim, link);

        number += claim_wants(claim);
        memory += claim_wants(claim) * claim->memory;
    }
    if (number > share->spec.max_number || memory > share->spec.max_memory) {
        return false;
    }
    list_each (it, after, &share->claims) {
        struct pool_claim *claim = list_entry(it, struct pool_claim, link);

        claim->size = claim_wants(claim);
    }
    return true;
}

static void
share_divide(struct pool_share *share)
{
    struct purse purse = { .memory = share->spec.max_memory, .number = share->spec.max_number };
    struct list *it, *after;

    if (share_give_all(share)) {
        return;
    }
    list_each (it, after, &share->claims) {
        struct pool_claim *claim = list_entry(it, struct pool_claim, link);

        claim->size = 0;
        claim->goal = claim->min;
    }
    share_fill(share, &purse);
    list_each (it, after, &share->claims) {
        struct pool_claim *claim = list_entry(it, struct pool_claim, link);

        claim->goal = claim_wants(claim);
    }
    share_fill(share, &purse);
}

/* Sizes are made up before anybody next looks at them. */
static void
share_changed(struct pool_share *share)
{
    share->is_dirty = true;
    timer_start(share->wake, 0);
}

static unsigned
share_room(const struct pool_share *share)
{
    bool is_busy = share->spec.busy != NULL && share->spec.busy(share->spec.busy_arg);
    unsigned max = is_busy ? 1 : share->spec.max_refills;

    return share->refills < max ? max - share->refills : 0;
}

static uint64_t
member_quiet_at(const struct pool_member *member)
{
    const struct pool_share *share = member->share;

    return member->quiet_at_ms > share->quiet_at_ms ? member->quiet_at_ms : share->quiet_at_ms;
}

/* One each, by turns: whoever was asked goes to the end of the ring. Ends when there is no room or nobody wants any. */
static void
share_refill(struct pool_share *share, uint64_t now_ms)
{
    unsigned n = 0, n_unwilling = 0;
    struct list *it, *after;

    list_each (it, after, &share->members) {
        n++;
    }
    while (n_unwilling < n && share_room(share) > 0) {
        struct pool_member *member = list_entry(list_pop(&share->members), struct pool_member, link);
        bool is_quiet = now_ms >= member_quiet_at(member);

        list_append(&share->members, &member->link);
        if (is_quiet ? member->refill(member->arg) : member->refill_low(member->arg)) {
            share->refills++;
            n_unwilling = 0;
        } else {
            n_unwilling++;
        }
    }
}

/* Of two times, of which what is over does not count. */
static uint64_t
sooner(uint64_t next_ms, uint64_t at_ms, uint64_t now_ms)
{
    return at_ms > now_ms && at_ms < next_ms ? at_ms : next_ms;
}

/* The next time that a member may begin what it may not begin now. */
static void
share_wake_when_quiet(struct pool_share *share, uint64_t now_ms)
{
    uint64_t next_ms = UINT64_MAX;
    struct list *it, *after;

    list_each (it, after, &share->members) {
        next_ms = sooner(next_ms, member_quiet_at(list_entry(it, struct pool_member, link)), now_ms);
    }
    list_each (it, after, &share->claims) {
        next_ms = sooner(next_ms, list_entry(it, struct pool_claim, link)->low_at_ms, now_ms);
    }
    if (next_ms != UINT64_MAX) {
        timer_start(share->wake, next_ms - now_ms);
    }
}

static void
share_on_wake(void *arg)
{
    struct pool_share *share = arg;
    struct list *it, *after;
    uint64_t now_ms;

    if (share->is_dirty) {
        share->is_dirty = false;
        share_divide(share);
        list_each (it, after, &share->members) {
            struct pool_member *member = list_entry(it, struct pool_member, link);

            member->resized(member->arg);
        }
    }
    now_ms = timers_now_ms(share->spec.timers);
    share_refill(share, now_ms);
    share_wake_when_quiet(share, now_ms);
}

static void
share_start_ticking(struct pool_share *share)
{
    if (!share->is_ticking) {
        share->is_ticking = true;
        timer_start(share->tick, POOL_SHARE_TICK_MS);
    }
}

static void
share_on_tick(void *arg)
{
    struct pool_share *share = arg;
    struct list *it, *after;

    share->is_ticking = false;
    list_each (it, after, &share->claims) {
        struct pool_claim *claim = list_entry(it, struct pool_claim, link);
        unsigned wanted = claim_wants(claim);
        uint64_t owed = (uint64_t)claim->owed * SHARE_UNIT;

        if (claim->peak == 0) {
            continue;
        }
        claim->peak -= claim->peak * SHARE_DECAY / 1000 + 1;
        claim->peak = claim->peak > owed ? claim->peak : owed;
        if (claim->peak > 0) {
            share_start_ticking(share);
        }
        if (claim_wants(claim) != wanted) {
            share_changed(share);
        }
    }
}

void
pool_share_claim(struct pool_claim *claim)
{
    list_append(&claim->member->share->claims, &claim->link);
    share_changed(claim->member->share);
}

void
pool_share_unclaim(struct pool_claim *claim)
{
    if (claim->link.next != NULL && !list_empty(&claim->link)) {
        list_remove(&claim->link);
        claim->size = 0;
        share_changed(claim->member->share);
    }
}

void
pool_claim_took(struct pool_claim *claim)
{
    struct pool_share *share = claim->member->share;
    unsigned wanted = claim_wants(claim);
    uint64_t now_ms = timers_now_ms(share->spec.timers);

    share->quiet_at_ms = now_ms + POOL_SHARE_QUIET_MS;
    claim->member->quiet_at_ms = now_ms + claim->member->quiet_ms;
    if (claim->low_at_ms <= now_ms) { /* who takes one after the other does not put it off for ever */
        claim->low_at_ms = now_ms + claim->grace_ms;
    }
    if (claim->owed < POOL_SHARE_MAX) {
        claim->owed++;
    }
    if (claim->max == 0 || claim->peak >= (uint64_t)claim->owed * SHARE_UNIT) {
        return;
    }
    claim->peak = (uint64_t)claim->owed * SHARE_UNIT;
    share_start_ticking(share);
    if (claim_wants(claim) != wanted) {
        share_changed(share);
    }
}

void
pool_claim_made(struct pool_claim *claim)
{
    claim->owed -= claim->owed > 0;
}

void
pool_claim_settled(struct pool_claim *claim)
{
    claim->owed = 0;
}

void
pool_share_want(struct pool_member *member)
{
    timer_start(member->share->wake, 0);
}

void
pool_share_refilled(struct pool_share *share)
{
    assert(share->refills > 0);
    share->refills--;
    timer_start(share->wake, 0);
}
