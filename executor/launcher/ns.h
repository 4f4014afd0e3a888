/*
 * Birth of a sandbox's first process: namespaces, id maps, and everything the
 * child does to itself until it is the session agent.
 */
#pragma once

#include <sys/types.h>

#include "executor/launcher/network.h"
#include "executor/launcher/overlay.h"
#include "executor/launcher/seccomp.h"

#define NS_AGENT_FD_FIRST 3
#define NS_N_AGENT_FDS 5        /* 3 control socket, 4 stdin, 5 stdout, 6 stderr, 7 seccomp program */
#define NS_AGENT_FD_TERMINALS 8 /* which the child makes itself; only where the agent is pid 1 */
#define NS_AGENT_FD_SLOT 9      /* the end of a forked slot's socket; absent when no zygote forks one */
/* Descriptors below stay taken in the launcher, so that placing the agent's never overwrites another. */
#define NS_FD_RESERVED 10

/* What the child says before it dies; silence (end of file at exec) is success. */
struct ns_failure {
    int32_t error;
    char stage[60];
};

struct runsc;

struct ns_spec {
    const struct settings_template *template;
    int sync_fd; /* child's end of a SOCK_SEQPACKET pair: one byte in means go, a struct ns_failure out */
    int parent_sync_fd; /* closed by the child: holding it, the child would not see the launcher go */
    int disk_fd;
    struct overlay overlay;
    int agent_fd;
    int launcher_pidfd;
    struct network network; /* none: the child makes its own */
    int cgroup_fd;          /* v2: born in this group; else -1 */
    int agent_fds[NS_N_AGENT_FDS];
    int slot_fd; /* -1: none */
    uid_t payload_uid;
    bool is_by_spawner; /* which is to have no children of its own */
    const struct filter *filter;
#ifdef SANDBOX_MUTANT
    const char *walls_off;
#endif
    const struct runsc
        *runsc; /* NULL: the process tier; else pid 1 is runsc, which has the agent in its bundle */
};

/* The child is where the caller is, and waits for its byte. On success pid and pidfd are the caller's to close. */
_must_check_ int ns_clone(pid_t *ret_pid, int *ret_pidfd, const struct ns_spec *spec);
/* The child waits for its byte. On success pid and pidfd are the caller's to reap and close. */
_must_check_ int ns_spawn(pid_t *ret_pid, int *ret_pidfd, const struct ns_spec *spec);
/* 0 inside is `payload_uid` + 1 outside, 1000 inside is `payload_uid`, with `has_sentry` 65534 is `payload_uid` + 2;
 * groups alike, supplementary ones never. */
_must_check_ int ns_map_ids(int proc_fd, pid_t pid, uid_t payload_uid, bool has_sentry);
/* The same lines for users and groups. */
_must_check_ int ns_map_write(int proc_fd, pid_t pid, const char *map);
/* CLONE_NEW... of all that a sandbox has of its own, but for its time. */
uint32_t ns_kinds(void);
/* Of agents and zygotes, before they are. */
_must_check_ int ns_limits_set(void);
_must_check_ int ns_signals_unblock(void);
_must_check_ int ns_set_oom_score(int proc_fd, pid_t pid, int score);
