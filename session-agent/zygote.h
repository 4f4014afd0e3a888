/*
 * --zygote: becomes the interpreter of a zygote (docs/launcher.md, "Zygotes"), with the library that forks it. What that
 * is runtimes.json says, which this program alone reads.
 */
#pragma once

#include "session-agent/options.h"

/* Returns only when it failed, with -errno; `ret_what` says at what. */
_must_check_ int zygote_exec(const struct options *options, const char **ret_what);

/* gen/fork.c */
extern const unsigned char zygote_library[];
extern const size_t zygote_library_len;
