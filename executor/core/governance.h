/*
 * The policy documents in force in this executor, and what they make of a request or of what runs: the operator's, out of
 * policy.dir, and those that tenants made. The same evaluator decides as at the edge, so that an edge which lags behind
 * lets nothing pass. Knows no text: whoever feeds it has compiled the documents.
 */
#pragma once

#include "executor/core/policy_record.h"
#include "lib/sbx_policy_doc.h"

struct governance;

/* Whose request it is. Borrows; "" for none. */
struct governance_who {
    const char *tenant, *app, *agent, *template_name;
};

/* One that is not in force, in the place of the one of this id, or besides all. Borrows. */
struct governance_draft {
    const char *id; /* "": it replaces none */
    const struct policy_target *target;
    unsigned n_targets;
    const struct sbx_policy_doc *doc;
};

enum governance_class {
    GOVERNANCE_OPERATOR_TENANT,
    GOVERNANCE_OPERATOR_APP,
    GOVERNANCE_OPERATOR_AGENT,
    GOVERNANCE_TENANT,
    GOVERNANCE_APP,
    GOVERNANCE_AGENT,
    GOVERNANCE_TEMPLATE,
    GOVERNANCE_N_CLASSES
};

/* Those that hold for somebody, in their order, after the base. Borrow until a document changes. */
struct governance_layers {
    const struct sbx_policy_doc *base;
    bool overfull;
    unsigned n;
    const struct sbx_policy_doc *doc[SBX_POLICY_LAYERS_MAX];
    enum governance_class class[SBX_POLICY_LAYERS_MAX];
};

/* Which document refused, and the rule that did first. */
struct governance_verdict {
    struct sbx_violation violation;
    char policy_id[SBX_POLICY_NAME_LEN];
    uint32_t policy_version;
};

/* Takes base, the operator's default document; NULL: the built-in floor. */
_must_check_ int governance_new(struct governance **ret, struct sbx_policy_doc *base);
struct governance *governance_free(struct governance *governance); /* accepts NULL, returns NULL */
/* The operator's own of a tenant, or of an app or agent of it ("" else). Takes doc on success. */
_must_check_ int governance_add_operator(struct governance *governance, const char *tenant, const char *app,
                                         const char *agent, struct sbx_policy_doc *doc);
/* In force from now on, in the place of its former version. Takes doc on success. */
_must_check_ int governance_put(struct governance *governance, const char *tenant, const char *id,
                                const struct policy_target *target, unsigned n_targets,
                                struct sbx_policy_doc *doc);
void governance_remove(struct governance *governance, const char *tenant, const char *id);
/* NULL: it is not in force. */
const struct sbx_policy_doc *governance_find(const struct governance *governance, const char *tenant,
                                             const char *id, const struct policy_target **ret_target,
                                             unsigned *ret_n);

/* draft NULL: as things are. */
void governance_collect(const struct governance *governance, const struct governance_who *who,
                        const struct governance_draft *draft, struct governance_layers *ret);
void governance_view(const struct governance_layers *layers, struct sbx_policy_view *ret);
/* The first document in their order that refuses it with those before it. Of one that is refused. */
void governance_blame(const struct governance_layers *layers, const struct sbx_policy_input *input,
                      struct governance_verdict *ret);
/* False when a document refuses it; *ret says which. For what runs: the lists that a request brings are not asked. */
bool governance_allows(const struct governance *governance, const struct governance_who *who,
                       const struct sbx_policy_input *input, struct governance_verdict *ret);
