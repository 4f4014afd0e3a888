/* The body of POST /v1/revocations. */
#pragma once

#include "executor/core/revocations.h"
#include "lib/sbx_json.h"

#define REVOCATION_LIFE_MAX_MS (UINT64_C(365) * 86400 * 1000)
#define REVOCATION_SKEW_MS 60000 /* clocks of who issues tokens and ours */

/*
 * Fills what the body says and what follows from it at now_ms; nothing else of *ret. 0, 400 when it is no JSON, 422 (err is
 * set) or a negative errno.
 */
_must_check_ int revocation_request_parse(struct revocation *ret, const char *text, size_t len,
                                          uint64_t now_ms, struct sbx_field_error *err);
