/*
 * Clocks that count from the sandbox's birth: the host's uptime tells one host from another and when it was
 * patched.
 */
#pragma once

#include "lib/sbx_base.h"

enum { CLOCKS_E_NONE = 1 }; /* this kernel has no time namespaces */

/* What the kernel is told of them. */
struct clocks {
    char text[80];
};

/* Now is to be their zero. For whoever makes the child: to write numbers is a dozen page faults for a process that is new. */
_must_check_ int clocks_look(struct clocks *ret);
/*
 * For root of a user namespace. The clocks are those of children, and of this process from its exec on (before
 * 6.0 of children alone). Leaves the process not dumpable. Async-signal-safe.
 */
_must_check_ int clocks_reset(const struct clocks *clocks);
