/*
 * The identity context: what the edge decided about a request, signed, in one
 * header  Sandbox-Context: v1.<base64url JSON>.<base64url HMAC-SHA-256>
 * over the bytes before the last dot. Lives 60 s.
 */
#pragma once

#include "sbx_isolation.h"
#include "sbx_limits.h"

#pragma GCC visibility push(hidden)

#define SBX_CONTEXT_HEADER "Sandbox-Context"
#define SBX_CONTEXT_LIFE_MS 60000u
#define SBX_CONTEXT_SKEW_MS 5000u
#define SBX_CONTEXT_MAX 8192
#define SBX_CONTEXT_KEY_MIN 32
#define SBX_NAME_MAX 64     /* tenant, app, agent: [A-Za-z0-9_.-]{1,64} */
#define SBX_SUBJECT_MAX 128 /* printable ASCII without '"' and '\' */
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
    bool bypass;     /* AUTHZ_BYPASS was on: audited */
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
    uint64_t retention_records_ms, retention_artifacts_ms;
    uint64_t issued_ms; /* Unix ms */
};

/* Appends the header's value to out; sticky failure there. Returns 0 or -errno. */
_must_check_ int sbx_context_sign(struct sbx_buf *out, const struct sbx_context *context, const void *key,
                                  size_t key_len);
/* Checks form, MAC (constant time) and age at now_ms; fills *ret only on 0. */
_must_check_ int sbx_context_verify(struct sbx_context *ret, const char *value, size_t len, const void *key,
                                    size_t key_len, uint64_t now_ms);
bool sbx_name_valid(const char *text, size_t len);
/* W3C Trace Context: 00-<32 hex>-<16 hex>-<2 hex>, ids not all zero. */
bool sbx_traceparent_valid(const char *text, size_t len);
/* Same trace with a new parent id when *in is valid, else a new sampled trace. out[56]. */
_must_check_ int sbx_traceparent_child(char out[56], const char *in, size_t in_len);

#pragma GCC visibility pop
