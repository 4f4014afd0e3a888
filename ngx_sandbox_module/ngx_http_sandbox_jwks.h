/*
 * JWK sets of URLs. One worker fetches (it holds a lease in shared memory), all read: the text that was accepted last and
 * its generation are in shared memory, and each worker parses it when it sees a new one. No request is ever blocked; one whose token
 * may be of a key that is just being fetched can be held, at most for the set's timeout.
 */
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_sandbox_keys.h"

#pragma GCC visibility push(hidden)

typedef struct ngx_http_sandbox_jwks_s ngx_http_sandbox_jwks_t;

/* `jwks_url url [parameter ...]` of the issuer, in cf->args. NULL after logging. */
ngx_http_sandbox_jwks_t *ngx_http_sandbox_jwks_new(ngx_conf_t *cf, ngx_str_t *issuer);

/* In a worker: starts looking after the set. */
void ngx_http_sandbox_jwks_start(ngx_http_sandbox_jwks_t *jwks, ngx_cycle_t *cycle);

/* Takes a new generation over, and drops a set that has become too old. True when the keys changed. */
ngx_flag_t ngx_http_sandbox_jwks_sync(ngx_http_sandbox_jwks_t *jwks);

/* This worker's keys, until the next sync; NULL when none were ever seen, or the last are too old. */
const struct ngx_sandbox_keys *ngx_http_sandbox_jwks_keys(ngx_http_sandbox_jwks_t *jwks);

/* Adds to a digest what decides about a token. 0 or -errno. */
int ngx_http_sandbox_jwks_digest(ngx_http_sandbox_jwks_t *jwks, struct sbx_sha256 *state);

/*
 * From a PREACCESS handler, for a token whose key is not known: starts an early refresh when one is due. NGX_AGAIN: the request is
 * held, and its phases run again when there is something new; the handler returns NGX_AGAIN. NGX_DECLINED: there is
 * nothing to wait for (any more). NGX_ERROR: refuse with 500.
 */
ngx_int_t ngx_http_sandbox_jwks_hold(ngx_http_request_t *r, ngx_http_sandbox_jwks_t *jwks);

/* Seconds until the next try, at least 1: for Retry-After. */
ngx_uint_t ngx_http_sandbox_jwks_retry_after(ngx_http_sandbox_jwks_t *jwks);

/* For the metrics, as of the last sync. */
typedef struct {
    ngx_uint_t n_keys;  /* of the set in force; 0 when there is none */
    ngx_uint_t age_s;   /* since it was last confirmed; 0 when there is none */
    uint64_t fetched;
    uint64_t failed;
} ngx_http_sandbox_jwks_status_t;

void ngx_http_sandbox_jwks_status(ngx_http_sandbox_jwks_t *jwks, ngx_http_sandbox_jwks_status_t *ret);

#pragma GCC visibility pop
