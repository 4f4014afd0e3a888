#include "executor/api/call.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/artifact_upload.h"
#include "executor/api/collection.h"
#include "executor/api/download.h"
#include "executor/api/fetch.h"
#include "executor/api/file_batch.h"
#include "executor/api/inputs.h"
#include "executor/api/range.h"
#include "executor/api/file.h"
#include "executor/api/routes.h"
#include "executor/api/audit_query.h"
#include "executor/api/policy_work.h"
#include "executor/api/process_call.h"
#include "executor/api/session_work.h"
#include "executor/api/source.h"
#include "executor/api/status.h"
#include "executor/api/stream.h"
#include "executor/api/tool_call.h"
#include "executor/log.h"
#include "lib/sbx_time.h"

#define CALL_MAX_HEADERS 12
#define CALL_PROBLEM_MAX 32768

static void
call_forget_body(struct call *call)
{
    call->api->body_bytes -= call->body_bytes;
    call->body_bytes = 0;
}

static void
call_release(struct call *call)
{
    waiter_cancel(steal(&call->waiter));
    idempotency_answered(steal(&call->idempotency));
    call->spec = job_spec_free(call->spec);
    call->download = download_free(call->download);
    call->stream = stream_free(call->stream);
    call->upload = artifact_upload_free(call->upload);
    call->collection = collection_free(call->collection);
    call->process = process_call_free(call->process);
    call->work = session_work_free(call->work);
    call->file = file_free(call->file);
    call->policy = policy_work_free(call->policy);
    call->audit = audit_query_free(call->audit);
    call->fetch = fetch_free(call->fetch);
    call->inputs = inputs_free(call->inputs);
    call->batch = file_batch_free(call->batch);
    call->source = source_free(call->source);
    call->status = status_free(call->status);
    call->tool = tool_call_free(call->tool);
    job_record_deinit(&call->record);
    call_forget_body(call);
    call->request = NULL;
}

static void
call_free_if_done(struct call *call)
{
    if (call->request == NULL && !call->reading) {
        free(call->rest);
        free(call);
    }
}

int
call_new(struct call **ret, struct api *api, struct sbx_http_request *request)
{
    struct call *call;

    call = calloc(1, sizeof(*call));
    if (call == NULL) {
        return -ENOMEM;
    }
    call->api = api;
    call->request = request;
    call->started_ms = sbx_now_mono_ms();
    *ret = call;
    return 0;
}

bool
call_charge(struct call *call, uint64_t bytes)
{
    struct api *api = call->api;

    if (api->body_bytes > 0 && api->body_bytes + bytes > api->spec.max_body_bytes) {
        call_reply_problem(call, &(struct sbx_problem){ .code = SBX_PROBLEM_QUEUE_FULL, .retry_after_s = 1 });
        return false;
    }
    api->body_bytes += bytes;
    call->body_bytes += bytes;
    return true;
}

void
call_abort(struct call *call)
{
    struct tool_call *tool = steal(&call->tool);

    call->api->requests[4]++;
    call_release(call);
    tool_call_leave(tool); /* nobody waits any more for what this may end */
    call_free_if_done(call);
}

static void
call_on_read(void *arg, int rc, const struct db_result *result)
{
    struct call *call = arg;

    call->reading = false;
    if (call->request == NULL) {
        call_free_if_done(call);
        return;
    }
    call->then(call, rc, result);
}

void
call_read(struct call *call, enum db_stmt stmt, const struct db_value *values, unsigned n, call_read_fn then)
{
    assert(!call->reading);
    call->reading = true;
    call->then = then;
    db_read(engine_db(call->api->spec.engine), stmt, values, n, call_on_read, call);
}

void
call_hold(struct call *call)
{
    assert(!call->reading);
    call->reading = true;
}

struct call *
call_unhold(struct call *call)
{
    call->reading = false;
    if (call->request == NULL) {
        call_free_if_done(call);
        return NULL;
    }
    return call;
}

void
call_submit(struct call *call, struct db_tx *tx, call_read_fn then)
{
    assert(!call->reading);
    call->reading = true;
    call->then = then;
    db_tx_submit(tx, call_on_read, call);
}

static unsigned
call_headers(struct call *call, struct sbx_http_header out[CALL_MAX_HEADERS],
             const struct sbx_http_header *headers, unsigned n_headers)
{
    unsigned n = 0;

    assert(n_headers + 3 <= CALL_MAX_HEADERS);
    out[n++] = (struct sbx_http_header){ "X-Request-Id", call->request_id };
    if (call->traceparent[0] != '\0') {
        out[n++] = (struct sbx_http_header){ "traceparent", call->traceparent };
    }
    out[n++] = (struct sbx_http_header){ "Cache-Control", "no-store" };
    for (unsigned i = 0; i < n_headers; i++) {
        out[n++] = headers[i];
    }
    return n;
}

static void
call_count(struct call *call, int status)
{
    unsigned class = (unsigned)status / 100;

    call->api->requests[class < API_STATUS_CLASSES ? class : 0]++;
    log_debug("http.reply", LOG_STR("request_id", call->request_id),
              LOG_STR("route", route_name(call)),
              LOG_STR("tenant", call->identified ? call->context.tenant : NULL), LOG_INT("status", status),
              LOG_INT("ms", sbx_now_mono_ms() - call->started_ms));
}

void
call_reply(struct call *call, int status, const char *content_type, const struct sbx_http_header *headers,
           unsigned n_headers, const void *body, size_t len)
{
    struct sbx_http_header all[CALL_MAX_HEADERS];
    unsigned n = call_headers(call, all, headers, n_headers);

    call_count(call, status);
    sbx_http_reply(call->request, status, content_type, all, n, body, len);
    call_release(call);
    call_free_if_done(call);
}

void
call_reply_json(struct call *call, int status, const struct sbx_http_header *headers, unsigned n_headers,
                const struct sbx_buf *body)
{
    if (body->failed) {
        call_problem(call, SBX_PROBLEM_UNAVAILABLE, "the answer is too large for the memory there is");
        return;
    }
    call_reply(call, status, "application/json", headers, n_headers, body->data, body->len);
}

void
call_place(struct call *call, struct call_place *ret, const char *path, ...)
{
    va_list args;

    va_start(args, path);
    (void)vsnprintf(ret->location, sizeof(ret->location), path, args); /* callers' ids fit */
    va_end(args);
    ret->n = 0;
    ret->header[ret->n++] = (struct sbx_http_header){ "Location", ret->location };
    if (call->replayed) {
        call->api->replays++;
        ret->header[ret->n++] = (struct sbx_http_header){ "Idempotency-Replayed", "true" };
    }
}

static void
call_on_denial_stored(void *arg _unused_, int rc, const struct db_result *result _unused_)
{
    if (rc) {
        log_error("audit.denial_failed", LOG_INT("code", rc));
    }
}

/* Who had a right to ask and was told no, by a rule; what is malformed or full for everybody is nobody's decision. */
static bool
call_is_denial(enum sbx_problem_code code)
{
    return code == SBX_PROBLEM_FORBIDDEN || code == SBX_PROBLEM_POLICY_VIOLATION ||
           code == SBX_PROBLEM_BUDGET_EXHAUSTED || code == SBX_PROBLEM_RATE_LIMITED ||
           code == SBX_PROBLEM_CONCURRENCY_LIMITED || code == SBX_PROBLEM_TENANT_QUEUE_FULL;
}

static void
call_audit_denial(const struct call *call, const struct sbx_problem *problem)
{
    struct db_tx *tx;

    if (!call->identified || !call_is_denial(problem->code)) {
        return;
    }
    if (db_tx_new(&tx, engine_db(call->api->spec.engine)) != 0) {
        log_error("audit.denial_failed", LOG_INT("code", -ENOMEM));
        return;
    }
    audit_refused(tx, &call->context, route_name(call), problem);
    db_tx_submit(tx, call_on_denial_stored, NULL);
}

static void
call_reply_problem_with(struct call *call, const struct sbx_problem *problem,
                        const struct sbx_http_header *header)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(CALL_PROBLEM_MAX);
    struct sbx_problem full = *problem;
    struct sbx_http_header headers[3];
    char retry[16];
    unsigned n = 0;

    full.request_id = call->request_id;
    call_audit_denial(call, problem);
    if (call->refuse != NULL && call->refuse(call, problem)) {
        return;
    }
    sbx_problem_write(&body, &full);
    if (problem->retry_after_s > 0) {
        (void)snprintf(retry, sizeof(retry), "%u", problem->retry_after_s); /* fits */
        headers[n++] = (struct sbx_http_header){ "Retry-After", retry };
    }
    if (problem->code == SBX_PROBLEM_METHOD_NOT_ALLOWED && call->route != NULL) {
        headers[n++] = (struct sbx_http_header){ "Allow", call->route->allow };
    }
    if (header != NULL) {
        headers[n++] = *header;
    }
    call_reply(call, sbx_problem_status(problem->code), SBX_PROBLEM_TYPE, headers, n,
               body.failed ? "{}" : body.data, body.failed ? 2 : body.len);
}

void
call_audit(const struct call *call, const char *kind, const char *object, const struct audit_member *members,
           unsigned n)
{
    audit_act_submit(engine_db(call->api->spec.engine), &(struct audit_act){
                                                            .context = &call->context,
                                                            .kind = kind,
                                                            .object = object,
                                                            .members = members,
                                                            .n_members = n,
                                                        });
}

void
call_reply_problem(struct call *call, const struct sbx_problem *problem)
{
    call_reply_problem_with(call, problem, NULL);
}

void
call_problem_range(struct call *call, uint64_t size)
{
    const struct range none = { .kind = RANGE_UNSATISFIABLE };
    char text[RANGE_TEXT_MAX];

    range_text(text, &none, size);
    call_reply_problem_with(call, &(struct sbx_problem){ .code = SBX_PROBLEM_RANGE_NOT_SATISFIABLE },
                            &(struct sbx_http_header){ "Content-Range", text });
}

void
call_problem(struct call *call, enum sbx_problem_code code, const char *detail)
{
    call_reply_problem(call, &(struct sbx_problem){ .code = code, .detail = detail });
}

void
call_problem_field(struct call *call, const struct sbx_field_error *field)
{
    call_reply_problem(
        call, &(struct sbx_problem){
                  .code = field->too_large ? SBX_PROBLEM_PAYLOAD_TOO_LARGE : SBX_PROBLEM_INVALID_REQUEST,
                  .field = field,
              });
}

void
call_problem_internal(struct call *call, int rc)
{
    log_error("http.failed", LOG_STR("request_id", call->request_id), LOG_STR("route", route_name(call)),
              LOG_INT("code", rc));
    if (rc == -ENOMEM || rc == -ENOBUFS) {
        call_reply_problem(call,
                           &(struct sbx_problem){ .code = SBX_PROBLEM_UNAVAILABLE, .retry_after_s = 1 });
        return;
    }
    call_problem(call, SBX_PROBLEM_INTERNAL, NULL);
}

void
call_start_stream(struct call *call, int status, const char *content_type,
                  const struct sbx_http_header *headers, unsigned n_headers, uint64_t length)
{
    struct sbx_http_header all[CALL_MAX_HEADERS];
    unsigned n = call_headers(call, all, headers, n_headers);

    call_count(call, status);
    idempotency_answered(steal(&call->idempotency));
    call_forget_body(call);
    sbx_http_request_drop_body(call->request);
    sbx_http_reply_start(call->request, status, content_type, all, n, (int64_t)length);
}

void
call_upgrade(struct call *call, const struct sbx_http_header *headers, unsigned n_headers,
             void (*on_detached)(void *arg, int fd), void *arg)
{
    struct sbx_http_header all[CALL_MAX_HEADERS];
    unsigned n = call_headers(call, all, headers, n_headers);

    call_count(call, 101);
    sbx_http_reply_upgrade(call->request, all, n, on_detached, arg);
    call_release(call);
    call_free_if_done(call);
}

void
call_end_stream(struct call *call)
{
    sbx_http_reply_end(call->request);
    call_release(call);
    call_free_if_done(call);
}

void
call_break_stream(struct call *call)
{
    sbx_http_reply_break(call->request);
    call_release(call);
    call_free_if_done(call);
}

/* sbx_http_request_param does not tell absent from malformed: a filter that was meant must not be dropped. */
enum call_param
call_param(const struct call *call, const char *name, char *out, size_t size)
{
    const char *p = sbx_http_request_query(call->request);
    size_t len = strlen(name);

    if (sbx_http_request_param(call->request, name, out, size)) {
        return CALL_PARAM_FINE;
    }
    while (p != NULL && *p != '\0') {
        if (strncmp(p, name, len) == 0 && (p[len] == '=' || p[len] == '&' || p[len] == '\0')) {
            return CALL_PARAM_BAD;
        }
        p = strchr(p, '&');
        p = p == NULL ? NULL : p + 1;
    }
    return CALL_PARAM_ABSENT;
}
