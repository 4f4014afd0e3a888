/*
 * The attempts of host_check.c, one a wall. Each runs in a child of its own, which ends with it, so what it does
 * to its process and its namespaces stays there.
 */
#pragma once

#include "executor/launcher/seccomp.h"
#include "executor/launcher/settings.h"
#include "lib/sbx_wall.h"

/* 0: it holds; HOST_TRIAL_E_WEAKER: less than wanted, `why` says how; -errno: it does not. */
enum { HOST_TRIAL_E_WEAKER = 1 };

struct host_trial {
    const struct settings *settings;
    const char *ns_before;       /* of the launcher, for the kind that the wall is about */
    const char *why;             /* what was being done */
    int agent_fd;                /* a sealed program that ends with 0 */
    const struct filter *filter; /* the payload's; not built when its fd is -1 */
};

struct host_attempt {
    uint64_t namespaces; /* made with the child; 0: none */
    enum host_as {
        HOST_AS_LAUNCHER, /* no user namespace: what the launcher does for all its sandboxes */
        HOST_AS_NOBODY,   /* in a user namespace without ids */
        HOST_AS_SANDBOX   /* its ids are mapped, and it is root inside */
    } as;
    const char *ns; /* name in /proc/self/ns that must be another */
    int (*attempt)(struct host_trial *trial);
};

/* By enum sbx_wall; those of control groups have none. */
extern const struct host_attempt host_attempts[SBX_N_WALLS];

/* Opening for writing must fail with `wanted`. */
_must_check_ int host_trial_must_refuse(struct host_trial *trial, const char *path, int flags, int wanted);
/* Runs `act` in a child; its wait status, or -1. */
int host_trial_grandchild(void (*act)(const void *arg), const void *arg);

/* host_trial_mounts.c */
int host_try_nested(struct host_trial *trial);
int host_try_own_root(struct host_trial *trial);
int host_try_read_only_root(struct host_trial *trial);
int host_try_inodes_own(struct host_trial *trial);
int host_try_devices(struct host_trial *trial);
int host_try_proc_read_only(struct host_trial *trial);
int host_try_masks(struct host_trial *trial);
int host_try_hidepid(struct host_trial *trial);
int host_try_workspace(struct host_trial *trial);
int host_try_disk(struct host_trial *trial);
int host_try_inodes(struct host_trial *trial);
/* host_trial_filter.c */
int host_try_seccomp(struct host_trial *trial);
int host_try_seccomp_arch(struct host_trial *trial);
int host_try_seccomp_calls(struct host_trial *trial);
int host_try_seccomp_clone(struct host_trial *trial);
int host_try_seccomp_sockets(struct host_trial *trial);
int host_try_seccomp_ioctl(struct host_trial *trial);
int host_try_seccomp_arguments(struct host_trial *trial);
