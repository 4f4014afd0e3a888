#include "executor/api/session_work.h"

#include <stdlib.h>

#include "executor/api/api_inside.h"
#include "executor/api/document_shapes.h"
#include "executor/api/routes.h"

#define REWRITTEN_MAX (2 * (size_t)API_MAX_JOB_BODY)

struct session_work *
session_work(struct call *call)
{
    if (call->work == NULL) {
        call->work = calloc(1, sizeof(*call->work));
    }
    if (call->work == NULL) {
        call_problem_internal(call, -ENOMEM);
    }
    return call->work;
}

struct session_work *
session_work_free(struct session_work *work)
{
    if (work != NULL) {
        waiter_cancel(work->waiter);
        free(work->request.context_name);
        session_record_deinit(&work->record);
        step_record_deinit(&work->step_record);
        free(work);
    }
    return NULL;
}

bool
session_request_take(struct call *call,
                     int (*parse)(struct job_spec **ret, struct session_request *ret_more, const char *text,
                                  size_t len, struct sbx_field_error *err),
                     struct session_request *ret)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf rewritten = SBX_BUF_INIT(REWRITTEN_MAX);
    struct document_names names;
    struct sbx_field_error err;
    const char *body;
    size_t len;
    int r;

    body = sbx_http_request_body(call->request, &len);
    r = document_body(&rewritten, &names, call->route->pattern, &body, &len, &err);
    if (r == 0) {
        r = parse(&call->spec, ret, body, len, &err);
    }
    if (r == JOB_REQUEST_E_FIELD) {
        document_error(&names, &err);
    }
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
