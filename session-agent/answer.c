#include "session-agent/answer.h"

#include <stdio.h>
#include <string.h>

#include "lib/sbx_id.h"
#include "session-agent/request.h"

#define PROBLEM_MAX 65536

void
answer_request_id(const struct sbx_http_request *request, struct request_id *ret)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    const char *own = sbx_http_request_header(request, "x-request-id");
    size_t len = own == NULL ? 0 : strlen(own);
    struct sbx_id id;

    if (len >= 1 && len < sizeof(ret->text) && strspn(own, allowed) == len) {
        memcpy(ret->text, own, len + 1);
    } else if (sbx_id_new(&id, "req") == 0) {
        memcpy(ret->text, id.text, sizeof(id.text));
    } else {
        memcpy(ret->text, "req_unknown", sizeof("req_unknown"));
    }
}

void
answer(struct sbx_http_request *request, int status, const char *type, const struct sbx_http_header *more,
       const struct sbx_buf *body)
{
    struct sbx_http_header headers[2];
    struct request_id id;
    unsigned n = 1;

    answer_request_id(request, &id);
    headers[0] = (struct sbx_http_header){ "X-Request-Id", id.text };
    if (more != NULL) {
        headers[n++] = *more;
    }
    sbx_http_reply(request, status, type, headers, n, body->len == 0 ? "" : body->data, body->len);
}

void
answer_problem(struct sbx_http_request *request, const struct sbx_problem *problem,
               const struct sbx_http_header *more)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(PROBLEM_MAX);
    struct sbx_problem full = *problem;
    struct request_id id;

    answer_request_id(request, &id);
    full.request_id = id.text;
    sbx_problem_write(&body, &full);
    answer(request, sbx_problem_status(full.code), SBX_PROBLEM_TYPE, more, &body);
}

void
answer_refusal(struct sbx_http_request *request, enum sbx_problem_code code, const char *detail)
{
    const struct sbx_problem problem = { .code = code, .detail = detail };

    answer_problem(request, &problem, NULL);
}

void
answer_field_error(struct sbx_http_request *request, const struct sbx_field_error *err)
{
    char detail[sizeof(err->field) + sizeof(err->message)];
    const struct sbx_problem problem = {
        .code = err->too_large ? SBX_PROBLEM_PAYLOAD_TOO_LARGE : SBX_PROBLEM_INVALID_REQUEST,
        .detail = detail,
        .field = err,
    };

    (void)snprintf(detail, sizeof(detail), "%s%s%s", err->field, err->field[0] == '\0' ? "" : " ",
                   err->message); /* fits */
    answer_problem(request, &problem, NULL);
}

void
answer_document_error(struct sbx_http_request *request, int r, const struct sbx_field_error *err)
{
    if (r < 0) {
        answer_refusal(request, SBX_PROBLEM_INTERNAL, NULL);
    } else if (r == REQUEST_E_SYNTAX && !err->too_large) {
        answer_refusal(request, SBX_PROBLEM_MALFORMED_JSON, err->message);
    } else {
        answer_field_error(request, err);
    }
}

void
answer_errno(struct sbx_http_request *request, int error)
{
    const struct sbx_problem problem = {
        .code = error == -ENOSPC || error == -EDQUOT ? SBX_PROBLEM_PAYLOAD_TOO_LARGE : SBX_PROBLEM_INTERNAL,
        .detail = strerror(-error),
    };

    answer_problem(request, &problem, NULL);
}
