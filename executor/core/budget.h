/*
 * CPU time of today (UTC) by tenant, app and agent: what is on record, and what runs has used so far. Kept in memory for
 * the answer at admission; the day's rows fill it at the start.
 */
#pragma once

#include "lib/sbx_context.h"
#include "lib/sbx_list.h"

struct budgets;
struct budget_account;
struct db;

/* Embedded in what runs. Zeroed: it uses nothing. */
struct budget_use {
    struct budgets *budgets;
    struct budget_account *account[SBX_N_SCOPES];
    uint64_t live_ms;
};

struct budget_name {
    const char *tenant, *app, *agent;
};

/* One that is used up. */
struct budget_excess {
    enum sbx_scope scope;
    uint64_t limit_ms, spent_ms;
};

/* now_ms: the clock, Unix. */
_must_check_ int budgets_new(struct budgets **ret, uint64_t (*now_ms)(void));
/* Every use must have ended. Accepts NULL, returns NULL. */
struct budgets *budgets_free(struct budgets *budgets);
/* Adds what the store has of today; done: 0 or -errno. Once, before anything runs. */
_must_check_ int budgets_load(struct budgets *budgets, struct db *db, void (*done)(void *arg, int rc),
                              void *arg);
/* Something begins to use. Without memory it counts for nobody, and the start fails. */
_must_check_ int budget_use_begin(struct budget_use *use, struct budgets *budgets,
                                  const struct budget_name *name);
/* So much so far, of which nothing is on record. */
void budget_use_live(struct budget_use *use, uint64_t cpu_ms);
/* So much goes on record now, and was live before as far as it was known. */
void budget_use_record(struct budget_use *use, uint64_t cpu_ms);
/* It is over; what was live and not recorded is forgotten. Legal for one that never began. */
void budget_use_end(struct budget_use *use);
/* Of today, on record and live. */
uint64_t budgets_spent(struct budgets *budgets, const struct budget_name *name, enum sbx_scope scope);
/* True when one of the limits (0: none) is reached; the widest of them is told. */
_must_check_ bool budgets_exhausted(struct budgets *budgets, const struct budget_name *name,
                                    const uint64_t limit_ms[SBX_N_SCOPES], struct budget_excess *ret);
/* To the next midnight, UTC: 1 to 86400. */
unsigned budgets_reset_s(const struct budgets *budgets);
