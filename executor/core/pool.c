/*
 * The warm pool: an entry's state is the list it is in.
 *
 *   CREATING --> WARM --> DESTROYING --> (gone)
 *       \          \
 *        +----------+--> handed to a take (gone from here)
 *
 * Everything happens in pool_serve, which runs from the wake timer or from a
 * runtime callback, never from inside a caller's own call.
 */
#include "executor/core/pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/list.h"

enum {
    POOL_BACKOFF_MIN_MS = 50,
    POOL_BACKOFF_MAX_MS = 2000,
    POOL_BACKOFF_DOUBLINGS = 6,
    POOL_FAILING_AFTER = 3, /* one or two fail together when a launcher restarts */
};

enum entry_state { ENTRY_NEW, ENTRY_CREATING, ENTRY_WARM, ENTRY_DESTROYING, N_ENTRY_STATES };

struct pool_entry {
    struct list link;
    struct pool *pool; /* NULL once the pool was freed under a call that is still out */
    struct sandbox *sandbox;
    enum entry_state state;
};

struct pool_take {
    struct list link;
    struct pool *pool;
    runtime_created_fn done;
    void *arg;
};

struct pool {
    struct pool_spec spec;
    char *template_name;
    struct list entries[N_ENTRY_STATES];
    unsigned n_entries[N_ENTRY_STATES];
    struct list takes; /* oldest first */
    unsigned n_takes;
    struct timer *wake;    /* 0 ms: serve on the loop's next turn */
    struct timer *backoff; /* armed while creations pause */
    bool pausing;
    unsigned streak; /* failures since a sandbox was last handed out */
    unsigned barren; /* creations that failed since one worked */
    bool unsupported;
    bool draining;
    void (*drained)(void *arg);
    void *drained_arg;
    unsigned busy; /* pool_serve frames on the stack */
    bool freed;    /* by a callback of ours: the outermost frame lets go of the memory */
    uint64_t taken_warm, taken_cold, created, failed;
};

static inline void
pool_freep(struct pool **pool)
{
    pool_free(*pool);
}

static void pool_on_created(void *arg, int rc, struct sandbox *sandbox);
static void pool_on_destroyed(void *arg, int rc);
static void pool_on_dead(void *arg);

static const unsigned entry_next[N_ENTRY_STATES] = {
    [ENTRY_NEW] = 1u << ENTRY_CREATING,
    [ENTRY_CREATING] = 1u << ENTRY_WARM | 1u << ENTRY_DESTROYING,
    [ENTRY_WARM] = 1u << ENTRY_DESTROYING,
    [ENTRY_DESTROYING] = 0,
};

static void
entry_set_state(struct pool_entry *entry, enum entry_state state)
{
    struct pool *pool = entry->pool;

    assert((entry_next[entry->state] & 1u << state) != 0);
    if (entry->state != ENTRY_NEW) {
        list_remove(&entry->link);
        pool->n_entries[entry->state]--;
    }
    entry->state = state;
    list_append(&pool->entries[state], &entry->link);
    pool->n_entries[state]++;
}

/* The sandbox, if any, belongs to someone else now. */
static void
entry_free(struct pool_entry *entry)
{
    if (entry->pool != NULL && entry->state != ENTRY_NEW) {
        list_remove(&entry->link);
        entry->pool->n_entries[entry->state]--;
    }
    free(entry);
}

static void
entry_destroy(struct pool_entry *entry)
{
    struct sandbox *sandbox = steal(&entry->sandbox);

    entry_set_state(entry, ENTRY_DESTROYING);
    sandbox->ops->destroy(sandbox, pool_on_destroyed, entry);
}

/* All sandboxes of a dead launcher fail together: that is one failure, not a streak. */
static void
pool_pause(struct pool *pool)
{
    uint64_t ms = (uint64_t)POOL_BACKOFF_MIN_MS << pool->streak;

    if (pool->pausing) {
        return;
    }
    if (pool->streak < POOL_BACKOFF_DOUBLINGS) {
        pool->streak++;
    }
    pool->pausing = true;
    timer_start(pool->backoff, ms < POOL_BACKOFF_MAX_MS ? ms : POOL_BACKOFF_MAX_MS);
}

static void
take_finish(struct pool_take *take, int rc, struct sandbox *sandbox)
{
    runtime_created_fn done = take->done;
    void *arg = take->arg;

    list_remove(&take->link);
    take->pool->n_takes--;
    free(take);
    done(arg, rc, sandbox);
}

/* Out of the line, which must not be empty; still counted. */
static struct pool_take *
pool_oldest_take(struct pool *pool)
{
    return list_entry(list_pop(&pool->takes), struct pool_take, link);
}

/* Callbacks of takes may free the pool: each loop below looks again after one. */
static void
pool_deliver(struct pool *pool)
{
    while (!pool->freed && pool->n_takes > 0 && pool->n_entries[ENTRY_WARM] > 0) {
        struct pool_entry *entry = list_entry(list_pop(&pool->entries[ENTRY_WARM]), struct pool_entry, link);
        struct sandbox *sandbox = steal(&entry->sandbox);

        sandbox->ops->on_dead(sandbox, NULL, NULL);
        entry_free(entry);
        pool->streak = 0;
        pool->taken_warm++;
        take_finish(pool_oldest_take(pool), 0, sandbox);
    }
    while (!pool->freed && (pool->draining || pool->unsupported) && pool->n_takes > 0) {
        take_finish(pool_oldest_take(pool), pool->draining ? RUNTIME_E_UNAVAILABLE : RUNTIME_E_UNSUPPORTED,
                    NULL);
    }
}

static int
pool_create_one(struct pool *pool)
{
    struct pool_entry *entry;
    int r;

    entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        return -ENOMEM;
    }
    entry->pool = pool;
    entry_set_state(entry, ENTRY_CREATING);
    r = pool->spec.runtime->ops->create(pool->spec.runtime, pool->template_name, pool_on_created, entry);
    if (r) {
        entry_free(entry);
    }
    return r;
}

static bool
pool_failing(const struct pool *pool)
{
    return pool->barren >= POOL_FAILING_AFTER;
}

/* A failed creation costs a take only when the creations still under way are fewer than those who wait. */
static void
pool_on_failure(struct pool *pool, int rc)
{
    pool->failed++;
    pool->barren += !pool_failing(pool);
    pool_pause(pool);
    if (rc == RUNTIME_E_UNSUPPORTED) {
        pool->barren = POOL_FAILING_AFTER;
        pool->unsupported = true; /* pool_deliver tells whoever waits */
        return;
    }
    if (pool->n_takes > pool->n_entries[ENTRY_CREATING]) {
        take_finish(pool_oldest_take(pool), RUNTIME_E_UNAVAILABLE, NULL);
    }
}

/* A failing pool that nobody takes from, as no one does who heeds /readyz, tries for itself: else it stays failing. */
static unsigned
pool_missing(const struct pool *pool)
{
    unsigned want = pool->n_takes + pool->spec.size;
    unsigned have = pool->n_entries[ENTRY_WARM] + pool->n_entries[ENTRY_CREATING];

    if (want == 0 && pool_failing(pool)) {
        want = 1;
    }
    return pool->draining || want < have ? 0 : want - have;
}

static void
pool_refill(struct pool *pool)
{
    while (!pool->freed && !pool->pausing && pool_missing(pool) > 0 &&
           pool->n_entries[ENTRY_CREATING] < pool->spec.max_creating) {
        int r = pool_create_one(pool);

        if (r) {
            pool_on_failure(pool, r);
        }
    }
}

static void
pool_report_drained(struct pool *pool)
{
    void (*drained)(void *arg) = pool->drained;

    if (pool->freed || !pool->draining || drained == NULL || pool->n_takes > 0 ||
        pool->n_entries[ENTRY_CREATING] + pool->n_entries[ENTRY_WARM] + pool->n_entries[ENTRY_DESTROYING] >
            0) {
        return;
    }
    pool->drained = NULL;
    drained(pool->drained_arg);
}

static void
pool_release(struct pool *pool)
{
    free(pool->template_name);
    free(pool);
}

static void
pool_enter(struct pool *pool)
{
    pool->busy++;
}

/* Does what is due, then ends the frame pool_enter began; the pool may be gone afterwards. */
static void
pool_serve(struct pool *pool)
{
    pool_deliver(pool);
    pool_refill(pool);
    pool_report_drained(pool);
    pool->busy--;
    if (pool->freed && pool->busy == 0) {
        pool_release(pool);
    }
}

static void
pool_on_wake(void *arg)
{
    struct pool *pool = arg;

    pool_enter(pool);
    pool_serve(pool);
}

static void
pool_on_backoff(void *arg)
{
    struct pool *pool = arg;

    pool->pausing = false;
    pool_enter(pool);
    pool_serve(pool);
}

/* A new sandbox goes to who waits longest, else onto the shelf, else away. */
static void
pool_place(struct pool *pool, struct pool_entry *entry, struct sandbox *sandbox)
{
    pool->created++;
    pool->barren = 0;
    pool->unsupported = false;
    if (pool->n_takes > 0 && !pool->draining) {
        entry_free(entry);
        pool->streak = 0;
        pool->taken_cold++;
        take_finish(pool_oldest_take(pool), 0, sandbox);
        return;
    }
    entry->sandbox = sandbox;
    if (pool->draining || pool->n_entries[ENTRY_WARM] >= pool->spec.size) {
        entry_destroy(entry);
        return;
    }
    entry_set_state(entry, ENTRY_WARM);
    sandbox->ops->on_dead(sandbox, pool_on_dead, entry);
}

static void
pool_on_created(void *arg, int rc, struct sandbox *sandbox)
{
    struct pool_entry *entry = arg;
    struct pool *pool = entry->pool;

    if (pool == NULL) {
        entry_free(entry);
        if (sandbox != NULL) {
            sandbox->ops->destroy(sandbox, NULL, NULL);
        }
        return;
    }
    pool_enter(pool);
    if (rc == 0) {
        pool_place(pool, entry, sandbox);
    } else {
        entry_free(entry);
        pool_on_failure(pool, rc);
    }
    pool_serve(pool);
}

static void
pool_on_dead(void *arg)
{
    struct pool_entry *entry = arg;
    struct pool *pool = entry->pool;

    pool_enter(pool);
    entry_destroy(entry);
    pool->failed++;
    pool_pause(pool);
    pool_serve(pool);
}

static void
pool_on_destroyed(void *arg, int rc _unused_)
{
    struct pool_entry *entry = arg;
    struct pool *pool = entry->pool;

    entry_free(entry);
    if (pool != NULL) {
        pool_enter(pool);
        pool_serve(pool);
    }
}

int
pool_new(struct pool **ret, const struct pool_spec *spec)
{
    _cleanup_(pool_freep) struct pool *pool = NULL;
    int r;

    if (spec->max_creating == 0 || spec->runtime == NULL || spec->timers == NULL ||
        spec->template_name == NULL) {
        return -EINVAL;
    }
    pool = calloc(1, sizeof(*pool));
    if (pool == NULL) {
        return -ENOMEM;
    }
    pool->spec = *spec;
    list_init(&pool->takes);
    for (unsigned i = 0; i < N_ENTRY_STATES; i++) {
        list_init(&pool->entries[i]);
    }
    pool->template_name = strdup(spec->template_name);
    if (pool->template_name == NULL) {
        return -ENOMEM;
    }
    r = timer_new(&pool->wake, spec->timers, pool_on_wake, pool);
    if (r) {
        return r;
    }
    r = timer_new(&pool->backoff, spec->timers, pool_on_backoff, pool);
    if (r) {
        return r;
    }
    timer_start(pool->wake, 0);
    *ret = steal(&pool);
    return 0;
}

int
pool_take(struct pool *pool, struct pool_take **ret_take, runtime_created_fn done, void *arg)
{
    struct pool_take *take;

    take = calloc(1, sizeof(*take));
    if (take == NULL) {
        return -ENOMEM;
    }
    take->pool = pool;
    take->done = done;
    take->arg = arg;
    list_append(&pool->takes, &take->link);
    pool->n_takes++;
    timer_start(pool->wake, 0);
    *ret_take = take;
    return 0;
}

void
pool_take_cancel(struct pool_take *take)
{
    list_remove(&take->link);
    take->pool->n_takes--;
    free(take);
}

void
pool_flush(struct pool *pool)
{
    while (pool->n_entries[ENTRY_WARM] > 0) {
        struct pool_entry *entry = list_entry(pool->entries[ENTRY_WARM].next, struct pool_entry, link);

        entry_destroy(entry);
    }
    timer_start(pool->wake, 0);
}

void
pool_stats(const struct pool *pool, struct pool_stats *ret)
{
    *ret = (struct pool_stats){
        .warm = pool->n_entries[ENTRY_WARM],
        .creating = pool->n_entries[ENTRY_CREATING],
        .waiting = pool->n_takes,
        .taken_warm = pool->taken_warm,
        .taken_cold = pool->taken_cold,
        .created = pool->created,
        .failed = pool->failed,
        .failing = pool_failing(pool),
        .unsupported = pool->unsupported,
    };
}

void
pool_drain(struct pool *pool, void (*done)(void *arg), void *arg)
{
    pool->draining = true;
    pool->drained = done;
    pool->drained_arg = arg;
    pool_flush(pool);
}

/* Entries whose call is still out outlive the pool; their callback finds pool NULL and cleans up. */
static void
pool_orphan(struct pool *pool, enum entry_state state)
{
    while (pool->n_entries[state] > 0) {
        struct pool_entry *entry = list_entry(pool->entries[state].next, struct pool_entry, link);

        list_remove(&entry->link);
        pool->n_entries[state]--;
        entry->pool = NULL;
    }
}

struct pool *
pool_free(struct pool *pool)
{
    if (pool == NULL) {
        return NULL;
    }
    while (pool->n_takes > 0) {
        pool_take_cancel(pool_oldest_take(pool));
    }
    while (pool->n_entries[ENTRY_WARM] > 0) {
        entry_destroy(list_entry(pool->entries[ENTRY_WARM].next, struct pool_entry, link));
    }
    pool_orphan(pool, ENTRY_CREATING);
    pool_orphan(pool, ENTRY_DESTROYING);
    pool->backoff = timer_free(pool->backoff);
    pool->wake = timer_free(pool->wake);
    pool->freed = true;
    if (pool->busy == 0) {
        pool_release(pool);
    }
    return NULL;
}
