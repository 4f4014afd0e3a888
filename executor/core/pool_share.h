/*
 * What the pools of one host share: how many ready sandboxes each may keep, and when they may make more.
 *
 * A claim is one kind of ready sandbox (a template in a tier, prepared for a language or none). It wants as many as were
 * once taken, of late, before as many had been made again: that is takes per second times the time to make one, and at a
 * burst as much as the burst. That number falls by half in POOL_SHARE_HALF_MS while it is not reached again. Between its
 * min and max a claim is given what it wants while all together stay under the caps of memory and number; beyond
 * that all get the same memory, the mins before the rest (max-min fairness).
 *
 * Refills, which nobody waits for, are few at a time, and one at a time while there is other work. After a take they wait
 * for POOL_SHARE_QUIET_MS without another one, so that they do not run beside what was just begun, and those of a member
 * whose refills are dear for `quiet_ms` without another one of its own; but for a claim that has less than half of its
 * size ready. That one waits for no more than `grace_ms` after a take, whatever else is taken.
 */
#pragma once

#include "executor/core/timer.h"
#include "lib/sbx_list.h"

#define POOL_SHARE_TICK_MS 1000
#define POOL_SHARE_HALF_MS 30000
#define POOL_SHARE_QUIET_MS 10
#define POOL_SHARE_MAX 1024 /* of one claim */

struct pool_share;

struct pool_share_spec {
    struct timers *timers;
    uint64_t max_memory;  /* bytes */
    unsigned max_number;  /* of ready sandboxes */
    unsigned max_refills; /* at once, while there is no other work */
    /* Optional: whether there is. */
    bool (*busy)(void *arg);
    void *busy_arg;
};

/* Embedded in who claims; the first four are the claimant's to set, the rest is read only. */
struct pool_claim {
    unsigned min, max;
    uint64_t memory; /* of one, bytes */
    struct pool_member *member;
    unsigned grace_ms; /* the claimant's; it may change */
    unsigned size;     /* how many it may keep now */

    struct list link;
    unsigned owed;      /* taken and not yet made again */
    unsigned goal;      /* the share's own, while it divides */
    uint64_t peak;      /* of owed, in thousandths; it decays */
    uint64_t low_at_ms; /* from then on what it lacks is made though it is low, and not quiet */
};

/* A pool. Both are called from the loop. */
struct pool_member {
    struct list link;
    struct pool_share *share;
    /* Its claims' sizes may have changed. */
    void (*resized)(void *arg);
    /* There is room for a refill: true when it has begun one, which counts until pool_share_refilled. */
    bool (*refill)(void *arg);
    /* The same for no other claim than one that has less than half of its size, and no grace left. */
    bool (*refill_low)(void *arg);
    void *arg;
    unsigned quiet_ms; /* after a take of its own; what is less than POOL_SHARE_QUIET_MS says nothing */

    uint64_t quiet_at_ms; /* the share's own: from then on its refills begin */
};

_must_check_ int pool_share_new(struct pool_share **ret, const struct pool_share_spec *spec);
/* All members must have left. */
struct pool_share *pool_share_free(struct pool_share *share);
void pool_share_join(struct pool_share *share, struct pool_member *member);
/* Its claims must have gone. */
void pool_share_leave(struct pool_member *member);
void pool_share_claim(struct pool_claim *claim);
/* Legal for a zeroed one, and twice. */
void pool_share_unclaim(struct pool_claim *claim);

/* One was taken, or is waited for. */
void pool_claim_took(struct pool_claim *claim);
/* One more was made, whoever gets it. */
void pool_claim_made(struct pool_claim *claim);
/* It has all that it may: nothing is owed. */
void pool_claim_settled(struct pool_claim *claim);

/* The member lacks some: its `refill` is called when there is room, in turn with those of others. */
void pool_share_want(struct pool_member *member);
void pool_share_refilled(struct pool_share *share);
