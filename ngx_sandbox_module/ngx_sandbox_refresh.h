/* When to ask a server again: after an answer, and after a failure. */
#pragma once

#include "lib/sbx_base.h"

#pragma GCC visibility push(hidden)

#define NGX_SANDBOX_REFRESH_MIN_MS 60000u
#define NGX_SANDBOX_BACKOFF_FIRST_MS 1000u
#define NGX_SANDBOX_BACKOFF_MAX_MS 300000u

/*
 * How long an answer with this Cache-Control (NULL: none) is good for: its max-age, but no less than a minute and no more
 * than refresh_ms, which also holds where nothing is said.
 */
uint64_t ngx_sandbox_refresh_after(const char *cache_control, uint64_t refresh_ms);

/* Milliseconds until the next try after `failures` (at least 1) in a row: doubled each time, half of it by chance. */
uint64_t ngx_sandbox_backoff(unsigned failures, uint32_t chance);

#pragma GCC visibility pop
