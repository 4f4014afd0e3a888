/*
 * Policies: one JSON array [document, document, ..., request]. No layer widens
 * a maximum or weakens the isolation or allows what was refused, no allowed request gets more than the
 * policy's maximum or a weaker tier than its minimum, and a copy of the documents decides alike.
 */
#include "lib/sbx_policy_doc.h"

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
check_written(const struct sbx_decision *decision)
{
    struct sbx_buf buf = SBX_BUF_INIT(1 << 20);
    struct sbx_field_error err;
    struct sbx_jsonw w;
    json_t *written = NULL;

    sbx_jsonw_init(&w, &buf);
    sbx_jsonw_object(&w, NULL);
    sbx_violations_write(&w, decision->violation, decision->n_violations);
    sbx_jsonw_object_end(&w);
    if (buf.failed || sbx_json_parse(&written, buf.data, buf.len, &err) != 0) {
        abort();
    }
    json_decref(written);
    sbx_buf_deinit(&buf);
}

/* True when it was allowed. */
static bool
check_decision(const struct sbx_policy_view *view, enum sbx_policy_kind kind, const json_t *request)
{
    struct sbx_policy_input input;
    struct sbx_decision decision;
    struct sbx_field_error err;
    bool grants = kind == SBX_POLICY_JOB || kind == SBX_POLICY_SESSION;

    if (!sbx_policy_input_from_json(&input, kind, request, &err)) {
        return true;
    }
    sbx_policy_view_decide(view, &input, &decision);
    if (decision.allowed == (decision.n_violations > 0)) {
        abort();
    }
    check_kind(&view->merged, &input, &decision);
    if (grants && decision.allowed && decision.isolation < view->merged.min_isolation) {
        abort();
    }
    check_written(&decision);
    return decision.allowed;
}

/* Is `now` nowhere wider than `before`? */
static void
check_narrower(const struct sbx_policy *now, const struct sbx_policy *before, const struct sbx_policy *layer)
{
    size_t k;

    if (now->min_isolation < before->min_isolation || now->isolation < before->isolation ||
        now->min_isolation < layer->min_isolation || now->sessions.max > before->sessions.max ||
        now->sessions.longest[SBX_SESSION_TTL] > now->sessions.max_lifetime_ms ||
        now->max_upload_bytes > before->max_upload_bytes ||
        now->retention_records_ms > before->retention_records_ms ||
        now->max_services > before->max_services) {
        abort();
    }
    for (k = 0; k < SBX_N_SESSION_TIMES; k++) {
        if (now->sessions.longest[k] > before->sessions.longest[k] ||
            now->sessions.fallback[k] > now->sessions.longest[k]) {
            abort();
        }
    }
    for (k = 0; k < SBX_N_LIMITS; k++) {
        if (now->max.value[k] > before->max.value[k] || now->fallback.value[k] > now->max.value[k]) {
            abort();
        }
    }
    for (k = 0; k < SBX_N_SCOPES; k++) {
        if (before->budget_cpu_ms[k] != 0 &&
            (now->budget_cpu_ms[k] == 0 || now->budget_cpu_ms[k] > before->budget_cpu_ms[k])) {
            abort();
        }
    }
}

/* The document, compiled and copied to a place of just its size; NULL when it is none. */
static struct sbx_policy_doc *
compile(const json_t *document)
{
    struct sbx_policy_doc *doc = NULL, *copy;
    struct sbx_field_error err;
    size_t size;

    if (sbx_policy_doc_compile(&doc, document, &err) != 0) {
        return NULL;
    }
    size = sbx_policy_doc_size(doc);
    if (size > SBX_POLICY_DOC_MAX) {
        abort();
    }
    copy = malloc(size);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, doc, size);
    memset(doc, 0xa5, size);
    free(doc);
    return copy;
}

/* Adds the rest of the documents, then asks; what was refused before the last stays refused. */
static void
ask_all(struct sbx_policy_view *view, struct sbx_policy_doc *const *doc, size_t n, const json_t *request)
{
    struct sbx_policy before;
    bool allowed[SBX_POLICY_TOOL];
    size_t i;
    unsigned k;

    for (k = 0; k < SBX_POLICY_TOOL; k++) {
        allowed[k] = check_decision(view, (enum sbx_policy_kind)k, request);
    }
    for (i = 1; i < n; i++) {
        before = view->merged;
        if (!sbx_policy_view_add(view, doc[i])) {
            abort();
        }
        check_narrower(&view->merged, &before, sbx_policy_doc_said(doc[i]));
        for (k = 0; k < SBX_POLICY_TOOL; k++) {
            bool now = check_decision(view, (enum sbx_policy_kind)k, request);

            if (now && !allowed[k]) {
                abort();
            }
            allowed[k] = now;
        }
    }
}

#define MAX_DOCUMENTS 8

static void
check_layers(const json_t *list)
{
    struct sbx_policy_doc *doc[MAX_DOCUMENTS];
    struct sbx_policy_view view;
    size_t i, n = 0, size = json_array_size(list);

    for (i = 0; i + 1 < size && n < MAX_DOCUMENTS; i++) {
        doc[n] = compile(json_array_get(list, i));
        if (doc[n] == NULL) {
            break;
        }
        n++;
    }
    if (size > 0) {
        sbx_policy_view_init(&view, n > 0 ? doc[0] : NULL);
        ask_all(&view, doc, n, json_array_get(list, size - 1));
    }
    while (n > 0) {
        free(doc[--n]);
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
