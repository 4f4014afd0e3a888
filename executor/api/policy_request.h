/* The bodies of what is asked of policies: shape here, and the document's by lib. Nothing is looked up. */
#pragma once

#include "executor/core/policy_record.h"
#include "lib/sbx_json.h"

enum policy_request_kind {
    POLICY_REQUEST_WHOLE,    /* name description? document applies_to? message? */
    POLICY_REQUEST_TARGETS,  /* applies_to message? */
    POLICY_REQUEST_ROLLBACK, /* version message? */
};

struct policy_request {
    json_t *body;                             /* owns the rest */
    const char *name, *description, *message; /* NULL: not said */
    json_t *document;
    struct policy_target target[POLICY_TARGETS_MAX];
    unsigned n_targets;
    uint32_t version;
};

/* 0, 400 when it is no JSON, 422 (err is set) or a negative errno. The request needs the deinit in any case. */
_must_check_ int policy_request_parse(struct policy_request *ret, enum policy_request_kind kind,
                                      const char *text, size_t len, struct sbx_field_error *err);
void policy_request_deinit(struct policy_request *request);
static inline void
policy_request_deinitp(struct policy_request *request)
{
    policy_request_deinit(request);
}

/*
 * Gives the record the document as it is stored: with the record's own id and version, members sorted, without white
 * space; and its digest. What it applies to must be in the record. Changes `document`. 0, 422 or a negative errno.
 */
_must_check_ int policy_request_document(struct policy_record *record, json_t *document,
                                         struct sbx_field_error *err);
