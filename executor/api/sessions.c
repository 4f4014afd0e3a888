/* Creating, reading, extending and ending one session. */
#include <stdio.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/document_shapes.h"
#include "executor/api/governed.h"
#include "executor/api/grant.h"
#include "executor/api/handlers.h"
#include "executor/api/idempotent.h"
#include "executor/api/inputs.h"
#include "executor/api/jobs.h"
#include "executor/api/routes.h"
#include "executor/api/session_answer.h"
#include "executor/api/session_call.h"
#include "executor/api/session_work.h"
#include "executor/api/tool_call.h"
#include "executor/core/session_store.h"

#define CREATE_ROUTE "sessions.create"
#define CREATE_WAIT_MS 25000
#define DEFAULT_LANGUAGE "python"

static void
session_answer(struct call *call, int status, const struct session_record *record, const struct session *live)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(SESSION_REPLY_MAX);
    struct call_place place;
    struct sbx_jsonw w;

    if (call->tool != NULL) {
        tool_answer_session(call, record, live);
        return;
    }
    sbx_jsonw_init(&w, &body);
    session_answer_write(&w, NULL, record, live);
    document_session_answer(&body, document_shape_of(call->route->pattern), record);
    call_place(call, &place, "/v1/sessions/%s", record->id.text);
    call_reply_json(call, status, place.header, place.n, &body);
}

/* One that never came to run is no session to anybody who asked for one. */
static void
create_answer(struct call *call, const struct session_record *record, const struct session *live)
{
    if (record->state == SESSION_ENDED && record->reason == SESSION_FAILED) {
        call_reply_problem(call, &(struct sbx_problem){
                                     .code = SBX_PROBLEM_UNAVAILABLE,
                                     .detail = record->message,
                                     .retry_after_s = 1,
                                 });
        return;
    }
    session_answer(call, call->replayed ? 200 : 201, record, live);
}

static void
answer_store_failed(struct call *call, const char *detail)
{
    call_reply_problem(call, &(struct sbx_problem){
                                 .code = SBX_PROBLEM_UNAVAILABLE,
                                 .detail = detail,
                                 .retry_after_s = 1,
                             });
}

static void
create_on_waited(void *arg, enum waiter_result result)
{
    struct call *call = arg;
    struct session *session = call->work->session;

    call->work->waiter = NULL;
    switch (result) {
    case WAITER_OVER:
    case WAITER_TIMEOUT:
        create_answer(call, &session->record, session);
        break;
    case WAITER_STORE:
        answer_store_failed(call, "the session could not be recorded and was not kept");
        break;
    }
}

static void
create_wait(struct call *call, struct session *session)
{
    struct session_work *work = session_work(call);
    int r;

    if (work == NULL) {
        return;
    }
    work->session = session;
    r = session_wait(&work->waiter, session, call->wait_ms, create_on_waited, call);
    if (r) {
        call_problem_internal(call, r);
    }
}

static void
record_on_read(struct call *call, int rc, const struct db_result *result)
{
    struct session_work *work = session_work(call);
    int r;

    if (work == NULL) {
        return;
    }
    if (rc == 0 && result->n_rows == 0) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    r = rc != 0 ? rc : session_store_load(&work->record, result, 0);
    if (r) {
        call_problem_internal(call, r > 0 ? -EIO : r);
        return;
    }
    work->loaded(call);
}

void
session_load(struct call *call, void (*then)(struct call *call))
{
    const struct db_value values[] = { DB_VTEXT(call->context.tenant), DB_VTEXT(call->id) };
    struct session_work *work;

    if (call->id[0] == '\0') {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    work = session_work(call);
    if (work != NULL) {
        work->loaded = then;
        call_read(call, DB_SESSION_GET, values, SBX_COUNT(values), record_on_read);
    }
}

static void
create_answer_loaded(struct call *call)
{
    create_answer(call, &call->work->record, NULL);
}

static void
create_replay(struct call *call, const char *id)
{
    struct session *session = sessions_find(call_sessions(call), call->context.tenant, id);

    (void)snprintf(call->id, sizeof(call->id), "%s", id); /* an id fits */
    if (session != NULL) {
        create_wait(call, session);
    } else {
        session_load(call, create_answer_loaded);
    }
}

static void
create_refused(struct call *call, int r)
{
    struct sbx_problem problem = { .retry_after_s = 1 };
    char detail[128];

    switch (r) {
    case SESSIONS_E_FULL:
        problem.code = SBX_PROBLEM_QUEUE_FULL;
        problem.detail = "the executor has as many sessions as it may have";
        problem.retry_after_s = sessions_retry_after_s(call_sessions(call), NULL);
        break;
    case SESSIONS_E_TENANT_FULL:
        problem.code = SBX_PROBLEM_SESSION_LIMIT;
        problem.retry_after_s = sessions_retry_after_s(call_sessions(call), call->context.tenant);
        break;
    case SESSIONS_E_DRAINING:
        problem.code = SBX_PROBLEM_UNAVAILABLE;
        problem.detail = "the executor is stopping";
        break;
    case SESSIONS_E_ISOLATION:
        /* Both names are short. */
        (void)snprintf(detail, sizeof(detail), "template \"%s\" has no sandboxes of the tier \"%s\" here",
                       call->spec->template_name, sbx_isolation_name(call->isolation));
        problem = (struct sbx_problem){ .code = SBX_PROBLEM_ISOLATION_UNAVAILABLE, .detail = detail };
        break;
    default:
        call_problem_internal(call, r);
        return;
    }
    call_reply_problem(call, &problem);
}

static bool
create_governed(struct call *call, struct sbx_policy_input *ret)
{
    const struct session_request *request = &call->work->request;
    const struct governed_ask ask = {
        .kind = SBX_POLICY_SESSION,
        .body = call->spec->body,
        .language = call->spec->language,
        .file_bytes = call->spec->file_bytes,
        .limits = &call->limits,
        .isolation = call->isolation,
        .session_ms = { [SBX_SESSION_TTL] = request->ttl_ms,
                        [SBX_SESSION_IDLE] = request->idle_timeout_ms,
                        [SBX_SESSION_STEP] = request->step_timeout_ms },
    };

    return governed(call, &ask, ret);
}

static void
create_submit(struct call *call)
{
    const struct sbx_context *context = &call->context;
    const struct session_request *request = &call->work->request;
    struct sbx_policy_input asked;
    const struct session_ask ask = {
        .spec = call->spec,
        .context = context,
        .limits = &call->limits,
        .isolation = call->isolation,
        .ttl_ms = request->ttl_ms,
        .idle_timeout_ms = request->idle_timeout_ms,
        .step_timeout_ms = request->step_timeout_ms,
        .max_lifetime_ms = context->max_lifetime_ms,
        .max_sessions = context->max_sessions,
        .request_sha256 = call->body_sha256,
        .idempotency = call->idempotency,
        .asked = &asked,
    };
    struct session *session;
    int r;

    if (!grant_budget(call) || !create_governed(call, &asked)) {
        return;
    }
    r = sessions_create(&session, call_sessions(call), &ask);
    if (r) {
        create_refused(call, r);
        return;
    }
    call->spec = NULL;
    tool_began(call, session->record.id.text, NULL);
    create_wait(call, session);
}

static void
create_inputs(struct call *call)
{
    inputs_load(call, create_submit);
}

static bool
session_parse(struct call *call, int (*parse)(struct job_spec **ret, struct session_request *ret_more,
                                              const char *text, size_t len, struct sbx_field_error *err))
{
    struct session_work *work = session_work(call);

    return work != NULL && session_request_take(call, parse, &work->request);
}

/* Each of these: what was asked, else the policy's own, and a violation when it is more than the policy's most. */
static unsigned
settle(struct sbx_violation *violation, const char *rule, bool asked, uint64_t *value_ms, uint64_t usual_ms,
       uint64_t most_ms)
{
    if (!asked) {
        *value_ms = usual_ms < most_ms ? usual_ms : most_ms;
        return 0;
    }
    if (*value_ms <= most_ms) {
        return 0;
    }
    grant_violation(violation, rule, most_ms, *value_ms);
    return 1;
}

static uint64_t
ttl_most(const struct sbx_context *context)
{
    return context->max_ttl_ms < context->max_lifetime_ms ? context->max_ttl_ms : context->max_lifetime_ms;
}

static bool
create_check_grant(struct call *call)
{
    const struct sbx_context *context = &call->context;
    struct session_request *request = &call->work->request;
    struct sbx_violation violations[GRANT_MAX_MORE];
    unsigned n = 0;

    if (context->max_ttl_ms == 0 || context->max_idle_ms == 0 || context->max_step_timeout_ms == 0 ||
        context->max_lifetime_ms == 0) {
        call_problem(call, SBX_PROBLEM_FORBIDDEN, "no sessions were granted to this request");
        return false;
    }
    n += settle(&violations[n], "sessions.ttl", request->has_ttl, &request->ttl_ms, context->ttl_ms,
                ttl_most(context));
    n += settle(&violations[n], "sessions.idle_timeout", request->has_idle_timeout, &request->idle_timeout_ms,
                context->idle_ms, context->max_idle_ms);
    n += settle(&violations[n], "sessions.step_timeout", request->has_step_timeout, &request->step_timeout_ms,
                context->step_timeout_ms, context->max_step_timeout_ms);
    if (!grant_check(call, violations, n)) {
        return false;
    }
    call->limits.value[SBX_LIMIT_TIME] = context->max_lifetime_ms;
    return true;
}

void
handle_session_create(struct call *call)
{
    uint64_t most = job_wait_limit(call);
    uint64_t wait;

    if (!session_parse(call, session_body_parse)) {
        return;
    }
    if (*call->spec->language == '\0') {
        call->spec->language = DEFAULT_LANGUAGE;
    }
    if (!grant_names(call) || !create_check_grant(call)) {
        return;
    }
    wait = call->spec->has_wait ? call->spec->wait_ms : CREATE_WAIT_MS;
    call->wait_ms = wait < most ? wait : most;
    idempotent(call, CREATE_ROUTE, create_inputs, create_replay);
}

static void
session_answer_loaded(struct call *call)
{
    session_answer(call, 200, &call->work->record, NULL);
}

static void
get_on_measured(void *arg, enum waiter_result result _unused_)
{
    struct call *call = arg;
    struct session *session = call->work->session;

    call->work->waiter = NULL;
    session_answer(call, 200, &session->record, session);
}

static void
get_measured(struct call *call, struct session *session)
{
    struct session_work *work = session_work(call);
    int r;

    if (work == NULL) {
        return;
    }
    work->session = session;
    r = session_wait_usage(&work->waiter, session, get_on_measured, call);
    if (r) {
        call_problem_internal(call, r);
    }
}

void
handle_session_get(struct call *call)
{
    struct session *session = session_call_live(call);

    if (session == NULL || !session->accepted) {
        session_load(call, session_answer_loaded);
    } else if (session->record.state != SESSION_ENDED && session_measure(session)) {
        get_measured(call, session);
    } else {
        session_answer(call, 200, &session->record, session);
    }
}

static void
delete_on_waited(void *arg, enum waiter_result result)
{
    struct call *call = arg;
    struct session *session = call->work->session;

    call->work->waiter = NULL;
    switch (result) {
    case WAITER_OVER:
        session_answer(call, 200, &session->record, session);
        break;
    case WAITER_TIMEOUT:
        session_answer(call, 202, &session->record, session);
        break;
    case WAITER_STORE:
        answer_store_failed(call, "the session's end cannot be stored now");
        break;
    }
}

void
handle_session_delete(struct call *call)
{
    struct session *session = session_call_live(call);
    struct session_work *work;
    int r;

    if (session == NULL) {
        session_load(call, session_answer_loaded);
        return;
    }
    work = session_work(call);
    if (work == NULL) {
        return;
    }
    work->session = session;
    r = session_wait_end(&work->waiter, session, JOBS_SETTLE_MS, delete_on_waited, call);
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    session_cancel_by(session, &call->context, NULL);
}

static void
extend_on_stored(struct call *call, int rc, const struct db_result *result _unused_)
{
    struct session *session = session_call_live(call);

    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
    } else if (session == NULL) {
        session_load(call, session_answer_loaded);
    } else {
        session_answer(call, 200, &session->record, session);
    }
}

static bool
extend_check(struct call *call)
{
    const struct sbx_context *context = &call->context;
    struct session_request *request = &call->work->request;
    struct sbx_violation violations[2];
    unsigned n = 0;

    n += settle(&violations[n], "sessions.ttl", request->has_ttl, &request->ttl_ms, 0, ttl_most(context));
    n += settle(&violations[n], "sessions.idle_timeout", request->has_idle_timeout, &request->idle_timeout_ms,
                0, context->max_idle_ms);
    if (n == 0) {
        const struct session *session = session_call_live(call);

        return governed(call,
                        &(struct governed_ask){
                            .kind = SBX_POLICY_EXTEND,
                            .body = call->spec->body,
                            .template_name = session == NULL ? NULL : session->record.template_name,
                        },
                        NULL);
    }
    grant_refuse(call, violations, n);
    return false;
}

static void
extend_fresh(struct call *call)
{
    const struct session_request *request = &call->work->request;
    const struct audit_origin origin = { .context = &call->context, .request_sha256 = call->body_sha256 };
    struct session *session = session_call(call, SESSION_CALL_ALIVE);
    struct db_tx *tx;
    int r;

    if (session == NULL) {
        return;
    }
    session_extend(session, request->has_ttl ? request->ttl_ms : 0,
                   request->has_idle_timeout ? request->idle_timeout_ms : 0, &call->spec->metadata_json);
    r = session_store_extend(&tx, engine_db(call->api->spec.engine), session, &origin);
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    call_submit(call, tx, extend_on_stored);
}

/* The same twice is the same once: no key is needed, and none is looked at. */
void
handle_session_extend(struct call *call)
{
    if (session_call(call, SESSION_CALL_ALIVE) == NULL || !session_parse(call, session_patch_parse) ||
        !extend_check(call) || !idempotent_hash_body(call)) {
        return;
    }
    extend_fresh(call);
}

static void
pause_on_waited(struct call *call, enum session_state wanted)
{
    struct session *session = call->work->session;

    call->work->waiter = NULL;
    if (session->record.state == wanted) {
        session_answer(call, 200, &session->record, session);
    } else if (session->record.state == SESSION_ENDED) {
        session_call_gone(call, &session->record);
    } else {
        answer_store_failed(call, wanted == SESSION_PAUSED ? "the session could not be paused"
                                                           : "the session could not be resumed");
    }
}

static void
pause_on_done(void *arg, enum waiter_result result _unused_)
{
    pause_on_waited(arg, SESSION_PAUSED);
}

static void
resume_on_done(void *arg, enum waiter_result result _unused_)
{
    pause_on_waited(arg, SESSION_RUNNING);
}

static void
pause_handle(struct call *call, bool pause)
{
    struct session *session = session_call(call, SESSION_CALL_ALIVE);
    struct session_work *work;
    int r;

    work = session == NULL ? NULL : session_work(call);
    if (work == NULL) {
        return;
    }
    r = session_pause_by(session, pause, &call->context);
    if (r == SESSION_PAUSE_E_BUSY) {
        call_problem(call, SBX_PROBLEM_CONFLICT, "steps of the session run or wait");
        return;
    }
    if (r == SESSION_PAUSE_E_STATE) {
        call_reply_problem(call, &(struct sbx_problem){
                                     .code = SBX_PROBLEM_CONFLICT,
                                     .detail = "the session is starting",
                                     .retry_after_s = 1,
                                 });
        return;
    }
    work->session = session;
    if (r == 0) {
        r = session_wait_pause(&work->waiter, session, pause ? pause_on_done : resume_on_done, call);
    }
    if (r) {
        call_problem_internal(call, r);
    }
}

void
handle_session_pause(struct call *call)
{
    pause_handle(call, true);
}

void
handle_session_resume(struct call *call)
{
    pause_handle(call, false);
}
