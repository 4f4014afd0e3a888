/*
 * The executor itself: admits jobs, keeps their accept and result records and
 * the moment of answering in order, and ends cleanly.
 *
 *   engine_submit: queue, accept record (overlaps the run) -> sandbox -> result
 *   record -> waiters are told -> sandbox destroyed -> job forgotten
 *
 * A job's result is stored only after its accept record is durable, or with it: the
 * accept record of a job whose client waits for the end is held for a moment, and if
 * the job ends within that, both are one commit. Until then nobody was told of the
 * job; whoever looks for it ends the wait. A job whose accept record failed is
 * stopped and was never there.
 */
#pragma once

#include "executor/core/audit.h"
#include "executor/core/feed_shelf.h"
#include "executor/core/histogram.h"
#include "executor/core/idempotency.h"
#include "executor/core/job_feed.h"
#include "executor/core/runner.h"
#include "executor/store/db.h"

enum {
    ENGINE_E_QUEUE_FULL = 1,
    ENGINE_E_TENANT_FULL,
    ENGINE_E_DRAINING,
    ENGINE_E_ISOLATION, /* the tier is not offered, or weaker than the context's minimum */
};

struct engine;

struct engine_spec {
    struct timers *timers;
    struct runtime *runtime; /* borrows; says whether the launcher is there */
    struct db *db;           /* borrows */
    struct blob_store *blobs;
    struct artifacts *artifacts;     /* borrows; NULL: files of jobs are not kept */
    struct budgets *budgets;         /* borrows; NULL: nothing is counted */
    const struct runner_pool *pools; /* borrows */
    unsigned n_pools;
    struct queue_spec queue;
    /* Jobs that wait for a sandbox of one tier at once, and as many more of tenants that run nothing else; 0: half of those
     * that may run. */
    unsigned max_taking;
    uint64_t queue_timeout_ms;
    size_t output_keep;
    size_t feed_keep;
    size_t feeds_max;   /* memory for the feeds of all jobs and steps together */
    size_t shelf_bytes; /* for feeds of jobs that ended */
    uint64_t shelf_ms;
    job_feed_describe_fn describe;
    uint64_t key_ttl_ms;
    uint64_t keep_ms; /* records, when the policy does not say */
};

struct engine_submission {
    struct job_spec *spec; /* taken on success */
    const struct sbx_context *context;
    const struct sbx_limits *limits; /* effective */
    enum sbx_isolation isolation;    /* that it shall run in */
    const char *request_sha256;
    struct idempotency_entry *idempotency; /* NULL: no key */
    const struct sbx_policy_input *asked;  /* what policies are asked about while it lives; NULL: nothing */
    bool waits;                            /* for the end: nobody is told before that it was accepted */
};

struct engine_stats {
    uint64_t accepted, refused_queue, refused_tenant, refused_store, retried;
    uint64_t ended[JOB_N_STATES];
    struct histogram waited, ran, total; /* admission to start, start to end, admission to answer */
    struct queue_stats queue;
};

_must_check_ int engine_new(struct engine **ret, const struct engine_spec *spec);
/* After engine_drain was done. */
struct engine *engine_free(struct engine *engine);
/* The job is live from now on; it may be found, waited for and cancelled. */
_must_check_ int engine_submit(struct job **ret, struct engine *engine,
                               const struct engine_submission *submission);
/* For one that was refused: when there is likely to be room for it. */
unsigned engine_retry_after_s(const struct engine *engine, const struct engine_submission *submission);
/* 1: the next to start; 0: it does not wait. */
unsigned engine_queue_position(const struct job *job);
/* NONE: there is no such template. */
enum sbx_isolation engine_template_tier(const struct engine *engine, const char *name);
bool engine_offers(const struct engine *engine, const char *template_name, enum sbx_isolation isolation);
/* What all that a tenant runs shares of the processors; never 0, and tells nobody the tenant's name. */
_must_check_ int engine_share(const struct engine *engine, const char *tenant, uint64_t *ret);
struct idempotency *engine_idempotency(struct engine *engine);
/* What all feeds share. */
struct feed_budget *engine_feeds(const struct engine *engine);
/* Of jobs that ended and were streamed. */
struct feed_shelf *engine_shelf(const struct engine *engine);
struct db *engine_db(const struct engine *engine);
struct timers *engine_timers(const struct engine *engine);
uint64_t engine_key_ttl_ms(const struct engine *engine);
/* Its accept record is on its way to the store from now on. */
struct job *engine_find(const struct engine *engine, const char *tenant, const char *id);
void engine_each(struct engine *engine, void (*visit)(void *arg, struct job *job), void *arg);
/* Asks for the end; a job that has ended already is left alone. */
void engine_cancel(struct engine *engine, struct job *job);
/* The same for a request, which the end's event names; `reason` as in audit_asker_new. */
void engine_cancel_by(struct engine *engine, struct job *job, const struct sbx_context *context,
                      const char *reason);
/* A policy forbids it: as engine_cancel, and it says why. Takes denial, which is malloc'd with its violation_json. */
void engine_deny(struct engine *engine, struct job *job, struct job_denial *denial);
/* Those of one part of the table after the other: `visit` may end that one. Returns the next part, 0 after the last. */
unsigned engine_each_of(struct engine *engine, unsigned part, void (*visit)(void *arg, struct job *job),
                        void *arg);
/* No new jobs; `done` when all are over and gone, or when `timeout_ms` and then some have passed. */
void engine_drain(struct engine *engine, uint64_t timeout_ms, void (*done)(void *arg), void *arg);
/* Ends what still lives now. */
void engine_hurry(struct engine *engine);
bool engine_draining(const struct engine *engine);
/* Jobs not forgotten and sandboxes not gone; after a drain that ended late there are some, and no engine_free. */
unsigned engine_live(const struct engine *engine);
/* Jobs that are starting or running. */
unsigned engine_running(const struct engine *engine);
void engine_stats(const struct engine *engine, struct engine_stats *ret);
