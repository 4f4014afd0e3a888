/*
 * What runs is held to the policies of now: when one changes, every live job and session is asked about again, a part at a
 * time, and what is forbidden ends and says why. What only counts or keeps (rates, concurrency, budgets, retention) forbids
 * nothing that runs.
 */
#pragma once

#include "executor/core/engine.h"
#include "executor/core/governance.h"
#include "executor/core/sessions.h"

struct enforce;

struct enforce_spec {
    struct timers *timers;
    struct engine *engine; /* borrows, as the next two */
    struct sessions *sessions;
    const struct governance *governance;
};

_must_check_ int enforce_new(struct enforce **ret, const struct enforce_spec *spec);
struct enforce *enforce_free(struct enforce *enforce); /* accepts NULL, returns NULL */
/* A document has changed. */
void enforce_again(struct enforce *enforce);
