/*
 * The one policy evaluator, pure: documents in, decision out. Used by the edge
 * and again by the executor.
 *
 * Document (policies/policy.schema.json):
 * {
 *   "version": 3, "id": "pol_...",             // id optional: then the file's name
 *   "limits": { "memory": {"default": "256Mi", "max": "1Gi"}, ... all keys of sbx_limits },
 *   "languages": ["python", "javascript", "bash"],
 *   "templates": ["default"],
 *   "isolation": {"minimum": "gvisor", "default": "gvisor"},
 *   "env": { "max": 64 }, "files": {"max": 64, "max_bytes": "8Mi"},
 *   "artifacts": {"max": 64, "max_bytes": "16Mi"},
 *   "max_wait": "60s",
 *   "rates": { "tenant": {"rate": "100/s", "burst": 200}, "app": .., "agent": .., "routes": {"jobs.create": {...}} },
 *   "concurrency": {"tenant": 100, "app": 50, "agent": 20}
 * }
 * Layers are merged default + tenant + app + agent; a later layer can lower a
 * max, remove a list entry, lower a rate or demand a stronger isolation, never
 * the opposite (silently narrowed: the effective value is the minimum / the
 * intersection / the stronger tier).
 */
#pragma once

#include "sbx_isolation.h"
#include "sbx_limits.h"

#pragma GCC visibility push(hidden)

#define SBX_POLICY_NAME_LEN 64
#define SBX_POLICY_MAX_NAMES 32
#define SBX_POLICY_MAX_ROUTES 16
#define SBX_POLICY_MAX_VIOLATIONS 16

struct sbx_rate {
    uint32_t per_second_milli; /* tokens per 1000 s: 100/s = 100000; 0 = not set */
    uint32_t burst;            /* bucket size in whole tokens */
};

enum sbx_scope { SBX_SCOPE_TENANT, SBX_SCOPE_APP, SBX_SCOPE_AGENT, SBX_N_SCOPES };

struct sbx_name_set {
    bool set; /* false: anything goes */
    uint8_t n;
    char name[SBX_POLICY_MAX_NAMES][SBX_POLICY_NAME_LEN];
};

/* Flat, no pointers: may live in shared memory and be copied with memcpy. */
struct sbx_policy {
    char id[SBX_POLICY_NAME_LEN];
    uint32_t version;
    struct sbx_limits max, fallback; /* value 0 = not said by this layer */
    struct sbx_name_set languages, templates;
    enum sbx_isolation min_isolation, isolation;              /* isolation: the default; NONE = not said */
    uint32_t max_env, max_files, max_artifacts;               /* UINT32_MAX = not said */
    uint64_t max_file_bytes, max_artifact_bytes, max_wait_ms; /* UINT64_MAX = not said */
    struct sbx_rate rate[SBX_N_SCOPES];
    uint8_t n_routes;
    struct {
        char route[SBX_POLICY_NAME_LEN];
        struct sbx_rate rate;
    } route[SBX_POLICY_MAX_ROUTES];
    uint32_t concurrency[SBX_N_SCOPES]; /* 0 = not said */
};

/* What a request asks for, as far as policy cares. */
struct sbx_policy_input {
    char language[SBX_POLICY_NAME_LEN];      /* canonical name or as sent */
    char template_name[SBX_POLICY_NAME_LEN]; /* "default" when not sent */
    struct sbx_limits limits;                /* 0 = not asked */
    enum sbx_isolation isolation;            /* NONE = not asked */
    uint32_t n_env, n_files, n_artifacts;
    uint64_t file_bytes; /* decoded size of files[] together */
    uint64_t wait_ms;
};

struct sbx_violation {
    char rule[48];     /* "limits.memory", "languages", "files.max_bytes" ... */
    char limit[96];    /* JSON text of the ceiling */
    char observed[96]; /* JSON text of what was asked */
    char hint[128];    /* what to do */
};

struct sbx_decision {
    bool allowed;
    uint8_t n_violations;
    struct sbx_violation violation[SBX_POLICY_MAX_VIOLATIONS];
    struct sbx_limits limits; /* effective limits of this request; every value set when allowed */
    uint32_t max_artifacts;
    uint64_t max_artifact_bytes;
    enum sbx_isolation isolation;     /* asked for, else the policy's; NONE: the executor's template says */
    enum sbx_isolation min_isolation; /* the job must not run in a weaker one; NONE: any */
};

/* [A-Za-z0-9_.+-]{1,63}: languages, templates, routes. */
bool sbx_policy_name_valid(const char *text, size_t len);
bool sbx_name_set_has(const struct sbx_name_set *set, const char *name);

/* The built-in floor under every document: what holds where no document says anything. */
void sbx_policy_builtin(struct sbx_policy *ret);
/* Reads one document; false with a pointer into it when it does not fit the schema. */
_must_check_ bool sbx_policy_from_json(struct sbx_policy *ret, const json_t *document,
                                       struct sbx_field_error *err);
/*
 * The lowest layer: the operator's default document as it is (up to the product's ceilings), with the built-in
 * values where it says nothing. NULL: the built-in values alone.
 */
void sbx_policy_base(struct sbx_policy *ret, const struct sbx_policy *document);
/* Narrows *base by *layer; id and version become the layer's. */
void sbx_policy_narrow(struct sbx_policy *base, const struct sbx_policy *layer);
/* Extracts the input from a job request's body; false with *err when a field that policy reads has a wrong shape. */
_must_check_ bool sbx_policy_input_from_json(struct sbx_policy_input *ret, const json_t *body,
                                             struct sbx_field_error *err);
/* "isolation.minimum": the tier that was asked for is weaker than the policy's minimum. */
void sbx_violation_isolation(struct sbx_violation *ret, enum sbx_isolation minimum, enum sbx_isolation asked);
void sbx_policy_decide(const struct sbx_policy *policy, const struct sbx_policy_input *input,
                       struct sbx_decision *ret);
/* As a document has it, in JSON, cut to `size`: "5/s", "30/m"; the least number that stands for this rate. */
void sbx_rate_text(char *out, size_t size, const struct sbx_rate *rate);
/* Writes "violations": [...] */
void sbx_violations_write(struct sbx_jsonw *w, const struct sbx_violation *violation, unsigned n);
/* "node" -> "javascript", "sh" and "shell" -> "bash"; others as they are. */
const char *sbx_language_canonical(const char *name);

#pragma GCC visibility pop
