/* Answers of the agent's face: documents and problems, each with its request's id. */
#pragma once

#include "lib/sbx_http_server.h"
#include "lib/sbx_json.h"
#include "lib/sbx_problem.h"

struct request_id {
    char text[65];
};

/* The caller's own when it is harmless. */
void answer_request_id(const struct sbx_http_request *request, struct request_id *ret);
/* more: one header, or NULL. */
void answer(struct sbx_http_request *request, int status, const char *type,
            const struct sbx_http_header *more, const struct sbx_buf *body);
void answer_problem(struct sbx_http_request *request, const struct sbx_problem *problem,
                    const struct sbx_http_header *more);
void answer_refusal(struct sbx_http_request *request, enum sbx_problem_code code, const char *detail);
void answer_field_error(struct sbx_http_request *request, const struct sbx_field_error *err);
/* To a document that could not be read: what its parser returned. */
void answer_document_error(struct sbx_http_request *request, int r, const struct sbx_field_error *err);
void answer_errno(struct sbx_http_request *request, int error);
