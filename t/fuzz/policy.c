/*
 * Policies: one JSON array [document, document, ..., request]. No layer widens
 * a maximum or weakens the isolation, and no allowed request gets more than the
 * policy's maximum or a weaker tier than its minimum.
 */
#include "lib/sbx_policy.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* No kind gives more of a session's times than its maximum, nor a session's limits to what is none. */
static void
check_kind(const struct sbx_policy *policy, const struct sbx_policy_input *input,
           const struct sbx_decision *decision)
{
    bool is_session = input->kind == SBX_POLICY_SESSION;
    uint64_t most;
    unsigned i;

    for (i = 0; i < SBX_N_LIMITS && decision->allowed; i++) {
        most = policy->max.value[i];
        if (is_session && i == SBX_LIMIT_CPU) {
            most = policy->sessions.longest[SBX_SESSION_CPU_TIME];
        } else if (is_session && i == SBX_LIMIT_TIME) {
            most = policy->sessions.max_lifetime_ms;
        } else if (!is_session && input->kind != SBX_POLICY_JOB) {
            most = 0;
        }
        if (decision->limits.value[i] > most || (decision->limits.value[i] == 0) != (most == 0)) {
            abort();
        }
    }
    for (i = 0; i < SBX_N_SESSION_TIMES && decision->allowed; i++) {
        if (input->session_ms[i] > policy->sessions.longest[i]) {
            abort();
        }
    }
}

static void
check_decision(const struct sbx_policy *policy, enum sbx_policy_kind kind, const json_t *request)
{
    struct sbx_buf buf = SBX_BUF_INIT(1 << 20);
    struct sbx_policy_input input;
    struct sbx_decision decision;
    struct sbx_field_error err;
    struct sbx_jsonw w;
    json_t *written = NULL;
    bool grants = kind == SBX_POLICY_JOB || kind == SBX_POLICY_SESSION;

    if (!sbx_policy_input_from_json(&input, kind, request, &err)) {
        return;
    }
    sbx_policy_decide(policy, &input, &decision);
    if (decision.allowed == (decision.n_violations > 0)) {
        abort();
    }
    check_kind(policy, &input, &decision);
    if (grants && decision.allowed && decision.isolation < policy->min_isolation) {
        abort();
    }

    sbx_jsonw_init(&w, &buf);
    sbx_jsonw_object(&w, NULL);
    sbx_violations_write(&w, decision.violation, decision.n_violations);
    sbx_jsonw_object_end(&w);
    if (buf.failed || sbx_json_parse(&written, buf.data, buf.len, &err) != 0) {
        abort();
    }
    json_decref(written);
    sbx_buf_deinit(&buf);
}

static void
check_layers(const json_t *list)
{
    struct sbx_policy policy, layer, before;
    struct sbx_field_error err;
    size_t i, k, n = json_array_size(list);

    sbx_policy_base(&policy, NULL);
    for (i = 0; i + 1 < n; i++) {
        if (!sbx_policy_from_json(&layer, json_array_get(list, i), &err)) {
            return;
        }
        if (i == 0) {
            sbx_policy_base(&policy, &layer);
            continue;
        }
        before = policy;
        sbx_policy_narrow(&policy, &layer);
        if (policy.min_isolation < before.min_isolation || policy.isolation < before.isolation ||
            policy.min_isolation < layer.min_isolation) {
            abort();
        }
        for (k = 0; k < SBX_N_SESSION_TIMES; k++) {
            if (policy.sessions.longest[k] > before.sessions.longest[k] ||
                policy.sessions.fallback[k] > policy.sessions.longest[k]) {
                abort();
            }
        }
        if (policy.sessions.max > before.sessions.max ||
            policy.sessions.longest[SBX_SESSION_TTL] > policy.sessions.max_lifetime_ms ||
            policy.max_upload_bytes > before.max_upload_bytes ||
            policy.retention_records_ms > before.retention_records_ms) {
            abort();
        }
        for (k = 0; k < SBX_N_LIMITS; k++) {
            if (policy.max.value[k] > before.max.value[k] || policy.fallback.value[k] > policy.max.value[k]) {
                abort();
            }
        }
    }
    if (n > 0) {
        for (k = SBX_POLICY_JOB; k <= SBX_POLICY_PROCESS; k++) {
            check_decision(&policy, (enum sbx_policy_kind)k, json_array_get(list, n - 1));
        }
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sbx_field_error err;
    json_t *json = NULL;

    if (sbx_json_parse(&json, (const char *)data, size, &err) == 0) {
        check_layers(json);
        json_decref(json);
    }
    return 0;
}
