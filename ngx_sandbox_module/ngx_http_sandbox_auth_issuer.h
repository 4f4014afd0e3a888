/* Issuers of tokens, each with its keys, its tenants and its rules: what `sandbox_issuer` blocks say. */
#pragma once

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_sandbox_jwks.h"
#include "ngx_sandbox_jwt.h"

#pragma GCC visibility push(hidden)

#define NGX_HTTP_SANDBOX_AUTH_ISSUERS_MAX  16
#define NGX_HTTP_SANDBOX_AUTH_TENANTS_MAX  4096

typedef struct {
    ngx_str_t name; /* what `iss` must equal; NUL-terminated */
    struct ngx_sandbox_keys *keys; /* of files; NULL when there are none */
    ngx_http_sandbox_jwks_t *jwks; /* of a URL; NULL when there is none */
    unsigned algs;                 /* bit set of enum ngx_sandbox_alg; 0: not said */
    ngx_array_t *audiences;        /* const char *; NULL: not said */
    const char *claim[NGX_SANDBOX_N_CLAIMS]; /* NULL: not said */
    ngx_array_t *tenants;          /* const char *, sorted; NULL: any */
    ngx_array_t *act_for;          /* const char *, sorted: clients that may act for its tenants; NULL: none */
    const char *service_claim;
    const char *service_value;
    u_char digest[SBX_SHA256_LEN]; /* of all of this but the URL's keys */
    unsigned says_tenants:1;
} ngx_http_sandbox_auth_issuer_t;

/* sandbox_issuer name { ... }: adds to the ngx_array_t * at cmd->offset. */
char *ngx_http_sandbox_auth_issuer_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* The one of that name; NULL when there is none, or no issuer at all (NULL). */
ngx_http_sandbox_auth_issuer_t *ngx_http_sandbox_auth_issuer_find(ngx_array_t *issuers, const char *name);

/*
 * The rules for its tokens where `rules` are the location's: its keys take their place, its audiences and claims where it
 * says any, and of algorithms what both allow.
 */
void ngx_http_sandbox_auth_issuer_rules(struct ngx_sandbox_jwt_rules *ret, ngx_http_sandbox_auth_issuer_t *issuer,
    const struct ngx_sandbox_jwt_rules *rules);

/* Adds to a digest what now decides about tokens of the issuers. 0 or -errno. */
int ngx_http_sandbox_auth_issuers_digest(struct sbx_sha256 *state, ngx_array_t *issuers);

#pragma GCC visibility pop
