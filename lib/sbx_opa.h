/*
 * What a policy service of the operator's (Open Policy Agent's data API) is asked, and what its answer may say.
 * Pure: who sends it is somebody else. docs/policy.md, "The decision document".
 */
#pragma once

#include "sbx_context.h"
#include "sbx_policy.h"

#pragma GCC visibility push(hidden)

#define SBX_OPA_QUESTION_MAX (256ul * 1024) /* 64 entries of each list, 256 bytes each, all of them escaped */
#define SBX_OPA_ANSWER_MAX (16ul * 1024)
#define SBX_OPA_RULE "opa"
#define SBX_OPA_VIOLATIONS (SBX_POLICY_MAX_VIOLATIONS - 1) /* besides the one that says "opa" */

/* Borrows all of it. `decision` is our own, which allowed the request. */
struct sbx_opa_question {
    const struct sbx_context *context; /* who asks, and by which policy */
    const char *route;                 /* "" when it has no name */
    size_t route_len;
    const struct sbx_policy_input *input;
    const struct sbx_decision *decision;
};

/*
 * Appends {"input": {...}}: the same bytes for the same question, so that a digest of it names the decision. Nothing of it is
 * code, a value of the environment or a file's content. Sticky failure in the buffer.
 */
void sbx_opa_question_write(struct sbx_buf *out, const struct sbx_opa_question *question);

/* Flat: may be kept in shared memory. */
struct sbx_opa_answer {
    bool allowed;
    uint8_t n_violations; /* of an answer that allows: 0 */
    struct sbx_violation violation[SBX_OPA_VIOLATIONS];
    struct sbx_limits limits; /* 0 = not said; may be more than what holds: take the smaller */
};

enum {
    SBX_OPA_E_FORM = 1, /* no decision can be read from it: deny */
};

/*
 * Reads {"result": {"allow": bool, "violations": [...], "limits": {...}}}. 0, SBX_OPA_E_FORM with *ret_why, a constant sentence
 * without a byte of the answer, or -ENOMEM. An answer that allows and names violations denies. Entries of violations that have
 * no rule of [a-z_]+(\.[a-z0-9._-]+)? and at most 47, and those past the room, are left out.
 */
_must_check_ int sbx_opa_answer_read(struct sbx_opa_answer *ret, const char *text, size_t len,
                                     const char **ret_why);

#pragma GCC visibility pop
