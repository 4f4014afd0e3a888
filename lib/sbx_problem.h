/*
 * RFC 9457 problem documents: one table makes code, status, title and docs.
 * The type is "urn:ngx-sandbox:problem:<code>". docs/problems.md lists them; a lint test compares.
 */
#pragma once

#include "sbx_jsonw.h"
#include "sbx_json.h"
#include "sbx_policy.h"

#pragma GCC visibility push(hidden)

#define SBX_PROBLEM_TYPE "application/problem+json"

/* X(NAME, status, "code", "Title") */
#define SBX_PROBLEMS(X)                                                                                      \
    X(BAD_REQUEST, 400, "bad_request", "The request is malformed")                                           \
    X(MALFORMED_JSON, 400, "malformed_json", "The body is not a JSON document")                              \
    X(UNAUTHORIZED, 401, "unauthorized", "A valid token is required")                                        \
    X(FORBIDDEN, 403, "forbidden", "The token does not allow this")                                          \
    X(POLICY_VIOLATION, 403, "policy_violation", "The policy refuses this request")                          \
    X(FILE_DENIED, 403, "file_denied", "The file cannot be used so")                                         \
    X(NOT_FOUND, 404, "not_found", "There is no such thing")                                                 \
    X(METHOD_NOT_ALLOWED, 405, "method_not_allowed", "The method is not allowed here")                       \
    X(REQUEST_TIMEOUT, 408, "request_timeout", "The request took too long to arrive")                        \
    X(CONFLICT, 409, "conflict", "The request conflicts with the present state")                             \
    X(IDEMPOTENCY_IN_FLIGHT, 409, "idempotency_in_flight",                                                   \
      "The first request with this key is still running")                                                    \
    X(GONE, 410, "gone", "This no longer exists")                                                            \
    X(LENGTH_REQUIRED, 411, "length_required", "A content length is required")                               \
    X(PRECONDITION_FAILED, 412, "precondition_failed", "The thing is not in the expected version")           \
    X(PAYLOAD_TOO_LARGE, 413, "payload_too_large", "The request is too large")                               \
    X(URI_TOO_LONG, 414, "uri_too_long", "The URI is too long")                                              \
    X(UNSUPPORTED_MEDIA_TYPE, 415, "unsupported_media_type", "The body must be application/json")            \
    X(RANGE_NOT_SATISFIABLE, 416, "range_not_satisfiable", "The range is not satisfiable")                   \
    X(INVALID_REQUEST, 422, "invalid_request", "The request has an invalid field")                           \
    X(IDEMPOTENCY_MISMATCH, 422, "idempotency_mismatch", "This idempotency key was used with another body")  \
    X(PRECONDITION_REQUIRED, 428, "precondition_required", "The request must name the version it changes")   \
    X(RATE_LIMITED, 429, "rate_limited", "Too many requests")                                                \
    X(CONCURRENCY_LIMITED, 429, "concurrency_limited", "Too many requests at once")                          \
    X(TENANT_QUEUE_FULL, 429, "tenant_queue_full", "The tenant's queue is full")                             \
    X(BUDGET_EXHAUSTED, 429, "budget_exhausted", "The budget of this day is used up")                        \
    X(SESSION_LIMIT, 429, "session_limit", "The tenant has as many sessions as it may have")                 \
    X(STEP_QUEUE_FULL, 429, "step_queue_full", "Too many steps of this session wait")                        \
    X(HEADERS_TOO_LARGE, 431, "headers_too_large", "The request's headers are too large")                    \
    X(CLIENT_CLOSED, 499, "client_closed", "The client went away")                                           \
    X(INTERNAL, 500, "internal", "Something failed inside")                                                  \
    X(BAD_GATEWAY, 502, "bad_gateway", "The executor gave no valid answer")                                  \
    X(UNAVAILABLE, 503, "unavailable", "The service is not available now")                                   \
    X(POLICY_UNKNOWN, 503, "policy_unknown", "The policies are not known here yet")                          \
    X(QUEUE_FULL, 503, "queue_full", "The queue is full")                                                    \
    X(ISOLATION_UNAVAILABLE, 503, "isolation_unavailable", "The isolation tier is not available here")       \
    X(GATEWAY_TIMEOUT, 504, "gateway_timeout", "The executor did not answer in time")                        \
    X(NO_SPACE, 507, "no_space", "The session has no room for this")

enum sbx_problem_code {
#define X(name, status, code, title) SBX_PROBLEM_##name,
    SBX_PROBLEMS(X)
#undef X
        SBX_N_PROBLEMS
};

int sbx_problem_status(enum sbx_problem_code code);
const char *sbx_problem_name(enum sbx_problem_code code);
const char *sbx_problem_title(enum sbx_problem_code code);
/* The entry for a bare HTTP status (nginx's own errors); INTERNAL when there is none. */
enum sbx_problem_code sbx_problem_by_status(int status);

/* What a problem says besides its code; NULL and 0 leave the member out. */
struct sbx_problem {
    enum sbx_problem_code code;
    const char *detail;
    const char *request_id;
    const char *reason;                  /* of GONE: a word of a closed set */
    const struct sbx_field_error *field; /* "errors": [{"field","message"}] */
    const struct sbx_violation *violation;
    unsigned n_violations;
    unsigned retry_after_s;
};

void sbx_problem_write(struct sbx_buf *out, const struct sbx_problem *problem);

#pragma GCC visibility pop
