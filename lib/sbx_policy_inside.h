/* What the files of the evaluator share. Nobody else includes it. */
#pragma once

#include "sbx_policy_doc.h"

#pragma GCC visibility push(hidden)

#define SBX_RULE_KEY_MAX SBX_POLICY_MAX_ITEM_LEN
#define SBX_VERSION_PARTS 6
#define SBX_VERSION_BOUNDS 8
#define SBX_POLICY_SUFFIX_LABELS 8 /* of what a star stands before: as many look-ups take a host */

struct sbx_version {
    uint8_t n;
    uint32_t part[SBX_VERSION_PARTS];
};

enum sbx_version_op { SBX_OP_EQ, SBX_OP_NE, SBX_OP_GE, SBX_OP_LE, SBX_OP_GT, SBX_OP_LT };

struct sbx_version_bound {
    enum sbx_version_op op;
    struct sbx_version version;
};

/* An entry of a document's list, in the one form in which entries are compared. */
struct sbx_rule {
    char key
        [SBX_RULE_KEY_MAX +
         1]; /* "numpy", "@scope/" and a star, "a.example.com", ".example.com" for all below, "*"; "" of ports */
    size_t key_len;
    uint16_t low, high; /* ports; of egress both the same, 0 for any */
    uint8_t n_bounds;   /* of the version; all must hold */
    struct sbx_version_bound bound[SBX_VERSION_BOUNDS];
};

/* An entry of a request's list, in the same form. */
struct sbx_ask {
    char key[SBX_RULE_KEY_MAX + 1];
    size_t key_len;
    uint16_t port;
    bool pinned; /* to just this version */
    struct sbx_version version;
};

/* False with *err when `item` is no entry of such a list. */
_must_check_ bool sbx_rule_parse(struct sbx_rule *ret, enum sbx_rule_kind kind, const json_t *item,
                                 const char *field, struct sbx_field_error *err);
_must_check_ bool sbx_ask_parse(struct sbx_ask *ret, enum sbx_rule_kind kind, const json_t *item,
                                const char *field, struct sbx_field_error *err);
/* A name of a language, template, tool or secret that was found valid. */
void sbx_ask_name(struct sbx_ask *ret, const char *name);
/* The same as JSON text. */
void sbx_ask_quoted(struct sbx_ask *ret, const char *json);
/* An unpinned request fits only a rule without bounds. */
bool sbx_version_fits(const struct sbx_ask *ask, const struct sbx_version_bound *bound, unsigned n);

/* Has the document the list? Does it allow the entry? */
bool sbx_policy_doc_has(const struct sbx_policy_doc *doc, enum sbx_rule_kind kind);
bool sbx_policy_doc_allows(const struct sbx_policy_doc *doc, enum sbx_rule_kind kind,
                           const struct sbx_ask *ask);
/* Entries in the document's order, for people: JSON text of one of the first SBX_RULES_SHOWN. */
#define SBX_RULES_SHOWN 64u
unsigned sbx_policy_doc_n_rules(const struct sbx_policy_doc *doc, enum sbx_rule_kind kind);
const char *sbx_policy_doc_rule_text(const struct sbx_policy_doc *doc, enum sbx_rule_kind kind, unsigned at);

/* Readers of documents; each names the field in *err. */
bool sbx_policy_members(const json_t *object, const char *path, const char *const *known,
                        struct sbx_field_error *err);
/* An object of the document, if it is there, with no members but the known ones. */
bool sbx_policy_group(const json_t *document, const char *key, const char *const *known, json_t **ret,
                      struct sbx_field_error *err);
bool sbx_policy_count(const json_t *object, const char *path, const char *key, int64_t min, int64_t max,
                      uint32_t *ret, struct sbx_field_error *err);
/* At least a second. */
bool sbx_policy_period(const json_t *object, const char *path, const char *key, uint64_t max_ms,
                       uint64_t *ret_ms, struct sbx_field_error *err);
/* "rates", "concurrency", "budgets" */
bool sbx_policy_caps(struct sbx_policy *policy, const json_t *document, struct sbx_field_error *err);
/* All but the lists. */
_must_check_ bool sbx_policy_numbers(struct sbx_policy *ret, const json_t *document,
                                     struct sbx_field_error *err);

/* Deciding: NULL when there is no room left; the refusal stands all the same. `rule` is ours and short. */
struct sbx_violation *sbx_policy_refuse(struct sbx_decision *decision, const char *rule);
/* A merged policy in which everything has a value; the lists are another's to look at. */
void sbx_policy_decide_numbers(const struct sbx_policy *full, const struct sbx_policy_input *input,
                               struct sbx_decision *decision);
/*
 * The lowest layer: the operator's default document as it is (up to the product's ceilings), with the built-in values
 * where it says nothing. NULL: the built-in values alone.
 */
void sbx_policy_base(struct sbx_policy *ret, const struct sbx_policy *document);
/* Narrows *base by *layer; id and version become the layer's. */
void sbx_policy_narrow(struct sbx_policy *base, const struct sbx_policy *layer);

/* A JSON array as text, in a given room. */
struct sbx_text_list {
    char *out;
    size_t size, len;
    unsigned n;
    bool cut;
};
void sbx_text_list_start(struct sbx_text_list *list, char *out, size_t size);
/* `json` is the text of one JSON value; what has no room is left out and "..." says so. */
void sbx_text_list_add(struct sbx_text_list *list, const char *json, size_t len);
void sbx_text_list_cut(struct sbx_text_list *list);
void sbx_text_list_end(struct sbx_text_list *list);

#pragma GCC visibility pop
