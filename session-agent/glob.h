/*
 * Patterns for artifacts: `*`, `?`, `[a-z]`, `[!a-z]` and `\x` inside a component,
 * `**` as a whole component for any number of directories. As in a shell, no
 * wildcard matches a leading period. Matching never recurses, and its time is
 * bounded by the product of the two lengths: patterns come from outside.
 */
#pragma once

#include "lib/sbx_base.h"

#define GLOB_MAX_LEN 512u

/* NULL when fine, else what is wrong with the pattern. */
const char *glob_refusal(const char *pattern, size_t len);
/* `path` is relative, without empty or dot components. */
bool glob_match(const char *pattern, const char *path);
/* Whether anything below the directory could match. */
bool glob_may_descend(const char *pattern, const char *dir);
bool glob_is_literal(const char *pattern);
