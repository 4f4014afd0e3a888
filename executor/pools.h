/* The pools that the configuration asks for, over the runtimes of their tiers. */
#pragma once

#include "executor/config.h"
#include "executor/core/runner.h"
#include "executor/runtime/registry.h"

struct pools {
    struct pool_share *share;
    struct config_pool shapes[CONFIG_MAX_POOLS];
    unsigned n_shapes;
    struct runner_pool pools[CONFIG_MAX_POOLS];
    unsigned n_pools;
};

struct pools_spec {
    const struct config *config; /* borrows, as the pools do */
    const struct registry *languages;
    struct runtime *const *runtimes; /* by tier */
    struct timers *timers;
    /* Whether anything of a tenant's runs. */
    bool (*busy)(void *arg);
    void *busy_arg;
};

/* False, and logged: a key names a language that there is not, or one twice. */
bool pools_check(const struct config *config, const struct registry *languages);
/* Fills shapes, which say which runtimes are needed. */
void pools_shape(struct pools *pools, const struct config *config);
/* How many may wait for sandboxes of a tier at once, so that as many as can be are always being made. */
unsigned pools_max_taking(const struct config *config);
/* After pools_shape; pools_close is legal after a failure. */
_must_check_ int pools_open(struct pools *pools, const struct pools_spec *spec);
void pools_close(struct pools *pools);
