/*
 * Policies: one JSON array [document, document, ..., request]. No layer widens
 * a maximum or weakens the isolation, and no allowed request gets more than the
 * policy's maximum or a weaker tier than its minimum.
 */
#include "lib/sbx_policy.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_decision(const struct sbx_policy *policy, const json_t *request)
{
    struct sbx_buf buf = SBX_BUF_INIT(1 << 20);
    struct sbx_policy_input input;
    struct sbx_decision decision;
    struct sbx_field_error err;
    struct sbx_jsonw w;
    json_t *written = NULL;
    unsigned i;

    if (!sbx_policy_input_from_json(&input, request, &err)) {
        return;
    }
    sbx_policy_decide(policy, &input, &decision);
    if (decision.allowed == (decision.n_violations > 0)) {
        abort();
    }
    for (i = 0; i < SBX_N_LIMITS && decision.allowed; i++) {
        if (decision.limits.value[i] == 0 || decision.limits.value[i] > policy->max.value[i]) {
            abort();
        }
    }
    if (decision.allowed && decision.isolation < policy->min_isolation) {
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
        for (k = 0; k < SBX_N_LIMITS; k++) {
            if (policy.max.value[k] > before.max.value[k] || policy.fallback.value[k] > policy.max.value[k]) {
                abort();
            }
        }
    }
    if (n > 0) {
        check_decision(&policy, json_array_get(list, n - 1));
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
