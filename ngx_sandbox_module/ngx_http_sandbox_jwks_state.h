/* What a set of a URL consists of, for the files that make it. */
#pragma once

#include "ngx_http_sandbox_jwks.h"
#include "ngx_sandbox_fetch.h"

#pragma GCC visibility push(hidden)

#define NGX_HTTP_SANDBOX_JWKS_TEXT_MAX  NGX_SANDBOX_KEY_FILE_MAX

/*
 * Times are ngx_current_msec, the same clock in every process of the host. Texts: the one that is not in force is written,
 * then `generation` says that it is, so that a worker killed in between has changed nothing.
 */
typedef struct {
    ngx_atomic_t generation; /* of the text in force; 0: none. Text `generation & 1`. */
    ngx_atomic_t confirmed;  /* when the set in force was last seen at its URL */
    ngx_atomic_t started;    /* number of the fetch begun last */
    ngx_atomic_t ended;      /* number of the last one that ended */
    ngx_pid_t lease_pid;     /* who fetches; 0: nobody */
    ngx_msec_t lease_until;
    ngx_msec_t next;         /* when the next refresh is due */
    ngx_msec_t early;        /* when an early one may begin */
    ngx_uint_t failures;     /* in a row */
    ngx_atomic_t fetched;
    ngx_atomic_t failed;
    size_t len[2];
    u_char *text[2];
} ngx_http_sandbox_jwks_shared_t;


struct ngx_http_sandbox_jwks_s {
    ngx_str_t issuer;
    ngx_sandbox_fetch_target_t *target;
    ngx_msec_t refresh;
    ngx_msec_t timeout;
    ngx_msec_t cooldown;
    ngx_msec_t stale;

    ngx_http_sandbox_jwks_shared_t *shared;
    ngx_slab_pool_t *shpool;

    /* Of this worker. */
    ngx_event_t timer;
    ngx_sandbox_fetch_t *fetch;
    ngx_uint_t fetch_number;
    ngx_flag_t fetch_is_early;
    struct ngx_sandbox_keys *keys; /* of `generation`; NULL when there are none */
    ngx_atomic_uint_t generation;
    ngx_flag_t usable;
    u_char digest[SBX_SHA256_LEN]; /* of the keys */
    ngx_uint_t n_held;
};

/*
 * Takes the lease when a fetch is due, or, with is_early, when an early one may begin. True when this worker now has to
 * fetch.
 */
ngx_flag_t ngx_http_sandbox_jwks_lease(ngx_http_sandbox_jwks_t *jwks, ngx_flag_t is_early);
/* Fetches; the lease is this worker's. */
void ngx_http_sandbox_jwks_fetch(ngx_http_sandbox_jwks_t *jwks);

#pragma GCC visibility pop
