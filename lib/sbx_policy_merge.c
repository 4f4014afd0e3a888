/*
 * Laying policies over each other. Zero (or the largest number, where zero is
 * a value) means that a layer says nothing; everything else only goes down, but
 * isolation, which only becomes stronger.
 */
#include "sbx_policy_inside.h"

#include <stdio.h>
#include <string.h>

#define MI (1024ull * 1024)
#define GI (1024 * MI)
#define MINUTE_MS (60 * MILLI)
#define HOUR_MS (60 * MINUTE_MS)
#define MILLI 1000ull

static void
builtin_sessions(struct sbx_session_policy *ret)
{
    ret->max = 16;
    ret->max_lifetime_ms = 24 * HOUR_MS;
    ret->fallback[SBX_SESSION_TTL] = 30 * MINUTE_MS;
    ret->longest[SBX_SESSION_TTL] = 24 * HOUR_MS;
    ret->fallback[SBX_SESSION_IDLE] = 10 * MINUTE_MS;
    ret->longest[SBX_SESSION_IDLE] = 24 * HOUR_MS;
    ret->fallback[SBX_SESSION_STEP] = 30 * MILLI;
    ret->longest[SBX_SESSION_STEP] = 10 * MINUTE_MS;
    /* What a job may use is gone in the first minutes of a session. */
    ret->fallback[SBX_SESSION_CPU_TIME] = 1 * HOUR_MS;
    ret->longest[SBX_SESSION_CPU_TIME] = 24 * HOUR_MS;
}

void
sbx_policy_builtin(struct sbx_policy *ret)
{
    static const struct {
        uint64_t fallback, max;
    } limits[SBX_N_LIMITS] = {
        [SBX_LIMIT_CPU_RATE] = { 1 * MILLI, 4 * MILLI },
        [SBX_LIMIT_CPU] = { 30 * MILLI, 300 * MILLI },
        [SBX_LIMIT_MEMORY] = { 256 * MI, 1024 * MI },
        [SBX_LIMIT_DISK] = { 64 * MI, 1024 * MI },
        [SBX_LIMIT_PROCESSES] = { 128, 512 },
        [SBX_LIMIT_TIME] = { 30 * MILLI, 300 * MILLI },
        [SBX_LIMIT_OUTPUT] = { 8 * MI, 64 * MI },
    };
    unsigned i;

    memset(ret, 0, sizeof(*ret));
    (void)snprintf(ret->id, sizeof(ret->id), "builtin"); /* fits */
    for (i = 0; i < SBX_N_LIMITS; i++) {
        ret->fallback.value[i] = limits[i].fallback;
        ret->max.value[i] = limits[i].max;
    }
    ret->max_env = 64;
    ret->max_files = 64;
    ret->max_artifacts = 64;
    ret->max_file_bytes = 8 * MI;
    ret->max_artifact_bytes = 16 * MI;
    ret->max_stored_bytes = 10 * GI;
    ret->max_upload_bytes = 2 * GI;
    ret->retention_records_ms = 7ull * 24 * HOUR_MS;
    ret->retention_artifacts_ms = 30ull * 24 * HOUR_MS;
    ret->max_wait_ms = 60 * MILLI;
    ret->max_services = 16;
    builtin_sessions(&ret->sessions);
}

static uint64_t
least_said(uint64_t a, uint64_t b)
{
    if (a == 0 || b == 0) {
        return a == 0 ? b : a;
    }
    return a < b ? a : b;
}

static uint64_t
least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void
narrow_rate(struct sbx_rate *base, const struct sbx_rate *layer)
{
    if (layer->per_second_milli == 0) {
        return;
    }
    if (base->per_second_milli == 0) {
        *base = *layer;
        return;
    }
    base->per_second_milli = (uint32_t)least(base->per_second_milli, layer->per_second_milli);
    base->burst = (uint32_t)least(base->burst, layer->burst);
}

/* A route that finds no slot binds the agent as a whole: narrower than asked, never wider. */
static void
narrow_route(struct sbx_policy *base, const char *route, const struct sbx_rate *rate)
{
    unsigned i;

    for (i = 0; i < base->n_routes; i++) {
        if (strcmp(base->route[i].route, route) == 0) {
            narrow_rate(&base->route[i].rate, rate);
            return;
        }
    }
    if (base->n_routes == SBX_POLICY_MAX_ROUTES) {
        narrow_rate(&base->rate[SBX_SCOPE_AGENT], rate);
        return;
    }
    memcpy(base->route[i].route, route, SBX_POLICY_NAME_LEN);
    base->route[i].rate = *rate;
    base->n_routes++;
}

static void
narrow_tool(struct sbx_policy *base, const char *tool, const struct sbx_rate *rate)
{
    unsigned i;

    for (i = 0; i < base->n_tools; i++) {
        if (strcmp(base->tool[i].tool, tool) == 0) {
            narrow_rate(&base->tool[i].rate, rate);
            return;
        }
    }
    if (base->n_tools == SBX_POLICY_MAX_TOOLS) {
        narrow_rate(&base->rate[SBX_SCOPE_AGENT], rate);
        return;
    }
    memcpy(base->tool[i].tool, tool, SBX_POLICY_NAME_LEN);
    base->tool[i].rate = *rate;
    base->n_tools++;
}

/* False when there is no slot left for the name. */
static bool
narrow_cap(struct sbx_named_cap *cap, uint8_t *n, unsigned most, const struct sbx_named_cap *layer)
{
    unsigned i;

    for (i = 0; i < *n; i++) {
        if (strcmp(cap[i].name, layer->name) == 0) {
            cap[i].most = (uint32_t)least(cap[i].most, layer->most);
            return true;
        }
    }
    if (*n == most) {
        return false;
    }
    cap[(*n)++] = *layer;
    return true;
}

/* As with rates: a name that finds no slot binds the agent as a whole. */
static void
narrow_caps(struct sbx_policy *base, const struct sbx_policy *layer)
{
    uint32_t *agent = &base->concurrency[SBX_SCOPE_AGENT];
    unsigned i;

    for (i = 0; i < layer->n_route_caps; i++) {
        if (!narrow_cap(base->route_cap, &base->n_route_caps, SBX_POLICY_MAX_ROUTES, &layer->route_cap[i])) {
            *agent = (uint32_t)least_said(*agent, layer->route_cap[i].most);
        }
    }
    for (i = 0; i < layer->n_tool_caps; i++) {
        if (!narrow_cap(base->tool_cap, &base->n_tool_caps, SBX_POLICY_MAX_TOOLS, &layer->tool_cap[i])) {
            *agent = (uint32_t)least_said(*agent, layer->tool_cap[i].most);
        }
    }
}

/* A default that is said is at most its maximum, where one is. */
static void
clamp(uint64_t *fallback, uint64_t max)
{
    if (*fallback != 0) {
        *fallback = least_said(*fallback, max);
    }
}

static void
clamp_fallbacks(struct sbx_policy *policy)
{
    struct sbx_session_policy *sessions = &policy->sessions;
    unsigned i;

    for (i = 0; i < SBX_N_LIMITS; i++) {
        clamp(&policy->fallback.value[i], policy->max.value[i]);
    }
    clamp(&sessions->longest[SBX_SESSION_TTL], sessions->max_lifetime_ms);
    for (i = 0; i < SBX_N_SESSION_TIMES; i++) {
        clamp(&sessions->fallback[i], sessions->longest[i]);
    }
}

static void
narrow_sessions(struct sbx_session_policy *base, const struct sbx_session_policy *layer)
{
    unsigned i;

    base->max = (uint32_t)least(base->max, layer->max);
    base->max_lifetime_ms = least_said(base->max_lifetime_ms, layer->max_lifetime_ms);
    for (i = 0; i < SBX_N_SESSION_TIMES; i++) {
        base->fallback[i] = least_said(base->fallback[i], layer->fallback[i]);
        base->longest[i] = least_said(base->longest[i], layer->longest[i]);
    }
}

static void
narrow_sizes(struct sbx_policy *base, const struct sbx_policy *layer)
{
    base->max_env = (uint32_t)least(base->max_env, layer->max_env);
    base->max_files = (uint32_t)least(base->max_files, layer->max_files);
    base->max_artifacts = (uint32_t)least(base->max_artifacts, layer->max_artifacts);
    base->max_file_bytes = least(base->max_file_bytes, layer->max_file_bytes);
    base->max_artifact_bytes = least(base->max_artifact_bytes, layer->max_artifact_bytes);
    base->max_stored_bytes = least(base->max_stored_bytes, layer->max_stored_bytes);
    base->max_upload_bytes = least(base->max_upload_bytes, layer->max_upload_bytes);
    base->retention_records_ms = least_said(base->retention_records_ms, layer->retention_records_ms);
    base->retention_artifacts_ms = least_said(base->retention_artifacts_ms, layer->retention_artifacts_ms);
    base->retention_audit_ms = least_said(base->retention_audit_ms, layer->retention_audit_ms);
    base->max_services = (uint32_t)least(base->max_services, layer->max_services);
    base->max_wait_ms = least(base->max_wait_ms, layer->max_wait_ms);
}

void
sbx_policy_narrow(struct sbx_policy *base, const struct sbx_policy *layer)
{
    unsigned i;

    memcpy(base->id, layer->id, sizeof(base->id));
    base->version = layer->version;

    for (i = 0; i < SBX_N_LIMITS; i++) {
        base->max.value[i] = least_said(base->max.value[i], layer->max.value[i]);
        base->fallback.value[i] = least_said(base->fallback.value[i], layer->fallback.value[i]);
    }
    narrow_sessions(&base->sessions, &layer->sessions);
    clamp_fallbacks(base);

    base->min_isolation = sbx_isolation_stronger(base->min_isolation, layer->min_isolation);
    base->isolation = sbx_isolation_stronger(base->isolation, layer->isolation);
    narrow_sizes(base, layer);

    for (i = 0; i < SBX_N_SCOPES; i++) {
        narrow_rate(&base->rate[i], &layer->rate[i]);
        base->concurrency[i] = (uint32_t)least_said(base->concurrency[i], layer->concurrency[i]);
        base->budget_cpu_ms[i] = least_said(base->budget_cpu_ms[i], layer->budget_cpu_ms[i]);
    }
    for (i = 0; i < layer->n_routes; i++) {
        narrow_route(base, layer->route[i].route, &layer->route[i].rate);
    }
    for (i = 0; i < layer->n_tools; i++) {
        narrow_tool(base, layer->tool[i].tool, &layer->tool[i].rate);
    }
    narrow_caps(base, layer);
}

/* Where a document says nothing the built-in value holds; a default above that says that this much is meant. */
static void
fill_span(uint64_t *fallback, uint64_t *max, uint64_t builtin_fallback, uint64_t builtin_max)
{
    if (*max == 0) {
        *max = builtin_max > *fallback ? builtin_max : *fallback;
    }
    if (*fallback == 0) {
        *fallback = builtin_fallback;
    }
}

static void
fill_sessions(struct sbx_session_policy *ret, const struct sbx_session_policy *builtin)
{
    unsigned i;

    ret->max = ret->max == UINT32_MAX ? builtin->max : ret->max;
    ret->max_lifetime_ms = ret->max_lifetime_ms == 0 ? builtin->max_lifetime_ms : ret->max_lifetime_ms;
    for (i = 0; i < SBX_N_SESSION_TIMES; i++) {
        fill_span(&ret->fallback[i], &ret->longest[i], builtin->fallback[i], builtin->longest[i]);
    }
}

static void
fill_size(uint64_t *size, uint64_t builtin)
{
    *size = *size == UINT64_MAX ? builtin : *size;
}

void
sbx_policy_base(struct sbx_policy *ret, const struct sbx_policy *document)
{
    struct sbx_policy builtin;
    unsigned i;

    sbx_policy_builtin(&builtin);
    if (document == NULL) {
        *ret = builtin;
        return;
    }

    *ret = *document;
    for (i = 0; i < SBX_N_LIMITS; i++) {
        fill_span(&ret->fallback.value[i], &ret->max.value[i], builtin.fallback.value[i],
                  builtin.max.value[i]);
    }
    fill_sessions(&ret->sessions, &builtin.sessions);
    clamp_fallbacks(ret);

    ret->max_env = ret->max_env == UINT32_MAX ? builtin.max_env : ret->max_env;
    ret->max_files = ret->max_files == UINT32_MAX ? builtin.max_files : ret->max_files;
    ret->max_artifacts = ret->max_artifacts == UINT32_MAX ? builtin.max_artifacts : ret->max_artifacts;
    ret->max_services = ret->max_services == UINT32_MAX ? builtin.max_services : ret->max_services;
    fill_size(&ret->max_file_bytes, builtin.max_file_bytes);
    fill_size(&ret->max_artifact_bytes, builtin.max_artifact_bytes);
    fill_size(&ret->max_stored_bytes, builtin.max_stored_bytes);
    fill_size(&ret->max_upload_bytes, builtin.max_upload_bytes);
    fill_size(&ret->max_wait_ms, builtin.max_wait_ms);
    if (ret->retention_records_ms == 0) {
        ret->retention_records_ms = builtin.retention_records_ms;
    }
    if (ret->retention_artifacts_ms == 0) {
        ret->retention_artifacts_ms = builtin.retention_artifacts_ms;
    }
}
