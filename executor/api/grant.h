/* What a request that creates something may have: names that exist here, limits and tiers that the policy granted. */
#pragma once

#include "executor/api/call.h"

#define GRANT_MAX_MORE 4

/* Makes call->spec's language canonical; false: answered. */
_must_check_ bool grant_names(struct call *call);
/*
 * Settles call->limits and call->isolation out of call->spec, within what the edge's policy granted; false: answered,
 * and audited. `more` are violations that the caller found, n of at most GRANT_MAX_MORE.
 */
_must_check_ bool grant_check(struct call *call, const struct sbx_violation *more, unsigned n);
/* False when a budget of the context is used up: answered 429, and audited. Asked when something new is about to begin, not for an answer of before. */
_must_check_ bool grant_budget(struct call *call);
/* A duration that is more than it may be. */
void grant_violation(struct sbx_violation *ret, const char *rule, uint64_t most_ms, uint64_t asked_ms);
/* Answers 403 with what was violated, and writes it to the audit chain. */
void grant_refuse(struct call *call, const struct sbx_violation *violations, unsigned n);
