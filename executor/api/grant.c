#include "executor/api/grant.h"

#include <stdio.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/log.h"
#include "executor/runtime/registry.h"

bool
grant_names(struct call *call)
{
    struct sbx_field_error err = { 0 };
    const char *name = registry_canonical(call->api->spec.languages, call->spec->language);

    if (name == NULL) {
        sbx_field_error_set(&err, "/language", "is not a language of this executor");
        call_problem_field(call, &err);
        return false;
    }
    call->spec->language = name;
    if (engine_template_tier(call->api->spec.engine, call->spec->template_name) == SBX_ISOLATION_NONE) {
        sbx_field_error_set(&err, "/template", "is not a template of this executor");
        call_problem_field(call, &err);
        return false;
    }
    return true;
}

static void
violation_fill(struct sbx_violation *violation, enum sbx_limit limit, uint64_t most, uint64_t asked)
{
    (void)snprintf(violation->rule, sizeof(violation->rule), "limits.%s", sbx_limit_key(limit)); /* fits */
    sbx_limit_text(violation->limit, sizeof(violation->limit), limit, most);
    sbx_limit_text(violation->observed, sizeof(violation->observed), limit, asked);
    (void)snprintf(violation->hint, sizeof(violation->hint), "ask for at most what limit says");
}

static void
grant_on_denial_stored(void *arg _unused_, int rc, const struct db_result *result _unused_)
{
    if (rc) {
        log_error("audit.denial_failed", LOG_INT("code", rc));
    }
}

static void
grant_audit_denial(struct call *call, const struct sbx_violation *violations, unsigned n)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(16384);
    const struct sbx_context *context = &call->context;
    struct sbx_jsonw w;
    struct db_tx *tx;

    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "source", "executor");
    sbx_jsonw_str(&w, "subject", context->subject);
    sbx_jsonw_str(&w, "code", "policy_violation");
    sbx_violations_write(&w, violations, n);
    sbx_jsonw_object_end(&w);
    if (db_tx_new(&tx, engine_db(call->api->spec.engine)) != 0) {
        log_error("audit.denial_failed", LOG_INT("code", -ENOMEM));
        return;
    }
    audit_denied(tx, context->tenant, context->request_id, body.failed ? "" : body.data,
                 body.failed ? 0 : body.len);
    db_tx_submit(tx, grant_on_denial_stored, NULL);
}

void
grant_refuse(struct call *call, const struct sbx_violation *violations, unsigned n)
{
    grant_audit_denial(call, violations, n);
    call_reply_problem(call, &(struct sbx_problem){
                                 .code = SBX_PROBLEM_POLICY_VIOLATION,
                                 .violation = violations,
                                 .n_violations = n,
                             });
}

/* Says nobody which tier, the strongest that anybody wants: of the policy and the template. Returns violations. */
static unsigned
grant_settle_isolation(struct call *call, struct sbx_violation *violation)
{
    const struct sbx_context *context = &call->context;
    const struct job_spec *spec = call->spec;

    call->isolation = spec->isolation;
    if (call->isolation == SBX_ISOLATION_NONE) {
        call->isolation = engine_template_tier(call->api->spec.engine, spec->template_name);
        call->isolation = sbx_isolation_stronger(call->isolation, context->isolation);
        call->isolation = sbx_isolation_stronger(call->isolation, context->min_isolation);
    }
    if (call->isolation >= context->min_isolation) {
        return 0;
    }
    sbx_violation_isolation(violation, context->min_isolation, call->isolation);
    return 1;
}

/* What was asked, within what the edge's policy granted; a context that grants nothing creates nothing. */
bool
grant_check(struct call *call, const struct sbx_violation *more, unsigned n_more)
{
    const struct sbx_context *context = &call->context;
    struct sbx_violation violations[SBX_N_LIMITS + 1 + GRANT_MAX_MORE] = { 0 };
    unsigned n = grant_settle_isolation(call, violations);

    for (unsigned i = 0; i < SBX_N_LIMITS; i++) {
        uint64_t most = context->limits.value[i];
        uint64_t asked = call->spec->limits.value[i];

        if (!context->has_limits || most == 0) {
            call_problem(call, SBX_PROBLEM_FORBIDDEN, "no limits were granted to this request");
            return false;
        }
        call->limits.value[i] = asked == 0 ? most : asked;
        if (asked > most) {
            violation_fill(&violations[n++], (enum sbx_limit)i, most, asked);
        }
    }
    for (unsigned i = 0; i < n_more && i < GRANT_MAX_MORE; i++) {
        violations[n++] = more[i];
    }
    if (n == 0) {
        return true;
    }
    grant_refuse(call, violations, n);
    return false;
}

void
grant_violation(struct sbx_violation *ret, const char *rule, uint64_t most_ms, uint64_t asked_ms)
{
    memset(ret, 0, sizeof(*ret));
    (void)snprintf(ret->rule, sizeof(ret->rule), "%s", rule); /* ours: it fits */
    (void)snprintf(ret->limit, sizeof(ret->limit), "\"%llums\"", (unsigned long long)most_ms);
    (void)snprintf(ret->observed, sizeof(ret->observed), "\"%llums\"", (unsigned long long)asked_ms);
    (void)snprintf(ret->hint, sizeof(ret->hint), "ask for at most what limit says");
}
