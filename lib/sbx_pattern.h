/*
 * Regular expressions as JSON Schema has them: the part of ECMA-262 that takes no more time than its length times the text's. What is
 * not of it (references back, looking around, \b, \p) is refused when it is compiled.
 */
#pragma once

#include "sbx_base.h"

#pragma GCC visibility push(hidden)

#define SBX_PATTERN_MAX 512    /* bytes of an expression */
#define SBX_PATTERN_STATES 512 /* it may come to, repetitions written out */

struct sbx_pattern;

enum {
    SBX_PATTERN_E_FORM = 1, /* *why says what of it is not taken */
};

/* Of UTF-8; 0 (sbx_pattern_free later), SBX_PATTERN_E_FORM with constant text, or -ENOMEM. */
_must_check_ int sbx_pattern_compile(struct sbx_pattern **ret, const char *text, size_t len,
                                     const char **why);
struct sbx_pattern *sbx_pattern_free(struct sbx_pattern *pattern); /* accepts NULL, returns NULL */

/* Anywhere in the text, which is UTF-8. Pure, allocates nothing; takes sbx_pattern_cost(len) small steps at most. */
_must_check_ bool sbx_pattern_match(const struct sbx_pattern *pattern, const char *text, size_t len);
size_t sbx_pattern_cost(const struct sbx_pattern *pattern, size_t len);

#pragma GCC visibility pop
