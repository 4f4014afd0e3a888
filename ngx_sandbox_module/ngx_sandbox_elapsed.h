/* Time since a moment that may be of another process. */
#pragma once

#include "lib/sbx_base.h"

#pragma GCC visibility push(hidden)

/*
 * Milliseconds between two values of ngx_current_msec. A worker reads its clock when events wake it, and what another worker
 * wrote since is of a later moment: no time has passed then, and by no means all of it.
 */
static inline uint64_t
ngx_sandbox_elapsed(uint64_t now_ms, uint64_t then_ms)
{
    return now_ms > then_ms ? now_ms - then_ms : 0;
}

#pragma GCC visibility pop
