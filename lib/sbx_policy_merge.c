/*
 * Laying policies over each other. Zero (or the largest number, where zero is
 * a value) means that a layer says nothing; everything else only goes down, but
 * isolation, which only becomes stronger.
 */
#include "sbx_policy.h"

#include <stdio.h>
#include <string.h>

#define MI (1024ull * 1024)
#define MILLI 1000ull

bool
sbx_name_set_has(const struct sbx_name_set *set, const char *name)
{
    unsigned i;

    for (i = 0; i < set->n; i++) {
        if (strcmp(set->name[i], name) == 0) {
            return true;
        }
    }
    return false;
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
        [SBX_LIMIT_DISK] = { 64 * MI, 512 * MI },
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
    ret->max_wait_ms = 60 * MILLI;
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
narrow_set(struct sbx_name_set *base, const struct sbx_name_set *layer)
{
    struct sbx_name_set both = { .set = true };
    unsigned i;

    if (!layer->set) {
        return;
    }
    if (!base->set) {
        *base = *layer;
        return;
    }
    for (i = 0; i < base->n; i++) {
        if (sbx_name_set_has(layer, base->name[i])) {
            memcpy(both.name[both.n++], base->name[i], SBX_POLICY_NAME_LEN);
        }
    }
    *base = both;
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
clamp_fallbacks(struct sbx_policy *policy)
{
    unsigned i;

    for (i = 0; i < SBX_N_LIMITS; i++) {
        if (policy->fallback.value[i] != 0) {
            policy->fallback.value[i] = least_said(policy->fallback.value[i], policy->max.value[i]);
        }
    }
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
    clamp_fallbacks(base);

    narrow_set(&base->languages, &layer->languages);
    narrow_set(&base->templates, &layer->templates);
    base->min_isolation = sbx_isolation_stronger(base->min_isolation, layer->min_isolation);
    base->isolation = sbx_isolation_stronger(base->isolation, layer->isolation);
    base->max_env = (uint32_t)least(base->max_env, layer->max_env);
    base->max_files = (uint32_t)least(base->max_files, layer->max_files);
    base->max_artifacts = (uint32_t)least(base->max_artifacts, layer->max_artifacts);
    base->max_file_bytes = least(base->max_file_bytes, layer->max_file_bytes);
    base->max_artifact_bytes = least(base->max_artifact_bytes, layer->max_artifact_bytes);
    base->max_wait_ms = least(base->max_wait_ms, layer->max_wait_ms);

    for (i = 0; i < SBX_N_SCOPES; i++) {
        narrow_rate(&base->rate[i], &layer->rate[i]);
        base->concurrency[i] = (uint32_t)least_said(base->concurrency[i], layer->concurrency[i]);
    }
    for (i = 0; i < layer->n_routes; i++) {
        narrow_route(base, layer->route[i].route, &layer->route[i].rate);
    }
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
        if (ret->max.value[i] == 0) {
            /* A default above the built-in maximum says that this much is meant to be allowed. */
            ret->max.value[i] =
                builtin.max.value[i] > ret->fallback.value[i] ? builtin.max.value[i] : ret->fallback.value[i];
        }
        if (ret->fallback.value[i] == 0) {
            ret->fallback.value[i] = builtin.fallback.value[i];
        }
    }
    clamp_fallbacks(ret);

    ret->max_env = ret->max_env == UINT32_MAX ? builtin.max_env : ret->max_env;
    ret->max_files = ret->max_files == UINT32_MAX ? builtin.max_files : ret->max_files;
    ret->max_artifacts = ret->max_artifacts == UINT32_MAX ? builtin.max_artifacts : ret->max_artifacts;
    ret->max_file_bytes = ret->max_file_bytes == UINT64_MAX ? builtin.max_file_bytes : ret->max_file_bytes;
    ret->max_artifact_bytes =
        ret->max_artifact_bytes == UINT64_MAX ? builtin.max_artifact_bytes : ret->max_artifact_bytes;
    ret->max_wait_ms = ret->max_wait_ms == UINT64_MAX ? builtin.max_wait_ms : ret->max_wait_ms;
}
