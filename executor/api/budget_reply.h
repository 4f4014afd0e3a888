/* What is left today of the budgets that hold a caller. */
#pragma once

#include "executor/core/budget.h"
#include "lib/sbx_jsonw.h"

struct call;

struct budget_left {
    const char *scope; /* "tenant", "app", "agent" */
    const char *name;  /* of it; "" when the caller has none */
    uint64_t limit_ms, spent_ms, left_ms;
};

/* Of those with a limit; how many there are. */
unsigned budget_left(const struct call *call, struct budget_left ret[SBX_N_SCOPES]);
void budget_reply_write(struct sbx_jsonw *w, const struct call *call);
