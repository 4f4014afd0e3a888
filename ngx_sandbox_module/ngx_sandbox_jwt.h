/*
 * Verifies a token and reads the identity out of it. The header is parsed strictly here,
 * before any library sees the token: the algorithm must belong to the type of a configured
 * key that the kid names, so the token's word selects nothing.
 */
#pragma once

#include "ngx_sandbox_keys.h"
#include "lib/sbx_context.h"

#pragma GCC visibility push(hidden)

#define NGX_SANDBOX_TOKEN_MAX 8192
#define NGX_SANDBOX_JWT_LEEWAY_MAX 60
#define NGX_SANDBOX_JWT_NAMES_MAX 8
#define NGX_SANDBOX_ISSUER_MAX 512

enum {
    JWT_E_INVALID = 1, /* whatever is wrong with the token; the reason is for our log only */
    JWT_E_KEY,         /* the same, and a key that is not known here might have helped */
};

enum ngx_sandbox_claim {
    NGX_SANDBOX_CLAIM_TENANT,
    NGX_SANDBOX_CLAIM_APP,
    NGX_SANDBOX_CLAIM_AGENT,
    NGX_SANDBOX_CLAIM_SUBJECT,
    NGX_SANDBOX_CLAIM_SCOPES,
    NGX_SANDBOX_N_CLAIMS
};

/* What a token must say. Everything is borrowed for the time of a call. */
struct ngx_sandbox_jwt_rules {
    const struct ngx_sandbox_keys *keys;
    const struct ngx_sandbox_keys *more;           /* tried after these; NULL: none */
    unsigned algs;                                 /* bit set of enum ngx_sandbox_alg */
    const char *issuer[NGX_SANDBOX_JWT_NAMES_MAX]; /* one of them, byte-equal; none: any */
    unsigned n_issuers;
    const char *audience[NGX_SANDBOX_JWT_NAMES_MAX]; /* one of them among the token's; none: any */
    unsigned n_audiences;
    uint64_t leeway_s;
    uint64_t max_age_s;                      /* exp - iat at most; 0: any, and iat may be absent */
    const char *claim[NGX_SANDBOX_N_CLAIMS]; /* member's name, or a dotted path to it */
    const char *const *tenant;               /* sorted by strcmp: the tenants it may name; NULL: any */
    unsigned n_tenants;
    bool has_services;         /* a service's token is known as one */
    const char *service_claim; /* besides RFC 9068's sub == client_id; NULL: nothing */
    const char *service_value; /* NULL: any but false */
};

/* Flat, no pointers: kept in shared memory. "" is absent; tenant and subject never are. */
struct ngx_sandbox_identity {
    char tenant[SBX_NAME_MAX + 1];
    char app[SBX_NAME_MAX + 1];
    char agent[SBX_NAME_MAX + 1];
    char subject[SBX_SUBJECT_MAX + 1];
    char token_id[SBX_SUBJECT_MAX + 1];
    char scopes[SBX_SCOPES_MAX + 1]; /* separated by one space */
    char client[SBX_NAME_MAX + 1];   /* the service that speaks for itself; "" for a user */
    uint64_t issued_s;               /* 0: not said */
    uint64_t not_before_s;
    uint64_t expires_s;
    unsigned issuer; /* the caller's own: which one vouched for it */
};

/*
 * 0 and *ret, JWT_E_INVALID or JWT_E_KEY and a constant phrase in *ret_why (for the log, no token bytes
 * in it), or -errno.
 */
_must_check_ int ngx_sandbox_jwt_verify(struct ngx_sandbox_identity *ret, const char *token, size_t len,
                                        const struct ngx_sandbox_jwt_rules *rules, uint64_t now_s,
                                        const char **ret_why);
/*
 * The issuer a token names, unverified, to choose the keys it is verified with: "" when it names none, or one that is
 * longer than any of ours. 0, JWT_E_INVALID when it is no token, or -errno.
 */
_must_check_ int ngx_sandbox_jwt_issuer(char ret[NGX_SANDBOX_ISSUER_MAX + 1], const char *token, size_t len);
/* Whether an identity verified earlier still holds at now_s. */
bool ngx_sandbox_identity_current(const struct ngx_sandbox_identity *identity, uint64_t leeway_s,
                                  uint64_t now_s);
/* Whether `scope` is one of the space separated scopes. */
bool ngx_sandbox_scope_in(const char *scopes, const char *scope, size_t len);
/* The same, where `admin` stands for every scope of policies, revocations, audit and usage. */
bool ngx_sandbox_scope_granted(const char *scopes, const char *scope, size_t len);
/* Takes `admin` and all scopes of administration out, in place. */
void ngx_sandbox_scopes_plain(char *scopes);
/* Whether it is among the sorted names; always when there is no list (NULL). */
bool ngx_sandbox_tenant_in(const char *const *tenants, unsigned n, const char *tenant);
/* tenant, app, agent: sbx_name_valid and not starting with a dot (they become parts of paths). */
bool ngx_sandbox_identity_name_valid(const char *text, size_t len);

#pragma GCC visibility pop
