/*
 * The walls of a sandbox by name, one list for the launcher, the agent, `executord check-host` and the tests.
 * A mutant build (`make mutant`, never installed) can leave single walls out, so that the corpus of hostile
 * programs can show what each of them stops; in every other build sbx_wall_is_off() is the constant false.
 */
#pragma once

#include "sbx_base.h"

#pragma GCC visibility push(hidden)

enum sbx_wall {
    SBX_WALL_PID_NAMESPACE,
    SBX_WALL_NETWORK_NAMESPACE,
    SBX_WALL_IPC_NAMESPACE,
    SBX_WALL_UTS_NAMESPACE,
    SBX_WALL_CGROUP_NAMESPACE,
    SBX_WALL_TIME_NAMESPACE,
    SBX_WALL_NESTED_NAMESPACES, /* none can be made inside */
    SBX_WALL_OWN_ROOT,          /* nothing of the host but usr/ */
    SBX_WALL_READ_ONLY_ROOT,
    SBX_WALL_OWN_INODES, /* no file shares its locks and watches with another sandbox's */
    SBX_WALL_DEVICES,    /* five harmless ones, on a read-only file system */
    SBX_WALL_PROC_READ_ONLY,
    SBX_WALL_PROC_MASKS,
    SBX_WALL_HIDEPID,
    SBX_WALL_OWN_IDS, /* no two sandboxes have a host id in common */
    SBX_WALL_UID,     /* the payload's differs from the agent's */
    SBX_WALL_CAPABILITIES,
    SBX_WALL_NO_NEW_PRIVS,
    SBX_WALL_SECCOMP,           /* the filters as a whole */
    SBX_WALL_SECCOMP_ARCH,      /* of them: other ABIs kill */
    SBX_WALL_SECCOMP_CALLS,     /* calls on no list: mounts, bpf, keyrings, ptrace, io_uring ... */
    SBX_WALL_SECCOMP_CLONE,     /* clone, unshare and setns with new namespaces */
    SBX_WALL_SECCOMP_SOCKETS,   /* families, types and options of sockets */
    SBX_WALL_SECCOMP_IOCTL,     /* requests to devices and terminals */
    SBX_WALL_SECCOMP_ARGUMENTS, /* of prctl, fcntl, futex, personality, mknod, prlimit */
    SBX_WALL_LANDLOCK,
    SBX_WALL_DESCRIPTORS, /* none is inherited */
    SBX_WALL_SEALED_AGENT,
    SBX_WALL_NOT_DUMPABLE, /* the agent */
    SBX_WALL_ENVIRONMENT,  /* made anew; names that steer a program before its first line are refused */
    SBX_WALL_WORKSPACE,    /* the agent opens only regular files of one name, beneath, through no link */
    SBX_WALL_RESULT,       /* what a step leaves as its result is one strict JSON document */
    SBX_WALL_SWEEP,        /* nothing outlives its step */
    SBX_WALL_RLIMITS,
    SBX_WALL_MEMORY,
    SBX_WALL_PIDS,
    SBX_WALL_CPU,
    SBX_WALL_TIME,
    SBX_WALL_DISK,
    SBX_WALL_INODES,
    SBX_N_WALLS
};

/* What trying a wall on this host showed. 0 is no answer, so that zeroes are none. */
enum sbx_wall_state {
    SBX_WALL_UNTRIED,
    SBX_WALL_ENFORCED,
    SBX_WALL_WEAKER,
    SBX_WALL_MISSING,
    SBX_N_WALL_STATES
};

#define SBX_WALL_WHY_LEN 92

struct sbx_wall_found {
    uint32_t state;             /* enum sbx_wall_state */
    char why[SBX_WALL_WHY_LEN]; /* of WEAKER and MISSING */
};

_Static_assert(SBX_N_WALLS <= 64, "sets of walls are bits of one word");
#define SBX_WALL_BIT(wall) (UINT64_C(1) << (wall))

/* Those without which production does not run. The others are a second line behind one that is required. */
#define SBX_WALLS_REQUIRED                                                                                   \
    ((SBX_WALL_BIT(SBX_N_WALLS) - 1) &                                                                       \
     ~(SBX_WALL_BIT(SBX_WALL_TIME_NAMESPACE) | SBX_WALL_BIT(SBX_WALL_LANDLOCK)))

/* What a slot that a zygote forks rests on besides: without one there are no zygotes. */
#define SBX_WALLS_OF_ZYGOTES                                                                                 \
    (SBX_WALL_BIT(SBX_WALL_PID_NAMESPACE) | SBX_WALL_BIT(SBX_WALL_OWN_ROOT) |                                \
     SBX_WALL_BIT(SBX_WALL_READ_ONLY_ROOT) | SBX_WALL_BIT(SBX_WALL_OWN_INODES) |                             \
     SBX_WALL_BIT(SBX_WALL_OWN_IDS) | SBX_WALL_BIT(SBX_WALL_UID) | SBX_WALL_BIT(SBX_WALL_NO_NEW_PRIVS) |     \
     SBX_WALL_BIT(SBX_WALL_LANDLOCK))

/* "pid_namespace" ... */
const char *sbx_wall_name(enum sbx_wall wall);
/* SBX_N_WALLS when it is no wall's name. */
enum sbx_wall sbx_wall_parse(const char *name);
/* What it holds back, and what to do about a host that does not have it; each a short line. */
const char *sbx_wall_stops(enum sbx_wall wall);
const char *sbx_wall_remedy(enum sbx_wall wall);
/* "enforced", "weaker", "missing"; "untried" for anything else. */
const char *sbx_wall_state_name(uint32_t state);
/* Writes the names of a set, comma separated; cut names never. Returns `text`. */
const char *sbx_walls_text(uint64_t set, char *text, size_t size);
/* A list of names, commas between, into a set; false when one is no wall's. "" is the empty set. */
_must_check_ bool sbx_walls_parse(uint64_t *ret, const char *text);

#ifdef SANDBOX_MUTANT
extern uint64_t sbx_walls_off; /* bit per wall */

/* Adds the walls of a list "name, name"; false when one of them is no wall. */
_must_check_ bool sbx_walls_off_add(const char *list);

static inline bool
sbx_wall_is_off(enum sbx_wall wall)
{
    return (sbx_walls_off >> wall) & 1u;
}
#else
static inline bool
sbx_wall_is_off(enum sbx_wall wall _unused_)
{
    return false;
}
#endif

#pragma GCC visibility pop
