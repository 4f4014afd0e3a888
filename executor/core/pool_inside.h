/* What pool.c and pool_line.c share. */
#pragma once

#include "executor/core/estimate.h"
#include "executor/core/pool.h"
#include "lib/sbx_list.h"

enum entry_state { ENTRY_NEW, ENTRY_CREATING, ENTRY_WARM, ENTRY_DESTROYING, N_ENTRY_STATES };

struct pool_line {
    struct pool *pool;
    struct pool_claim claim;
    struct list warm;
    unsigned n_warm, n_creating, n_takes;
    struct estimate made;    /* how long one takes that is prepared, or that is plain on the line of "" */
    bool is_forking;         /* the last interpreter that was asked for was forked into its sandbox */
    unsigned unprepared;     /* interpreters in a row that did not start */
    uint64_t plain_until_ms; /* plain ones are made instead */
    uint64_t hits, misses, stolen, prepare_failed;
    char language[RUNTIME_MAX_LANGUAGE + 1];
};

struct pool_entry {
    struct list link;
    struct pool *pool; /* NULL once the pool was freed under a call that is still out */
    struct pool_line *line;
    struct sandbox *sandbox;
    enum entry_state state;
    bool is_refill;    /* counts as one at the share */
    bool is_hastened;  /* and somebody waits for it by now */
    bool is_asking;    /* for an interpreter of the line's language */
    bool is_preparing; /* to be started if need be */
    uint64_t since_ms;
};

struct pool_take {
    struct list link;
    struct pool *pool;
    struct pool_line *line;
    runtime_created_fn done;
    void *arg;
    uint64_t since_ms, turn_ms;
    bool is_of_many;
    char language[RUNTIME_MAX_LANGUAGE + 1]; /* "": none that could be asked for */
};

struct pool {
    struct pool_spec spec;
    struct pool_member member;
    char *template_name;
    struct pool_line lines[POOL_MAX_LINES];
    unsigned n_lines;
    struct list entries[N_ENTRY_STATES]; /* of WARM: none, see lines */
    unsigned n_entries[N_ENTRY_STATES];
    struct list takes; /* whose turn is first */
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
    struct histogram waited;
};

void pool_entry_set_state(struct pool_entry *entry, enum entry_state state);
/* Out of its list and of what is counted. */
void pool_entry_leave(struct pool_entry *entry);
/* The sandbox, if any, belongs to someone else now. */
void pool_entry_free(struct pool_entry *entry);
/* Tells the clock, and the line, how its creation went. */
void pool_entry_measure(const struct pool_entry *entry);
/* NULL: nothing is ready on it. */
struct pool_entry *pool_line_first(const struct pool_line *line);
/* Whether its takes wait for one of its own, which costs less than a start of an interpreter in one of another line. */
bool pool_line_insists(const struct pool_line *line);
/*
 * How many of its own that are ready the take is to leave, also of those that are missing for that: for a while one whose
 * tenant has many leaves the last one to those who have few.
 */
unsigned pool_take_leaves(const struct pool_take *take);
/* What the take gets; NULL: nothing. */
struct pool_entry *pool_find(struct pool *pool, const struct pool_take *take);
/* Whether an interpreter is to be started in what is made for it. */
bool pool_line_prepares(const struct pool_line *line);
/* The first take for which none is being made. */
struct pool_take *pool_take_waiting(struct pool *pool);
/* The line that lacks the largest part of its size; `is_low`: of those that lack more than half, and have waited for their grace. */
struct pool_line *pool_line_short(struct pool *pool, bool is_low);
struct pool_line *pool_line_of(struct pool *pool, const char *language);
