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

/* As JSON, in the largest unit that it is a whole number of. */
static void
grant_duration(char *out, size_t size, uint64_t ms)
{
    static const struct {
        uint64_t ms;
        const char *name;
    } units[] = { { 3600000, "h" }, { 60000, "m" }, { 1000, "s" }, { 1, "ms" } };
    size_t i = 0;

    while (ms % units[i].ms != 0) {
        i++;
    }
    (void)snprintf(out, size, "\"%llu%s\"", (unsigned long long)(ms / units[i].ms), units[i].name); /* fits */
}

void
grant_refuse(struct call *call, const struct sbx_violation *violations, unsigned n)
{
    call_reply_problem(call, &(struct sbx_problem){
                                 .code = SBX_PROBLEM_POLICY_VIOLATION,
                                 .violation = violations,
                                 .n_violations = n,
                             });
}

static void
violation_budget(struct sbx_violation *ret, const struct budget_excess *excess)
{
    static const char *const scopes[SBX_N_SCOPES] = { "tenant", "app", "agent" };

    *ret = (struct sbx_violation){ .rule = "" };
    /* All fit. */
    (void)snprintf(ret->rule, sizeof(ret->rule), "budgets.%s.cpu_per_day", scopes[excess->scope]);
    grant_duration(ret->limit, sizeof(ret->limit), excess->limit_ms);
    grant_duration(ret->observed, sizeof(ret->observed), excess->spent_ms);
    (void)snprintf(ret->hint, sizeof(ret->hint), "the budget is new at midnight, UTC");
}

bool
grant_budget(struct call *call)
{
    const struct sbx_context *context = &call->context;
    const struct budget_name name = { .tenant = context->tenant,
                                      .app = context->app,
                                      .agent = context->agent };
    struct sbx_violation violation;
    struct budget_excess excess;

    if (call->api->spec.budgets == NULL ||
        !budgets_exhausted(call->api->spec.budgets, &name, context->budget_cpu_ms, &excess)) {
        return true;
    }
    violation_budget(&violation, &excess);
    call_reply_problem(call, &(struct sbx_problem){
                                 .code = SBX_PROBLEM_BUDGET_EXHAUSTED,
                                 .violation = &violation,
                                 .n_violations = 1,
                                 .retry_after_s = budgets_reset_s(call->api->spec.budgets),
                             });
    return false;
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
