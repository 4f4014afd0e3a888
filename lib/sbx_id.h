/*
 * Ids: "<prefix>_" + 26 characters of Crockford base32 in lower case: 48 bits of
 * Unix milliseconds, 80 bits (the form of a ULID), of which at least 64 are random. Never a capability.
 */
#pragma once

#include "sbx_base.h"

#pragma GCC visibility push(hidden)

#define SBX_ID_RANDOM 10 /* bytes of an id that are random */
#define SBX_ID_LEN 30    /* three letters, '_', 26 */

struct sbx_id {
    char text[SBX_ID_LEN + 1];
};

/*
 * `prefix` has three letters: "job", "ses", "art", "svc", "wfl", "pol", "tpl", "req", "aud". Sorts behind every id that
 * this process made before, by any thread and whatever the clock does: lists are ordered by it within a millisecond.
 */
_must_check_ int sbx_id_new(struct sbx_id *ret, const char *prefix);
/* One of random bytes that the caller got; within a millisecond in no order. */
_must_check_ int sbx_id_from(struct sbx_id *ret, const char *prefix, const uint8_t random[SBX_ID_RANDOM]);
bool sbx_id_valid(const char *text, size_t len, const char *prefix);

#pragma GCC visibility pop
