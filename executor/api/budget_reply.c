#include "executor/api/budget_reply.h"

#include "executor/api/api_inside.h"
#include "executor/api/reply_parts.h"
#include "executor/core/usage.h"
#include "lib/sbx_time.h"

unsigned
budget_left(const struct call *call, struct budget_left ret[SBX_N_SCOPES])
{
    static const char *const scopes[SBX_N_SCOPES] = { "tenant", "app", "agent" };
    const struct sbx_context *context = &call->context;
    const char *const names[SBX_N_SCOPES] = { context->tenant, context->app, context->agent };
    const struct budget_name name = { .tenant = context->tenant,
                                      .app = context->app,
                                      .agent = context->agent };
    unsigned n = 0;

    for (unsigned scope = 0; scope < SBX_N_SCOPES && call->api->spec.budgets != NULL; scope++) {
        uint64_t limit = context->budget_cpu_ms[scope], spent;

        if (limit == 0) {
            continue;
        }
        spent = budgets_spent(call->api->spec.budgets, &name, (enum sbx_scope)scope);
        ret[n++] = (struct budget_left){
            .scope = scopes[scope],
            .name = names[scope],
            .limit_ms = limit,
            .spent_ms = spent,
            .left_ms = spent < limit ? limit - spent : 0,
        };
    }
    return n;
}

void
budget_reply_write(struct sbx_jsonw *w, const struct call *call)
{
    const uint64_t next = (usage_day(sbx_now_unix_ms()) + 1) * USAGE_DAY_MS;
    struct budget_left left[SBX_N_SCOPES];
    const unsigned n = budget_left(call, left);

    sbx_jsonw_array(w, "budgets");
    for (unsigned i = 0; i < n; i++) {
        sbx_jsonw_object(w, NULL);
        sbx_jsonw_str(w, "scope", left[i].scope);
        reply_text(w, "name", left[i].name);
        sbx_jsonw_uint(w, "cpu_ms", left[i].limit_ms);
        sbx_jsonw_uint(w, "used_cpu_ms", left[i].spent_ms);
        sbx_jsonw_uint(w, "left_cpu_ms", left[i].left_ms);
        reply_time(w, "resets_at", next);
        sbx_jsonw_object_end(w);
    }
    sbx_jsonw_array_end(w);
}
