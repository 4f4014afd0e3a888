/* What is known of a policy, in one of its versions: rows of the database and every answer share it. */
#pragma once

#include "executor/store/db.h"
#include "lib/sbx_context.h"
#include "lib/sbx_crypto.h"
#include "lib/sbx_id.h"
#include "lib/sbx_jsonw.h"

#define POLICY_NAME_MAX 128
#define POLICY_DESCRIPTION_MAX 1024
#define POLICY_MESSAGE_MAX 512
#define POLICY_DOCUMENT_MAX (256u << 10)
#define POLICY_TARGETS_MAX 64
#define POLICY_TARGETS_TEXT_MAX ((size_t)POLICY_TARGETS_MAX * (SBX_NAME_MAX + 12))

enum policy_target_kind {
    POLICY_TARGET_TENANT,
    POLICY_TARGET_APP,
    POLICY_TARGET_AGENT,
    POLICY_TARGET_TEMPLATE,
    POLICY_N_TARGET_KINDS
};

struct policy_target {
    enum policy_target_kind kind;
    char name[SBX_NAME_MAX + 1]; /* "" of the tenant */
};

struct policy_record {
    struct sbx_id id;
    char tenant[SBX_NAME_MAX + 1];
    uint32_t version;
    char *name;
    char *description;           /* NULL: none, as the next */
    char *message;               /* of this version */
    char *document;              /* JSON; NULL: not read */
    char sha256[SBX_SHA256_HEX]; /* of the document */
    struct policy_target target[POLICY_TARGETS_MAX];
    unsigned n_targets;
    uint64_t created_ms, updated_ms; /* Unix */
    char updated_by[SBX_SUBJECT_MAX + 1];
};

void policy_record_deinit(struct policy_record *record);
struct policy_record *policy_record_free(struct policy_record *record); /* accepts NULL, returns NULL */
static inline void
policy_record_deinitp(struct policy_record *record)
{
    policy_record_deinit(record);
}
/* A row of enum db_policy_column. The record needs the deinit in any case. */
_must_check_ int policy_record_load(struct policy_record *ret, const char *tenant,
                                    const struct db_result *result, unsigned row);

const char *policy_target_kind_name(enum policy_target_kind kind);
/* "tenant", "app:web", "agent:coder", "template:default". */
_must_check_ bool policy_target_parse(struct policy_target *ret, const char *text, size_t len);
bool policy_target_equal(const struct policy_target *a, const struct policy_target *b);
/* Those of a record as one text, separated by spaces, and back. */
void policy_targets_text(struct sbx_buf *out, const struct policy_record *record);
_must_check_ int policy_targets_load(struct policy_target target[POLICY_TARGETS_MAX], unsigned *ret_n,
                                     const char *text);
/* [{"tenant": true}, {"app": "web"}] */
void policy_targets_write(struct sbx_jsonw *w, const char *key, const struct policy_target *target,
                          unsigned n);
