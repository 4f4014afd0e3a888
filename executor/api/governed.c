#include "executor/api/governed.h"

#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/grant.h"
#include "executor/core/governance.h"

static void
set_name(char out[SBX_POLICY_NAME_LEN], const char *name)
{
    if (name != NULL) {
        memset(out, 0, SBX_POLICY_NAME_LEN);
        memcpy(out, name, strnlen(name, SBX_POLICY_NAME_LEN - 1)); /* none is longer */
    }
}

static void
settle(struct sbx_policy_input *input, const struct governed_ask *ask, const char *tool)
{
    set_name(input->language, ask->language);
    set_name(input->template_name, ask->template_name);
    set_name(input->tool, tool);
    input->file_bytes = ask->file_bytes > input->file_bytes ? ask->file_bytes : input->file_bytes;
    if (ask->limits != NULL) {
        input->limits = *ask->limits;
    }
    if (ask->kind == SBX_POLICY_SESSION) {
        /* They are the session's: its own members say them. */
        input->session_ms[SBX_SESSION_CPU_TIME] = input->limits.value[SBX_LIMIT_CPU];
        input->limits.value[SBX_LIMIT_CPU] = input->limits.value[SBX_LIMIT_TIME] = 0;
    }
    if (ask->isolation != SBX_ISOLATION_NONE) {
        input->isolation = ask->isolation;
    }
    for (unsigned i = 0; i < SBX_N_SESSION_TIMES; i++) {
        input->session_ms[i] = ask->session_ms[i] != 0 ? ask->session_ms[i] : input->session_ms[i];
    }
}

/* Policy allows it; there is nobody here to do it. */
static bool
refuse_unbuilt(struct call *call, const struct sbx_policy_input *input)
{
    const struct {
        const json_t *items;
        const char *field, *what;
    } lists[] = {
        { input->pip, "/dependencies/pip", "this executor installs no dependencies yet" },
        { input->npm, "/dependencies/npm", "this executor installs no dependencies yet" },
        { input->egress, "/egress", "this executor has no egress yet" },
        { input->secrets, "/secrets", "this executor has no secrets yet" },
        { input->services, "/services", "this executor has no services yet" },
    };

    for (size_t i = 0; i < SBX_COUNT(lists); i++) {
        struct sbx_field_error err = { 0 };

        if (lists[i].items != NULL && json_array_size(lists[i].items) > 0) {
            sbx_field_error_set(&err, lists[i].field, "%s", lists[i].what);
            call_problem_field(call, &err);
            return false;
        }
    }
    return true;
}

bool
governed(struct call *call, const struct governed_ask *ask, struct sbx_policy_input *ret)
{
    const struct governance *governance = call->api->spec.governance;
    const struct sbx_context *context = &call->context;
    struct governance_layers layers;
    struct sbx_policy_input input;
    struct sbx_policy_view view;
    struct sbx_decision decision;
    struct sbx_field_error err;

    if (!sbx_policy_input_from_json(&input, ask->kind, ask->body, &err)) {
        call_problem_field(call, &err);
        return false;
    }
    settle(&input, ask, context->tool);
    const struct governance_who who = {
        .tenant = context->tenant,
        .app = context->app,
        .agent = context->agent,
        .template_name = input.template_name,
    };
    if (governance != NULL) {
        governance_collect(governance, &who, NULL, &layers);
        governance_view(&layers, &view);
        sbx_policy_view_decide(&view, &input, &decision);
        if (!decision.allowed) {
            grant_refuse(call, decision.violation, decision.n_violations);
            return false;
        }
    }
    if (!refuse_unbuilt(call, &input)) {
        return false;
    }
    if (ret != NULL) {
        *ret = input;
        ret->pip = ret->npm = ret->egress = ret->secrets = ret->services = NULL;
        ret->wait_ms = 0; /* nobody waits for what runs already */
        ret->tool[0] = '\0';
    }
    return true;
}
