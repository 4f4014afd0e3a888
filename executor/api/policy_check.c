/*
 * POST /v1/policies:check: what a draft would make of a request, or of a job or session that is there, with all other
 * documents as they are in force. Nothing runs, nothing is stored. The body is read anew after each look-up.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/handlers.h"
#include "executor/api/jobs.h"
#include "executor/api/policy_work.h"
#include "executor/api/session_call.h"
#include "executor/core/governance.h"
#include "lib/sbx_json.h"

#define CHECK_REPLY_MAX (256u << 10)

struct check {
    json_t *body;
    const json_t *request;
    const char *policy_id, *job_id, *session_id; /* NULL: not said */
    struct policy_target target[POLICY_TARGETS_MAX];
    unsigned n_targets;
    struct sbx_policy_doc *doc; /* the draft */
    struct sbx_policy_input input;
    struct governance_who who;
};

static void
check_deinit(struct check *check)
{
    json_decref(check->body);
    free(check->doc);
}

static bool
check_fail(struct call *call, const char *field, const char *message)
{
    struct sbx_field_error err = { 0 };

    sbx_field_error_set(&err, field, "%s", message);
    call_problem_field(call, &err);
    return false;
}

static bool
read_id(struct call *call, const struct check *check, const char *key, const char *prefix, const char **ret)
{
    const json_t *value = json_object_get(check->body, key);
    char field[32];

    if (value == NULL) {
        return true;
    }
    (void)snprintf(field, sizeof(field), "/%s", key); /* fits */
    if (!json_is_string(value) ||
        !sbx_id_valid(json_string_value(value), json_string_length(value), prefix)) {
        return check_fail(call, field, "is not an id");
    }
    *ret = json_string_value(value);
    return true;
}

static bool
read_targets(struct call *call, struct check *check)
{
    const json_t *list = json_object_get(check->body, "applies_to");

    if (list == NULL) {
        check->target[0] = (struct policy_target){ .kind = POLICY_TARGET_TENANT };
        check->n_targets = 1;
        return true;
    }
    if (!json_is_array(list) || json_array_size(list) > POLICY_TARGETS_MAX) {
        return check_fail(call, "/applies_to", "must be an array of at most 64 targets");
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i);
        const char *key = json_object_size(item) == 1 ? json_object_iter_key(json_object_iter(item)) : "";
        const json_t *name = json_object_get(item, key);
        char text[2 * SBX_NAME_MAX] = "tenant", field[48];

        (void)snprintf(field, sizeof(field), "/applies_to/%zu", i); /* fits */
        if (json_is_string(name)) {
            (void)snprintf(text, sizeof(text), "%.16s:%.65s", key,
                           json_string_value(name)); /* cut is no target */
        }
        if ((!json_is_string(name) && (strcmp(key, "tenant") != 0 || !json_is_true(name))) ||
            !policy_target_parse(&check->target[check->n_targets++], text, strlen(text))) {
            return check_fail(call, field, "is not a target");
        }
    }
    return true;
}

/* As when it were stored: its id and version are the record's, whatever it says. */
static bool
compile_draft(struct call *call, struct check *check, json_t *document)
{
    const char *id = check->policy_id == NULL ? "draft" : check->policy_id;
    struct sbx_field_error inner = { 0 };
    char field[256];
    int r = -ENOMEM;

    if (!json_is_object(document) || (json_object_set_new(document, "id", json_string(id)) == 0 &&
                                      json_object_set_new(document, "version", json_integer(1)) == 0)) {
        r = sbx_policy_doc_compile(&check->doc, document, &inner);
    }
    if (r < 0) {
        call_problem_internal(call, r);
        return false;
    }
    if (r > 0) {
        (void)snprintf(field, sizeof(field), "/document%s", inner.field); /* cut when too long */
        return check_fail(call, field, inner.message);
    }
    sbx_policy_doc_name(check->doc, id, 0);
    return true;
}

static bool
read_body(struct call *call, struct check *check)
{
    static const char *const known[] = { "policy_id", "document",   "applies_to", "request",
                                         "job_id",    "session_id", NULL };
    struct sbx_field_error err = { 0 };
    const char *body;
    size_t len;
    int r;

    body = sbx_http_request_body(call->request, &len);
    r = sbx_json_parse(&check->body, body, len, &err);
    if (r) {
        call_problem(call, r < 0 ? SBX_PROBLEM_UNAVAILABLE : SBX_PROBLEM_MALFORMED_JSON,
                     r < 0 ? NULL : err.message);
        return false;
    }
    if (!json_is_object(check->body)) {
        return check_fail(call, "", "must be an object");
    }
    if (!sbx_json_only(check->body, "", known, &err)) {
        call_problem_field(call, &err);
        return false;
    }
    check->request = json_object_get(check->body, "request");
    if (!read_id(call, check, "policy_id", "pol", &check->policy_id) ||
        !read_id(call, check, "job_id", "job", &check->job_id) ||
        !read_id(call, check, "session_id", "ses", &check->session_id) || !read_targets(call, check)) {
        return false;
    }
    if ((check->request != NULL) + (check->job_id != NULL) + (check->session_id != NULL) != 1) {
        return check_fail(call, "/request", "one of request, job_id and session_id is required");
    }
    if (check->policy_id == NULL && json_object_get(check->body, "document") == NULL) {
        return check_fail(call, "/document", "a document or a policy_id is required");
    }
    return true;
}

/* What is asked: the request's. */
static bool
read_request(struct call *call, struct check *check)
{
    static const char *const known[] = { "kind", "app", "agent", "tool", "body", NULL };
    static const char *const kinds[] = {
        "job", "session", "extend", "step", "process", "tool"
    }; /* enum sbx_policy_kind */
    const char *kind = json_string_value(json_object_get(check->request, "kind"));
    const char *tool = json_string_value(json_object_get(check->request, "tool"));
    const char *app = json_string_value(json_object_get(check->request, "app"));
    const char *agent = json_string_value(json_object_get(check->request, "agent"));
    struct sbx_field_error err = { 0 }, inner = { 0 };
    char field[256];
    size_t i = 0;

    if (!json_is_object(check->request)) {
        return check_fail(call, "/request", "must be an object");
    }
    if (!sbx_json_only(check->request, "/request", known, &err)) {
        call_problem_field(call, &err);
        return false;
    }
    while (i < SBX_COUNT(kinds) && (kind == NULL || strcmp(kinds[i], kind) != 0)) {
        i++;
    }
    if (i == SBX_COUNT(kinds)) {
        return check_fail(call, "/request/kind", "must be job, session, extend, step, process or tool");
    }
    if ((app != NULL && !sbx_name_valid(app, strlen(app))) ||
        (agent != NULL && !sbx_name_valid(agent, strlen(agent))) ||
        (tool != NULL && !sbx_policy_name_valid(tool, strlen(tool)))) {
        return check_fail(call, "/request", "app, agent and tool must be names");
    }
    if (!sbx_policy_input_from_json(&check->input, (enum sbx_policy_kind)i,
                                    json_object_get(check->request, "body"), &inner)) {
        (void)snprintf(field, sizeof(field), "/request/body%s", inner.field); /* cut when too long */
        return check_fail(call, field, inner.message);
    }
    if (tool != NULL) {
        memcpy(check->input.tool, tool, strlen(tool)); /* valid: it fits */
    }
    check->who.app = app == NULL ? "" : app;
    check->who.agent = agent == NULL ? "" : agent;
    return true;
}

/* What lives: as it was asked. */
static bool
read_live(struct call *call, struct check *check)
{
    const struct job *job = check->job_id == NULL
                                ? NULL
                                : engine_find(call->api->spec.engine, call->context.tenant, check->job_id);
    const struct session *session =
        check->session_id == NULL
            ? NULL
            : sessions_find(call_sessions(call), call->context.tenant, check->session_id);

    if (job != NULL) {
        check->input = job->asked;
        check->who.app = job->record.app;
        check->who.agent = job->record.agent;
    } else if (session != NULL) {
        check->input = session->asked;
        check->who.app = session->record.app;
        check->who.agent = session->record.agent;
    } else {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, "there is no such job or session that lives");
        return false;
    }
    return true;
}

static void
write_layers(struct sbx_jsonw *w, const struct governance_layers *layers)
{
    static const char *const classes[GOVERNANCE_N_CLASSES] = {
        "operator.tenant", "operator.app", "operator.agent", "tenant", "app", "agent", "template"
    };

    sbx_jsonw_array(w, "layers");
    for (unsigned i = 0; i < layers->n; i++) {
        const struct sbx_policy *said = sbx_policy_doc_said(layers->doc[i]);

        sbx_jsonw_object(w, NULL);
        sbx_jsonw_str(w, "policy_id", said->id);
        sbx_jsonw_uint(w, "version", said->version);
        sbx_jsonw_str(w, "target", classes[layers->class[i]]);
        sbx_jsonw_object_end(w);
    }
    sbx_jsonw_array_end(w);
}

static void
check_answer(struct call *call, const struct check *check)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(CHECK_REPLY_MAX);
    const struct governance_draft draft = {
        .id = check->policy_id == NULL ? "" : check->policy_id,
        .target = check->target,
        .n_targets = check->n_targets,
        .doc = check->doc,
    };
    struct governance_layers layers;
    struct sbx_policy_view view;
    struct sbx_decision decision;
    struct sbx_jsonw w;

    governance_collect(call->api->spec.governance, &check->who, &draft, &layers);
    governance_view(&layers, &view);
    sbx_policy_view_decide(&view, &check->input, &decision);
    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "decision", decision.allowed ? "allow" : "deny");
    sbx_violations_write(&w, decision.violation, decision.n_violations);
    sbx_jsonw_object(&w, "effective");
    if (decision.allowed &&
        (check->input.kind == SBX_POLICY_JOB || check->input.kind == SBX_POLICY_SESSION)) {
        sbx_limits_write(&w, "limits", &decision.limits);
        sbx_jsonw_str(&w, "isolation", sbx_isolation_name(decision.isolation));
    }
    sbx_jsonw_object_end(&w);
    write_layers(&w, &layers);
    sbx_jsonw_object_end(&w);
    call_reply_json(call, 200, NULL, 0, &body);
}

/* record NULL: the body has the document. */
static void
check_run(struct call *call, const struct policy_record *record)
{
    struct check check = { .who = { .tenant = call->context.tenant } };
    struct sbx_field_error err = { 0 };
    json_t *stored = NULL;
    bool fine = read_body(call, &check);

    if (fine && record != NULL &&
        sbx_json_parse(&stored, record->document, strlen(record->document), &err) != 0) {
        call_problem_internal(call, -EIO);
        fine = false;
    }
    if (fine && record != NULL && json_object_get(check.body, "applies_to") == NULL &&
        record->n_targets > 0) {
        memcpy(check.target, record->target, sizeof(check.target));
        check.n_targets = record->n_targets;
    }
    if (fine &&
        compile_draft(call, &check, record != NULL ? stored : json_object_get(check.body, "document")) &&
        (check.request != NULL ? read_request(call, &check) : read_live(call, &check))) {
        check.who.template_name = check.input.template_name;
        check_answer(call, &check);
    }
    json_decref(stored);
    check_deinit(&check);
}

static void
check_loaded(struct call *call)
{
    check_run(call, &call->policy->current);
}

void
handle_policy_check(struct call *call)
{
    struct check check = { .n_targets = 0 };
    bool needs_record = false;

    if (read_body(call, &check)) {
        needs_record = json_object_get(check.body, "document") == NULL;
        if (needs_record) {
            (void)snprintf(call->id, sizeof(call->id), "%s", check.policy_id); /* an id fits */
            policy_load(call, check_loaded);
        } else {
            check_run(call, NULL);
        }
    }
    check_deinit(&check);
}
