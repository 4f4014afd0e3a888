/*
 * What the executors told this gateway: documents of the policies API and revocations of tokens.
 *
 * One worker learns (it holds the lease in the zone); all read. How a reader is safe from writers: it copies. A worker keeps
 * what it uses of a tenant's documents in its own memory, and a word in the zone, read without a lock, says whether that is
 * still what holds. Only after a change it takes the zone's lock, for as long as a copy takes. So a decision never sees half a
 * change, and a worker may be killed at any instant: a reader leaves nothing behind, and a zone in which a writer died is emptied
 * by the next one that locks it and learnt anew; until then the answer is NGX_DECLINED.
 *
 * Without `sandbox_control` there are no documents and nothing is revoked.
 */
#pragma once

#include "ngx_http_sandbox.h"
#include "ngx_sandbox_policy_store.h"
#include "lib/sbx_policy_doc.h"

#pragma GCC visibility push(hidden)

/* Keeps what a view borrows. Zero it before the first use; one is for one view. */
typedef struct {
    void *tenant;
} ngx_http_sandbox_control_pin_t;

/*
 * Adds the documents that hold for tenant, app and agent, and for the template when it is not NULL, to the view. NGX_OK;
 * NGX_DECLINED: what holds for this tenant is not known (never heard, a document that this gateway cannot read, no room for it):
 * refuse with SBX_PROBLEM_POLICY_UNKNOWN; NGX_ERROR: out of memory, or more documents than a view takes: refuse as well. The pin is to be released in every case,
 * when nothing looks at the view any more; views that live on are cheap to keep.
 */
ngx_int_t ngx_http_sandbox_control_acquire(ngx_http_request_t *r, const ngx_sandbox_policy_who_t *who,
    const char *template_name, struct sbx_policy_view *view, ngx_http_sandbox_control_pin_t *pin);
void ngx_http_sandbox_control_release(ngx_http_sandbox_control_pin_t *pin);

/*
 * For a view that was kept: NGX_OK: it still is what acquire would make; NGX_AGAIN: make it anew; NGX_DECLINED and NGX_ERROR as above.
 */
ngx_int_t ngx_http_sandbox_control_check(ngx_http_request_t *r, const char *tenant,
    const ngx_http_sandbox_control_pin_t *pin);

/* Goes up with all that changes: as long as it is the same, so is everything here. Always 0 without sandbox_control. */
uint64_t ngx_http_sandbox_control_change(ngx_http_request_t *r);

/* The revision of the feed that this gateway has reached; 0: nothing heard. For the context. */
uint64_t ngx_http_sandbox_control_revision(ngx_http_request_t *r);

/* Of a token that was verified; "" and 0 for what it does not say. */
typedef struct {
    const char *tenant;
    const char *subject;
    const char *token_id; /* jti */
    uint64_t issued_s;    /* iat */
} ngx_http_sandbox_control_token_t;

/* NGX_OK: not revoked; NGX_DECLINED: revoked (401); NGX_AGAIN: not known yet (503 policy_unknown). */
ngx_int_t ngx_http_sandbox_control_revoked(ngx_http_request_t *r, const ngx_http_sandbox_control_token_t *token,
    uint64_t now_s);

/* For the metrics. False without sandbox_control. */
typedef struct {
    uint64_t revision;
    uint64_t age_ms; /* since the last answer; of a gateway that never had one since the zone was made */
    uint64_t documents;
    uint64_t revocations;
    uint64_t failures;
    uint64_t full; /* changes there was no room for */
} ngx_http_sandbox_control_status_t;

ngx_flag_t ngx_http_sandbox_control_status(ngx_http_request_t *r, ngx_http_sandbox_control_status_t *ret);

/* True when `sandbox_control` was given; complete after the configuration was read. */
ngx_flag_t ngx_http_sandbox_control_configured(ngx_conf_t *cf);

extern ngx_module_t ngx_http_sandbox_control_module;

#pragma GCC visibility pop
