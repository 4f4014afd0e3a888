/* Clocks and their text. Durations are uint64_t milliseconds everywhere. */
#pragma once

#include "sbx_base.h"

#pragma GCC visibility push(hidden)

#define SBX_RFC3339_LEN 25 /* 2026-01-02T03:04:05.678Z and NUL */

uint64_t sbx_now_unix_ms(void);
uint64_t sbx_now_mono_ms(void);
uint64_t sbx_now_mono_ns(void);
void sbx_rfc3339(char out[SBX_RFC3339_LEN], uint64_t unix_ms);

#pragma GCC visibility pop
