/*
 * What a process gives up before it runs tenant code: one list of privilege drops, each of which must succeed. For
 * children of the agent between fork and exec, and for slots that a zygote forks (session-agent/preload/fork.c). Only
 * async-signal-safe calls.
 */
#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include "session-agent/workspace.h"

struct confine_spec {
    struct identity identity;
    const struct sock_fprog *filter; /* NULL: none (standalone) */
    const char *cwd;
    int terminal;       /* the one that it may open once more; -1: none */
    unsigned processes; /* RLIMIT_NPROC; 0: no limit */
    pid_t parent;       /* SIGKILL when it dies; 0: pid 1, which takes all along */
    bool is_slot;       /* the limits of its work, processes and file size, come with the work */
};

enum confine_stage {
    CONFINE_LIMITS,
    CONFINE_BOUNDING_SET,
    CONFINE_GROUPS,
    CONFINE_IDENTITY,
    CONFINE_CAPABILITIES,
    CONFINE_NO_NEW_PRIVS,
    CONFINE_DIRECTORY,
    CONFINE_DEATH_SIGNAL,
    CONFINE_LANDLOCK,
    CONFINE_SECCOMP,
    CONFINE_DONE,
    CONFINE_N_STAGES
};

/* The limits that `is_slot` has left out, of a process that gets its work now; nothing else of the same user may run. */
_must_check_ bool confine_slot(pid_t pid, const struct confine_spec *spec);
/* The stage that failed, with errno set, or CONFINE_DONE. */
enum confine_stage confine(const struct confine_spec *spec);
/* Of CONFINE_DONE: what comes next, the interpreter. */
const char *confine_stage_name(enum confine_stage stage);
