/*
 * System call filters, compiled once at start: the payload's (handed to the agent
 * as a file), the agent's and the launcher's own. They nest: a process keeps those
 * of its ancestors, so each is wider than the next.
 */
#pragma once

#include <linux/filter.h>

#include "lib/sbx_base.h"

enum filter_kind {
    FILTER_PAYLOAD,
    FILTER_PAYLOAD_GVISOR, /* loaded inside, where the sentry holds it */
    FILTER_AGENT,
    FILTER_ZYGOTE,         /* what it forks is an agent's child, but for how it came in */
    FILTER_RUNSC,          /* gVisor's own processes, which narrow it further themselves */
    FILTER_LAUNCHER,       /* without the gVisor tier */
    FILTER_LAUNCHER_GVISOR /* wider by what runsc needs */
};

enum {
    FILTER_E_REFUSED = 1, /* rules that contradict each other, or too many; nothing was built */
};

struct filter {
    struct sock_fprog prog;
    int fd; /* sealed memory file with the same instructions; -1 when not built */
};

#define FILTER_NULL                                                                                          \
    {                                                                                                        \
        .fd = -1                                                                                             \
    }

/* `inet`: IP sockets are allowed besides AF_UNIX. */
_must_check_ int filter_build(struct filter *ret, enum filter_kind kind, bool inet);
void filter_deinit(struct filter *filter);
/* AUDIT_ARCH_* of this build, as filters see it. */
uint32_t filter_native_arch(void);
/* For the calling process, which has no_new_privs; async-signal-safe. */
_must_check_ int filter_install(const struct filter *filter);
