/*
 * Takes one job through a sandbox: take it from the pool, adopt, run, collect its
 * artifacts, decide the verdict. Tells once how it went; the sandbox is destroyed
 * after the answer (runner_release) or, for who is stopped, before it.
 */
#pragma once

#include "executor/core/job.h"
#include "executor/core/pool.h"

struct artifacts;
struct blob_store;
struct runner;

#define RUNNER_MAX_POOLS 32

/* One template in one tier that this executor offers. */
struct runner_pool {
    const char *template_name;
    enum sbx_isolation isolation;
    bool own; /* the template's own tier: what a job gets for which nobody says one */
    struct pool *pool;
};

struct runner_spec {
    struct timers *timers;
    struct blob_store *blobs;
    struct artifacts *artifacts;     /* may be NULL */
    const struct runner_pool *pools; /* borrows; the strings too */
    unsigned n_pools;
    /* There was no sandbox, nothing ran: the job may try again. */
    void (*on_unavailable)(void *arg, struct job *job);
    /* job->verdict and the record are filled; not durable yet. */
    void (*on_started)(void *arg, struct job *job); /* its program runs */
    void (*on_ended)(void *arg, struct job *job);
    /* The last trace of a run is gone, or one that waited for its sandbox has it. */
    void (*on_room)(void *arg);
    void *arg;
};

enum runner_stop {
    RUNNER_CANCEL, /* somebody asked */
    RUNNER_DRAIN,  /* the executor stops */
    RUNNER_DENY,   /* a policy forbids it; job->denial says why */
    RUNNER_EXPIRE, /* its time to wait is over */
};

_must_check_ int runner_new(struct runner **ret, const struct runner_spec *spec);
struct runner *runner_free(struct runner *runner); /* nothing may be under way */
/* NONE: there is no such template. */
enum sbx_isolation runner_template_tier(const struct runner *runner, const char *template_name);
/* Whether jobs of this template may run in this tier, as far as is known. */
bool runner_offers(const struct runner *runner, const char *template_name, enum sbx_isolation isolation);
/* The job is starting; its spec's template is known in its spec's tier. */
void runner_start(struct runner *runner, struct job *job);
/* For a job that is starting or running; a no-op once it ended. on_ended follows within a second. */
void runner_stop(struct runner *runner, struct job *job, enum runner_stop why);
/* Has the kernel asked what a running job uses, for job->used and its budgets; it is told later, or not. */
void runner_measure(struct job *job);
/* The job was answered, or was refused: its sandbox goes (after the answer, if it ran), on_ended is not called any more. */
void runner_release(struct runner *runner, struct job *job);
/* For a job that never had a sandbox: decides and fills as a stop does. */
void runner_decide_unstarted(struct job *job, enum runner_stop why);
/* Runs that wait for a sandbox of this tier. */
unsigned runner_waiting(const struct runner *runner, enum sbx_isolation isolation);
/* Sandboxes that are in use or not yet gone. */
unsigned runner_busy(const struct runner *runner);
