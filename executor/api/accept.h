/* The Accept header (RFC 9110, 12.5.1), as far as choosing between two media types needs it. */
#pragma once

#include "lib/sbx_base.h"

/*
 * Whether a client with this Accept (NULL: it said nothing) would rather have `wanted` than `usual`. Equal weights
 * go to whom is named more exactly, then to the usual. What is malformed names nothing.
 */
bool accept_prefers(const char *accept, const char *wanted, const char *usual);
