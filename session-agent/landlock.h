/*
 * Landlock: what the payload may do with files, whatever its uid and the mounts allow, and whom it may signal.
 * The last wall before seccomp, and a second one behind most others.
 */
#pragma once

#include "lib/sbx_base.h"

/* For the calling process, which has no_new_privs and is inside a sandbox; async-signal-safe. Does nothing where
 * the kernel offers less than version 2 (5.19), whose first version forbids moving files between directories.
 * terminal: -1, or the one it may open once more, as /dev/stdin; that has no place in any directory. */
_must_check_ int landlock_confine(int terminal);
