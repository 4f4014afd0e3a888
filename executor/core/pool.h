/*
 * Warm pool of one template in one isolation tier: complete sandboxes with a living agent, waiting. Each
 * is handed out once. Size 0 keeps none: take then creates on demand. Refills
 * in the background, one creation at a time per free slot, backing off while the
 * runtime is not available.
 */
#pragma once

#include "executor/core/timer.h"
#include "executor/runtime/runtime.h"

struct pool;
struct pool_take;

struct pool_spec {
    struct runtime *runtime; /* of the tier */
    struct timers *timers;
    const char *template_name; /* copied */
    unsigned size;
    unsigned max_creating; /* creations under way at once, refills and takes together */
};

struct pool_stats {
    unsigned warm, creating, waiting;
    uint64_t taken_warm, taken_cold, created, failed;
    bool failing; /* the last three creations failed; it goes on trying, also without size and takes */
    bool
        unsupported; /* the last one because the launcher has no such tier: until one works takes fail at once */
};

_must_check_ int pool_new(struct pool **ret, const struct pool_spec *spec);
/*
 * done(arg, 0, sandbox) now owned by the caller, or RUNTIME_E_UNAVAILABLE or RUNTIME_E_UNSUPPORTED; from the loop,
 * exactly once unless cancelled. *ret_take is valid until done.
 */
_must_check_ int pool_take(struct pool *pool, struct pool_take **ret_take, runtime_created_fn done,
                           void *arg);
void pool_take_cancel(struct pool_take *take);
/* Throws away what is warm (after the launcher went away and on reload). */
void pool_flush(struct pool *pool);
void pool_stats(const struct pool *pool, struct pool_stats *ret);
/* No refills from now on; destroys what is warm; done when the last is gone. */
void pool_drain(struct pool *pool, void (*done)(void *arg), void *arg);
struct pool *pool_free(struct pool *pool);
