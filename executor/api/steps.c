/* Running code in a session, and reading what it came to. */
#include <stdio.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/document_shapes.h"
#include "executor/api/handlers.h"
#include "executor/api/idempotent.h"
#include "executor/api/jobs.h"
#include "executor/api/routes.h"
#include "executor/api/session_answer.h"
#include "executor/api/session_call.h"
#include "executor/api/session_work.h"
#include "executor/api/steps.h"
#include "executor/api/stream.h"
#include "executor/api/tool_call.h"
#include "executor/api/tool_stream.h"
#include "executor/api/governed.h"
#include "executor/api/grant.h"
#include "executor/core/session_store.h"
#include "executor/runtime/registry.h"

static void
step_answer(struct call *call, int status, const struct step_record *record)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(STEP_REPLY_MAX);
    struct call_place place;
    struct sbx_jsonw w;

    if (call->tool != NULL) {
        tool_answer_step(call, record);
        return;
    }
    sbx_jsonw_init(&w, &body);
    step_answer_write(&w, NULL, record);
    document_step_answer(&body, document_shape_of(call->route->pattern), record);
    step_place(call, record, &place);
    call_reply_json(call, status, place.header, place.n, &body);
}

void
step_place(struct call *call, const struct step_record *record, struct call_place *ret)
{
    call_place(call, ret, "/v1/sessions/%s/steps/%s", record->session_id.text, record->id.text);
}

/* A live one: its output so far is in the answer. */
static void
step_answer_live(struct call *call, int status, struct step *step)
{
    int r = step_render(step);

    if (r) {
        call_problem_internal(call, r);
        return;
    }
    step_answer(call, status, step_record(step));
}

static void
step_on_waited(struct call *call, enum waiter_result result, int unfinished)
{
    struct step *step = call->work->step;

    call->work->waiter = NULL;
    tool_settle(call);
    switch (result) {
    case WAITER_OVER:
    case WAITER_TIMEOUT:
        step_answer_live(call, step_state_final(step_record(step)->state) ? 200 : unfinished, step);
        break;
    case WAITER_STORE:
        call_reply_problem(call, &(struct sbx_problem){
                                     .code = SBX_PROBLEM_UNAVAILABLE,
                                     .detail = "the step could not be recorded and was not kept",
                                     .retry_after_s = 1,
                                 });
        break;
    }
}

static void
step_on_waited_200(void *arg, enum waiter_result result)
{
    step_on_waited(arg, result, 200);
}

static void
step_on_waited_202(void *arg, enum waiter_result result)
{
    step_on_waited(arg, result, 202);
}

/* Waits up to call->wait_ms, then answers 200 when it is over, else `unfinished`. */
static void
step_answer_later(struct call *call, struct step *step, int unfinished)
{
    struct session_work *work = session_work(call);
    int r;

    if (work == NULL) {
        return;
    }
    tool_stream_step(call, step);
    work->step = step;
    r = step_wait(&work->waiter, step, call->wait_ms,
                  unfinished == 202 ? step_on_waited_202 : step_on_waited_200, call);
    if (r) {
        call_problem_internal(call, r);
    }
}

static void
step_on_read(struct call *call, int rc, const struct db_result *result)
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
    r = rc != 0 ? rc : step_store_load(&work->step_record, result, 0);
    if (r) {
        call_problem_internal(call, r > 0 ? -EIO : r);
        return;
    }
    work->loaded(call);
}

void
step_load(struct call *call, void (*then)(struct call *call))
{
    const struct db_value values[] = { DB_VTEXT(call->context.tenant), DB_VTEXT(call->id),
                                       DB_VTEXT(call->sub) };
    struct session_work *work;

    if (call->id[0] == '\0' || !sbx_id_valid(call->sub, strlen(call->sub), "stp")) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    work = session_work(call);
    if (work != NULL) {
        work->loaded = then;
        call_read(call, DB_STEP_GET, values, SBX_COUNT(values), step_on_read);
    }
}

struct step *
step_live(const struct call *call)
{
    const struct session *session = session_call_live(call);

    return session == NULL ? NULL : step_find(session, call->sub);
}

static void
create_replay_loaded(struct call *call)
{
    const struct step_record *record = &call->work->step_record;

    step_answer(call, step_state_final(record->state) ? 200 : 202, record);
}

static void
create_answer(struct call *call, struct step *step)
{
    if (call->stream != NULL) {
        step_stream_live(call, step);
    } else {
        step_answer_later(call, step, 202);
    }
}

static void
create_replay(struct call *call, const char *id)
{
    struct step *step;

    (void)snprintf(call->sub, sizeof(call->sub), "%s", id); /* an id fits */
    step = step_live(call);
    if (step != NULL) {
        create_answer(call, step);
    } else if (call->stream != NULL) {
        step_stream_ended(call);
    } else {
        step_load(call, create_replay_loaded);
    }
}

static void
create_refused(struct call *call, int r, const struct session *session)
{
    struct sbx_field_error err = { 0 };

    switch (r) {
    case STEP_E_QUEUE_FULL:
        call_reply_problem(call, &(struct sbx_problem){
                                     .code = SBX_PROBLEM_STEP_QUEUE_FULL,
                                     .retry_after_s = step_retry_after_s(session),
                                 });
        break;
    case STEP_E_CONTEXTS_FULL:
        call_problem(call, SBX_PROBLEM_CONFLICT, "the session has as many contexts as it may have");
        break;
    case STEP_E_LANGUAGE:
        sbx_field_error_set(&err, "/language", "is not the language of this context");
        call_problem_field(call, &err);
        break;
    default:
        call_problem_internal(call, r);
        break;
    }
}

static bool
create_governed(struct call *call, const struct session *session)
{
    const struct session_request *request = &call->work->request;
    const char *language = call->spec->language;
    const struct session_context *context = session_context_find(
        session, request->context_name == NULL ? SESSION_CONTEXT_DEFAULT : request->context_name);
    const struct governed_ask ask = {
        .kind = SBX_POLICY_STEP,
        .body = call->spec->body,
        .language = *language != '\0' ? language
                    : context != NULL ? context->language
                                      : session->record.language,
        .template_name = session->record.template_name,
        .session_ms = { [SBX_SESSION_STEP] = request->timeout_ms },
    };

    return governed(call, &ask, NULL);
}

static void
create_submit(struct call *call)
{
    const struct session_request *request = &call->work->request;
    struct session *session = session_call(call, SESSION_CALL_ALIVE);
    struct step *step;
    int r;

    if (session == NULL) {
        return;
    }
    if (session->record.state == SESSION_PAUSED || session->pausing) {
        call_problem(call, SBX_PROBLEM_CONFLICT, "the session is paused");
        return;
    }
    if (!grant_budget(call) || !create_governed(call, session)) {
        return;
    }
    const struct step_ask ask = {
        .spec = call->spec,
        .context_name = request->context_name,
        .language = *call->spec->language == '\0' ? NULL : call->spec->language,
        .timeout_ms = request->has_timeout ? request->timeout_ms : session->record.step_timeout_ms,
        .context = &call->context,
        .request_sha256 = call->body_sha256,
        .idempotency = call->idempotency,
    };
    r = step_submit(&step, session, &ask);
    if (r) {
        create_refused(call, r, session);
        return;
    }
    call->spec = NULL;
    tool_began(call, call->id, step_record(step)->id.text);
    stream_from_start(call);
    create_answer(call, step);
}

static bool
create_check(struct call *call)
{
    const struct session_request *request = &call->work->request;
    struct sbx_field_error err = { 0 };
    struct sbx_violation violation;
    const char *name;

    if (*call->spec->language != '\0') {
        name = registry_canonical(call->api->spec.languages, call->spec->language);
        if (name == NULL) {
            sbx_field_error_set(&err, "/language", "is not a language of this executor");
            call_problem_field(call, &err);
            return false;
        }
        call->spec->language = name;
    }
    if (request->has_timeout && request->timeout_ms > call->context.max_step_timeout_ms) {
        grant_violation(&violation, "sessions.step_timeout", call->context.max_step_timeout_ms,
                        request->timeout_ms);
        grant_refuse(call, &violation, 1);
        return false;
    }
    return true;
}

/* A key belongs to the session, whose id is a part of the route. */
void
handle_step_create(struct call *call)
{
    struct session_work *work = session_work(call);
    uint64_t most = job_wait_limit(call);
    char route[SBX_ID_LEN + 16];
    uint64_t wait;

    if (work == NULL) {
        return;
    }
    if (call->id[0] == '\0') {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    if (!stream_ask(call) || !session_request_take(call, step_body_parse, &work->request) ||
        !create_check(call)) {
        return;
    }
    wait = call->spec->has_wait ? call->spec->wait_ms : JOBS_WAIT_DEFAULT_MS;
    call->wait_ms = wait < most ? wait : most;
    (void)snprintf(route, sizeof(route), "%s/steps", call->id); /* fits */
    idempotent(call, route, create_submit, create_replay);
}

static void
step_answer_loaded(struct call *call)
{
    step_answer(call, 200, &call->work->step_record);
}

void
handle_step_get(struct call *call)
{
    struct step *step = step_live(call);

    if (!stream_ask(call) || !job_wait_param(call)) {
        return;
    }
    if (call->stream != NULL && step != NULL) {
        step_stream_live(call, step);
    } else if (call->stream != NULL) {
        step_stream_ended(call);
    } else if (step == NULL) {
        step_load(call, step_answer_loaded);
    } else if (call->wait_ms == 0 && step_accepted(step)) {
        step_answer_live(call, 200, step);
    } else {
        step_answer_later(call, step, 200);
    }
}

void
handle_step_cancel(struct call *call)
{
    struct step *step = step_live(call);

    if (step == NULL) {
        step_load(call, step_answer_loaded);
        return;
    }
    call->wait_ms = tool_wait_end(call);
    step_cancel_by(step, &call->context, NULL);
    step = step_live(call);
    if (step == NULL) {
        call_reply_problem(call,
                           &(struct sbx_problem){ .code = SBX_PROBLEM_UNAVAILABLE, .retry_after_s = 1 });
    } else {
        step_answer_later(call, step, 202);
    }
}

static void
stream_answer(struct call *call, const struct step_record *record, unsigned which)
{
    job_stream_audit(call, record->id.text, &record->stream[which],
                     which == JOB_STDOUT ? "stdout" : "stderr");
    job_stream_answer(call, &record->stream[which], record->truncated);
}

static void
stdout_loaded(struct call *call)
{
    stream_answer(call, &call->work->step_record, JOB_STDOUT);
}

static void
stderr_loaded(struct call *call)
{
    stream_answer(call, &call->work->step_record, JOB_STDERR);
}

static void
stream_handle(struct call *call, unsigned which)
{
    struct step *step = step_live(call);
    int r;

    if (step == NULL || !step_accepted(step)) {
        step_load(call, which == JOB_STDOUT ? stdout_loaded : stderr_loaded);
        return;
    }
    r = step_render(step);
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    stream_answer(call, step_record(step), which);
}

void
handle_step_stdout(struct call *call)
{
    stream_handle(call, JOB_STDOUT);
}

void
handle_step_stderr(struct call *call)
{
    stream_handle(call, JOB_STDERR);
}
