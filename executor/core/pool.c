/*
 * The warm pool: an entry's state is the list it is in.
 *
 *   CREATING --> WARM --> DESTROYING --> (gone)
 *       \          \
 *        +----------+--> handed to a take (gone from here)
 *
 * WARM has a list on each line, the others have one of the pool's. Everything happens in pool_serve, which runs from the
 * wake timer, from the share or from a runtime callback, never from inside a caller's own call.
 */
#include "executor/core/pool_inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    POOL_BACKOFF_MIN_MS = 50,
    POOL_BACKOFF_MAX_MS = 2000,
    POOL_BACKOFF_DOUBLINGS = 6,
    POOL_FAILING_AFTER = 3, /* one or two fail together when a launcher restarts */
    POOL_TURN_MS = 100,     /* for each that a tenant has its next one is taken so much later for */
    POOL_MAX_TURN_MS = 1000,
    POOL_MANY = 4,
};

static inline void
pool_freep(struct pool **pool)
{
    pool_free(*pool);
}

static void pool_on_created(void *arg, int rc, struct sandbox *sandbox);
static void pool_on_destroyed(void *arg, int rc);
static void pool_on_dead(void *arg);
static void pool_on_wake(void *arg);
static void pool_on_backoff(void *arg);
static bool pool_refill(void *arg);
static bool pool_refill_low(void *arg);

static void
entry_destroy(struct pool_entry *entry)
{
    struct sandbox *sandbox = steal(&entry->sandbox);

    pool_entry_set_state(entry, ENTRY_DESTROYING);
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
take_leave(struct pool_take *take)
{
    list_remove(&take->link);
    take->pool->n_takes--;
    take->line->n_takes--;
}

static void
take_finish(struct pool_take *take, int rc, struct sandbox *sandbox)
{
    runtime_created_fn done = take->done;
    struct pool *pool = take->pool;
    void *arg = take->arg;

    take_leave(take);
    if (rc != 0) {
        pool_claim_made(&take->line->claim); /* never */
    } else {
        histogram_add(&pool->waited, timers_now_ms(pool->spec.timers) - take->since_ms);
    }
    free(take);
    done(arg, rc, sandbox);
}

/* Still in the line, which must not be empty. */
static struct pool_take *
pool_first_take(struct pool *pool)
{
    assert(pool->n_takes > 0);
    return list_entry(pool->takes.next, struct pool_take, link);
}

static void
pool_hand_over(struct pool *pool, struct pool_take *take, struct pool_entry *entry)
{
    struct sandbox *sandbox = steal(&entry->sandbox);
    bool is_hit = entry->line == take->line && (sandbox->is_prepared || take->line == &pool->lines[0]);

    sandbox->ops->on_dead(sandbox, NULL, NULL);
    entry->line->stolen += entry->line != take->line && sandbox->is_prepared;
    if (entry->line != take->line) {
        pool_claim_made(&take->line->claim); /* what is made again is the other line's */
    }
    take->line->hits += is_hit;
    take->line->misses += !is_hit;
    pool_entry_free(entry);
    pool->streak = 0;
    pool->taken_warm++;
    take_finish(take, 0, sandbox);
}

/* The first take for which there is something, and that. */
static struct pool_entry *
pool_match(struct pool *pool, struct pool_take **ret_take)
{
    struct list *it, *after;

    if (pool->n_entries[ENTRY_WARM] == 0) {
        return NULL;
    }
    list_each (it, after, &pool->takes) {
        struct pool_take *take = list_entry(it, struct pool_take, link);
        struct pool_entry *entry = pool_find(pool, take);

        if (entry != NULL) {
            *ret_take = take;
            return entry;
        }
    }
    return NULL;
}

/* Callbacks of takes may free the pool: each loop below looks again after one. */
static void
pool_deliver(struct pool *pool)
{
    struct pool_take *take;

    while (!pool->freed && pool->n_takes > 0) {
        struct pool_entry *entry = pool_match(pool, &take);

        if (entry == NULL) {
            break;
        }
        pool_hand_over(pool, take, entry);
    }
    while (!pool->freed && (pool->draining || pool->unsupported) && pool->n_takes > 0) {
        take_finish(pool_first_take(pool), pool->draining ? RUNTIME_E_UNAVAILABLE : RUNTIME_E_UNSUPPORTED,
                    NULL);
    }
}

/* With an interpreter of `language`, "": none. For who waits none is started ahead: the run starts it as soon. */
static int
pool_create_one(struct pool_line *line, const char *language, bool is_refill)
{
    struct pool *pool = line->pool;
    struct runtime *runtime = pool->spec.runtime;
    struct pool_entry *entry;
    int r;

    entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        return -ENOMEM;
    }
    entry->pool = pool;
    entry->line = line;
    entry->since_ms = timers_now_ms(pool->spec.timers);
    entry->is_refill = is_refill;
    entry->is_asking = line->language[0] != '\0' && language[0] != '\0';
    entry->is_preparing = is_refill && language[0] != '\0';
    pool_entry_set_state(entry, ENTRY_CREATING);
    r = runtime->ops->create(runtime, pool->template_name, language[0] == '\0' ? NULL : language,
                             is_refill ? RUNTIME_PREPARE_ANY : RUNTIME_PREPARE_FORKED, pool_on_created,
                             entry);
    if (r) {
        pool_entry_free(entry);
    }
    return r;
}

static bool
pool_failing(const struct pool *pool)
{
    return pool->barren >= POOL_FAILING_AFTER;
}

/* A failed creation costs a take only when what is under way or may be stolen is fewer than those who wait. */
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
    if (pool->n_takes > pool->n_entries[ENTRY_CREATING] + pool->n_entries[ENTRY_WARM]) {
        take_finish(pool_first_take(pool), RUNTIME_E_UNAVAILABLE, NULL);
    }
}

static bool
pool_may_create(const struct pool *pool)
{
    return !pool->freed && !pool->draining && !pool->pausing &&
           pool->n_entries[ENTRY_CREATING] < pool->spec.max_creating;
}

static bool
pool_create(struct pool_line *line, const char *language, bool is_refill)
{
    int r = pool_create_one(line, language, is_refill);

    if (r) {
        pool_on_failure(line->pool, r);
    }
    return r == 0;
}

/* A failing pool that nobody takes from, as no one does who heeds /readyz: else it stays failing. Nobody counts it. */
static void
pool_try(struct pool *pool)
{
    if (pool_may_create(pool) && pool_failing(pool) && pool->n_entries[ENTRY_CREATING] == 0) {
        (void)pool_create(&pool->lines[0], "", false); /* and tried again */
    }
}

static void
pool_create_waiting(struct pool *pool)
{
    struct pool_take *take;

    while (pool_may_create(pool) && (take = pool_take_waiting(pool)) != NULL) {
        (void)pool_create(take->line, take->language, false); /* a failure is told to who waits */
    }
    pool_try(pool);
}

/* Who waits gets what is ready first: what was begun for nobody may be for somebody now. */
static void
pool_hasten(struct pool *pool)
{
    struct runtime *runtime = pool->spec.runtime;
    struct list *it, *after;

    if (pool->freed || pool->n_takes == 0) {
        return;
    }
    list_each (it, after, &pool->entries[ENTRY_CREATING]) {
        struct pool_entry *entry = list_entry(it, struct pool_entry, link);

        if (entry->is_refill && !entry->is_hastened) {
            entry->is_hastened = true;
            runtime->ops->hasten(runtime, entry);
        }
    }
}

/* For nobody: when those who wait are seen to, and it is this pool's turn. */
static struct pool_line *
pool_line_to_refill(struct pool *pool, bool is_low)
{
    if (!pool_may_create(pool) || pool->n_takes > pool->n_entries[ENTRY_CREATING]) {
        return NULL;
    }
    return pool_line_short(pool, is_low);
}

static void
pool_want_refill(struct pool *pool)
{
    if (pool_line_to_refill(pool, false) != NULL) {
        pool_share_want(&pool->member);
    }
}

static bool
pool_refill_line(struct pool_line *line)
{
    return line != NULL && pool_create(line, pool_line_prepares(line) ? line->language : "", true);
}

static bool
pool_refill(void *arg)
{
    return pool_refill_line(pool_line_to_refill(arg, false));
}

static bool
pool_refill_low(void *arg)
{
    return pool_refill_line(pool_line_to_refill(arg, true));
}

/* What is more than its line may keep goes, the oldest first; who keeps all it may is owed nothing. */
static void
pool_trim(struct pool *pool)
{
    for (unsigned i = 0; i < pool->n_lines && !pool->freed; i++) {
        struct pool_line *line = &pool->lines[i];

        while (line->n_warm > line->claim.size) {
            entry_destroy(pool_line_first(line));
        }
        if (line->n_takes == 0 && line->n_warm == line->claim.size) {
            pool_claim_settled(&line->claim);
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
    pool_trim(pool);
    pool_create_waiting(pool);
    if (pool->pausing) {
        pool_deliver(pool); /* what those get who would wait for a creation */
    }
    pool_hasten(pool);
    pool_want_refill(pool);
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

/* Whose turn it is of those that it was made for, else, of a plain one, of all that take such. NULL: nobody. */
static struct pool_take *
pool_take_for(struct pool *pool, const struct pool_entry *entry)
{
    struct pool_take *any = NULL;
    struct list *it, *after;

    list_each (it, after, &pool->takes) {
        struct pool_take *take = list_entry(it, struct pool_take, link);

        if (take->line == entry->line && take->line->n_warm >= pool_take_leaves(take)) {
            return take;
        }
        if (any == NULL && take->line != entry->line && !entry->sandbox->is_prepared &&
            !pool_line_insists(take->line)) {
            any = take;
        }
    }
    return any;
}

/* A new sandbox goes to whose turn it is, else onto the shelf, else away (pool_trim). */
static void
pool_place(struct pool *pool, struct pool_entry *entry, struct sandbox *sandbox)
{
    struct pool_take *take;

    pool->created++;
    pool->barren = 0;
    pool->unsupported = false;
    entry->sandbox = sandbox;
    pool_entry_measure(entry);
    take = pool->draining ? NULL : pool_take_for(pool, entry);
    pool_claim_made(take != NULL ? &take->line->claim : &entry->line->claim);
    if (take != NULL) {
        take->line->misses++;
        pool_entry_free(entry);
        pool->streak = 0;
        pool->taken_cold++;
        take_finish(take, 0, sandbox);
        return;
    }
    if (pool->draining) {
        entry_destroy(entry);
        return;
    }
    pool_entry_set_state(entry, ENTRY_WARM);
    sandbox->ops->on_dead(sandbox, pool_on_dead, entry);
}

static void
pool_on_created(void *arg, int rc, struct sandbox *sandbox)
{
    struct pool_entry *entry = arg;
    struct pool *pool = entry->pool;

    if (pool == NULL) {
        pool_entry_free(entry);
        if (sandbox != NULL) {
            sandbox->ops->destroy(sandbox, NULL, NULL);
        }
        return;
    }
    pool_enter(pool);
    if (entry->is_refill) {
        pool_share_refilled(pool->spec.share);
    }
    if (rc == 0) {
        pool_place(pool, entry, sandbox);
    } else {
        pool_entry_free(entry);
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

    pool_entry_free(entry);
    if (pool != NULL) {
        pool_enter(pool);
        pool_serve(pool);
    }
}

static bool
spec_valid(const struct pool_spec *spec)
{
    bool is_valid = spec->max_creating > 0 && spec->runtime != NULL && spec->timers != NULL &&
                    spec->share != NULL && spec->template_name != NULL && spec->n_lines > 0 &&
                    spec->n_lines <= POOL_MAX_LINES && spec->lines[0].language[0] == '\0';

    for (unsigned i = 0; i < spec->n_lines && is_valid; i++) {
        const struct pool_line_spec *line = &spec->lines[i];

        is_valid = strlen(line->language) <= RUNTIME_MAX_LANGUAGE && line->min <= line->max &&
                   line->max <= POOL_SHARE_MAX;
    }
    return is_valid;
}

static void
pool_open_lines(struct pool *pool)
{
    pool->member = (struct pool_member){
        .resized = pool_on_wake,
        .refill = pool_refill,
        .refill_low = pool_refill_low,
        .quiet_ms = pool->spec.quiet_ms,
        .arg = pool,
    };
    pool_share_join(pool->spec.share, &pool->member);
    for (unsigned i = 0; i < pool->spec.n_lines; i++) {
        const struct pool_line_spec *spec = &pool->spec.lines[i];
        struct pool_line *line = &pool->lines[pool->n_lines++];

        line->pool = pool;
        list_init(&line->warm);
        memcpy(line->language, spec->language, strlen(spec->language) + 1);
        line->claim = (struct pool_claim){
            .min = spec->min,
            .max = spec->max,
            .memory = spec->memory,
            .member = &pool->member,
        };
        pool_share_claim(&line->claim);
    }
}

static void
pool_close_lines(struct pool *pool)
{
    for (unsigned i = 0; i < pool->n_lines; i++) {
        pool_share_unclaim(&pool->lines[i].claim);
    }
    pool_share_leave(&pool->member);
}

int
pool_new(struct pool **ret, const struct pool_spec *spec)
{
    _cleanup_(pool_freep) struct pool *pool = NULL;
    int r;

    if (!spec_valid(spec)) {
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
    pool_open_lines(pool);
    pool->spec.lines = NULL; /* the caller's */
    *ret = steal(&pool);
    return 0;
}

static uint64_t
take_delay_ms(const struct pool_wish *wish)
{
    return wish->others < POOL_MAX_TURN_MS / POOL_TURN_MS ? (uint64_t)wish->others * POOL_TURN_MS
                                                          : POOL_MAX_TURN_MS;
}

/* From the end: most come in their order. */
static void
pool_line_up(struct pool *pool, struct pool_take *take)
{
    struct list *after = pool->takes.prev;

    while (after != &pool->takes && list_entry(after, struct pool_take, link)->turn_ms > take->turn_ms) {
        after = after->prev;
    }
    list_append(after->next, &take->link); /* before whoever is behind */
    pool->n_takes++;
    take->line->n_takes++;
}

int
pool_take(struct pool *pool, const struct pool_wish *wish, struct pool_take **ret_take,
          runtime_created_fn done, void *arg)
{
    const char *language = wish->language;
    struct pool_take *take;

    take = calloc(1, sizeof(*take));
    if (take == NULL) {
        return -ENOMEM;
    }
    take->pool = pool;
    take->line = pool_line_of(pool, language);
    if (strlen(language) <= RUNTIME_MAX_LANGUAGE) {
        memcpy(take->language, language, strlen(language) + 1);
    }
    take->done = done;
    take->arg = arg;
    take->since_ms = timers_now_ms(pool->spec.timers);
    take->turn_ms = take->since_ms + take_delay_ms(wish);
    take->is_of_many = wish->others >= POOL_MANY;
    pool_line_up(pool, take);
    pool_claim_took(&take->line->claim);
    timer_start(pool->wake, 0);
    *ret_take = take;
    return 0;
}

void
pool_take_cancel(struct pool_take *take)
{
    pool_claim_made(&take->line->claim); /* it need not be */
    take_leave(take);
    free(take);
}

void
pool_flush(struct pool *pool)
{
    for (unsigned i = 0; i < pool->n_lines; i++) {
        while (pool->lines[i].n_warm > 0) {
            entry_destroy(pool_line_first(&pool->lines[i]));
        }
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
        .waited = &pool->waited,
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

        pool_entry_leave(entry);
        if (entry->is_refill && state == ENTRY_CREATING) {
            pool_share_refilled(pool->spec.share);
        }
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
        pool_take_cancel(pool_first_take(pool));
    }
    for (unsigned i = 0; i < pool->n_lines; i++) {
        while (pool->lines[i].n_warm > 0) {
            entry_destroy(pool_line_first(&pool->lines[i]));
        }
    }
    pool_orphan(pool, ENTRY_CREATING);
    pool_orphan(pool, ENTRY_DESTROYING);
    pool_close_lines(pool);
    pool->backoff = timer_free(pool->backoff);
    pool->wake = timer_free(pool->wake);
    pool->freed = true;
    if (pool->busy == 0) {
        pool_release(pool);
    }
    return NULL;
}
