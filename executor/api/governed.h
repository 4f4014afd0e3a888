/*
 * The policies in force here, asked again about what the edge has let pass: an edge that lags behind lets nothing pass. What
 * the executor cannot do is refused where it was asked for.
 */
#pragma once

#include "executor/api/call.h"
#include "lib/sbx_policy.h"

/* What it comes to, besides what the body says. Borrows. */
struct governed_ask {
    enum sbx_policy_kind kind;
    const json_t *body;
    const char *language;                     /* NULL: the body's */
    const char *template_name;                /* NULL: the body's */
    uint64_t file_bytes;                      /* of its files, those that the body only names too */
    const struct sbx_limits *limits;          /* effective; NULL: none */
    enum sbx_isolation isolation;             /* NONE: the body's */
    uint64_t session_ms[SBX_N_SESSION_TIMES]; /* 0: the body's */
};

/*
 * Right before it begins: nothing may come between that and the answer. False: answered, and audited when a policy refused.
 * *ret may be NULL; else what was asked, without what it borrowed.
 */
_must_check_ bool governed(struct call *call, const struct governed_ask *ask, struct sbx_policy_input *ret);
