/* Reading, waiting for and cancelling one job. */
#include "executor/api/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/handlers.h"
#include "executor/api/job_reply.h"
#include "executor/api/job_request.h"
#include "executor/api/stream.h"
#include "executor/api/tool_call.h"
#include "executor/api/tool_stream.h"
#include "executor/core/job_store.h"

void
job_answer(struct call *call, int status, struct job_record *record)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(JOB_REPLY_MAX);
    struct call_place place;
    struct sbx_jsonw w;

    if (call->tool != NULL) {
        tool_answer_job(call, record);
        return;
    }
    sbx_jsonw_init(&w, &body);
    job_reply_write(&w, NULL, record);
    call_place(call, &place, "/v1/jobs/%s", record->id.text);
    call_reply_json(call, status, place.header, place.n, &body);
}

/* A live job: its output so far is in the answer. */
static void
job_answer_live(struct call *call, int status, struct job *job)
{
    int r = job->ended ? 0 : job_output_render(job);

    if (r) {
        call_problem_internal(call, r);
        return;
    }
    job->record.queue_position = engine_queue_position(job);
    job_answer(call, status, &job->record);
}

static void
job_on_waited(struct call *call, enum waiter_result result, int unfinished)
{
    struct job *job = steal(&call->job);

    call->waiter = NULL;
    tool_settle(call);
    switch (result) {
    case WAITER_OVER:
        job_answer_live(call, 200, job);
        break;
    case WAITER_TIMEOUT:
        job_answer_live(call, unfinished, job);
        break;
    case WAITER_STORE:
        call_reply_problem(call, &(struct sbx_problem){
                                     .code = SBX_PROBLEM_UNAVAILABLE,
                                     .detail = job->refused ? "the job could not be recorded and was not kept"
                                                            : "the result cannot be stored now",
                                     .retry_after_s = 1,
                                 });
        break;
    }
}

static void
job_on_waited_200(void *arg, enum waiter_result result)
{
    job_on_waited(arg, result, 200);
}

static void
job_on_waited_202(void *arg, enum waiter_result result)
{
    job_on_waited(arg, result, 202);
}

void
job_answer_later(struct call *call, struct job *job, int unfinished)
{
    int r;

    tool_stream_job(call, job);
    call->job = job;
    r = job_wait(&call->waiter, job, engine_timers(call->api->spec.engine), call->wait_ms,
                 unfinished == 202 ? job_on_waited_202 : job_on_waited_200, call);
    if (r) {
        call_problem_internal(call, r);
    }
}

uint64_t
job_wait_limit(const struct call *call)
{
    const uint64_t most = call->context.max_wait_ms > 0 ? call->context.max_wait_ms : JOBS_WAIT_CEILING_MS;

    return call->tool != NULL && most > TOOL_WAIT_MAX_MS ? TOOL_WAIT_MAX_MS : most;
}

static void
job_on_artifacts_read(struct call *call, int rc, const struct db_result *result)
{
    int r = rc != 0 ? rc : job_store_load_artifacts(&call->record, result);

    if (r) {
        call_problem_internal(call, r > 0 ? -EIO : r);
        return;
    }
    call->loaded(call);
}

static void
job_on_row_read(struct call *call, int rc, const struct db_result *result)
{
    const struct db_value values[] = { DB_VTEXT(call->id), DB_VTEXT(call->context.tenant) };
    int r;

    if (rc == 0 && result->n_rows == 0) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    r = rc != 0 ? rc : job_store_load(&call->record, result, 0);
    if (r) {
        call_problem_internal(call, r > 0 ? -EIO : r);
        return;
    }
    call_read(call, DB_ARTIFACT_LIST, values, SBX_COUNT(values), job_on_artifacts_read);
}

void
job_load(struct call *call, void (*then)(struct call *call))
{
    const struct db_value values[] = { DB_VTEXT(call->context.tenant), DB_VTEXT(call->id) };

    if (call->id[0] == '\0') {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    call->loaded = then;
    call_read(call, DB_JOB_GET, values, SBX_COUNT(values), job_on_row_read);
}

static struct job *
job_live(const struct call *call)
{
    return call->id[0] == '\0' ? NULL : engine_find(call->api->spec.engine, call->context.tenant, call->id);
}

static void
job_answer_loaded(struct call *call)
{
    job_answer(call, 200, &call->record);
}

/* "10", "10s", "500ms": as in a body, where a number is seconds. */
static bool
wait_parse(const char *text, uint64_t *ret_ms)
{
    char seconds[24];

    if (strspn(text, "0123456789") == strlen(text)) {
        if (snprintf(seconds, sizeof(seconds), "%ss", text) >= (int)sizeof(seconds)) {
            return false;
        }
        return sbx_duration_parse(seconds, strlen(seconds), ret_ms);
    }
    return sbx_duration_parse(text, strlen(text), ret_ms);
}

bool
job_wait_param(struct call *call)
{
    struct sbx_field_error err = { .field = "wait", .message = "is not a duration" };
    char text[32];

    switch (call_param(call, "wait", text, sizeof(text))) {
    case CALL_PARAM_ABSENT:
        call->wait_ms = tool_wait_default(call);
        break;
    case CALL_PARAM_FINE:
        if (wait_parse(text, &call->wait_ms) && call->wait_ms <= JOB_MAX_WAIT_MS) {
            break;
        }
        call_problem_field(call, &err);
        return false;
    case CALL_PARAM_BAD:
        call_problem_field(call, &err);
        return false;
    }
    call->wait_ms = call->wait_ms < job_wait_limit(call) ? call->wait_ms : job_wait_limit(call);
    return true;
}

void
handle_job_get(struct call *call)
{
    struct job *job = job_live(call);

    if (!stream_ask(call) || !job_wait_param(call)) {
        return;
    }
    if (call->stream != NULL && job != NULL) {
        job_stream_live(call, job);
    } else if (call->stream != NULL) {
        job_stream_ended(call);
    } else if (job == NULL) {
        job_load(call, job_answer_loaded);
    } else if (call->wait_ms == 0 && job->accepted) {
        job_answer_live(call, 200, job);
    } else {
        job_answer_later(call, job, 200);
    }
}

void
handle_job_cancel(struct call *call)
{
    struct job *job = job_live(call);

    if (job == NULL) {
        job_load(call, job_answer_loaded);
        return;
    }
    call->wait_ms = tool_wait_end(call);
    engine_cancel_by(call->api->spec.engine, job, &call->context, NULL);
    job_answer_later(call, job, 202);
}

void
job_stream_answer(struct call *call, const struct job_stream *stream, bool truncated)
{
    const struct sbx_http_header headers[] = {
        { "X-Content-Type-Options", "nosniff" },
        { "Content-Disposition", "attachment" },
        { "Sandbox-Truncated", stream->total > stream->len || truncated ? "true" : "false" },
    };

    call_reply(call, 200, "application/octet-stream", headers, SBX_COUNT(headers),
               stream->data == NULL ? "" : stream->data, stream->len);
}

void
job_stream_audit(const struct call *call, const char *object, const struct job_stream *stream,
                 const char *name)
{
    const struct audit_member members[] = { { .key = "stream", .text = name },
                                            { .key = "bytes", .number = stream->len } };

    call_audit(call, "output.read", object, members, SBX_COUNT(members));
}

static void
stream_answer(struct call *call, const struct job_record *record, unsigned which)
{
    job_stream_audit(call, record->id.text, &record->stream[which],
                     which == JOB_STDOUT ? "stdout" : "stderr");
    job_stream_answer(call, &record->stream[which], record->truncated);
}

static void
stdout_answer_loaded(struct call *call)
{
    stream_answer(call, &call->record, JOB_STDOUT);
}

static void
stderr_answer_loaded(struct call *call)
{
    stream_answer(call, &call->record, JOB_STDERR);
}

static void
stream_handle(struct call *call, unsigned which)
{
    struct job *job = job_live(call);
    int r;

    if (job == NULL || !job->accepted) {
        job_load(call, which == JOB_STDOUT ? stdout_answer_loaded : stderr_answer_loaded);
        return;
    }
    r = job->ended ? 0 : job_output_render(job);
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    stream_answer(call, &job->record, which);
}

void
handle_job_stdout(struct call *call)
{
    stream_handle(call, JOB_STDOUT);
}

void
handle_job_stderr(struct call *call)
{
    stream_handle(call, JOB_STDERR);
}
