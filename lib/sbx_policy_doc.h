/*
 * A policy document compiled, and several of them asked together.
 *
 * A compiled document is one block without pointers: it may be copied with memcpy, lie in shared memory and be read by many.
 * Its lists are sorted tables, so that a decision takes the logarithm of their length and allocates nothing.
 *
 * A view is the documents that hold for one request, each narrowing those before it: numbers are merged when a document is
 * added, and an entry of a list is allowed when every document that has the list allows it. docs/policy.md, "Layers".
 */
#pragma once

#include "sbx_policy.h"

#pragma GCC visibility push(hidden)

#define SBX_POLICY_RULES_MAX 4096     /* entries of all lists of one document */
#define SBX_POLICY_DOC_MAX (1u << 20) /* bytes of a compiled one */
#define SBX_POLICY_LAYERS_MAX 24 /* the operator's four and four of each of tenant, app, agent, template */
#define SBX_POLICY_PER_TARGET_MAX 4

/* The lists of a document. */
enum sbx_rule_kind {
    SBX_RULE_LANGUAGES, /* names */
    SBX_RULE_TEMPLATES,
    SBX_RULE_TOOLS,
    SBX_RULE_PIP,      /* "numpy", {"name": "numpy", "versions": ">=1.20,<2"}, "*" */
    SBX_RULE_NPM,      /* also "@scope/name", "@scope/" and a star */
    SBX_RULE_EGRESS,   /* "api.example.com:443", "*.example.com", "example.com" */
    SBX_RULE_SECRETS,  /* names */
    SBX_RULE_SERVICES, /* ports: 8080, "9000-9100" */
    SBX_N_RULE_KINDS
};

struct sbx_policy_doc;

enum {
    SBX_POLICY_E_FORM = 1, /* *err says where in the document */
};

/* Checks and compiles; 0, SBX_POLICY_E_FORM or -ENOMEM. The caller frees *ret with free(). */
_must_check_ int sbx_policy_doc_compile(struct sbx_policy_doc **ret, const json_t *document,
                                        struct sbx_field_error *err);
size_t sbx_policy_doc_size(const struct sbx_policy_doc *doc);
/* What it says in numbers, id and version. */
const struct sbx_policy *sbx_policy_doc_said(const struct sbx_policy_doc *doc);
/* Gives it the id and version of its record, whatever the document itself says. */
void sbx_policy_doc_name(struct sbx_policy_doc *doc, const char *id, uint32_t version);
/* True when it has something that makes no sense for a template: rates, concurrency, budgets. */
bool sbx_policy_doc_counts(const struct sbx_policy_doc *doc);

/* Borrows its documents: they must stay until the decision was made. */
struct sbx_policy_view {
    struct sbx_policy merged;          /* the numbers; id and version are those of the document added last */
    const struct sbx_policy_doc *base; /* NULL: the built-in floor */
    bool overfull;                     /* a document had no room: nothing is allowed */
    uint8_t n;
    const struct sbx_policy_doc *doc[SBX_POLICY_LAYERS_MAX]; /* those that were added */
};

/* `base` is the operator's default document; NULL: the built-in floor alone. */
void sbx_policy_view_init(struct sbx_policy_view *view, const struct sbx_policy_doc *base);
/* Narrows; false when there are too many documents: then nothing may be allowed. */
_must_check_ bool sbx_policy_view_add(struct sbx_policy_view *view, const struct sbx_policy_doc *doc);
/* Pure; allocates nothing. Borrows from the input what it names in violations until return. */
void sbx_policy_view_decide(const struct sbx_policy_view *view, const struct sbx_policy_input *input,
                            struct sbx_decision *ret);

#pragma GCC visibility pop
