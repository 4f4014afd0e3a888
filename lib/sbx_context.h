/*
 * The identity context: what the edge decided about a request, signed, in one
 * header  Sandbox-Context: v1.<base64url JSON>.<base64url HMAC-SHA-256>
 * over the bytes before the last dot. Lives 60 s.
 */
#pragma once

#include "sbx_isolation.h"
#include "sbx_limits.h"
#include "sbx_policy.h"

#pragma GCC visibility push(hidden)

#define SBX_CONTEXT_HEADER "Sandbox-Context"
#define SBX_CONTEXT_LIFE_MS 60000u
#define SBX_CONTEXT_SKEW_MS 5000u
#define SBX_CONTEXT_MAX 8192
#define SBX_CONTEXT_KEY_MIN 32
#define SBX_NAME_MAX 64     /* tenant, app, agent: [A-Za-z0-9_.-]{1,64} */
#define SBX_SUBJECT_MAX 128 /* printable ASCII without '"' and '\' */
#define SBX_TRACE_RANDOM 24 /* bytes that a new trace takes */
#define SBX_SCOPES_MAX 512  /* space separated */

enum {
    SBX_CONTEXT_E_FORM = 1, /* not v1.x.y, not JSON, missing or malformed member */
    SBX_CONTEXT_E_MAC,
    SBX_CONTEXT_E_TIME, /* expired or from the future */
};

struct sbx_context {
    char request_id[SBX_NAME_MAX + 1];
    char traceparent[56];
    char tenant[SBX_NAME_MAX + 1];
    char app[SBX_NAME_MAX + 1];   /* "" when none */
    char agent[SBX_NAME_MAX + 1]; /* "" when none */
    char subject[SBX_SUBJECT_MAX + 1];
    char token_id[SBX_SUBJECT_MAX + 1]; /* jti or "" */
    char scopes[SBX_SCOPES_MAX + 1];
    char client[48]; /* address of the client as the edge saw it */
    char policy_id[SBX_NAME_MAX + 1];
    uint32_t policy_version;
    uint64_t policy_revision;    /* of all that executors told this edge (docs/governance.md); 0: nothing */
    char tool[SBX_NAME_MAX + 1]; /* as what an agent asked for it: "run_code"; "" when plainly */
    bool bypass;                 /* AUTHZ_BYPASS was on: audited */
    bool gateway;    /* the edge asks for itself, never for a client: the internal routes, and only these */
    bool has_limits; /* false on routes that create nothing */
    struct sbx_limits limits;
    enum sbx_isolation isolation;     /* for a job whose body asks for none; NONE: the template's */
    enum sbx_isolation min_isolation; /* no job of this request runs in a weaker one; NONE: any */
    uint32_t max_artifacts;
    uint64_t max_artifact_bytes;
    uint64_t max_wait_ms;
    uint32_t tenant_concurrency; /* policy's cap for the executor's queue, 0 = none */
    /* Of the policy, on every route: what a session gets that asks for nothing, and the most it may have. */
    uint32_t max_sessions; /* of the tenant at once; 0 = none */
    uint64_t ttl_ms, max_ttl_ms;
    uint64_t idle_ms, max_idle_ms;
    uint64_t step_timeout_ms, max_step_timeout_ms;
    uint64_t max_lifetime_ms;  /* from its start, whatever extends it */
    uint64_t max_upload_bytes; /* one file or artifact that is sent up */
    uint64_t max_stored_bytes; /* artifacts of the tenant together */
    uint64_t retention_records_ms, retention_artifacts_ms, retention_audit_ms; /* audit 0: for ever */
    /* CPU time per day (UTC) of the tenant, its app and its agent; 0: any. By enum sbx_scope. */
    uint64_t budget_cpu_ms[SBX_N_SCOPES];
    uint64_t issued_ms; /* Unix ms */
};

/* Appends the header's value to out; sticky failure there. Returns 0 or -errno. */
_must_check_ int sbx_context_sign(struct sbx_buf *out, const struct sbx_context *context, const void *key,
                                  size_t key_len);
/*
 * The same, for who signs often under one key: what contexts of one identity and policy have in common is written and
 * read by the MAC once, as long as it is among those used last. Not for two threads at once. The key's bytes need not stay.
 */
struct sbx_context_signer;
_must_check_ int sbx_context_signer_new(struct sbx_context_signer **ret, const void *key, size_t key_len);
_must_check_ int sbx_context_signer_sign(struct sbx_context_signer *signer, struct sbx_buf *out,
                                         const struct sbx_context *context);
struct sbx_context_signer *sbx_context_signer_free(struct sbx_context_signer *signer);
/* A key, read by the MAC once; -EINVAL when it is short. Not for two threads at once. The key's bytes need not stay. */
struct sbx_context_verifier;
_must_check_ int sbx_context_verifier_new(struct sbx_context_verifier **ret, const void *key, size_t key_len);
struct sbx_context_verifier *sbx_context_verifier_free(struct sbx_context_verifier *verifier);
/* Checks form, MAC (constant time) and age at now_ms; fills *ret only on 0. */
_must_check_ int sbx_context_verify(struct sbx_context *ret, struct sbx_context_verifier *verifier,
                                    const char *value, size_t len, uint64_t now_ms);
bool sbx_name_valid(const char *text, size_t len);
/* W3C Trace Context: 00-<32 hex>-<16 hex>-<2 hex>, ids not all zero. */
bool sbx_traceparent_valid(const char *text, size_t len);
/* Same trace with a new parent id when *in is valid, else a new sampled trace. out[56]. */
_must_check_ int sbx_traceparent_child(char out[56], const char *in, size_t in_len);
/* The same of random bytes that the caller got. */
void sbx_traceparent_from(char out[56], const char *in, size_t in_len,
                          const uint8_t random[SBX_TRACE_RANDOM]);

#pragma GCC visibility pop
