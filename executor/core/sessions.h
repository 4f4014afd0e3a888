/*
 * All sessions of this executor: admits them, finds them, and ends them when the executor stops. A look-up names the
 * tenant too: another tenant's session is no session.
 */
#pragma once

#include "executor/core/audit.h"
#include "executor/core/feed_shelf.h"
#include "executor/core/job_spec.h"
#include "executor/core/runner.h"
#include "executor/core/session.h"
#include "executor/core/waiter.h"

struct idempotency;

enum {
    SESSIONS_E_FULL = 1,    /* the executor has as many as it may */
    SESSIONS_E_TENANT_FULL, /* the tenant has */
    SESSIONS_E_DRAINING,
    SESSIONS_E_ISOLATION, /* the tier is not offered, or weaker than the context's minimum */
};

struct sessions_spec {
    struct timers *timers;
    struct db *db;                   /* borrows */
    const struct runner_pool *pools; /* borrows */
    unsigned n_pools;
    unsigned max;
    size_t output_keep;        /* of each stream of a step */
    size_t feed_keep;          /* of what a step says, for who streams it */
    struct feed_budget *feeds; /* borrows; what all feeds share */
    struct feed_shelf *shelf;  /* borrows; for feeds of steps that ended */
    uint64_t key_ttl_ms;
    uint64_t keep_ms;        /* records, after their end, when the policy does not say */
    struct budgets *budgets; /* borrows; NULL: nothing is counted */
    uint64_t record_ms;      /* a session's use goes into usage this often while it lives; 0: at its end */
    /* One share of the processors for all that a tenant runs. */
    int (*share)(void *arg, const char *tenant, uint64_t *ret);
    void *share_arg;
};

/* What a session is made of. Borrows until return, but for the spec. */
struct session_ask {
    struct job_spec *spec; /* language, template, env, files, metadata; taken on success */
    const struct sbx_context *context;
    const struct sbx_limits *limits; /* effective, of the whole session */
    enum sbx_isolation isolation;
    uint64_t ttl_ms, idle_timeout_ms, max_lifetime_ms, step_timeout_ms;
    unsigned max_sessions; /* of the tenant */
    const char *request_sha256;
    struct idempotency_entry *idempotency; /* NULL: no key */
    const struct sbx_policy_input *asked;  /* what policies are asked about while it lives; NULL: nothing */
};

struct sessions_stats {
    uint64_t created, refused_full, refused_tenant;
    uint64_t ended[SESSION_N_REASONS];
    uint64_t steps;
    unsigned live[SESSION_N_STATES];
};

_must_check_ int sessions_new(struct sessions **ret, const struct sessions_spec *spec);
/* After sessions_drain was done. Accepts NULL, returns NULL. */
struct sessions *sessions_free(struct sessions *sessions);
/* It is live from now on; it may be found and waited for. */
_must_check_ int sessions_create(struct session **ret, struct sessions *sessions,
                                 const struct session_ask *ask);
/* How many others of its tenant have no sandbox yet. */
unsigned sessions_starting_beside(struct sessions *sessions, const struct session *session);
/* When the first of them, or of this tenant's (NULL: of all), is over for its clocks: 1 to 3600 seconds. */
unsigned sessions_retry_after_s(struct sessions *sessions, const char *tenant);
/* Live: also one that has ended and whose end is not durable yet. Else NULL. */
struct session *sessions_find(const struct sessions *sessions, const char *tenant, const char *id);
/* `visit` may end that one, nothing else. */
void sessions_each(struct sessions *sessions, void (*visit)(void *arg, struct session *session), void *arg);
/* As engine_each_of. */
unsigned sessions_each_of(struct sessions *sessions, unsigned part,
                          void (*visit)(void *arg, struct session *session), void *arg);
/* Told (waiter.h) when it runs or has ended, and its row is durable; or when the time is up. */
_must_check_ int session_wait(struct waiter **ret, struct session *session, uint64_t ms, waiter_fn done,
                              void *arg);
/* Told when session_pause has come to an end: the state says to which. */
_must_check_ int session_wait_pause(struct waiter **ret, struct session *session, waiter_fn done, void *arg);
/* Told when session_measure has its numbers, or they do not come in time. */
_must_check_ int session_wait_usage(struct waiter **ret, struct session *session, waiter_fn done, void *arg);
/* Told when it has ended and that is durable. */
_must_check_ int session_wait_end(struct waiter **ret, struct session *session, uint64_t ms, waiter_fn done,
                                  void *arg);
/* No new ones; those that are end `evicted` after the patience; `done` when all are gone. */
void sessions_drain(struct sessions *sessions, uint64_t patience_ms, void (*done)(void *arg), void *arg);
/* Ends what still lives now. */
void sessions_hurry(struct sessions *sessions);
/* Sessions not forgotten and sandboxes not gone; after a drain that ended late there are some, and no sessions_free. */
unsigned sessions_live(const struct sessions *sessions);
void sessions_stats(const struct sessions *sessions, struct sessions_stats *ret);
struct timers *sessions_timers(const struct sessions *sessions);
struct db *sessions_db(const struct sessions *sessions);
