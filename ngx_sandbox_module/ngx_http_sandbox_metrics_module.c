/*
 * Owns the gateway's counters: one shared block, changed with atomic operations only,
 * and its rendering as Prometheus text. Labels come from the configuration and from
 * constants of ours; a client cannot add one.
 */

#include <signal.h>

#include "ngx_http_sandbox.h"
#include "ngx_http_sandbox_auth_metrics.h"
#include "ngx_http_sandbox_control.h"
#include "ngx_http_sandbox_limit.h"
#include "ngx_http_sandbox_mcp_metrics.h"
#include "ngx_http_sandbox_metrics.h"
#include "ngx_http_sandbox_route.h"

#define NGX_HTTP_SANDBOX_METRICS_TEXT_MAX (1024ul * 1024)
#define NGX_HTTP_SANDBOX_METRICS_NAME 64
#define NGX_HTTP_SANDBOX_METRICS_ROUTES 64
#define NGX_HTTP_SANDBOX_METRICS_REASONS 32

enum { AUTH_OK, AUTH_CACHED, AUTH_MISSING, AUTH_INVALID, AUTH_BYPASSED, N_AUTH };

static const char *const ngx_http_sandbox_metrics_auth[] = { "ok", "cached", "missing", "invalid", "bypass" };
static const char *const ngx_http_sandbox_metrics_scopes[] = { "tenant", "app", "agent", "route" };
static const char *const ngx_http_sandbox_metrics_classes[] = { "none", "1xx", "2xx", "3xx", "4xx", "5xx" };
static const ngx_msec_t ngx_http_sandbox_metrics_le_ms[] = {
    5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000
};

static const char *const ngx_http_sandbox_metrics_opa_results[] = { "allow", "deny", "failed" };
static const ngx_msec_t ngx_http_sandbox_metrics_opa_le_ms[] = { 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 10000 };

#define N_OPA_BUCKETS (sizeof(ngx_http_sandbox_metrics_opa_le_ms) / sizeof(ngx_msec_t))
#define N_CLASSES 6
#define N_SCOPES 4
#define N_BUCKETS (sizeof(ngx_http_sandbox_metrics_le_ms) / sizeof(ngx_msec_t))

typedef struct {
    u_char name[NGX_HTTP_SANDBOX_METRICS_NAME];
    ngx_atomic_t requests[N_CLASSES];
    ngx_atomic_t bucket[N_BUCKETS + 1]; /* not yet summed up */
    ngx_atomic_t sum_ms;
} ngx_http_sandbox_metrics_route_t;

typedef struct {
    u_char name[NGX_HTTP_SANDBOX_METRICS_NAME];
    ngx_atomic_t n;
} ngx_http_sandbox_metrics_reason_t;

/* By ngx_process_slot: a worker that takes a dead one's place starts from nothing. */
typedef struct {
    ngx_atomic_t pid;
    ngx_atomic_t in_flight;
    ngx_atomic_t listeners; /* of these, those that only listen */
} ngx_http_sandbox_metrics_worker_t;

/*
 * Names are only ever added, at the end, when a configuration is read: workers of an
 * older configuration keep counting where they did.
 */
typedef struct {
    ngx_uint_t n_routes; /* the first is for requests without a route */
    ngx_http_sandbox_metrics_route_t route[NGX_HTTP_SANDBOX_METRICS_ROUTES];
    ngx_http_sandbox_metrics_reason_t reason[NGX_HTTP_SANDBOX_METRICS_REASONS];
    ngx_atomic_t auth[N_AUTH];
    ngx_atomic_t limited[N_SCOPES];
    ngx_atomic_t denial_lost;
    ngx_atomic_t opa[NGX_HTTP_SANDBOX_OPA_N];
    ngx_atomic_t opa_cached;
    ngx_atomic_t opa_bucket[N_OPA_BUCKETS + 1]; /* not yet summed up */
    ngx_atomic_t opa_sum_ms;
    ngx_http_sandbox_metrics_worker_t worker[NGX_MAX_PROCESSES];
    ngx_http_sandbox_mcp_counts_t mcp;
} ngx_http_sandbox_metrics_shared_t;

typedef struct {
    ngx_shm_zone_t *shm_zone;
    ngx_http_sandbox_metrics_shared_t *shared;
    ngx_array_t *routes;
    const ngx_array_t *places; /* of MCP */
} ngx_http_sandbox_metrics_main_conf_t;

static ngx_int_t ngx_http_sandbox_metrics_arrive_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_sandbox_metrics_log_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_sandbox_metrics_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_sandbox_metrics_init_zone(ngx_shm_zone_t *shm_zone, void *data);
static void *ngx_http_sandbox_metrics_create_main_conf(ngx_conf_t *cf);
static ngx_int_t ngx_http_sandbox_metrics_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_sandbox_metrics_init_process(ngx_cycle_t *cycle);
static char *ngx_http_sandbox_metrics_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_sandbox_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

static ngx_command_t ngx_http_sandbox_metrics_commands[] = {

    { ngx_string("sandbox_metrics_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_sandbox_metrics_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("sandbox_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_sandbox_metrics,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};

static ngx_http_module_t ngx_http_sandbox_metrics_module_ctx = {
    .postconfiguration = ngx_http_sandbox_metrics_init,
    .create_main_conf = ngx_http_sandbox_metrics_create_main_conf,
};

ngx_module_t ngx_http_sandbox_metrics_module = {
    NGX_MODULE_V1,
    &ngx_http_sandbox_metrics_module_ctx,
    ngx_http_sandbox_metrics_commands,
    NGX_HTTP_MODULE,
    NULL,
    NULL,
    ngx_http_sandbox_metrics_init_process,
    NULL,
    NULL,
    NULL,
    NULL,
    NGX_MODULE_V1_PADDING
};

static ngx_http_sandbox_metrics_shared_t *
ngx_http_sandbox_metrics_shared(ngx_http_request_t *r)
{
    ngx_http_sandbox_metrics_main_conf_t *mmcf;

    mmcf = ngx_http_get_module_main_conf(r, ngx_http_sandbox_metrics_module);

    return mmcf->shared;
}

void
ngx_http_sandbox_metrics_denial_lost(ngx_http_request_t *r)
{
    ngx_http_sandbox_metrics_shared_t *shared = ngx_http_sandbox_metrics_shared(r);

    if (shared != NULL) {
        (void) ngx_atomic_fetch_add(&shared->denial_lost, 1); /* the old value is nothing to us */
    }
}

void
ngx_http_sandbox_metrics_opa(ngx_http_request_t *r, ngx_uint_t result, ngx_msec_t ms)
{
    ngx_http_sandbox_metrics_shared_t *shared = ngx_http_sandbox_metrics_shared(r);
    ngx_uint_t bucket;

    if (shared == NULL) {
        return;
    }

    for (bucket = 0; bucket < N_OPA_BUCKETS && ms > ngx_http_sandbox_metrics_opa_le_ms[bucket]; bucket++) { /* void */ }

    /* The old values are nothing to us. */
    (void) ngx_atomic_fetch_add(&shared->opa[result], 1);
    (void) ngx_atomic_fetch_add(&shared->opa_bucket[bucket], 1);
    (void) ngx_atomic_fetch_add(&shared->opa_sum_ms, (ngx_atomic_int_t) ms);
}

void
ngx_http_sandbox_metrics_opa_cached(ngx_http_request_t *r)
{
    ngx_http_sandbox_metrics_shared_t *shared = ngx_http_sandbox_metrics_shared(r);

    if (shared != NULL) {
        (void) ngx_atomic_fetch_add(&shared->opa_cached, 1); /* the old value is nothing to us */
    }
}

void
ngx_http_sandbox_metrics_listeners(ngx_http_request_t *r, ngx_int_t change)
{
    ngx_http_sandbox_metrics_shared_t *shared = ngx_http_sandbox_metrics_shared(r);

    if (shared != NULL) {
        (void) ngx_atomic_fetch_add(&shared->worker[ngx_process_slot].listeners, change); /* the old value is nothing to us */
    }
}

static void
ngx_http_sandbox_metrics_leave(void *data)
{
    ngx_atomic_t *in_flight = data;

    (void) ngx_atomic_fetch_add(in_flight, -1); /* the old value is nothing to us */
}

static ngx_int_t
ngx_http_sandbox_metrics_arrive_handler(ngx_http_request_t *r)
{
    ngx_http_sandbox_metrics_shared_t *shared = ngx_http_sandbox_metrics_shared(r);
    ngx_pool_cleanup_t *cln;

    if (r != r->main) {
        return NGX_DECLINED;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->data = (void *) &shared->worker[ngx_process_slot].in_flight;
    cln->handler = ngx_http_sandbox_metrics_leave;
    (void) ngx_atomic_fetch_add(&shared->worker[ngx_process_slot].in_flight, 1); /* the old value is nothing to us */

    return NGX_DECLINED;
}

static ngx_http_sandbox_metrics_route_t *
ngx_http_sandbox_metrics_route(ngx_http_sandbox_metrics_shared_t *shared, ngx_str_t *name)
{
    ngx_uint_t i;

    for (i = 1; i < shared->n_routes; i++) {
        if (ngx_strlen(shared->route[i].name) == name->len
            && ngx_strncmp(shared->route[i].name, name->data, name->len) == 0)
        {
            return &shared->route[i];
        }
    }

    return &shared->route[0];
}

static void
ngx_http_sandbox_metrics_count_reason(ngx_http_sandbox_metrics_shared_t *shared, const char *why)
{
    ngx_http_sandbox_metrics_reason_t *reason = shared->reason;
    ngx_uint_t i;

    for (i = 0; i < NGX_HTTP_SANDBOX_METRICS_REASONS; i++) {
        if (ngx_strcmp(reason[i].name, why) == 0) {
            (void) ngx_atomic_fetch_add(&reason[i].n, 1); /* the old value is nothing to us */
            return;
        }
    }
}

static void
ngx_http_sandbox_metrics_count_auth(ngx_http_sandbox_metrics_shared_t *shared, ngx_http_sandbox_ctx_t *ctx)
{
    ngx_uint_t result;

    if (ctx->denied != NULL && ngx_strcmp(ctx->denied, "token_revoked") == 0) {
        result = AUTH_INVALID;
    } else if (ctx->auth == NGX_HTTP_SANDBOX_AUTH_BYPASS) {
        result = AUTH_BYPASSED;
    } else if (ctx->auth != NGX_HTTP_SANDBOX_AUTH_NONE) {
        result = ngx_strcmp(ctx->auth_cache, "HIT") == 0 ? AUTH_CACHED : AUTH_OK;
    } else if (ctx->denied != NULL && ngx_strcmp(ctx->denied, "token_missing") == 0) {
        result = AUTH_MISSING;
    } else if (ctx->denied != NULL
               && (ngx_strcmp(ctx->denied, "token_invalid") == 0 || ngx_strcmp(ctx->denied, "signed_url") == 0))
    {
        result = AUTH_INVALID;
    } else {
        return;
    }

    (void) ngx_atomic_fetch_add(&shared->auth[result], 1); /* the old value is nothing to us */
}

static void
ngx_http_sandbox_metrics_count_limited(ngx_http_sandbox_metrics_shared_t *shared, ngx_http_sandbox_ctx_t *ctx)
{
    const char *scope = ngx_http_sandbox_limit_scope(ctx);
    ngx_uint_t i;

    for (i = 0; scope != NULL && i < N_SCOPES; i++) {
        if (ngx_strcmp(scope, ngx_http_sandbox_metrics_scopes[i]) == 0) {
            (void) ngx_atomic_fetch_add(&shared->limited[i], 1); /* the old value is nothing to us */
        }
    }
}

static ngx_msec_t
ngx_http_sandbox_metrics_duration(ngx_http_request_t *r)
{
    ngx_time_t *now = ngx_timeofday();
    ngx_msec_int_t ms;

    ms = (ngx_msec_int_t) ((now->sec - r->start_sec) * 1000 + ((ngx_msec_int_t) now->msec
                           - (ngx_msec_int_t) r->start_msec));

    return (ngx_msec_t) ngx_max(ms, 0);
}

static ngx_int_t
ngx_http_sandbox_metrics_log_handler(ngx_http_request_t *r)
{
    ngx_http_sandbox_metrics_shared_t *shared = ngx_http_sandbox_metrics_shared(r);
    ngx_http_sandbox_metrics_route_t *route;
    ngx_http_sandbox_ctx_t *ctx;
    ngx_uint_t class, bucket;
    ngx_msec_t ms;

    /* `log_subrequest` brings others here. */
    if (r != r->main) {
        return NGX_OK;
    }

    route = ngx_http_sandbox_metrics_route(shared, ngx_http_sandbox_route(r));
    class = (r->err_status ? r->err_status : r->headers_out.status) / 100;
    ms = ngx_http_sandbox_metrics_duration(r);

    for (bucket = 0; bucket < N_BUCKETS && ms > ngx_http_sandbox_metrics_le_ms[bucket]; bucket++) { /* void */ }

    /* The old values are nothing to us. */
    (void) ngx_atomic_fetch_add(&route->requests[class < N_CLASSES ? class : 0], 1);
    (void) ngx_atomic_fetch_add(&route->bucket[bucket], 1);
    (void) ngx_atomic_fetch_add(&route->sum_ms, (ngx_atomic_int_t) ms);

    ngx_http_sandbox_mcp_count(&shared->mcp, r);

    ctx = ngx_http_sandbox_ctx_peek(r);
    if (ctx != NULL) {
        ngx_http_sandbox_metrics_count_auth(shared, ctx);
        ngx_http_sandbox_metrics_count_limited(shared, ctx);
        if (ctx->denied != NULL) {
            ngx_http_sandbox_metrics_count_reason(shared, ctx->denied);
        }
    }

    return NGX_OK;
}

static void
ngx_http_sandbox_metrics_head(struct sbx_buf *out, const char *name, const char *type, const char *help)
{
    sbx_buf_printf(out, "# HELP sandbox_gateway_%s %s\n# TYPE sandbox_gateway_%s %s\n", name, help, name, type);
}

static void
ngx_http_sandbox_metrics_write_routes(struct sbx_buf *out, ngx_http_sandbox_metrics_shared_t *shared)
{
    ngx_http_sandbox_metrics_route_t *route;
    ngx_uint_t i, k;

    ngx_http_sandbox_metrics_head(out, "requests_total", "counter", "Requests by route and class of status.");

    for (i = 0; i < shared->n_routes; i++) {
        route = &shared->route[i];
        for (k = 0; k < N_CLASSES; k++) {
            if (route->requests[k] != 0) {
                sbx_buf_printf(out, "sandbox_gateway_requests_total{route=\"%s\",code_class=\"%s\"} %lu\n",
                               route->name, ngx_http_sandbox_metrics_classes[k], (unsigned long) route->requests[k]);
            }
        }
    }
}

static void
ngx_http_sandbox_metrics_write_durations(struct sbx_buf *out, ngx_http_sandbox_metrics_shared_t *shared)
{
    ngx_http_sandbox_metrics_route_t *route;
    unsigned long count;
    ngx_uint_t i, k;

    ngx_http_sandbox_metrics_head(out, "request_duration_seconds", "histogram",
                                  "Time from a request's first byte to the end of its reply.");

    for (i = 0; i < shared->n_routes; i++) {
        route = &shared->route[i];
        count = 0;
        for (k = 0; k < N_BUCKETS; k++) {
            count += (unsigned long) route->bucket[k];
            sbx_buf_printf(out, "sandbox_gateway_request_duration_seconds_bucket{route=\"%s\",le=\"%g\"} %lu\n",
                           route->name, (double) ngx_http_sandbox_metrics_le_ms[k] / 1000, count);
        }
        count += (unsigned long) route->bucket[N_BUCKETS];
        sbx_buf_printf(out,
                       "sandbox_gateway_request_duration_seconds_bucket{route=\"%s\",le=\"+Inf\"} %lu\n"
                       "sandbox_gateway_request_duration_seconds_sum{route=\"%s\"} %.3f\n"
                       "sandbox_gateway_request_duration_seconds_count{route=\"%s\"} %lu\n",
                       route->name, count, route->name, (double) route->sum_ms / 1000, route->name, count);
    }
}

static void
ngx_http_sandbox_metrics_write_denials(struct sbx_buf *out, ngx_http_sandbox_metrics_shared_t *shared)
{
    ngx_uint_t i;

    ngx_http_sandbox_metrics_head(out, "auth_total", "counter", "Requests by what became of their token.");
    for (i = 0; i < N_AUTH; i++) {
        sbx_buf_printf(out, "sandbox_gateway_auth_total{result=\"%s\"} %lu\n", ngx_http_sandbox_metrics_auth[i],
                       (unsigned long) shared->auth[i]);
    }

    ngx_http_sandbox_metrics_head(out, "token_cache_hits_total", "counter",
                                  "Tokens whose signature was not verified again.");
    sbx_buf_printf(out, "sandbox_gateway_token_cache_hits_total %lu\n", (unsigned long) shared->auth[AUTH_CACHED]);

    ngx_http_sandbox_metrics_head(out, "refused_total", "counter", "Requests the gateway refused, by reason.");
    for (i = 0; i < NGX_HTTP_SANDBOX_METRICS_REASONS && shared->reason[i].name[0] != '\0'; i++) {
        sbx_buf_printf(out, "sandbox_gateway_refused_total{reason=\"%s\"} %lu\n", shared->reason[i].name,
                       (unsigned long) shared->reason[i].n);
    }

    ngx_http_sandbox_metrics_head(out, "limited_total", "counter",
                                  "Requests refused by a rate or a concurrency cap, by scope.");
    for (i = 0; i < N_SCOPES; i++) {
        sbx_buf_printf(out, "sandbox_gateway_limited_total{scope=\"%s\"} %lu\n", ngx_http_sandbox_metrics_scopes[i],
                       (unsigned long) shared->limited[i]);
    }

    ngx_http_sandbox_metrics_head(out, "denials_lost_total", "counter",
                                  "Denials that found no room in sandbox_denial_log.");
    sbx_buf_printf(out, "sandbox_gateway_denials_lost_total %lu\n", (unsigned long) shared->denial_lost);
}

static void
ngx_http_sandbox_metrics_write_opa(struct sbx_buf *out, ngx_http_sandbox_metrics_shared_t *shared)
{
    unsigned long count = 0;
    ngx_uint_t i;

    ngx_http_sandbox_metrics_head(out, "opa_requests_total", "counter",
                                  "Questions to the policy service, by what came of them.");
    for (i = 0; i < NGX_HTTP_SANDBOX_OPA_N; i++) {
        sbx_buf_printf(out, "sandbox_gateway_opa_requests_total{result=\"%s\"} %lu\n",
                       ngx_http_sandbox_metrics_opa_results[i], (unsigned long) shared->opa[i]);
    }

    ngx_http_sandbox_metrics_head(out, "opa_cache_hits_total", "counter",
                                  "Decisions of the policy service that were known already.");
    sbx_buf_printf(out, "sandbox_gateway_opa_cache_hits_total %lu\n", (unsigned long) shared->opa_cached);

    ngx_http_sandbox_metrics_head(out, "opa_duration_seconds", "histogram",
                                  "Time until the policy service answered, failed or was given up.");
    for (i = 0; i < N_OPA_BUCKETS; i++) {
        count += (unsigned long) shared->opa_bucket[i];
        sbx_buf_printf(out, "sandbox_gateway_opa_duration_seconds_bucket{le=\"%g\"} %lu\n",
                       (double) ngx_http_sandbox_metrics_opa_le_ms[i] / 1000, count);
    }
    count += (unsigned long) shared->opa_bucket[N_OPA_BUCKETS];
    sbx_buf_printf(out,
                   "sandbox_gateway_opa_duration_seconds_bucket{le=\"+Inf\"} %lu\n"
                   "sandbox_gateway_opa_duration_seconds_sum %.3f\n"
                   "sandbox_gateway_opa_duration_seconds_count %lu\n",
                   count, (double) shared->opa_sum_ms / 1000, count);
}

static void
ngx_http_sandbox_metrics_write_gauges(struct sbx_buf *out, ngx_http_request_t *r,
    ngx_http_sandbox_metrics_shared_t *shared)
{
    uint32_t entries = 0, leases = 0;
    unsigned long in_flight = 0, listeners = 0;
    ngx_uint_t i;

    for (i = 0; i < NGX_MAX_PROCESSES; i++) {
        /* What a killed worker left behind does not count; signal 0 only asks. */
        if (shared->worker[i].in_flight != 0 && kill((pid_t) shared->worker[i].pid, 0) == 0) {
            in_flight += (unsigned long) shared->worker[i].in_flight;
            listeners += (unsigned long) shared->worker[i].listeners;
        }
    }

    ngx_http_sandbox_metrics_head(out, "in_flight", "gauge", "Requests being worked on.");
    sbx_buf_printf(out, "sandbox_gateway_in_flight %lu\n", in_flight);
    ngx_http_sandbox_metrics_head(out, "mcp_listeners", "gauge", "Streams of subscriptions/listen that are open.");
    sbx_buf_printf(out, "sandbox_gateway_mcp_listeners %lu\n", listeners);

    if (ngx_http_sandbox_limit_usage(r, &entries, &leases) == NGX_OK) {
        ngx_http_sandbox_metrics_head(out, "limit_entries", "gauge", "Entries in use in sandbox_limit_zone.");
        sbx_buf_printf(out, "sandbox_gateway_limit_entries %u\n", entries);
        ngx_http_sandbox_metrics_head(out, "limit_leases", "gauge", "Running requests that count against a cap.");
        sbx_buf_printf(out, "sandbox_gateway_limit_leases %u\n", leases);
    }
}

static void
ngx_http_sandbox_metrics_write_control(struct sbx_buf *out, ngx_http_request_t *r)
{
    ngx_http_sandbox_control_status_t status;

    if (!ngx_http_sandbox_control_status(r, &status)) {
        return;
    }

    ngx_http_sandbox_metrics_head(out, "control_revision", "gauge", "Revision of the executors' feed that was reached.");
    sbx_buf_printf(out, "sandbox_gateway_control_revision %lu\n", (unsigned long) status.revision);
    ngx_http_sandbox_metrics_head(out, "control_age_seconds", "gauge", "Time since the executors' last answer.");
    sbx_buf_printf(out, "sandbox_gateway_control_age_seconds %.3f\n", (double) status.age_ms / 1000);
    ngx_http_sandbox_metrics_head(out, "control_documents", "gauge", "Policies of the API that are in force.");
    sbx_buf_printf(out, "sandbox_gateway_control_documents %lu\n", (unsigned long) status.documents);
    ngx_http_sandbox_metrics_head(out, "control_revocations", "gauge", "Revocations of tokens that are known.");
    sbx_buf_printf(out, "sandbox_gateway_control_revocations %lu\n", (unsigned long) status.revocations);
    ngx_http_sandbox_metrics_head(out, "control_failures_total", "counter",
                                  "Questions to the executors that got no answer of use.");
    sbx_buf_printf(out, "sandbox_gateway_control_failures_total %lu\n", (unsigned long) status.failures);
    ngx_http_sandbox_metrics_head(out, "control_full_total", "counter",
                                  "Changes that found no room in the zone of sandbox_control.");
    sbx_buf_printf(out, "sandbox_gateway_control_full_total %lu\n", (unsigned long) status.full);
}

static ngx_int_t
ngx_http_sandbox_metrics_handler(ngx_http_request_t *r)
{
    static ngx_str_t content_type = ngx_string("text/plain; version=0.0.4; charset=utf-8");
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(NGX_HTTP_SANDBOX_METRICS_TEXT_MAX);
    ngx_http_sandbox_metrics_shared_t *shared = ngx_http_sandbox_metrics_shared(r);
    ngx_str_t body;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    ngx_http_sandbox_metrics_write_routes(&out, shared);
    ngx_http_sandbox_metrics_write_durations(&out, shared);
    ngx_http_sandbox_metrics_write_denials(&out, shared);
    ngx_http_sandbox_metrics_write_opa(&out, shared);
    ngx_http_sandbox_mcp_write_counts(&out, &shared->mcp);
    ngx_http_sandbox_metrics_write_gauges(&out, r, shared);
    ngx_http_sandbox_auth_metrics(r, &out);
    ngx_http_sandbox_metrics_write_control(&out, r);

    if (out.failed) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.len = out.len;
    body.data = ngx_pnalloc(r->pool, out.len);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_memcpy(body.data, out.data, out.len);

    return ngx_http_sandbox_send(r, NGX_HTTP_OK, &content_type, &body);
}

static void
ngx_http_sandbox_metrics_add_route(ngx_http_sandbox_metrics_shared_t *shared, ngx_str_t *name, ngx_log_t *log)
{
    if (ngx_http_sandbox_metrics_route(shared, name) != &shared->route[0]) {
        return;
    }

    if (shared->n_routes == NGX_HTTP_SANDBOX_METRICS_ROUTES || name->len >= NGX_HTTP_SANDBOX_METRICS_NAME) {
        ngx_log_error(NGX_LOG_WARN, log, 0, "no counters left for route \"%V\": it counts as \"other\"", name);
        return;
    }

    ngx_memcpy(shared->route[shared->n_routes].name, name->data, name->len);
    /* Its name before its number: workers of the old configuration are reading. */
    ngx_memory_barrier();
    shared->n_routes++;
}

/* Runs in the master, or before it exists: nobody else adds names. */
static ngx_int_t
ngx_http_sandbox_metrics_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    static const char *const reasons[] = {
        "form", "host", "method", "token_missing", "token_invalid", "token_revoked", "keys_unknown", "act_for",
        "signed_url", "signed_url_and_token", "scope", "context", "internal",
        "rate", "concurrency", "limit_zone_full", "body", "policy", "policy_unknown", "origin"
    };
    ngx_http_sandbox_metrics_main_conf_t *ommcf = data;
    ngx_http_sandbox_metrics_main_conf_t *mmcf = shm_zone->data;
    ngx_slab_pool_t *shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;
    ngx_str_t *name = mmcf->routes->elts;
    ngx_uint_t i;

    if (ommcf != NULL) {
        mmcf->shared = ommcf->shared;

    } else if (shm_zone->shm.exists) {
        mmcf->shared = shpool->data;

    } else {
        mmcf->shared = ngx_slab_calloc(shpool, sizeof(ngx_http_sandbox_metrics_shared_t));
        if (mmcf->shared == NULL) {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0, "sandbox_metrics_zone is too small");
            return NGX_ERROR;
        }
        shpool->data = mmcf->shared;

        ngx_memcpy(mmcf->shared->route[0].name, "other", sizeof("other"));
        mmcf->shared->n_routes = 1;
        for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
            ngx_memcpy(mmcf->shared->reason[i].name, reasons[i], ngx_strlen(reasons[i]) + 1);
        }
    }

    for (i = 0; i < mmcf->routes->nelts; i++) {
        ngx_http_sandbox_metrics_add_route(mmcf->shared, &name[i], shm_zone->shm.log);
    }
    ngx_http_sandbox_mcp_count_tools(&mmcf->shared->mcp, mmcf->places, shm_zone->shm.log);

    return NGX_OK;
}

static ngx_int_t
ngx_http_sandbox_metrics_init_process(ngx_cycle_t *cycle)
{
    ngx_http_sandbox_metrics_main_conf_t *mmcf;

    mmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_sandbox_metrics_module);

    if (mmcf != NULL && mmcf->shared != NULL
        && (ngx_process == NGX_PROCESS_WORKER || ngx_process == NGX_PROCESS_SINGLE))
    {
        mmcf->shared->worker[ngx_process_slot].in_flight = 0;
        mmcf->shared->worker[ngx_process_slot].listeners = 0;
        mmcf->shared->worker[ngx_process_slot].pid = (ngx_atomic_uint_t) ngx_pid;
    }

    return NGX_OK;
}

static void *
ngx_http_sandbox_metrics_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_sandbox_metrics_main_conf_t));
}

static ngx_int_t
ngx_http_sandbox_metrics_init(ngx_conf_t *cf)
{
    ngx_http_sandbox_metrics_main_conf_t *mmcf;
    ngx_http_core_main_conf_t *cmcf;
    ngx_http_handler_pt *h;

    mmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_metrics_module);
    if (mmcf->shm_zone == NULL) {
        return NGX_OK;
    }

    mmcf->routes = ngx_http_sandbox_routes(cf);
    mmcf->places = ngx_http_sandbox_mcp_places(cf);

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_POST_READ_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }
    *h = ngx_http_sandbox_metrics_arrive_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }
    *h = ngx_http_sandbox_metrics_log_handler;

    return NGX_OK;
}

static char *
ngx_http_sandbox_metrics_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    static ngx_str_t name = ngx_string("sandbox_metrics");
    ngx_http_sandbox_metrics_main_conf_t *mmcf = conf;
    ngx_str_t *value = cf->args->elts;
    ssize_t size;

    if (mmcf->shm_zone != NULL) {
        return "is duplicate";
    }

    size = ngx_parse_size(&value[1]);
    if (size == NGX_ERROR || size < (ssize_t) (sizeof(ngx_http_sandbox_metrics_shared_t) + 8 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid or too small size \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    mmcf->shm_zone = ngx_shared_memory_add(cf, &name, (size_t) size, &ngx_http_sandbox_metrics_module);
    if (mmcf->shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    mmcf->shm_zone->init = ngx_http_sandbox_metrics_init_zone;
    mmcf->shm_zone->data = mmcf;

    return NGX_CONF_OK;
}

static char *
ngx_http_sandbox_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_sandbox_metrics_main_conf_t *mmcf;
    ngx_http_core_loc_conf_t *clcf;

    mmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_sandbox_metrics_module);
    if (mmcf->shm_zone == NULL) {
        return "needs \"sandbox_metrics_zone\" before it";
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_sandbox_metrics_handler;

    return NGX_CONF_OK;
}
