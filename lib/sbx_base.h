/*
 * Attributes and the error convention every component shares.
 *
 * A fallible function returns 0, a positive condition of its own header
 * (<NOUN>_E_<WHY>, handled by the direct caller, never forwarded), or a
 * negative errno: fatal, passed up unread.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define _must_check_ __attribute__((warn_unused_result))
#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _unused_ __attribute__((unused))

#define SBX_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Moves a pointer out of a _cleanup_ variable: yields it, leaves NULL behind. */
#define steal(ptr)                                                                                           \
    __extension__({                                                                                          \
        __typeof__(*(ptr)) stolen_ = *(ptr);                                                                 \
        *(ptr) = NULL;                                                                                       \
        stolen_;                                                                                             \
    })
