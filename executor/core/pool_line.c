/*
 * The lines of a pool: what is in which list, which ready sandbox a take gets, which is missing most, and whether an
 * interpreter is to be started in the next one.
 */
#include "executor/core/pool_inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "executor/log.h"

enum {
    POOL_PLAIN_MIN_MS = 1000, /* after an interpreter did not start */
    POOL_PLAIN_DOUBLINGS = 6,
    /* A refill that is late by an eighth of what it takes is not missed, and not beside what was just begun. */
    POOL_GRACE_PART = 8,
    POOL_GRACE_MAX_MS = 25,
    POOL_LOW_PART = 500, /* thousandths of its size: what lacks more is low */
};

static const unsigned entry_next[N_ENTRY_STATES] = {
    [ENTRY_NEW] = 1u << ENTRY_CREATING,
    [ENTRY_CREATING] = 1u << ENTRY_WARM | 1u << ENTRY_DESTROYING,
    [ENTRY_WARM] = 1u << ENTRY_DESTROYING,
    [ENTRY_DESTROYING] = 0,
};

/* Out of its list and of what is counted. */
void
pool_entry_leave(struct pool_entry *entry)
{
    if (entry->state == ENTRY_NEW) {
        return;
    }
    list_remove(&entry->link);
    entry->pool->n_entries[entry->state]--;
    entry->line->n_creating -= entry->state == ENTRY_CREATING;
    entry->line->n_warm -= entry->state == ENTRY_WARM;
}

void
pool_entry_set_state(struct pool_entry *entry, enum entry_state state)
{
    struct pool *pool = entry->pool;

    assert((entry_next[entry->state] & 1u << state) != 0);
    pool_entry_leave(entry);
    entry->state = state;
    list_append(state == ENTRY_WARM ? &entry->line->warm : &pool->entries[state], &entry->link);
    pool->n_entries[state]++;
    entry->line->n_creating += state == ENTRY_CREATING;
    entry->line->n_warm += state == ENTRY_WARM;
}

/* The sandbox, if any, belongs to someone else now. */
void
pool_entry_free(struct pool_entry *entry)
{
    if (entry->pool != NULL) {
        pool_entry_leave(entry);
    }
    free(entry);
}

struct pool_entry *
pool_line_first(const struct pool_line *line)
{
    return line->n_warm == 0 ? NULL : list_entry(line->warm.next, struct pool_entry, link);
}

/* Of a language's interpreter, or of none. */
static struct pool_entry *
line_find(const struct pool_line *line, bool is_prepared)
{
    struct list *it, *after;

    list_each (it, after, &line->warm) {
        struct pool_entry *entry = list_entry(it, struct pool_entry, link);

        if (entry->sandbox->is_prepared == is_prepared) {
            return entry;
        }
    }
    return NULL;
}

/* What another language keeps beyond what it needed of late, or, when none can be made now, what it has. */
static struct pool_entry *
pool_find_stolen(struct pool *pool, const struct pool_line *own)
{
    const struct pool_line *cheapest = NULL;

    for (unsigned i = 1; i < pool->n_lines; i++) {
        const struct pool_line *line = &pool->lines[i];
        bool is_spare = (uint64_t)line->n_warm * 1000 > line->claim.peak;

        if (line != own && line->n_warm > 0 && (is_spare || pool->pausing) &&
            (cheapest == NULL || line->made.mean_ms < cheapest->made.mean_ms)) {
            cheapest = line;
        }
    }
    return cheapest == NULL ? NULL : pool_line_first(cheapest);
}

bool
pool_line_insists(const struct pool_line *line)
{
    return line->is_forking && !line->pool->pausing;
}

unsigned
pool_take_leaves(const struct pool_take *take)
{
    const struct pool_line *line = take->line;

    return take->is_of_many && line->claim.size > 0 && pool_line_insists(line) &&
           timers_now_ms(line->pool->spec.timers) < take->turn_ms;
}

static struct pool_entry *
line_find_own(const struct pool_line *line)
{
    struct pool_entry *entry = line_find(line, true);

    return entry != NULL ? entry : pool_line_first(line);
}

struct pool_entry *
pool_find(struct pool *pool, const struct pool_take *take)
{
    const struct pool_line *line = take->line;
    struct pool_entry *entry = line->n_warm > pool_take_leaves(take) ? line_find_own(line) : NULL;

    if (entry == NULL && pool_line_insists(line)) {
        return NULL;
    }
    if (entry == NULL) {
        entry = pool_line_first(&pool->lines[0]);
    }
    for (unsigned i = 1; i < pool->n_lines && entry == NULL; i++) {
        entry = line_find(&pool->lines[i], false);
    }
    return entry != NULL ? entry : pool_find_stolen(pool, line);
}

bool
pool_line_prepares(const struct pool_line *line)
{
    return line->language[0] != '\0' && timers_now_ms(line->pool->spec.timers) >= line->plain_until_ms;
}

struct pool_take *
pool_take_waiting(struct pool *pool)
{
    bool are_fewer = pool->n_takes > pool->n_entries[ENTRY_CREATING];
    unsigned seen[POOL_MAX_LINES] = { 0 };
    struct list *it, *after;

    list_each (it, after, &pool->takes) {
        struct pool_take *take = list_entry(it, struct pool_take, link);
        unsigned leaves = pool_take_leaves(take), n_warm = take->line->n_warm;
        unsigned missing = leaves > n_warm ? leaves - n_warm : 0;
        bool is_own = seen[take->line - pool->lines]++ + missing < take->line->n_creating;

        /* Who does not insist gets what comes first. */
        if (!is_own && (are_fewer || pool_line_insists(take->line))) {
            return take;
        }
    }
    return NULL;
}

struct pool_line *
pool_line_short(struct pool *pool, bool is_low)
{
    struct pool_line *shortest = NULL;
    uint64_t shortest_part = is_low ? POOL_LOW_PART : 0, now_ms = timers_now_ms(pool->spec.timers);

    for (unsigned i = 0; i < pool->n_lines; i++) {
        struct pool_line *line = &pool->lines[i];
        unsigned have = line->n_warm + line->n_creating;
        uint64_t part =
            have < line->claim.size ? (line->claim.size - have) * UINT64_C(1000) / line->claim.size : 0;

        if (part > shortest_part && (!is_low || now_ms >= line->claim.low_at_ms)) {
            shortest = line;
            shortest_part = part;
        }
    }
    return shortest;
}

static void
line_learn(struct pool_line *line, uint64_t ms)
{
    uint64_t grace_ms;

    estimate_add(&line->made, ms);
    grace_ms = line->made.mean_ms / POOL_GRACE_PART;
    line->claim.grace_ms = grace_ms < POOL_GRACE_MAX_MS ? (unsigned)grace_ms : POOL_GRACE_MAX_MS;
}

/* An interpreter that does not start is tried again after a while, which grows; plain ones serve until then. */
static void
line_note_prepared(struct pool_line *line, bool is_prepared)
{
    uint64_t ms = (uint64_t)POOL_PLAIN_MIN_MS << line->unprepared;

    if (is_prepared) {
        line->unprepared = 0;
        return;
    }
    line->prepare_failed++;
    log_at(line->unprepared == 0 ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG, "pool.unprepared",
           LOG_STR("template", line->pool->template_name), LOG_STR("language", line->language),
           LOG_INT("retry_ms", ms));
    line->plain_until_ms = timers_now_ms(line->pool->spec.timers) + ms;
    line->unprepared += line->unprepared < POOL_PLAIN_DOUBLINGS;
}

void
pool_entry_measure(const struct pool_entry *entry)
{
    struct pool_line *line = entry->line;
    uint64_t ms = timers_now_ms(entry->pool->spec.timers) - entry->since_ms;

    if (entry->is_preparing) {
        line_note_prepared(line, entry->sandbox->is_prepared);
    }
    if (entry->is_asking) {
        line->is_forking = entry->sandbox->is_forked;
    }
    if (entry->sandbox->is_prepared || !entry->is_preparing) {
        line_learn(entry->sandbox->is_prepared ? line : &entry->pool->lines[0], ms + 1);
    }
}

struct pool_line *
pool_line_of(struct pool *pool, const char *language)
{
    for (unsigned i = 1; i < pool->n_lines; i++) {
        if (strcmp(pool->lines[i].language, language) == 0) {
            return &pool->lines[i];
        }
    }
    return &pool->lines[0];
}

unsigned
pool_n_lines(const struct pool *pool)
{
    return pool->n_lines;
}

void
pool_line_stats(const struct pool *pool, unsigned line, struct pool_line_stats *ret)
{
    const struct pool_line *it = &pool->lines[line];
    struct list *link, *after;
    unsigned prepared = 0;

    list_each (link, after, &it->warm) {
        prepared += list_entry(link, struct pool_entry, link)->sandbox->is_prepared;
    }
    *ret = (struct pool_line_stats){
        .language = it->language,
        .size = it->claim.size,
        .warm = it->n_warm,
        .prepared = prepared,
        .hits = it->hits,
        .misses = it->misses,
        .stolen = it->stolen,
        .prepare_failed = it->prepare_failed,
    };
}
