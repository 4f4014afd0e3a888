/* Clocks and their text. Durations are uint64_t milliseconds everywhere. */
#pragma once

#include "sbx_base.h"

#pragma GCC visibility push(hidden)

#define SBX_RFC3339_LEN 25 /* 2026-01-02T03:04:05.678Z and NUL */

uint64_t sbx_now_unix_ms(void);
uint64_t sbx_now_mono_ms(void);
uint64_t sbx_now_mono_ns(void);
void sbx_rfc3339(char out[SBX_RFC3339_LEN], uint64_t unix_ms);
/*
 * The way back: date and time with seconds, a fraction or none (of which milliseconds count) and an offset ("Z", "+02:00");
 * of 1970 to 9999. False when it is anything else. No leap seconds.
 */
_must_check_ bool sbx_rfc3339_parse(const char *text, size_t len, uint64_t *ret_unix_ms);

#pragma GCC visibility pop
