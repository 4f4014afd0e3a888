/*
 * Ready sandboxes of one template in one isolation tier: complete, with a living agent, waiting, and, on a line of a
 * language, with an interpreter of it waiting inside. Each is handed out once. How many wait on each line is a matter of
 * demand (pool_share.h); made in the background, and for who waits when none is there, backing off while the runtime is
 * not available. A line whose interpreters do not start keeps plain ones until they do.
 *
 * A take gets, of what is ready: one prepared for its language; a plain one; one prepared for a language that has more
 * ready than it lately needed, of those the soonest made. Else one is made, with an interpreter where one is forked into it.
 * On a line whose interpreters are forked a take waits for one of its own rather than have its interpreter started, which
 * takes as long and more of the processors, unless creations pause. There, too, one whose tenant has many leaves the last
 * that is ready to those who have few, until its turn has come.
 */
#pragma once

#include "executor/core/histogram.h"
#include "executor/core/pool_share.h"
#include "executor/core/timer.h"
#include "executor/runtime/runtime.h"

#define POOL_MAX_LINES 16

struct pool;
struct pool_take;

struct pool_line_spec {
    const char *language; /* copied; "": prepared for none */
    unsigned min, max;
    uint64_t memory; /* of one that waits, bytes */
};

struct pool_spec {
    struct runtime *runtime; /* of the tier */
    struct timers *timers;
    struct pool_share *share;
    const char *template_name; /* copied */
    /* The first is that of "". Takes of languages without a line are its. */
    const struct pool_line_spec *lines;
    unsigned n_lines;
    unsigned max_creating; /* creations under way at once, refills and takes together */
    unsigned quiet_ms;     /* for so long after a take no refill begins, unless half of a line is gone */
};

struct pool_stats {
    unsigned warm, creating, waiting;
    uint64_t taken_warm, taken_cold, created, failed;
    const struct histogram *waited; /* from pool_take to done; borrows from the pool */
    bool failing; /* the last three creations failed; it goes on trying, also without size and takes */
    bool
        unsupported; /* the last one because the launcher has no such tier: until one works takes fail at once */
};

struct pool_line_stats {
    const char *language;
    unsigned size, warm, prepared; /* kept, there, and of these with an interpreter */
    uint64_t hits, misses;         /* takes that found one ready and prepared for them; those that did not */
    uint64_t stolen;               /* of this line, by takes of another language */
    uint64_t prepare_failed;
};

_must_check_ int pool_new(struct pool **ret, const struct pool_spec *spec);

struct pool_wish {
    const char *language; /* of what will run in it */
    /* That its tenant has, or waits for: who has few comes before who has many, if not for ever. */
    unsigned others;
};

/*
 * done(arg, 0, sandbox) now owned by the caller, or RUNTIME_E_UNAVAILABLE or RUNTIME_E_UNSUPPORTED; from the loop,
 * exactly once unless cancelled. *ret_take is valid until done.
 */
_must_check_ int pool_take(struct pool *pool, const struct pool_wish *wish, struct pool_take **ret_take,
                           runtime_created_fn done, void *arg);
void pool_take_cancel(struct pool_take *take);
/* Throws away what is warm (after the launcher went away and on reload). */
void pool_flush(struct pool *pool);
void pool_stats(const struct pool *pool, struct pool_stats *ret);
unsigned pool_n_lines(const struct pool *pool);
void pool_line_stats(const struct pool *pool, unsigned line, struct pool_line_stats *ret);
/* No refills from now on; destroys what is warm; done when the last is gone. */
void pool_drain(struct pool *pool, void (*done)(void *arg), void *arg);
struct pool *pool_free(struct pool *pool);
