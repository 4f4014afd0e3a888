/*
 * One request of the HTTP interface, from its head to its answer: who asks, which
 * route, what it waits for. Ends by exactly one call_reply* or by the client's
 * leaving; after either, only callbacks still out hold the memory.
 */
#pragma once

#include "executor/core/engine.h"
#include "lib/sbx_context.h"
#include "lib/sbx_http_server.h"
#include "lib/sbx_problem.h"
#include "executor/store/stmts.h"

struct api;
struct route;
struct route_method;
struct call;
struct download;
struct stream;
struct artifact_upload;
struct collection;
struct process_call;
struct session_work;
struct file;
struct policy_work;
struct audit_query;
struct fetch;
struct inputs;
struct source;
struct status;
struct file_batch;
struct tool_call;

typedef void (*call_read_fn)(struct call *call, int rc, const struct db_result *result);

struct call {
    struct api *api;
    struct sbx_http_request *request;  /* NULL once answered or the client is gone */
    const struct route *route;         /* NULL: no such path */
    const struct route_method *method; /* of the route; NULL: not allowed there */
    bool identified;
    struct sbx_context context;
    char request_id[SBX_NAME_MAX + 1];
    char traceparent[56];
    char id[SBX_ID_LEN + 1];    /* {id} of the path; "" when it is no id at all */
    char sub[SBX_NAME_MAX + 1]; /* {step}, {process} or {name}; "" likewise */
    char *rest;                 /* {path...}, decoded; NULL when it does not decode */
    uint64_t started_ms;
    uint64_t body_bytes; /* its share of api->body_bytes */

    bool reading; /* a database callback is to come */
    call_read_fn then;
    void (*loaded)(struct call *call); /* job_load's continuation */

    /* What a handler keeps between callbacks; let go of when the call ends. */
    struct waiter *waiter;
    struct job *job; /* it waits for; borrows: it is there until the waiter was told */
    struct idempotency_entry *idempotency;
    struct job_spec *spec;
    struct sbx_limits limits;
    enum sbx_isolation isolation;
    char body_sha256[SBX_SHA256_HEX];
    uint64_t wait_ms;
    bool replayed;
    struct job_record record;
    struct download *download;
    struct stream *stream; /* the client wants events */
    struct artifact_upload *upload;
    struct collection *collection;
    struct process_call *process;
    struct session_work *work;
    void (*fresh)(struct call *call); /* idempotent.h */
    void (*replay)(struct call *call, const char *id);
    struct file *file; /* of a session */
    struct policy_work *policy;
    struct audit_query *audit;
    struct fetch *fetch;
    struct inputs *inputs;
    struct source *source;
    struct file_batch *batch;
    struct status *status;
    /* NULL, or how a refusal is told instead of by a problem document; false: by one. Not while it runs. */
    bool (*refuse)(struct call *call, const struct sbx_problem *problem);
    struct tool_call *tool; /* the client is one (tool_call.h) */
    unsigned page;
};

_must_check_ int call_new(struct call **ret, struct api *api, struct sbx_http_request *request);
/*
 * So many bytes are held for it until it is answered, besides others; false: all requests together have as many as they
 * may, and it was answered.
 */
_must_check_ bool call_charge(struct call *call, uint64_t bytes);
/* The client left: nothing more can be said. */
void call_abort(struct call *call);

/* One read; `then` is not called when the client has left meanwhile. */
void call_read(struct call *call, enum db_stmt stmt, const struct db_value *values, unsigned n,
               call_read_fn then);

/* What each answer about a thing that can be created has: where it is, and whether its key had asked for it before. */
struct call_place {
    struct sbx_http_header header[2];
    unsigned n;
    char location[48 + 2 * SBX_ID_LEN];
};
void _printf_(3, 4) call_place(struct call *call, struct call_place *ret, const char *path, ...);

/* A callback is to come whose argument is the call: it stays until then. */
void call_hold(struct call *call);
/* First thing in that callback. NULL when the client has left meanwhile. */
struct call *call_unhold(struct call *call);
/* One transaction, taken; `then` as above. */
void call_submit(struct call *call, struct db_tx *tx, call_read_fn then);

/* Each of these answers and ends the call. */
void call_reply(struct call *call, int status, const char *content_type,
                const struct sbx_http_header *headers, unsigned n_headers, const void *body, size_t len);
/* 503 when the body could not be made. */
void call_reply_json(struct call *call, int status, const struct sbx_http_header *headers, unsigned n_headers,
                     const struct sbx_buf *body);
void call_reply_problem(struct call *call, const struct sbx_problem *problem);
void call_problem(struct call *call, enum sbx_problem_code code, const char *detail);
/* 413 or 422, by what is wrong. */
void call_problem_field(struct call *call, const struct sbx_field_error *field);
/* 416 for a thing of this size. */
void call_problem_range(struct call *call, uint64_t size);
/* -ENOMEM and the like: logged, answered 500 or 503. */
void call_problem_internal(struct call *call, int rc);
#define CALL_STREAM_CHUNKED UINT64_MAX
/*
 * Head of a streamed reply; the call lives until call_end_stream. What was asked is known: its body is let go of, and
 * its Idempotency-Key is answered.
 */
void call_start_stream(struct call *call, int status, const char *content_type,
                       const struct sbx_http_header *headers, unsigned n_headers, uint64_t length);
void call_end_stream(struct call *call);
/* 101, and on_detached as for sbx_http_reply_upgrade. Ends the call. */
void call_upgrade(struct call *call, const struct sbx_http_header *headers, unsigned n_headers,
                  void (*on_detached)(void *arg, int fd), void *arg);
/* The same when not all came: the client learns it by the end of the connection. */
void call_break_stream(struct call *call);

/* An event of what this call did to `object`, of which nothing else is stored; nobody waits for it. */
void call_audit(const struct call *call, const char *kind, const char *object,
                const struct audit_member *members, unsigned n);

enum call_param { CALL_PARAM_ABSENT, CALL_PARAM_FINE, CALL_PARAM_BAD };
enum call_param call_param(const struct call *call, const char *name, char *out, size_t size);
