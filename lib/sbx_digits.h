/* Numbers as text where printf would be the dearest thing on the way: each request writes some dozens. */
#pragma once

#include <stdint.h>

#define SBX_DIGITS_MAX 20 /* of 64 bits */

/* Decimal digits that end right before `end`; returns the first. */
static inline char *
sbx_digits_before(char *end, uint64_t value)
{
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return end;
}
