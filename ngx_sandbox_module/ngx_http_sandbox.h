/*
 * What the gateway's modules know of one request, and the one way to refuse it.
 *
 * Order of work on a request (see `config`): core POST_READ (ids, request form) ->
 * auth PREACCESS -> limit PREACCESS -> policy ACCESS -> core PRECONTENT (signs the
 * context) -> content (proxy_pass) -> metrics LOG.
 */
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "lib/sbx_context.h"
#include "lib/sbx_policy.h"
#include "lib/sbx_problem.h"

#pragma GCC visibility push(hidden)

typedef enum {
    NGX_HTTP_SANDBOX_AUTH_NONE = 0, /* nobody yet: nothing may be done in a tenant's name */
    NGX_HTTP_SANDBOX_AUTH_BEARER,
    NGX_HTTP_SANDBOX_AUTH_API_KEY,
    NGX_HTTP_SANDBOX_AUTH_BYPASS,
    NGX_HTTP_SANDBOX_AUTH_SIGNED_URL /* no token: a URL that the executor signed for one artifact */
} ngx_http_sandbox_auth_e;

/*
 * One per client request: shared by its subrequests, kept over internal redirects.
 * `context` is what gets signed. Core fills request_id, traceparent and client; auth
 * fills tenant, app, agent, subject, token_id, scopes and bypass; policy fills policy_id,
 * policy_version, has_limits, limits, isolation, min_isolation, max_artifacts,
 * max_artifact_bytes, max_wait_ms, tenant_concurrency and all that is said of sessions, uploads
 * and retention; core fills issued_ms when it signs.
 */
typedef struct {
    struct sbx_context context;
    ngx_http_sandbox_auth_e auth; /* NONE: the identity members above are empty */
    const char *auth_cache;       /* "HIT", "MISS", "" when no cache was asked */
    /*
     * Why we refused, a constant slug; NULL when we did not. Of core and auth: "form", "host", "method",
     * "token_missing", "token_invalid", "token_revoked", "keys_unknown", "act_for", "signed_url", "scope", "context",
     * "internal".
     */
    const char *denied;
    const char *policy;           /* "allow", "deny"; NULL when policy did not run */
    struct sbx_decision *decision; /* why policy or opa refused, r->pool; NULL when they did not */
    ngx_str_t signed_context;     /* header value, in `forward`; empty until PRECONTENT, and where auth is off */
    ngx_str_t forward;            /* what the executor sees of the header; empty until then, or until it is asked for */
    void *opa;                    /* the opa module's own: what the policy service is asked, and said */
    void *mcp;                    /* the MCP module's own: the message that this request carries, over its internal redirect */
    void *limit;                  /* the limit module's own (its permits outlive internal redirects) */
    ngx_str_t *route;             /* of the location the request came to first; NULL before PREACCESS */
    ngx_str_t act_for;            /* the client's Sandbox-Tenant, for auth alone; of a service that may, it names the tenant */
    ngx_uint_t n_act_for;         /* how many it sent */
    uint64_t expires_s;           /* when the token is over, for requests that stay; 0: never */
    unsigned service:1;           /* the identity is a service's, not a user's */
    unsigned opened:1;            /* core looked at the request's form */
    unsigned limited:1;           /* limit module has charged this request once */
    unsigned again:1;             /* it goes through the phases as another request; whose it is was charged already */
    unsigned replied:1;           /* a problem document was sent */
} ngx_http_sandbox_ctx_t;

/* The request's ctx, made on first use; NULL when out of memory (then refuse with 500). */
ngx_http_sandbox_ctx_t *ngx_http_sandbox_ctx(ngx_http_request_t *r);

/*
 * The ctx when there is one, else NULL: for log handlers and variables, which must
 * not allocate for a request that never got that far.
 */
ngx_http_sandbox_ctx_t *ngx_http_sandbox_ctx_peek(ngx_http_request_t *r);

/* The request becomes part of the trace of this traceparent, which said more than the header did. NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_sandbox_ctx_trace(ngx_http_sandbox_ctx_t *ctx, const char *parent, size_t len);

/*
 * True in `sandbox_problem` and `sandbox_health` locations: they serve no tenant, so
 * auth, limit and policy let the request pass.
 */
ngx_flag_t ngx_http_sandbox_exempt(ngx_http_request_t *r);

/*
 * From a phase handler (POST_READ to PRECONTENT): sends the problem document, finalizes
 * the request and returns NGX_DONE, which the handler returns. request_id is filled in
 * here; Retry-After is sent when retry_after_s is set. Headers of the reply that the
 * caller wants (WWW-Authenticate, RateLimit-*) are pushed to r->headers_out.headers before.
 * `why` is the constant slug for $sandbox_denied and the metrics.
 */
ngx_int_t ngx_http_sandbox_refuse(ngx_http_request_t *r, const char *why, const struct sbx_problem *problem);

/*
 * The same for a content handler: sends and returns what the handler returns (or what
 * ngx_http_finalize_request takes). Does not finalize.
 */
ngx_int_t ngx_http_sandbox_send_problem(ngx_http_request_t *r, const struct sbx_problem *problem);

/* Short form of refuse: a code and one constant sentence (NULL for none). */
ngx_int_t ngx_http_sandbox_problem(ngx_http_request_t *r, const char *why, enum sbx_problem_code code,
    const char *detail);

/*
 * Sends a whole small reply from a content handler (health, metrics). `body` must live as
 * long as r->pool. Returns what the handler returns.
 */
ngx_int_t ngx_http_sandbox_send(ngx_http_request_t *r, ngx_uint_t status, ngx_str_t *content_type,
    ngx_str_t *body);

/* Adds a reply header; both strings must live as long as r->pool. NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_sandbox_add_header(ngx_http_request_t *r, ngx_str_t *name, ngx_str_t *value);

/* Makes the variables of a module, ended by one without a name: what its preconfiguration returns. */
ngx_int_t ngx_http_sandbox_add_variables(ngx_conf_t *cf, ngx_http_variable_t *variables);

/* The client's first header of a name (lower case), NULL when there is none; *ret_n counts them all. */
ngx_table_elt_t *ngx_http_sandbox_header_in(ngx_http_request_t *r, ngx_str_t *lowcase_name, ngx_uint_t *ret_n);

/* True when `sandbox_context_key_file` was given (complete after the configuration was read). */
ngx_flag_t ngx_http_sandbox_has_context_key(ngx_conf_t *cf);

/* What sandbox_context_key_file says; empty without it. */
const ngx_str_t *ngx_http_sandbox_context_key(ngx_http_request_t *r);
/* The same, for what a worker does without a request. Only where there is an http block. */
const ngx_str_t *ngx_http_sandbox_cycle_key(ngx_cycle_t *cycle);

/*
 * A configuration file read whole into cf->pool, at most max bytes, path relative to the
 * configuration's directory. NGX_OK or NGX_ERROR after logging the file and the reason.
 */
ngx_int_t ngx_http_sandbox_read_file(ngx_conf_t *cf, ngx_str_t *path, size_t max, ngx_str_t *ret);

extern ngx_module_t ngx_http_sandbox_module;
extern ngx_module_t ngx_http_sandbox_auth_module;
extern ngx_module_t ngx_http_sandbox_limit_module;
extern ngx_module_t ngx_http_sandbox_policy_module;
extern ngx_module_t ngx_http_sandbox_metrics_module;
extern ngx_module_t ngx_http_sandbox_denial_module;

#pragma GCC visibility pop
