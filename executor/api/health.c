/* Liveness, readiness and metrics: the routes that need no identity, so they tell nothing of any tenant. */
#include <stdio.h>

#include "executor/api/api_inside.h"
#include "executor/api/handlers.h"
#include "executor/core/changes.h"
#include "executor/core/sessions.h"

#define METRICS_MAX 131072

void
handle_healthz(struct call *call)
{
    static const char body[] = "{\"status\":\"ok\"}";

    call_reply(call, 200, "application/json", NULL, 0, body, sizeof(body) - 1);
}

static bool
database_healthy(const struct api_spec *spec)
{
    struct db_stats stats;

    db_stats(engine_db(spec->engine), &stats);
    return stats.healthy;
}

/* A tier that a template has besides its own is not missed by those who do not ask for it: write_tiers shows it. */
static bool
sandboxes_fail(const struct api_spec *spec)
{
    struct pool_stats stats;

    for (unsigned i = 0; i < spec->n_pools; i++) {
        pool_stats(spec->pools[i].pool, &stats);
        if (stats.failing && spec->pools[i].own) {
            return true;
        }
    }
    return false;
}

/* By tier whether sandboxes of all its templates can be made: "ready", "failing", or "unsupported" by the launcher. */
static void
write_tiers(struct sbx_jsonw *w, const struct api_spec *spec)
{
    static const char *const words[] = { NULL, "ready", "failing", "unsupported" };
    unsigned worst[SBX_N_ISOLATIONS] = { 0 };
    struct pool_stats stats;

    for (unsigned i = 0; i < spec->n_pools; i++) {
        unsigned *tier = &worst[spec->pools[i].isolation];
        unsigned now;

        pool_stats(spec->pools[i].pool, &stats);
        now = stats.unsupported ? 3 : stats.failing ? 2 : 1;
        *tier = now > *tier ? now : *tier;
    }
    sbx_jsonw_object(w, "isolation");
    for (unsigned i = 0; i < SBX_N_ISOLATIONS; i++) {
        if (worst[i] > 0) {
            sbx_jsonw_str(w, sbx_isolation_name((enum sbx_isolation)i), words[worst[i]]);
        }
    }
    sbx_jsonw_object_end(w);
}

static void
write_missing(struct sbx_jsonw *w, const struct runtime_walls *walls)
{
    sbx_jsonw_array(w, "missing_walls");
    for (unsigned i = 0; i < SBX_N_WALLS; i++) {
        if (walls->missing & SBX_WALL_BIT(i)) {
            sbx_jsonw_str(w, NULL, sbx_wall_name((enum sbx_wall)i));
        }
    }
    sbx_jsonw_array_end(w);
}

void
handle_readyz(struct call *call)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(2048);
    const struct api_spec *spec = &call->api->spec;
    struct runtime_walls walls = { 0 };
    struct sbx_jsonw w;

    spec->runtime->ops->walls(spec->runtime, &walls);
    const struct {
        const char *name;
        bool holds;
    } reasons[] = {
        { "database", !database_healthy(spec) },
        { "launcher", !spec->runtime->ops->available(spec->runtime) },
        { "walls", walls.refused },
        { "sandboxes", sandboxes_fail(spec) },
        { "draining", engine_draining(spec->engine) },
    };
    bool ready = true;

    for (size_t i = 0; i < SBX_COUNT(reasons); i++) {
        ready = ready && !reasons[i].holds;
    }
    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "status", ready ? "ready" : "unavailable");
    sbx_jsonw_array(&w, "reasons");
    for (size_t i = 0; i < SBX_COUNT(reasons); i++) {
        if (reasons[i].holds) {
            sbx_jsonw_str(&w, NULL, reasons[i].name);
        }
    }
    sbx_jsonw_array_end(&w);
    write_tiers(&w, spec);
    write_missing(&w, &walls);
    sbx_jsonw_object_end(&w);
    call_reply_json(call, ready ? 200 : 503, NULL, 0, &body);
}

static void
metric_head(struct sbx_buf *out, const char *name, const char *type, const char *help)
{
    sbx_buf_printf(out, "# HELP sandbox_executor_%s %s\n# TYPE sandbox_executor_%s %s\n", name, help, name,
                   type);
}

static void
metric(struct sbx_buf *out, const char *name, const char *type, const char *help, uint64_t value)
{
    metric_head(out, name, type, help);
    sbx_buf_printf(out, "sandbox_executor_%s %llu\n", name, (unsigned long long)value);
}

static void
metric_histogram(struct sbx_buf *out, const char *name, const char *help, const struct histogram *histogram)
{
    uint64_t seen = 0;

    metric_head(out, name, "histogram", help);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->bucket[i];
        sbx_buf_printf(out, "sandbox_executor_%s_bucket{le=\"%u.%03u\"} %llu\n", name,
                       histogram_bounds_ms[i] / 1000, histogram_bounds_ms[i] % 1000,
                       (unsigned long long)seen);
    }
    sbx_buf_printf(out, "sandbox_executor_%s_bucket{le=\"+Inf\"} %llu\n", name,
                   (unsigned long long)histogram->count);
    sbx_buf_printf(out, "sandbox_executor_%s_sum %llu.%03llu\n", name,
                   (unsigned long long)histogram->sum_ms / 1000,
                   (unsigned long long)histogram->sum_ms % 1000);
    sbx_buf_printf(out, "sandbox_executor_%s_count %llu\n", name, (unsigned long long)histogram->count);
}

static void
metrics_jobs(struct sbx_buf *out, const struct engine_stats *stats)
{
    metric(out, "jobs_accepted_total", "counter", "Jobs whose accept record is durable.", stats->accepted);
    metric_head(out, "jobs_ended_total", "counter", "Jobs by final status.");
    for (unsigned i = 0; i < JOB_N_STATES; i++) {
        if (job_state_final((enum job_state)i)) {
            sbx_buf_printf(out, "sandbox_executor_jobs_ended_total{status=\"%s\"} %llu\n",
                           job_state_status((enum job_state)i), (unsigned long long)stats->ended[i]);
        }
    }
    metric_head(out, "jobs_refused_total", "counter", "Jobs that were not admitted.");
    sbx_buf_printf(out, "sandbox_executor_jobs_refused_total{reason=\"queue\"} %llu\n",
                   (unsigned long long)stats->refused_queue);
    sbx_buf_printf(out, "sandbox_executor_jobs_refused_total{reason=\"tenant\"} %llu\n",
                   (unsigned long long)stats->refused_tenant);
    sbx_buf_printf(out, "sandbox_executor_jobs_refused_total{reason=\"store\"} %llu\n",
                   (unsigned long long)stats->refused_store);
    metric(out, "jobs_retried_total", "counter", "Starts that found no sandbox and went back to the queue.",
           stats->retried);
    metric(out, "jobs_waiting", "gauge", "Jobs in the queue.", stats->queue.waiting);
    metric(out, "jobs_running", "gauge", "Jobs starting or running.", stats->queue.running);
    metric(out, "tenants_active", "gauge", "Tenants with a job waiting or running.", stats->queue.tenants);
    metric(out, "queue_bytes", "gauge", "Memory held by bodies of waiting and running jobs.",
           stats->queue.bytes);
    metric_histogram(out, "job_wait_seconds", "From admission to start.", &stats->waited);
    metric_histogram(out, "job_run_seconds", "From start to durable result.", &stats->ran);
    metric_histogram(out, "job_total_seconds", "From admission to durable result.", &stats->total);
}

static void
pool_metric(struct sbx_buf *out, const struct api_spec *spec, const char *name, const char *type,
            const char *help, uint64_t (*read)(const struct pool_stats *stats))
{
    struct pool_stats stats;

    metric_head(out, name, type, help);
    for (unsigned i = 0; i < spec->n_pools; i++) {
        pool_stats(spec->pools[i].pool, &stats);
        sbx_buf_printf(out, "sandbox_executor_%s{template=\"%s\",isolation=\"%s\"} %llu\n", name,
                       spec->pools[i].template_name, sbx_isolation_name(spec->pools[i].isolation),
                       (unsigned long long)read(&stats));
    }
}

static uint64_t
pool_warm(const struct pool_stats *stats)
{
    return stats->warm;
}

static uint64_t
pool_creating(const struct pool_stats *stats)
{
    return stats->creating;
}

static uint64_t
pool_taken_warm(const struct pool_stats *stats)
{
    return stats->taken_warm;
}

static uint64_t
pool_taken_cold(const struct pool_stats *stats)
{
    return stats->taken_cold;
}

static uint64_t
pool_failed(const struct pool_stats *stats)
{
    return stats->failed;
}

/* By what is kept of each language; "none" has no interpreter waiting. */
static void
line_metric(struct sbx_buf *out, const struct api_spec *spec, const char *name, const char *type,
            const char *help, uint64_t (*read)(const struct pool_line_stats *stats))
{
    struct pool_line_stats stats;

    metric_head(out, name, type, help);
    for (unsigned i = 0; i < spec->n_pools; i++) {
        const struct runner_pool *pool = &spec->pools[i];

        for (unsigned line = 0; line < pool_n_lines(pool->pool); line++) {
            pool_line_stats(pool->pool, line, &stats);
            sbx_buf_printf(
                out, "sandbox_executor_%s{template=\"%s\",isolation=\"%s\",language=\"%s\"} %llu\n", name,
                pool->template_name, sbx_isolation_name(pool->isolation),
                *stats.language == '\0' ? "none" : stats.language, (unsigned long long)read(&stats));
        }
    }
}

static uint64_t
line_size(const struct pool_line_stats *stats)
{
    return stats->size;
}

static uint64_t
line_prepared(const struct pool_line_stats *stats)
{
    return stats->prepared;
}

static uint64_t
line_hits(const struct pool_line_stats *stats)
{
    return stats->hits;
}

static uint64_t
line_misses(const struct pool_line_stats *stats)
{
    return stats->misses;
}

static uint64_t
line_stolen(const struct pool_line_stats *stats)
{
    return stats->stolen;
}

static uint64_t
line_prepare_failed(const struct pool_line_stats *stats)
{
    return stats->prepare_failed;
}

static void
metrics_lines(struct sbx_buf *out, const struct api_spec *spec)
{
    line_metric(out, spec, "pool_size", "gauge", "Sandboxes to be kept ready.", line_size);
    line_metric(out, spec, "pool_prepared", "gauge", "Sandboxes ready with an interpreter of the language.",
                line_prepared);
    line_metric(out, spec, "pool_hits_total", "counter",
                "Takes that found one ready and prepared for their language (none: ready).", line_hits);
    line_metric(out, spec, "pool_misses_total", "counter", "Takes that did not.", line_misses);
    line_metric(out, spec, "pool_stolen_total", "counter",
                "Prepared sandboxes of the language that runs of another were given.", line_stolen);
    line_metric(out, spec, "pool_prepare_failures_total", "counter",
                "New sandboxes in which no interpreter of the language started.", line_prepare_failed);
}

static void
metrics_takes(struct sbx_buf *out, const struct api_spec *spec)
{
    struct histogram sum = { .count = 0 };
    struct pool_stats stats;

    for (unsigned i = 0; i < spec->n_pools; i++) {
        pool_stats(spec->pools[i].pool, &stats);
        histogram_add_all(&sum, stats.waited);
    }
    metric_histogram(out, "pool_take_seconds", "From asking for a sandbox to having it.", &sum);
}

static void
metrics_pools(struct sbx_buf *out, const struct api_spec *spec)
{
    pool_metric(out, spec, "pool_warm", "gauge", "Sandboxes ready.", pool_warm);
    pool_metric(out, spec, "pool_creating", "gauge", "Sandboxes being made.", pool_creating);
    pool_metric(out, spec, "pool_taken_warm_total", "counter", "Sandboxes taken that were ready.",
                pool_taken_warm);
    pool_metric(out, spec, "pool_taken_cold_total", "counter", "Sandboxes made for who waited.",
                pool_taken_cold);
    pool_metric(out, spec, "pool_failed_total", "counter", "Sandboxes that could not be made or died warm.",
                pool_failed);
    metrics_lines(out, spec);
    metrics_takes(out, spec);
}

static void
metrics_store(struct sbx_buf *out, const struct db_stats *stats)
{
    metric(out, "db_commits_total", "counter", "Commits of the database.", stats->commits);
    metric(out, "db_transactions_total", "counter", "Transactions, several to a commit.",
           stats->transactions);
    metric(out, "db_failures_total", "counter", "Transactions that failed.", stats->failures);
    metric(out, "db_queued", "gauge", "Transactions waiting for a commit.", stats->queued);
    metric(out, "db_healthy", "gauge", "1 when the last commit worked.", stats->healthy ? 1 : 0);
    metric(out, "audit_events_total", "counter", "Events appended to the audit chain.", stats->audit_events);
    metric(out, "audit_erase_failures_total", "counter",
           "Segments of the audit log that could not be rewritten for an erasure.", stats->erase_failures);
}

static void
metrics_sessions(struct sbx_buf *out, const struct api_spec *spec)
{
    struct sessions_stats stats;

    sessions_stats(spec->sessions, &stats);
    metric(out, "sessions_created_total", "counter", "Sessions whose row is durable.", stats.created);
    metric_head(out, "sessions_ended_total", "counter", "Sessions by why they ended.");
    for (unsigned i = SESSION_NO_REASON + 1; i < SESSION_N_REASONS; i++) {
        sbx_buf_printf(out, "sandbox_executor_sessions_ended_total{reason=\"%s\"} %llu\n",
                       session_reason_name((enum session_reason)i), (unsigned long long)stats.ended[i]);
    }
    metric_head(out, "sessions_refused_total", "counter", "Sessions that were not admitted.");
    sbx_buf_printf(out, "sandbox_executor_sessions_refused_total{reason=\"executor\"} %llu\n",
                   (unsigned long long)stats.refused_full);
    sbx_buf_printf(out, "sandbox_executor_sessions_refused_total{reason=\"tenant\"} %llu\n",
                   (unsigned long long)stats.refused_tenant);
    metric_head(out, "sessions", "gauge", "Live sessions by state.");
    for (unsigned i = 0; i < SESSION_N_STATES; i++) {
        if (i != SESSION_ENDED) {
            sbx_buf_printf(out, "sandbox_executor_sessions{state=\"%s\"} %u\n",
                           session_state_name((enum session_state)i), stats.live[i]);
        }
    }
    metric(out, "steps_total", "counter", "Steps that were accepted.", stats.steps);
}

static void
metrics_artifacts(struct sbx_buf *out, const struct api *api)
{
    metric(out, "artifact_uploads_total", "counter", "Artifacts that clients sent up.", api->uploads);
    metric(out, "artifact_upload_bytes_total", "counter", "Bytes of these.", api->upload_bytes);
    metric(out, "artifact_downloads_total", "counter", "Artifacts, or ranges of them, that were sent out.",
           api->downloads);
    metric(out, "artifact_download_bytes_total", "counter", "Bytes of these.", api->download_bytes);
}

static void
metrics_policies(struct sbx_buf *out, const struct api_spec *spec)
{
    struct changes_stats stats;

    changes_stats(spec->changes, &stats);
    metric(out, "policies", "gauge", "Policies of all tenants.", stats.policies);
    metric(out, "policy_revision", "gauge",
           "Changes of policies and revocations since the database was made.", stats.revision);
    metric(out, "policy_changes_total", "counter", "Of these, by this process.", stats.committed);
    metric(out, "policy_feed_waiters", "gauge", "Gateways that wait for the next change.", stats.waiters);
}

static unsigned
streams_open(const struct api *api)
{
    struct list *it, *after;
    unsigned n = 0;

    list_each (it, after, &api->streams) {
        n++;
    }
    return n;
}

static void
metrics_http(struct sbx_buf *out, const struct api *api)
{
    metric_head(out, "http_requests_total", "counter", "Answers by class of status.");
    for (unsigned i = 2; i < API_STATUS_CLASSES; i++) {
        sbx_buf_printf(out, "sandbox_executor_http_requests_total{class=\"%uxx\"} %llu\n", i,
                       (unsigned long long)api->requests[i]);
    }
    metric(out, "http_unauthorized_total", "counter", "Requests without a valid identity context.",
           api->unauthorized);
    metric(out, "http_connections", "gauge", "Open connections.", sbx_http_server_connections(api->server));
    metric(out, "idempotent_replays_total", "counter", "Answers given again for a known key.", api->replays);
    metric(out, "streams", "gauge", "Open event streams.", streams_open(api));
    metric(out, "stream_bytes", "gauge", "Memory held by what streams may read.",
           feed_budget_held(engine_feeds(api->spec.engine)));
    metric(out, "stream_gaps_total", "counter",
           "Times that a stream left out what its reader was too slow for.", api->stream_gaps);
    metric(out, "draining", "gauge", "1 while the executor stops.",
           engine_draining(api->spec.engine) ? 1 : 0);
}

void
handle_metrics(struct call *call)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(METRICS_MAX);
    const struct api_spec *spec = &call->api->spec;
    struct engine_stats stats;
    struct db_stats db;

    engine_stats(spec->engine, &stats);
    db_stats(engine_db(spec->engine), &db);
    metrics_jobs(&body, &stats);
    metrics_pools(&body, spec);
    metrics_store(&body, &db);
    metrics_sessions(&body, spec);
    metrics_artifacts(&body, call->api);
    metrics_policies(&body, spec);
    metrics_http(&body, call->api);
    if (body.failed) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    call_reply(call, 200, "text/plain; version=0.0.4", NULL, 0, body.data, body.len);
}
