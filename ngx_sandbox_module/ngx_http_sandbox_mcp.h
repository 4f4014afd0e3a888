/*
 * What the files of the MCP module share: one message of the Model Context Protocol, from the POST that brought it to the last byte of
 * its answer.
 *
 * _module   directives, the rules of HTTP, the body, and where each message goes (content handler of `sandbox_mcp` locations)
 * _edge     what is answered here, and how any answer is written
 * _access   which tools the caller may use; whose requests from a browser are taken
 * _call     the redirect to a tool's internal location, and its second pass through the phases
 * _filter   a backend's reply made into the answer
 * _listen   streams of subscriptions/listen
 */
#pragma once

#include "ngx_http_sandbox.h"

#include "lib/sbx_mcp_catalogue.h"
#include "lib/sbx_mcp_message.h"

#pragma GCC visibility push(hidden)

/* An answer that is written in one piece; larger ones come from backends, in pieces. */
#define NGX_HTTP_SANDBOX_MCP_ANSWER_MAX  (4ul * 1024 * 1024)

#define NGX_HTTP_SANDBOX_MCP_DOORS_MAX  8

/* Where a tool of the catalogue leads: what is asked of a caller there. */
typedef struct {
    ngx_uint_t n;
    void *auth_conf[NGX_HTTP_SANDBOX_MCP_DOORS_MAX]; /* of the auth module, for each internal location that the tool may lead to */
} ngx_http_sandbox_mcp_doors_t;


/* Of the location with `sandbox_mcp`. */
typedef struct {
    struct sbx_mcp_catalogue *catalogue; /* NULL: no such location. Freed with cf->pool. */
    ngx_http_sandbox_mcp_doors_t *doors; /* by tool, as catalogue->tool; made when all was read */
    ngx_array_t *origins;                /* of sandbox_mcp_origin */
    ngx_int_t listeners;                 /* of sandbox_mcp_listeners: streams per tenant in a worker */
} ngx_http_sandbox_mcp_loc_conf_t;


/* What became of a message, for the metrics. */
typedef enum {
    NGX_HTTP_SANDBOX_MCP_REFUSED = 0, /* by HTTP status, without an answer of the protocol */
    NGX_HTTP_SANDBOX_MCP_RESULT,
    NGX_HTTP_SANDBOX_MCP_TOOL_ERROR, /* a result with isError */
    NGX_HTTP_SANDBOX_MCP_ERROR,      /* a JSON-RPC error */
    NGX_HTTP_SANDBOX_MCP_INPUT,      /* input_required */
    NGX_HTTP_SANDBOX_MCP_TASK,
    NGX_HTTP_SANDBOX_MCP_ACCEPTED,   /* a notification */
    NGX_HTTP_SANDBOX_MCP_N_OUTCOMES
} ngx_http_sandbox_mcp_outcome_e;


/*
 * Of one request, as ctx->mcp: made by the content handler, in r->pool, whose cleanup releases `message` and `call`. It outlives the internal
 * redirect, which loses r->ctx and changes r->loc_conf: what the location said is in `conf` and `loc_conf`.
 */
typedef struct {
    const ngx_http_sandbox_mcp_loc_conf_t *conf;
    void **loc_conf; /* r->loc_conf of the location that the message came to */
    ngx_http_sandbox_mcp_outcome_e outcome;
    struct sbx_mcp_message message; /* holds when `parsed` */
    struct sbx_mcp_call call;       /* holds when `called` */
    const struct sbx_mcp_tool *tool; /* of tools/call, once it is known; else NULL */
    void *forward;                  /* of _call and _filter */
    void *listen;                   /* of _listen */
    unsigned parsed:1;
    unsigned called:1;
    unsigned forwarded:1; /* set by _call: what follows happens in the internal location, and the filters make the answer */
} ngx_http_sandbox_mcp_t;

/* The message of the request; NULL when it brings none, or it was not read yet. */
ngx_http_sandbox_mcp_t *ngx_http_sandbox_mcp(ngx_http_request_t *r);

/*
 * Lets the client's JSON go, for requests that run long: what the message borrows of it (`name`, `params` and what is in them) is
 * NULL from then on, all other members stay.
 */
void ngx_http_sandbox_mcp_forget_json(ngx_http_sandbox_mcp_t *mcp);

/*
 * From the content handler, each returns what that returns: an answer in one piece, the result's members (none when len is 0), and an error.
 * The outcome of the message is set by them.
 */
ngx_int_t ngx_http_sandbox_mcp_send_result(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, const char *members, size_t len);
ngx_int_t ngx_http_sandbox_mcp_send_error(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, const struct sbx_mcp_error *err);
/* An error in answer to this message: its id; the rest is for sbx_mcp_error_set. */
void ngx_http_sandbox_mcp_error_begin(const ngx_http_sandbox_mcp_t *mcp, struct sbx_mcp_error *err);
/* 202 without a body. */
ngx_int_t ngx_http_sandbox_mcp_send_accepted(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp);

/*
 * The tools that the caller may use now, bit i for catalogue->tool[i]: by scopes and policy, as the tools' locations will say. NGX_OK; NGX_DECLINED:
 * the tenant's policy is not known here; NGX_ERROR.
 */
ngx_int_t ngx_http_sandbox_mcp_tools(ngx_http_request_t *r, const ngx_http_sandbox_mcp_t *mcp, uint64_t *ret);

/*
 * _call: fills in what a backend may be told besides the message: the requestState of `message`, opened, and the key of the call that it cancels.
 * Both in r->pool. NGX_OK; NGX_DECLINED with *err: the state is none that was given to this caller for this; NGX_ERROR.
 */
ngx_int_t ngx_http_sandbox_mcp_caller(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp, struct sbx_mcp_caller *ret,
    struct sbx_mcp_error *err);

/*
 * _call: from the content handler, with mcp->call filled in (mcp->called). Redirects to the call's location, or answers; what the content
 * handler returns. Takes nothing.
 */
ngx_int_t ngx_http_sandbox_mcp_forward(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp);

/* _call and _filter: from the module's preconfiguration and postconfiguration. */
ngx_int_t ngx_http_sandbox_mcp_call_add_variables(ngx_conf_t *cf);
ngx_int_t ngx_http_sandbox_mcp_filter_init(ngx_conf_t *cf);

/* _listen: from the content handler, a request for a stream. Answers, or holds the request. What the content handler returns. */
ngx_int_t ngx_http_sandbox_mcp_listen(ngx_http_request_t *r, ngx_http_sandbox_mcp_t *mcp);

extern ngx_module_t ngx_http_sandbox_mcp_module;

#pragma GCC visibility pop
