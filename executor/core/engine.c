#include "executor/core/engine.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/job_store.h"
#include "executor/core/job_table.h"
#include "executor/log.h"
#include "executor/store/blob.h"
#include "lib/sbx_time.h"

#define ENGINE_RETRY_STORE_MS 500
#define ENGINE_LAUNCHER_POLL_MS 50
#define ENGINE_LOST_GRACE_MS 4000 /* from "everybody is lost" to giving up on the store and the launcher */
#define ENGINE_MEASURE_MS 250     /* between two looks at what runs use that count against a budget */
#define ENGINE_MEASURE_MAX 256
#define ENGINE_SLOT_SLACK_MS 1000
#define ENGINE_HOLD_MS 10 /* an accept record waits so long for the job's end, also in a queue that is busy */
#define ENGINE_MAX_ARTIFACT_BYTES (UINT64_C(1) << 30)
#define ENGINE_MAX_ATTEMPTS 1000 /* sandboxes asked for; the queue's deadline comes long before */

enum drain_phase { DRAIN_NO, DRAIN_WAITING, DRAIN_ENDING, DRAIN_DONE };

struct engine {
    struct engine_spec spec;
    struct queue *queue;
    struct runner *runner;
    struct job_table *table;
    struct idempotency *idempotency;
    struct feed_budget *feeds;
    struct feed_shelf *shelf;
    struct holds *holds; /* jobs whose accept record waits for their end */
    struct timer *pump;  /* looks for work on the loop's next turn, or when the launcher may be back */
    struct timer *drain_timer;
    struct timer *measure_timer; /* while something counts against a budget */
    bool measuring;
    enum drain_phase drain;
    void (*drained)(void *arg);
    void *drained_arg;
    struct engine_stats stats;
    struct sbx_hmac *share; /* keyed so that a share tells the launcher no tenant's name */
};

static inline void
engine_freep(struct engine **engine)
{
    engine_free(*engine);
}

static void engine_on_pump(void *arg);
static void engine_on_drain_time(void *arg);
static void engine_on_measure(void *arg);
static void engine_on_unavailable(void *arg, struct job *job);
static void engine_on_started(void *arg, struct job *job);
static void engine_on_ended(void *arg, struct job *job);
static void engine_on_room(void *arg);
static bool engine_fits(void *arg, struct queue_item *item);
static void engine_look(void *arg, struct queue_item *item, uint64_t *age_ms, uint64_t *most_ms);
static void job_on_deadline(void *arg);
static void job_on_accepted(void *arg, int rc, const struct db_result *result);
static void job_on_finished(void *arg, int rc, const struct db_result *result);
static void job_on_recorded(void *arg, int rc, const struct db_result *result);
static void job_on_held(void *arg, struct hold *hold);

int
engine_new(struct engine **ret, const struct engine_spec *spec)
{
    _cleanup_(engine_freep) struct engine *engine = NULL;
    struct runner_spec runner = {
        .timers = spec->timers,
        .blobs = spec->blobs,
        .artifacts = spec->artifacts,
        .pools = spec->pools,
        .n_pools = spec->n_pools,
        .on_unavailable = engine_on_unavailable,
        .on_started = engine_on_started,
        .on_ended = engine_on_ended,
        .on_room = engine_on_room,
    };
    const struct feed_shelf_spec shelf = {
        .timers = spec->timers,
        .max_bytes = spec->shelf_bytes,
        .linger_ms = spec->shelf_ms,
    };
    uint8_t share_key[SBX_SHA256_LEN];
    int r;

    engine = calloc(1, sizeof(*engine));
    if (engine == NULL) {
        return -ENOMEM;
    }
    engine->spec = *spec;
    engine->spec.queue.fits = engine_fits;
    engine->spec.queue.look = engine_look;
    engine->spec.queue.arg = engine;
    runner.arg = engine;
    r = sbx_random(share_key, sizeof(share_key));
    if (r == 0) {
        r = sbx_hmac_new(&engine->share, share_key, sizeof(share_key));
        explicit_bzero(share_key, sizeof(share_key));
    }
    if (r == 0) {
        r = queue_new(&engine->queue, &engine->spec.queue);
    }
    if (r == 0) {
        r = runner_new(&engine->runner, &runner);
    }
    if (r == 0) {
        r = job_table_new(&engine->table);
    }
    if (r == 0) {
        r = idempotency_new(&engine->idempotency);
    }
    if (r == 0) {
        r = feed_shelf_new(&engine->shelf, &shelf);
    }
    if (r == 0) {
        r = feed_budget_new(&engine->feeds, spec->feeds_max);
    }
    if (r == 0) {
        r = holds_new(&engine->holds, spec->timers, ENGINE_HOLD_MS, job_on_held, engine);
    }
    if (r == 0) {
        r = timer_new(&engine->pump, spec->timers, engine_on_pump, engine);
    }
    if (r == 0) {
        r = timer_new(&engine->measure_timer, spec->timers, engine_on_measure, engine);
    }
    if (r == 0) {
        r = timer_new(&engine->drain_timer, spec->timers, engine_on_drain_time, engine);
    }
    if (r) {
        return r;
    }
    *ret = steal(&engine);
    return 0;
}

struct engine *
engine_free(struct engine *engine)
{
    if (engine == NULL) {
        return NULL;
    }
    timer_free(engine->measure_timer);
    timer_free(engine->drain_timer);
    timer_free(engine->pump);
    feed_shelf_free(engine->shelf);
    feed_budget_unref(engine->feeds);
    idempotency_free(engine->idempotency);
    job_table_free(engine->table);
    holds_free(engine->holds);
    runner_free(engine->runner);
    queue_free(engine->queue);
    sbx_hmac_free(engine->share);
    free(engine);
    return NULL;
}

static void
engine_check_drained(struct engine *engine)
{
    if (engine->drain == DRAIN_NO || engine->drain == DRAIN_DONE || job_table_count(engine->table) > 0 ||
        runner_busy(engine->runner) > 0) {
        return;
    }
    engine->drain = DRAIN_DONE;
    timer_start(engine->drain_timer, 0);
}

static void
engine_wake(struct engine *engine)
{
    timer_start(engine->pump, 0);
}

static void
engine_on_room(void *arg)
{
    engine_wake(arg);
}

/*
 * Jobs that wait for a sandbox of one tier hold at most half of the slots: when it makes none, hanging, those of the
 * other tier go on in the other half. And no more than keep its pools busy: whoever waits there is served nearly in the
 * order of coming, in the queue by whose turn it is. But the first of tenants that run nothing, which there go ahead, have
 * as many places again; and whoever's turn it is by the ring, who would else wait for as long as others come for those.
 */
static bool
engine_fits(void *arg, struct queue_item *item)
{
    const struct engine *engine = arg;
    const struct job *job = list_entry(item, struct job, item);
    unsigned most = engine->spec.queue.max_running / 2;
    bool is_ahead = queue_running_beside(item) == 0 || queue_is_by_ring(engine->queue);
    unsigned taking = engine->spec.max_taking * (is_ahead ? 2 : 1);

    if (taking > 0 && taking < most) {
        most = taking;
    }
    return runner_waiting(engine->runner, job->record.isolation) < (most > 0 ? most : 1);
}

/* A slot is held longer than the program may run: the sandbox is made before and its files are taken after. */
static void
engine_look(void *arg _unused_, struct queue_item *item, uint64_t *age_ms, uint64_t *most_ms)
{
    const struct job *job = list_entry(item, struct job, item);

    *age_ms = job->slot_ms == 0 ? 0 : sbx_now_mono_ms() - job->slot_ms;
    *most_ms = job->limits.value[SBX_LIMIT_TIME] + ENGINE_SLOT_SLACK_MS;
}

/* Told or refused: the job leaves. Its waiters have been told. */
static void
job_forget(struct job *job)
{
    struct engine *engine = job->engine;

    runner_release(engine->runner, job);
    queue_leave(engine->queue, &job->item, 0);
    idempotency_object_gone(steal(&job->idempotency));
    job_table_remove(engine->table, job);
    job_free(job);
    engine_wake(engine);
}

/* The run's slot is free for the next as soon as nothing runs in it; its bytes are not needed either. */
static void
job_leave_queue(struct job *job)
{
    uint64_t held_ms = job->running_ms == 0 ? 0 : sbx_now_mono_ms() - job->slot_ms;

    queue_leave(job->engine->queue, &job->item, held_ms);
    engine_wake(job->engine);
}

int
engine_share(const struct engine *engine, const char *tenant, uint64_t *ret)
{
    uint8_t mac[SBX_SHA256_LEN];
    int r;

    r = sbx_hmac(engine->share, tenant, strlen(tenant), mac);
    if (r) {
        return r;
    }
    memcpy(ret, mac, sizeof(*ret));
    *ret |= *ret == 0;
    return 0;
}

static void
job_fill_record(struct job *job, const struct engine_submission *submission, const char *code_sha256)
{
    const struct sbx_context *context = submission->context;
    struct job_record *record = &job->record;

    record->created_ms = sbx_now_unix_ms();
    memcpy(record->tenant, context->tenant, sizeof(record->tenant));
    memcpy(record->app, context->app, sizeof(record->app));
    memcpy(record->agent, context->agent, sizeof(record->agent));
    memcpy(record->subject, context->subject, sizeof(record->subject));
    memcpy(record->request_id, context->request_id, sizeof(record->request_id));
    memcpy(record->traceparent, context->traceparent, sizeof(record->traceparent));
    (void)snprintf(record->language, sizeof(record->language), "%s", job->spec->language); /* bounded */
    (void)snprintf(record->template_name, sizeof(record->template_name), "%s",
                   job->spec->template_name); /* so too */
    record->isolation = submission->isolation;
    memcpy(record->code_sha256, code_sha256, sizeof(record->code_sha256));
    record->metadata_json = steal(&job->spec->metadata_json);
    job->limits = *submission->limits;
    job->max_artifacts = context->max_artifacts;
    job->max_artifact_bytes = context->max_artifact_bytes;
    if (job->max_artifact_bytes > ENGINE_MAX_ARTIFACT_BYTES) {
        job->max_artifact_bytes = ENGINE_MAX_ARTIFACT_BYTES;
    }
    job->max_stored_bytes = context->max_stored_bytes;
    job->retention_artifacts_ms = context->retention_artifacts_ms;
    job->keep_ms =
        context->retention_records_ms > 0 ? context->retention_records_ms : job->engine->spec.keep_ms;
    job->concurrency = context->tenant_concurrency;
    job->is_governed = submission->asked != NULL;
    if (job->is_governed) {
        job->asked = *submission->asked;
    }
    for (unsigned scope = 0; scope < SBX_N_SCOPES; scope++) {
        job->has_budget = job->has_budget || context->budget_cpu_ms[scope] > 0;
    }
    audit_means_take(&job->means, context);
    job->admitted_ms = sbx_now_mono_ms();
}

static int
hash_code(const struct job_spec *spec, char out[SBX_SHA256_HEX])
{
    uint8_t digest[SBX_SHA256_LEN];
    int r;

    r = sbx_sha256(spec->code, spec->code_len, digest);
    if (r == 0) {
        sbx_hex(out, digest, sizeof(digest));
    }
    return r;
}

static void
measure_visit(void *arg, struct job *job)
{
    unsigned *n = arg;

    if (job->has_budget && job->record.state == JOB_RUNNING && *n < ENGINE_MEASURE_MAX) {
        runner_measure(job);
        (*n)++;
    }
}

static void
engine_on_measure(void *arg)
{
    struct engine *engine = arg;
    unsigned n = 0;

    job_table_each(engine->table, measure_visit, &n);
    engine->measuring = n > 0;
    if (n > 0) {
        timer_start(engine->measure_timer, ENGINE_MEASURE_MS);
    }
}

static int
job_begin_budget(struct job *job)
{
    const struct job_record *record = &job->record;
    const struct budget_name name = { .tenant = record->tenant, .app = record->app, .agent = record->agent };

    if (job->engine->spec.budgets == NULL) {
        return 0;
    }
    return budget_use_begin(&job->budget, job->engine->spec.budgets, &name);
}

static int
job_enqueue(struct job *job)
{
    struct engine *engine = job->engine;
    int r;

    r = queue_put(engine->queue, &job->item, job->record.tenant, job->record.agent, job->concurrency);
    if (r == QUEUE_E_FULL) {
        engine->stats.refused_queue++;
        return ENGINE_E_QUEUE_FULL;
    }
    if (r == QUEUE_E_TENANT_FULL) {
        engine->stats.refused_tenant++;
        return ENGINE_E_TENANT_FULL;
    }
    return r;
}

/* Its accept record waits no more. */
static void
job_accept_now(struct job *job)
{
    if (job->admission != NULL) {
        hold_take(&job->hold);
        job_store_accept(steal(&job->admission), job, job_on_accepted, job);
    }
}

static void
job_on_held(void *arg _unused_, struct hold *hold)
{
    job_accept_now(list_entry(hold, struct job, hold));
}

static int
job_accept(struct job *job, const struct engine_submission *submission)
{
    struct engine *engine = job->engine;
    const struct audit_origin origin = {
        .context = submission->context,
        .request_sha256 = submission->request_sha256,
        .idempotency_key = submission->idempotency == NULL ? NULL : submission->idempotency->key,
    };
    struct db_stats db;
    int r;

    db_stats(engine->spec.db, &db);
    job->holds_for_accept = !db.healthy;
    job->idempotency = submission->idempotency;
    r = job_store_admit(&job->admission, engine->spec.db, job, &origin, engine->spec.key_ttl_ms);
    if (r) {
        job->idempotency = NULL;
        return r;
    }
    if (submission->waits && !job->holds_for_accept) {
        holds_add(engine->holds, &job->hold);
    } else {
        job_accept_now(job);
    }
    return 0;
}

int
engine_submit(struct job **ret, struct engine *engine, const struct engine_submission *submission)
{
    _cleanup_(job_freep) struct job *job = NULL;
    char code_sha256[SBX_SHA256_HEX];
    int r;

    if (engine->drain != DRAIN_NO) {
        return ENGINE_E_DRAINING;
    }
    if (submission->isolation < submission->context->min_isolation ||
        !engine_offers(engine, submission->spec->template_name, submission->isolation)) {
        return ENGINE_E_ISOLATION;
    }
    r = hash_code(submission->spec, code_sha256);
    if (r) {
        return r;
    }
    r = job_new(&job, submission->spec, engine->spec.output_keep, engine->spec.feed_keep);
    if (r) {
        return r;
    }
    job->engine = engine;
    feed_join(job->feed, engine->feeds);
    job_fill_record(job, submission, code_sha256);
    r = engine_share(engine, job->record.tenant, &job->share);
    if (r == 0) {
        r = timer_new(&job->deadline, engine->spec.timers, job_on_deadline, job);
    }
    if (r == 0) {
        r = job_begin_budget(job);
    }
    if (r == 0) {
        r = job_enqueue(job);
    }
    if (r == 0) {
        r = job_accept(job, submission);
    }
    if (r) {
        queue_leave(engine->queue, &job->item, 0);
        submission->spec->metadata_json = steal(&job->record.metadata_json);
        job->spec = NULL; /* stays the caller's */
        return r;
    }

    if (job->idempotency != NULL) {
        idempotency_set_object(job->idempotency, &job->record.id);
    }
    job_table_add(engine->table, job);
    timer_start(job->deadline, engine->spec.queue_timeout_ms);
    engine_wake(engine);
    *ret = steal(&job);
    return 0;
}

/* After a failure of the store a job waits here, holding its slot, until its accept record is durable. */
static void
job_start_if_allowed(struct job *job)
{
    if (job->accepted || !job->holds_for_accept) {
        runner_start(job->engine->runner, job);
    }
}

static bool
engine_start_next(struct engine *engine)
{
    struct queue_item *item = queue_next(engine->queue);
    struct job *job;

    if (item == NULL) {
        return false;
    }
    job = list_entry(item, struct job, item);
    job->slot_ms = sbx_now_mono_ms();
    if (job->has_budget && !engine->measuring) {
        engine->measuring = true;
        timer_start(engine->measure_timer, ENGINE_MEASURE_MS);
    }
    job_set_state(job, JOB_STARTING);
    job_start_if_allowed(job);
    return true;
}

static bool
job_is_unstarted(const struct job *job)
{
    return job->record.state == JOB_QUEUED || (job->record.state == JOB_STARTING && job->run == NULL);
}

static void
job_stop(struct job *job, enum runner_stop why)
{
    if (job_is_unstarted(job)) {
        runner_decide_unstarted(job, why);
        engine_on_ended(job->engine, job);
        return;
    }
    runner_stop(job->engine->runner, job, why);
}

static void
engine_on_pump(void *arg)
{
    struct engine *engine = arg;
    struct queue_stats queue;
    unsigned n;

    queue_stats(engine->queue, &queue);
    if (queue.waiting > 0 && !engine->spec.runtime->ops->available(engine->spec.runtime)) {
        timer_start(engine->pump, ENGINE_LAUNCHER_POLL_MS);
        return;
    }
    /* Each turn at most as many as waited when it began: one that is put back waits for the next turn. */
    for (n = queue.waiting; n > 0 && engine_start_next(engine); n--) {
    }
    engine_check_drained(engine);
}

static void
engine_on_unavailable(void *arg, struct job *job)
{
    struct engine *engine = arg;

    engine->stats.retried++;
    if (job->attempts >= ENGINE_MAX_ATTEMPTS ||
        queue_put_back(engine->queue, &job->item, job->record.agent) != 0) {
        runner_decide_unstarted(job, RUNNER_EXPIRE);
        engine_on_ended(engine, job);
        return;
    }
    job->slot_ms = 0;
    job_set_state(job, JOB_QUEUED);
    timer_start(engine->pump, ENGINE_LAUNCHER_POLL_MS);
}

/* In the queue: too long there. Later: the store is asked again. */
static void
job_on_deadline(void *arg)
{
    struct job *job = arg;
    struct engine *engine = job->engine;

    switch (job->record.state) {
    case JOB_QUEUED:
    case JOB_STARTING:
        job_stop(job, RUNNER_EXPIRE);
        break;
    case JOB_FINISHING:
        if (job->ended && job->accepted &&
            job_store_finish(engine->spec.db, engine->spec.artifacts, job, job_on_finished, job) != 0) {
            timer_start(job->deadline, ENGINE_RETRY_STORE_MS);
        }
        break;
    case JOB_RUNNING:
    case JOB_SUCCEEDED:
    case JOB_FAILED:
    case JOB_TIMED_OUT:
    case JOB_LIMIT_EXCEEDED:
    case JOB_DENIED:
    case JOB_CANCELLED:
    case JOB_LOST:
    case JOB_N_STATES:
        break;
    }
}

/* Blobs that no row will name. A deletion that fails leaves a file nobody can ask for. */
static void
job_drop_artifacts(struct job *job)
{
    struct job_record *record = &job->record;

    for (unsigned i = 0; i < record->n_artifacts; i++) {
        const char *id = record->artifacts[i].id.text;

        if (blob_delete(job->engine->spec.blobs, record->tenant, id, NULL, NULL) != 0) {
            log_warn("artifact.delete_failed", LOG_STR("artifact", id), LOG_STR("job", record->id.text));
        }
    }
    record->artifacts = job_artifacts_free(record->artifacts, record->n_artifacts);
    record->n_artifacts = 0;
}

static void
job_refuse(struct job *job, int rc)
{
    struct engine *engine = job->engine;

    log_error("job.accept_failed", LOG_STR("job", job->record.id.text), LOG_STR("tenant", job->record.tenant),
              LOG_STR("request_id", job->record.request_id), LOG_INT("code", rc));
    engine->stats.refused_store++;
    job->refused = true;
    job_drop_artifacts(job);
    waiter_tell(&job->waiters, 0, WAITER_STORE);
    job_forget(job);
}

/*
 * With the accept record while that is held, else once it is durable that there is such a job; nobody waits for it, and
 * it makes no commit of its own.
 */
static void
engine_tell_start(struct job *job)
{
    struct db_tx *tx;

    if (job->running_ms == 0 || job->start_told || (!job->accepted && job->admission == NULL)) {
        return;
    }
    if (job->admission != NULL) {
        job->start_told = true;
        audit_job_started(job->admission, job);
        return;
    }
    if (db_tx_new(&tx, job->engine->spec.db) != 0) {
        log_error("audit.start_failed", LOG_STR("job", job->record.id.text));
        return;
    }
    job->start_told = true;
    audit_job_started(tx, job);
    audit_submit_later(tx);
}

static void
engine_on_started(void *arg _unused_, struct job *job)
{
    engine_tell_start(job);
}

static void
job_count_accept(struct job *job)
{
    job->accepted = true;
    job->engine->stats.accepted++;
}

static void
job_log_accept(const struct job *job)
{
    log_info("job.accepted", LOG_STR("job", job->record.id.text), LOG_STR("tenant", job->record.tenant),
             LOG_STR("app", job->record.app), LOG_STR("agent", job->record.agent),
             LOG_STR("request_id", job->record.request_id), LOG_STR("language", job->record.language),
             LOG_STR("isolation", sbx_isolation_name(job->record.isolation)));
}

static void
job_on_accepted(void *arg, int rc, const struct db_result *result _unused_)
{
    struct job *job = arg;

    if (rc) {
        job_refuse(job, rc);
        return;
    }
    job_count_accept(job);
    job_log_accept(job);
    waiter_accepted(&job->waiters);
    engine_tell_start(job);
    if (job->ended) {
        engine_on_ended(job->engine, job);
    } else if (job->record.state == JOB_STARTING && job->run == NULL) {
        runner_start(job->engine->runner, job);
    }
}

/* It ended while its accept record was held. Files are stored after that: what they may clash with is then theirs alone. */
static void
job_record_whole(struct job *job)
{
    if (job->record.n_artifacts > 0) {
        job_accept_now(job);
        return;
    }
    hold_take(&job->hold);
    job_store_record(steal(&job->admission), job, job_on_recorded, job);
}

static void
engine_on_ended(void *arg, struct job *job)
{
    struct engine *engine = arg;

    timer_stop(job->deadline);
    job_leave_queue(job);
    budget_use_record(&job->budget, job->used.cpu_ms);
    budget_use_end(&job->budget);
    if (job->admission != NULL) {
        job_record_whole(job);
        return;
    }
    if (!job->accepted) {
        return; /* job_on_accepted comes back here */
    }
    if (job_store_finish(engine->spec.db, engine->spec.artifacts, job, job_on_finished, job) != 0) {
        timer_start(job->deadline, ENGINE_RETRY_STORE_MS);
    }
}

/* Returns what it took in all, in ms. */
static uint64_t
job_count_end(struct job *job)
{
    struct engine_stats *stats = &job->engine->stats;
    uint64_t now = sbx_now_mono_ms();
    uint64_t total = now - job->admitted_ms;

    stats->ended[job->record.state]++;
    histogram_add(&stats->total, total);
    if (job->running_ms != 0) {
        histogram_add(&stats->waited, job->running_ms - job->admitted_ms);
        histogram_add(&stats->ran, now - job->running_ms);
    }
    return total;
}

static void
job_log_end(const struct job *job, uint64_t total)
{
    log_info("job.ended", LOG_STR("job", job->record.id.text), LOG_STR("tenant", job->record.tenant),
             LOG_STR("request_id", job->record.request_id),
             LOG_STR("status", job_state_status(job->record.state)),
             LOG_STR("limit", job->verdict.has_violation ? sbx_limit_verdict(job->verdict.violated) : NULL),
             LOG_INT("total_ms", total));
}

/* The result is durable now: only that may be told. */
static void
job_tell_feed(struct job *job)
{
    const struct job_record *record = &job->record;

    job_feed_end(job->feed, record, job->engine->spec.describe);
    if (feed_was_read(job->feed)) {
        feed_shelf_put(job->engine->shelf, record->tenant, record->id.text, job->feed);
    }
}

/* Durable: who waits is told first, since a line of the log wakes its reader. */
static void
job_over(struct job *job, bool was_held)
{
    uint64_t total;

    job_set_state(job, job->verdict.state);
    total = job_count_end(job);
    job_tell_feed(job);
    waiter_tell(&job->waiters, 0, WAITER_OVER);
    if (was_held) {
        job_log_accept(job);
    }
    job_log_end(job, total);
    job_forget(job);
}

/* A conflict says that the row can never be written as it is, and only the files it names can clash. */
static void
job_on_finished(void *arg, int rc, const struct db_result *result _unused_)
{
    struct job *job = arg;

    if (rc) {
        log_error("job.finish_failed", LOG_STR("job", job->record.id.text),
                  LOG_STR("tenant", job->record.tenant), LOG_INT("code", rc));
        if (rc == DB_E_CONFLICT) {
            job_drop_artifacts(job);
        }
        runner_release(job->engine->runner,
                       job); /* the store may be away for long, the memory is wanted now */
        timer_start(job->deadline, ENGINE_RETRY_STORE_MS);
        waiter_tell(&job->waiters, 0, WAITER_STORE);
        return;
    }
    job_over(job, false);
}

static void
job_on_recorded(void *arg, int rc, const struct db_result *result _unused_)
{
    struct job *job = arg;

    if (rc) {
        job_refuse(job, rc);
        return;
    }
    job_count_accept(job);
    job_over(job, true);
}

void
engine_cancel(struct engine *engine _unused_, struct job *job)
{
    job_stop(job, RUNNER_CANCEL);
}

void
engine_cancel_by(struct engine *engine, struct job *job, const struct sbx_context *context,
                 const char *reason)
{
    if (job->cancelled_by == NULL) {
        job->cancelled_by = audit_asker_new(context, reason);
    }
    engine_cancel(engine, job);
}

void
engine_deny(struct engine *engine _unused_, struct job *job, struct job_denial *denial)
{
    if (job->ended || job->denial != NULL) {
        free(denial->violation_json);
        free(denial);
        return;
    }
    job->denial = denial;
    job_stop(job, RUNNER_DENY);
}

unsigned
engine_each_of(struct engine *engine, unsigned part, void (*visit)(void *arg, struct job *job), void *arg)
{
    return job_table_each_of(engine->table, part, visit, arg);
}

static void
job_abandon(void *arg _unused_, struct job *job)
{
    job_stop(job, RUNNER_DRAIN);
}

void
engine_hurry(struct engine *engine)
{
    if (engine->drain != DRAIN_WAITING) {
        return;
    }
    engine->drain = DRAIN_ENDING;
    log_warn("drain.ending", LOG_INT("jobs", job_table_count(engine->table)));
    job_table_each(engine->table, job_abandon, engine);
    timer_start(engine->drain_timer, ENGINE_LOST_GRACE_MS);
}

/* Whoever is left has no result in the store: the next start finds it unfinished and says lost. */
static void
job_drop(void *arg _unused_, struct job *job)
{
    log_error("drain.dropped", LOG_STR("job", job->record.id.text));
    waiter_tell(&job->waiters, 0, WAITER_STORE);
}

static void
engine_on_drain_time(void *arg)
{
    struct engine *engine = arg;

    if (engine->drain == DRAIN_WAITING) {
        engine_hurry(engine);
        return;
    }
    if (engine->drain == DRAIN_ENDING) {
        engine->drain = DRAIN_DONE;
        job_table_each(engine->table, job_drop, engine);
    }
    engine->drained(engine->drained_arg);
}

void
engine_drain(struct engine *engine, uint64_t timeout_ms, void (*done)(void *arg), void *arg)
{
    assert(engine->drain == DRAIN_NO);
    engine->drain = DRAIN_WAITING;
    engine->drained = done;
    engine->drained_arg = arg;
    timer_start(engine->drain_timer, timeout_ms);
    engine_wake(engine);
}

bool
engine_draining(const struct engine *engine)
{
    return engine->drain != DRAIN_NO;
}

struct job *
engine_find(const struct engine *engine, const char *tenant, const char *id)
{
    struct job *job = job_table_find(engine->table, tenant, id);

    if (job != NULL) {
        job_accept_now(job);
    }
    return job;
}

void
engine_each(struct engine *engine, void (*visit)(void *arg, struct job *job), void *arg)
{
    job_table_each(engine->table, visit, arg);
}

unsigned
engine_live(const struct engine *engine)
{
    return job_table_count(engine->table) + runner_busy(engine->runner);
}

unsigned
engine_retry_after_s(const struct engine *engine, const struct engine_submission *submission)
{
    const struct sbx_context *context = submission->context;

    return queue_retry_after_s(engine->queue, context->tenant, submission->spec->weight,
                               context->tenant_concurrency);
}

unsigned
engine_queue_position(const struct job *job)
{
    return job->record.state == JOB_QUEUED ? queue_position(job->engine->queue, &job->item) : 0;
}

enum sbx_isolation
engine_template_tier(const struct engine *engine, const char *name)
{
    return runner_template_tier(engine->runner, name);
}

bool
engine_offers(const struct engine *engine, const char *template_name, enum sbx_isolation isolation)
{
    return runner_offers(engine->runner, template_name, isolation);
}

struct idempotency *
engine_idempotency(struct engine *engine)
{
    return engine->idempotency;
}

struct feed_budget *
engine_feeds(const struct engine *engine)
{
    return engine->feeds;
}

struct feed_shelf *
engine_shelf(const struct engine *engine)
{
    return engine->shelf;
}

struct db *
engine_db(const struct engine *engine)
{
    return engine->spec.db;
}

struct timers *
engine_timers(const struct engine *engine)
{
    return engine->spec.timers;
}

uint64_t
engine_key_ttl_ms(const struct engine *engine)
{
    return engine->spec.key_ttl_ms;
}

unsigned
engine_running(const struct engine *engine)
{
    struct queue_stats queue;

    queue_stats(engine->queue, &queue);
    return queue.running;
}

void
engine_stats(const struct engine *engine, struct engine_stats *ret)
{
    *ret = engine->stats;
    queue_stats(engine->queue, &ret->queue);
}
