#include "executor/core/sessions.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/idempotency.h"
#include "executor/core/session_inside.h"
#include "executor/core/session_store.h"
#include "executor/log.h"
#include "lib/sbx_time.h"

#define SESSIONS_BUCKETS 256u
#define SESSIONS_LIMITS_MAX 1024
#define SESSIONS_RECORD_PARTS 16u
#define SESSIONS_RETRY_MAX_S 3599u
#define SESSION_PAUSE_MS 10000
#define SESSIONS_LOST_GRACE_MS                                                                               \
    4000 /* from "everybody is evicted" to giving up on the store and the launcher */

enum sessions_drain { DRAIN_NO, DRAIN_WAITING, DRAIN_ENDING, DRAIN_DONE };

struct sessions {
    struct sessions_spec spec;
    struct list buckets[SESSIONS_BUCKETS];
    unsigned n;
    int destroying; /* sandboxes of sessions that never ran */
    struct sessions_stats stats;
    enum sessions_drain drain;
    struct timer *drain_timer;
    struct timer *record_timer;
    unsigned record_from; /* the bucket where the next turn begins */
    void (*drained)(void *arg);
    void *drained_arg;
};

static void sessions_on_drain_time(void *arg);
static void sessions_on_record(void *arg);

int
sessions_new(struct sessions **ret, const struct sessions_spec *spec)
{
    struct sessions *sessions;
    int r;

    sessions = calloc(1, sizeof(*sessions));
    if (sessions == NULL) {
        return -ENOMEM;
    }
    sessions->spec = *spec;
    for (unsigned i = 0; i < SESSIONS_BUCKETS; i++) {
        list_init(&sessions->buckets[i]);
    }
    r = timer_new(&sessions->drain_timer, spec->timers, sessions_on_drain_time, sessions);
    if (r == 0) {
        r = timer_new(&sessions->record_timer, spec->timers, sessions_on_record, sessions);
    }
    if (r) {
        timer_free(sessions->drain_timer);
        free(sessions);
        return r;
    }
    if (spec->record_ms > 0) {
        timer_start(sessions->record_timer, spec->record_ms / SESSIONS_RECORD_PARTS);
    }
    *ret = sessions;
    return 0;
}

struct sessions *
sessions_free(struct sessions *sessions)
{
    if (sessions != NULL) {
        assert(sessions->n == 0);
        timer_free(sessions->record_timer);
        timer_free(sessions->drain_timer);
        free(sessions);
    }
    return NULL;
}

const struct sessions_spec *
sessions_get_spec(const struct sessions *sessions)
{
    return &sessions->spec;
}

struct sessions_stats *
sessions_count(struct sessions *sessions)
{
    return &sessions->stats;
}

struct timers *
sessions_timers(const struct sessions *sessions)
{
    return sessions->spec.timers;
}

struct db *
sessions_db(const struct sessions *sessions)
{
    return sessions->spec.db;
}

struct pool *
sessions_pool(const struct sessions *sessions, const char *template_name, enum sbx_isolation isolation)
{
    for (unsigned i = 0; i < sessions->spec.n_pools; i++) {
        const struct runner_pool *pool = &sessions->spec.pools[i];

        if (pool->isolation == isolation && strcmp(pool->template_name, template_name) == 0) {
            return pool->pool;
        }
    }
    return NULL;
}

static struct list *
sessions_bucket(const struct sessions *sessions, const char *id)
{
    uint32_t hash = 2166136261u;

    for (; *id != '\0'; id++) {
        hash = (hash ^ (unsigned char)*id) * 16777619u;
    }
    return (struct list *)(uintptr_t)&sessions->buckets[hash % SESSIONS_BUCKETS];
}

struct session *
sessions_find(const struct sessions *sessions, const char *tenant, const char *id)
{
    const struct list *head = sessions_bucket(sessions, id);

    for (struct list *it = head->next; it != head; it = it->next) {
        struct session *session = list_entry(it, struct session, link);

        if (strcmp(session->record.id.text, id) == 0) {
            return strcmp(session->record.tenant, tenant) == 0 && !session->refused ? session : NULL;
        }
    }
    return NULL;
}

void
sessions_each(struct sessions *sessions, void (*visit)(void *arg, struct session *session), void *arg)
{
    for (unsigned i = 0; i < SESSIONS_BUCKETS; i++) {
        struct list *it, *after;

        list_each (it, after, &sessions->buckets[i]) {
            visit(arg, list_entry(it, struct session, link));
        }
    }
}

/* A part of the table at a time: each session is asked once in record_ms, and not all at once. */
static void
sessions_on_record(void *arg)
{
    struct sessions *sessions = arg;

    for (unsigned i = 0; i < SESSIONS_BUCKETS / SESSIONS_RECORD_PARTS; i++) {
        const struct list *head = &sessions->buckets[sessions->record_from++ % SESSIONS_BUCKETS];

        for (struct list *it = head->next; it != head; it = it->next) {
            session_usage_record(list_entry(it, struct session, link));
        }
    }
    timer_start(sessions->record_timer, sessions->spec.record_ms / SESSIONS_RECORD_PARTS);
}

struct census {
    const char *tenant;
    unsigned all, of_tenant;
};

static void
census_visit(void *arg, struct session *session)
{
    struct census *census = arg;

    if (session->record.state != SESSION_ENDED) {
        census->all++;
        census->of_tenant += strcmp(session->record.tenant, census->tenant) == 0;
    }
}

unsigned
sessions_each_of(struct sessions *sessions, unsigned part, void (*visit)(void *arg, struct session *session),
                 void *arg)
{
    struct list *it, *after;

    list_each (it, after, &sessions->buckets[part]) {
        visit(arg, list_entry(it, struct session, link));
    }
    return part + 1 < SESSIONS_BUCKETS ? part + 1 : 0;
}

struct beside {
    const struct session *session;
    unsigned n_starting;
};

static void
beside_visit(void *arg, struct session *session)
{
    struct beside *beside = arg;

    beside->n_starting += session != beside->session && session->start != NULL && session->sandbox == NULL &&
                          strcmp(session->record.tenant, beside->session->record.tenant) == 0;
}

unsigned
sessions_starting_beside(struct sessions *sessions, const struct session *session)
{
    struct beside beside = { .session = session };

    sessions_each(sessions, beside_visit, &beside);
    return beside.n_starting;
}

struct soonest {
    const char *tenant;
    uint64_t at_ms;
};

static void
soonest_visit(void *arg, struct session *session)
{
    struct soonest *soonest = arg;
    uint64_t idle_ms = session_idle_expires_ms(session), at_ms = session->record.expires_ms;

    if (session->record.state == SESSION_ENDED ||
        (soonest->tenant != NULL && strcmp(session->record.tenant, soonest->tenant) != 0)) {
        return;
    }
    at_ms = idle_ms != 0 && idle_ms < at_ms ? idle_ms : at_ms;
    soonest->at_ms = at_ms < soonest->at_ms ? at_ms : soonest->at_ms;
}

unsigned
sessions_retry_after_s(struct sessions *sessions, const char *tenant)
{
    uint64_t now = sbx_now_unix_ms();
    struct soonest soonest = { .tenant = tenant, .at_ms = now + 1000ul * SESSIONS_RETRY_MAX_S };

    sessions_each(sessions, soonest_visit, &soonest);
    return soonest.at_ms <= now ? 1 : (unsigned)((soonest.at_ms - now) / 1000 + 1);
}

static int
sessions_admit(struct sessions *sessions, const struct session_ask *ask)
{
    struct census census = { .tenant = ask->context->tenant };
    struct pool *pool = sessions_pool(sessions, ask->spec->template_name, ask->isolation);
    struct pool_stats stats = { 0 };

    if (sessions->drain != DRAIN_NO) {
        return SESSIONS_E_DRAINING;
    }
    if (pool != NULL) {
        pool_stats(pool, &stats);
    }
    if (pool == NULL || stats.unsupported || ask->isolation < ask->context->min_isolation) {
        return SESSIONS_E_ISOLATION;
    }
    sessions_each(sessions, census_visit, &census);
    if (census.of_tenant >= ask->max_sessions) {
        sessions->stats.refused_tenant++;
        return SESSIONS_E_TENANT_FULL;
    }
    if (census.all >= sessions->spec.max) {
        sessions->stats.refused_full++;
        return SESSIONS_E_FULL;
    }
    return 0;
}

static void
session_fill(struct session *session, const struct session_ask *ask)
{
    const struct sbx_context *context = ask->context;
    struct session_record *record = &session->record;
    struct sbx_buf limits = SBX_BUF_INIT(SESSIONS_LIMITS_MAX);
    struct sbx_jsonw w;

    record->created_ms = sbx_now_unix_ms();
    memcpy(record->tenant, context->tenant, sizeof(record->tenant));
    memcpy(record->app, context->app, sizeof(record->app));
    memcpy(record->agent, context->agent, sizeof(record->agent));
    memcpy(record->subject, context->subject, sizeof(record->subject));
    memcpy(record->request_id, context->request_id, sizeof(record->request_id));
    (void)snprintf(record->language, sizeof(record->language), "%s", ask->spec->language); /* bounded */
    (void)snprintf(record->template_name, sizeof(record->template_name), "%s",
                   ask->spec->template_name); /* so too */
    record->isolation = ask->isolation;
    record->ttl_ms = ask->ttl_ms;
    record->idle_timeout_ms = ask->idle_timeout_ms;
    record->max_lifetime_ms = ask->max_lifetime_ms;
    record->step_timeout_ms = ask->step_timeout_ms;
    record->expires_ms =
        record->created_ms + (ask->ttl_ms < ask->max_lifetime_ms ? ask->ttl_ms : ask->max_lifetime_ms);
    session->limits = *ask->limits;
    audit_means_take(&session->means, context);
    session->is_governed = ask->asked != NULL;
    if (session->is_governed) {
        session->asked = *ask->asked;
    }
    for (unsigned scope = 0; scope < SBX_N_SCOPES; scope++) {
        session->has_budget = session->has_budget || context->budget_cpu_ms[scope] > 0;
    }
    sbx_jsonw_init(&w, &limits);
    sbx_limits_write(&w, NULL, ask->limits);
    record->limits_json = sbx_buf_take(&limits, NULL); /* NULL is refused by the table */
    sbx_buf_deinit(&limits);
}

/* Of every interpreter it will have, long after the request is gone: one block of its own. */
static int
session_copy_env(struct session *session, const struct job_spec *spec)
{
    size_t size = spec->n_env * sizeof(*session->env);
    char *text;

    for (unsigned i = 0; i < spec->n_env; i++) {
        size += strlen(spec->env[i].name) + strlen(spec->env[i].value) + 2;
    }
    if (spec->n_env == 0) {
        return 0;
    }
    session->env = malloc(size);
    if (session->env == NULL) {
        return -ENOMEM;
    }
    text = (char *)(session->env + spec->n_env);
    for (unsigned i = 0; i < spec->n_env; i++) {
        session->env[i].name = text;
        text = stpcpy(text, spec->env[i].name) + 1;
        session->env[i].value = text;
        text = stpcpy(text, spec->env[i].value) + 1;
    }
    session->n_env = spec->n_env;
    return 0;
}

static int
session_begin_budget(struct session *session)
{
    const struct session_record *record = &session->record;
    const struct budget_name name = { .tenant = record->tenant, .app = record->app, .agent = record->agent };
    struct budgets *budgets = session->sessions->spec.budgets;

    return budgets == NULL ? 0 : budget_use_begin(&session->budget, budgets, &name);
}

static int
session_accept(struct session *session, const struct session_ask *ask)
{
    const struct audit_origin origin = {
        .context = ask->context,
        .request_sha256 = ask->request_sha256,
        .idempotency_key = ask->idempotency == NULL ? NULL : ask->idempotency->key,
    };
    const struct sessions_spec *spec = &session->sessions->spec;
    int r;

    session->idempotency = ask->idempotency;
    r = session_store_create(spec->db, session, ask->spec, &origin, spec->key_ttl_ms, session_on_accepted,
                             session);
    if (r) {
        session->idempotency = NULL;
    }
    return r;
}

int
sessions_create(struct session **ret, struct sessions *sessions, const struct session_ask *ask)
{
    _cleanup_(session_freep) struct session *session = NULL;
    int r;

    r = sessions_admit(sessions, ask);
    if (r) {
        return r;
    }
    r = session_new(&session, sessions);
    if (r) {
        return r;
    }
    session_fill(session, ask);
    session->record.metadata_json = steal(&ask->spec->metadata_json);
    r = sessions->spec.share(sessions->spec.share_arg, session->record.tenant, &session->share);
    if (r == 0) {
        r = session_begin_budget(session);
    }
    if (r == 0) {
        r = session_copy_env(session, ask->spec);
    }
    if (r == 0) {
        r = session_start_new(session, ask->spec);
    }
    if (r == 0) {
        r = session_accept(session, ask);
    }
    if (r) {
        ask->spec->metadata_json = steal(&session->record.metadata_json);
        session_start_drop(session);
        return r;
    }
    if (session->idempotency != NULL) {
        idempotency_set_object(session->idempotency, &session->record.id);
    }
    list_append(sessions_bucket(sessions, session->record.id.text), &session->link);
    sessions->n++;
    session_arm(session);
    session_start_begin(session);
    *ret = steal(&session);
    return 0;
}

static void
sessions_check_drained(struct sessions *sessions)
{
    if ((sessions->drain == DRAIN_WAITING || sessions->drain == DRAIN_ENDING) &&
        sessions_live(sessions) == 0) {
        sessions->drain = DRAIN_DONE;
        timer_start(sessions->drain_timer, 0);
    }
}

void
sessions_forget(struct session *session)
{
    struct sessions *sessions = session->sessions;

    sessions->n--;
    session_free(session);
    sessions_check_drained(sessions);
}

void
sessions_add_destroying(struct sessions *sessions, int n)
{
    sessions->destroying += n;
    sessions_check_drained(sessions);
}

int
session_wait(struct waiter **ret, struct session *session, uint64_t ms, waiter_fn done, void *arg)
{
    bool over = session->record.state != SESSION_STARTING;

    return waiter_new(ret, &session->waiters, sessions_timers(session->sessions), over ? 0 : ms,
                      &session->accepted, SESSION_WAITS_RUN, done, arg);
}

int
session_wait_pause(struct waiter **ret, struct session *session, waiter_fn done, void *arg)
{
    return waiter_new(ret, &session->waiters, sessions_timers(session->sessions),
                      session->pausing ? SESSION_PAUSE_MS : 0, &session->accepted, SESSION_WAITS_PAUSE, done,
                      arg);
}

int
session_wait_usage(struct waiter **ret, struct session *session, waiter_fn done, void *arg)
{
    return waiter_new(ret, &session->waiters, sessions_timers(session->sessions), SESSION_MEASURE_MS,
                      &session->accepted, SESSION_WAITS_USAGE, done, arg);
}

int
session_wait_end(struct waiter **ret, struct session *session, uint64_t ms, waiter_fn done, void *arg)
{
    return waiter_new(ret, &session->waiters, sessions_timers(session->sessions), ms, &session->accepted,
                      SESSION_WAITS_END, done, arg);
}

static void
session_evict(void *arg _unused_, struct session *session)
{
    session_end(session, SESSION_EVICTED, "");
}

/* Who is left has no end in the store: the next start finds it unfinished and says lost. */
static void
session_drop(void *arg _unused_, struct session *session)
{
    log_error("drain.session_dropped", LOG_STR("session", session->record.id.text));
    waiter_tell(&session->waiters, SESSION_WAITS_USAGE, WAITER_STORE);
    waiter_tell(&session->waiters, SESSION_WAITS_RUN, WAITER_STORE);
    waiter_tell(&session->waiters, SESSION_WAITS_END, WAITER_STORE);
}

void
sessions_hurry(struct sessions *sessions)
{
    if (sessions->drain != DRAIN_WAITING) {
        return;
    }
    sessions->drain = DRAIN_ENDING;
    timer_start(sessions->drain_timer, SESSIONS_LOST_GRACE_MS);
    sessions_each(sessions, session_evict, NULL);
    sessions_check_drained(sessions);
}

static void
sessions_on_drain_time(void *arg)
{
    struct sessions *sessions = arg;

    if (sessions->drain == DRAIN_WAITING) {
        sessions_hurry(sessions);
        return;
    }
    if (sessions->drain == DRAIN_ENDING) {
        sessions->drain = DRAIN_DONE;
        sessions_each(sessions, session_drop, NULL);
    }
    sessions->drained(sessions->drained_arg);
}

static void
session_rest_visit(void *arg _unused_, struct session *session)
{
    if (session->record.state == SESSION_PAUSED) {
        session_end_soon(session, SESSION_EVICTED);
    } else {
        session_rest(session);
    }
}

bool
sessions_draining(const struct sessions *sessions)
{
    return sessions->drain != DRAIN_NO;
}

/* Those in which nothing is under way end at once: who waits for nothing gains nothing by patience. */
void
sessions_drain(struct sessions *sessions, uint64_t patience_ms, void (*done)(void *arg), void *arg)
{
    assert(sessions->drain == DRAIN_NO);
    sessions->drain = DRAIN_WAITING;
    sessions->drained = done;
    sessions->drained_arg = arg;
    sessions_each(sessions, session_rest_visit, NULL);
    timer_start(sessions->drain_timer, patience_ms);
    sessions_check_drained(sessions);
}

unsigned
sessions_live(const struct sessions *sessions)
{
    return sessions->n + (unsigned)sessions->destroying;
}

static void
stats_visit(void *arg, struct session *session)
{
    struct sessions_stats *stats = arg;

    stats->live[session->record.state]++;
}

void
sessions_stats(const struct sessions *sessions, struct sessions_stats *ret)
{
    *ret = sessions->stats;
    memset(ret->live, 0, sizeof(ret->live));
    sessions_each((struct sessions *)(uintptr_t)sessions, stats_visit, ret);
}
