/* The isolation tiers by name, weakest first: a policy's minimum compares by order. */
#pragma once

#include "sbx_base.h"

#pragma GCC visibility push(hidden)

enum sbx_isolation {
    SBX_ISOLATION_NONE, /* not said */
    SBX_ISOLATION_PROCESS,
    SBX_ISOLATION_GVISOR,
    SBX_N_ISOLATIONS
};

/* "process", "gvisor"; "" for NONE. */
const char *sbx_isolation_name(enum sbx_isolation isolation);
/* NONE when it is no tier's name. */
enum sbx_isolation sbx_isolation_parse(const char *name);
enum sbx_isolation sbx_isolation_stronger(enum sbx_isolation a, enum sbx_isolation b);

#pragma GCC visibility pop
