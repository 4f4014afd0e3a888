/*
 * Reads an answer of the executors' feed: what changed in policies and revocations. Knows no nginx. docs/governance.md, "The feed".
 */
#pragma once

#include "lib/sbx_context.h"
#include "lib/sbx_policy_doc.h"

#pragma GCC visibility push(hidden)

#define NGX_SANDBOX_FEED_BODY_MAX (6u << 20)
#define NGX_SANDBOX_FEED_CHANGES_MAX 256
#define NGX_SANDBOX_FEED_TARGETS_MAX 64
#define NGX_SANDBOX_FEED_INSTANCE 32

enum {
    NGX_SANDBOX_FEED_E_FORM = 1, /* *err says where */
};

enum ngx_sandbox_target_kind {
    NGX_SANDBOX_TARGET_TENANT,
    NGX_SANDBOX_TARGET_APP,
    NGX_SANDBOX_TARGET_AGENT,
    NGX_SANDBOX_TARGET_TEMPLATE,
    NGX_SANDBOX_N_TARGETS
};

struct ngx_sandbox_target {
    enum ngx_sandbox_target_kind kind;
    char name[SBX_NAME_MAX + 1]; /* "" of the tenant itself */
};

enum ngx_sandbox_revoked_kind {
    NGX_SANDBOX_REVOKED_TOKEN,
    NGX_SANDBOX_REVOKED_SUBJECT,
    NGX_SANDBOX_REVOKED_ALL
};

enum ngx_sandbox_change_kind {
    NGX_SANDBOX_POLICY_SET,
    NGX_SANDBOX_POLICY_DELETED,
    NGX_SANDBOX_REVOCATION_SET,
    NGX_SANDBOX_REVOCATION_DELETED,
};

struct ngx_sandbox_change {
    enum ngx_sandbox_change_kind kind;
    uint64_t revision;
    char tenant[SBX_NAME_MAX + 1];
    char id[SBX_NAME_MAX + 1];
    /* Of a policy. doc is NULL when this gateway cannot read the document: then nobody knows what its targets may do. */
    uint32_t version;
    struct sbx_policy_doc *doc;
    struct ngx_sandbox_target *target;
    unsigned n_targets;
    struct sbx_field_error why; /* of a document that cannot be read */
    /* Of a revocation. */
    enum ngx_sandbox_revoked_kind revoked;
    char value[SBX_SUBJECT_MAX + 1]; /* token id or subject */
    uint64_t issued_before_s;
    uint64_t expires_s;
};

struct ngx_sandbox_feed {
    char instance[NGX_SANDBOX_FEED_INSTANCE + 1];
    uint64_t revision; /* to go on from */
    bool complete;
    bool reset;
    unsigned n_changes;
    struct ngx_sandbox_change change[];
};

/*
 * 0 and *ret (caller frees), NGX_SANDBOX_FEED_E_FORM, or -ENOMEM. `after` is what was asked with: revisions must go up from there. All of it
 * is refused when any of it is wrong, but a document that does not compile is only marked.
 */
_must_check_ int ngx_sandbox_feed_read(struct ngx_sandbox_feed **ret, const char *text, size_t len,
                                       uint64_t after, struct sbx_field_error *err);
/* NULL. */
struct ngx_sandbox_feed *ngx_sandbox_feed_free(struct ngx_sandbox_feed *feed);

#pragma GCC visibility pop
