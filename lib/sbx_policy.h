/*
 * What a policy says in numbers, what a request asks for, and what is decided. The evaluator itself is
 * sbx_policy_doc.h: documents in, decision out, pure; used by the edge and again by the executor.
 *
 * Document (policies/policy.schema.json):
 * {
 *   "version": 3, "id": "pol_...",             // id optional: then the file's name
 *   "limits": { "memory": {"default": "256Mi", "max": "1Gi"}, ... all keys of sbx_limits },
 *   "languages": ["python", "javascript", "bash"],
 *   "templates": ["default"],
 *   "isolation": {"minimum": "gvisor", "default": "gvisor"},
 *   "env": { "max": 64 }, "files": {"max": 64, "max_bytes": "8Mi"},
 *   "artifacts": {"max": 64, "max_bytes": "16Mi", "total_bytes": "10Gi"},
 *   "uploads": {"max_bytes": "2Gi"}, "retention": {"records": "168h", "artifacts": "720h"},
 *   "sessions": {"max": 16, "max_lifetime": "24h", "ttl": {"default": "30m", "max": "24h"},
 *                "idle_timeout": {..}, "step_timeout": {..}, "cpu_time": {..}},
 *   "max_wait": "60s",
 *   "rates": { "tenant": {"rate": "100/s", "burst": 200}, "app": .., "agent": .., "routes": {"jobs.create": {...}},
 *              "tools": {"run_code": {...}} },
 *   "concurrency": {"tenant": 100, "app": 50, "agent": 20, "routes": {"jobs.create": 4}, "tools": {"run_code": 4}},
 *   "budgets": {"tenant": {"cpu_per_day": "10h"}, "app": .., "agent": ..},
 *   "tools": ["run_code"], "secrets": ["NAME"], "egress": ["api.example.com:443", "*.example.org"],
 *   "dependencies": {"pip": ["numpy", {"name": "scipy", "versions": ">=1.10,<2"}], "npm": ["@scope/name"]},
 *   "services": {"ports": [8080, "9000-9100"], "max": 4}
 * }
 * The lists are not here but in the tables of a compiled document (sbx_policy_doc.h).
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
#define SBX_POLICY_MAX_ROUTES 16
#define SBX_POLICY_MAX_TOOLS 16
#define SBX_POLICY_MAX_ITEMS 64     /* entries of one list of a request */
#define SBX_POLICY_MAX_ITEM_LEN 256 /* bytes of one */
#define SBX_POLICY_MAX_VIOLATIONS 16

struct sbx_rate {
    uint32_t per_second_milli; /* tokens per 1000 s: 100/s = 100000; 0 = not set */
    uint32_t burst;            /* bucket size in whole tokens */
};

/* Times of a session, each with a default and a most, in ms. */
enum sbx_session_time {
    SBX_SESSION_TTL,
    SBX_SESSION_IDLE,
    SBX_SESSION_STEP,     /* of one step */
    SBX_SESSION_CPU_TIME, /* of the whole session, where jobs have limits.cpu_time */
    SBX_N_SESSION_TIMES
};

struct sbx_session_policy {
    uint32_t max;                                                         /* UINT32_MAX = not said */
    uint64_t fallback[SBX_N_SESSION_TIMES], longest[SBX_N_SESSION_TIMES]; /* 0 = not said */
    uint64_t max_lifetime_ms;                                             /* 0 = not said */
};

enum sbx_scope { SBX_SCOPE_TENANT, SBX_SCOPE_APP, SBX_SCOPE_AGENT, SBX_N_SCOPES };

struct sbx_named_cap {
    char name[SBX_POLICY_NAME_LEN];
    uint32_t most;
};

/* Flat, no pointers: may live in shared memory and be copied with memcpy. */
struct sbx_policy {
    char id[SBX_POLICY_NAME_LEN];
    uint32_t version;
    struct sbx_limits max, fallback;                          /* value 0 = not said by this layer */
    enum sbx_isolation min_isolation, isolation;              /* isolation: the default; NONE = not said */
    uint32_t max_env, max_files, max_artifacts;               /* UINT32_MAX = not said */
    uint64_t max_file_bytes, max_artifact_bytes, max_wait_ms; /* UINT64_MAX = not said */
    uint64_t max_stored_bytes, max_upload_bytes;              /* UINT64_MAX = not said */
    uint32_t max_services;                                    /* UINT32_MAX = not said */
    uint64_t retention_records_ms, retention_artifacts_ms;    /* 0 = not said */
    uint64_t retention_audit_ms;                              /* 0 = not said: for ever */
    struct sbx_session_policy sessions;
    struct sbx_rate rate[SBX_N_SCOPES];
    uint8_t n_routes;
    struct {
        char route[SBX_POLICY_NAME_LEN];
        struct sbx_rate rate;
    } route[SBX_POLICY_MAX_ROUTES];
    uint8_t n_tools;
    struct {
        char tool[SBX_POLICY_NAME_LEN];
        struct sbx_rate rate;
    } tool[SBX_POLICY_MAX_TOOLS];
    uint32_t concurrency[SBX_N_SCOPES]; /* 0 = not said */
    uint8_t n_route_caps, n_tool_caps;
    struct sbx_named_cap route_cap[SBX_POLICY_MAX_ROUTES]; /* requests at once of one route, of one tool */
    struct sbx_named_cap tool_cap[SBX_POLICY_MAX_TOOLS];
    uint64_t budget_cpu_ms[SBX_N_SCOPES]; /* CPU time of a day (UTC); 0 = not said */
};

/* What a body asks for: which members policy reads of it. docs/policy.md, "Requests". */
enum sbx_policy_kind {
    SBX_POLICY_JOB,     /* POST /v1/jobs */
    SBX_POLICY_SESSION, /* POST /v1/sessions and the like */
    SBX_POLICY_EXTEND,  /* PATCH of a session */
    SBX_POLICY_STEP,    /* a step or a context of a session */
    SBX_POLICY_PROCESS, /* a command in a session: its own timeout is bound by the session's life only */
    SBX_POLICY_TOOL,    /* a tool alone: there is no body, or none that policy reads */
};

/*
 * What a request asks for, as far as policy cares. The lists borrow from the body: it must live until the decision was
 * made. They are arrays whose entries were checked, or NULL.
 */
struct sbx_policy_input {
    enum sbx_policy_kind kind;
    char language[SBX_POLICY_NAME_LEN];      /* canonical name or as sent; "" when only a job must name one */
    char template_name[SBX_POLICY_NAME_LEN]; /* "default" when not sent */
    struct sbx_limits limits;                /* 0 = not asked */
    enum sbx_isolation isolation;            /* NONE = not asked */
    uint32_t n_env, n_files, n_artifacts;
    uint64_t file_bytes; /* decoded size of files[] together */
    uint64_t wait_ms;
    uint64_t session_ms[SBX_N_SESSION_TIMES]; /* 0 = not asked */
    char tool
        [SBX_POLICY_NAME_LEN]; /* as what it is asked for; the caller's to set, a valid name; "" when plainly */
    const json_t *pip, *npm;   /* "numpy==1.26.4", "@scope/name@1.2.3" */
    const json_t *egress;      /* "host:port" */
    const json_t *secrets;     /* names */
    const json_t *services;    /* ports */
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
    struct sbx_violation violation[SBX_POLICY_MAX_VIOLATIONS]; /* only so many are set */
    struct sbx_limits limits; /* effective limits; of a job or session that is allowed every value is set */
    uint32_t max_artifacts;
    uint64_t max_artifact_bytes;
    enum sbx_isolation isolation;     /* asked for, else the policy's; NONE: the executor's template says */
    enum sbx_isolation min_isolation; /* the job must not run in a weaker one; NONE: any */
};

/* [A-Za-z0-9_.+-]{1,63}: languages, templates, routes. */
bool sbx_policy_name_valid(const char *text, size_t len);

/* The built-in floor under every document: what holds where no document says anything. */
void sbx_policy_builtin(struct sbx_policy *ret);
/*
 * Extracts the input from a request's body; false with *err when a field that policy reads has a wrong shape.
 * Of SBX_POLICY_TOOL the body may be NULL. Borrows the body's lists.
 */
_must_check_ bool sbx_policy_input_from_json(struct sbx_policy_input *ret, enum sbx_policy_kind kind,
                                             const json_t *body, struct sbx_field_error *err);
/* The language of a session that names none. */
#define SBX_SESSION_LANGUAGE "python"
/* "ttl", "idle_timeout", "step_timeout", "cpu_time": in documents, requests and rules. */
const char *sbx_session_time_key(enum sbx_session_time time);
/* "isolation.minimum": the tier that was asked for is weaker than the policy's minimum. */
void sbx_violation_isolation(struct sbx_violation *ret, enum sbx_isolation minimum, enum sbx_isolation asked);
/* As a document has it, in JSON, cut to `size`: "5/s", "30/m"; the least number that stands for this rate. */
void sbx_rate_text(char *out, size_t size, const struct sbx_rate *rate);
/* Writes "violations": [...] */
void sbx_violations_write(struct sbx_jsonw *w, const struct sbx_violation *violation, unsigned n);
/* "node" -> "javascript", "sh" and "shell" -> "bash"; others as they are. */
const char *sbx_language_canonical(const char *name);

#pragma GCC visibility pop
