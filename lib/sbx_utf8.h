/* UTF-8 checks (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). */
#pragma once

#include "sbx_base.h"

#pragma GCC visibility push(hidden)

bool sbx_utf8_valid(const char *data, size_t len);
/* Length in bytes (1-4) of the valid sequence at data, 0 when there is none. */
size_t sbx_utf8_sequence(const char *data, size_t len);
/* Bytes at the end (0-3) that begin a sequence and could still become one. */
size_t sbx_utf8_unfinished(const char *data, size_t len);

#pragma GCC visibility pop
