/*
 * POST /v1/jobs: body and headers checked, the key looked up, the job submitted, the
 * answer when it is over or the wait is.
 */
#include <stdio.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/governed.h"
#include "executor/api/grant.h"
#include "executor/api/handlers.h"
#include "executor/api/idempotent.h"
#include "executor/api/inputs.h"
#include "executor/api/job_request.h"
#include "executor/api/jobs.h"
#include "executor/api/stream.h"
#include "executor/api/tool_call.h"
#include "executor/log.h"

#define CREATE_ROUTE "jobs.create"

static void create_submit(struct call *call);

static bool
create_parse(struct call *call)
{
    struct sbx_field_error err;
    const char *body;
    size_t len;
    int r;

    body = sbx_http_request_body(call->request, &len);
    r = job_request_parse(&call->spec, body, len, &err);
    if (r == JOB_REQUEST_E_SYNTAX) {
        call_reply_problem(
            call, &(struct sbx_problem){ .code = SBX_PROBLEM_MALFORMED_JSON, .detail = err.message });
    } else if (r == JOB_REQUEST_E_FIELD) {
        call_problem_field(call, &err);
    } else if (r) {
        call_problem_internal(call, r);
    }
    return r == 0;
}

static void
create_replay_unfinished(struct call *call)
{
    job_answer(call, job_state_final(call->record.state) ? 200 : 202, &call->record);
}

static void
create_answer(struct call *call, struct job *job)
{
    if (call->stream != NULL) {
        job_stream_live(call, job);
    } else {
        job_answer_later(call, job, 202);
    }
}

static void
create_replay(struct call *call, const char *job_id)
{
    struct job *job = engine_find(call->api->spec.engine, call->context.tenant, job_id);

    (void)snprintf(call->id, sizeof(call->id), "%s", job_id); /* an id fits */
    if (job != NULL) {
        create_answer(call, job);
    } else if (call->stream != NULL) {
        job_stream_ended(call);
    } else {
        job_load(call, create_replay_unfinished);
    }
}

static void
create_refused(struct call *call, int r, const struct engine_submission *submission)
{
    struct engine *engine = call->api->spec.engine;
    struct sbx_problem problem = { .retry_after_s = 1 };
    char detail[128];

    switch (r) {
    case ENGINE_E_QUEUE_FULL:
        problem.code = SBX_PROBLEM_QUEUE_FULL;
        problem.retry_after_s = engine_retry_after_s(engine, submission);
        break;
    case ENGINE_E_TENANT_FULL:
        problem.code = SBX_PROBLEM_TENANT_QUEUE_FULL;
        problem.retry_after_s = engine_retry_after_s(engine, submission);
        break;
    case ENGINE_E_DRAINING:
        problem.code = SBX_PROBLEM_UNAVAILABLE;
        problem.detail = "the executor is stopping";
        break;
    case ENGINE_E_ISOLATION:
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

static void
create_submit(struct call *call)
{
    const struct governed_ask ask = {
        .kind = SBX_POLICY_JOB,
        .body = call->spec->body,
        .language = call->spec->language,
        .file_bytes = call->spec->file_bytes,
        .limits = &call->limits,
        .isolation = call->isolation,
    };
    struct sbx_policy_input asked;
    const struct engine_submission submission = {
        .spec = call->spec,
        .context = &call->context,
        .limits = &call->limits,
        .isolation = call->isolation,
        .request_sha256 = call->body_sha256,
        .idempotency = call->idempotency,
        .asked = &asked,
        .waits =
            call->stream == NULL && call->wait_ms > 0 && (call->tool == NULL || !call->tool->wants_stream),
    };
    struct job *job;
    int r;

    if (!grant_budget(call) || !governed(call, &ask, &asked)) {
        return;
    }
    r = engine_submit(&job, call->api->spec.engine, &submission);
    if (r) {
        create_refused(call, r, &submission);
        return;
    }
    call->spec = NULL;
    tool_began(call, job->record.id.text, NULL);
    stream_from_start(call);
    create_answer(call, job);
}

static void
create_inputs(struct call *call)
{
    inputs_load(call, create_submit);
}

void
handle_job_create(struct call *call)
{
    uint64_t most = job_wait_limit(call);
    uint64_t wait;

    if (engine_draining(call->api->spec.engine)) {
        create_refused(call, ENGINE_E_DRAINING, NULL);
        return;
    }
    if (!stream_ask(call) || !create_parse(call) || !grant_names(call) || !grant_check(call, NULL, 0)) {
        return;
    }
    wait = call->spec->has_wait ? call->spec->wait_ms : JOBS_WAIT_DEFAULT_MS;
    call->wait_ms = wait < most ? wait : most;
    idempotent(call, CREATE_ROUTE, create_inputs, create_replay);
}
