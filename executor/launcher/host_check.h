/*
 * Which walls this host really holds: each is put up in a child process of its own and leaned against. Version
 * numbers decide nothing. Done once at start (the answer to LAUNCH_WALLS), and by `sandbox-launch --check-host`.
 */
#pragma once

#include "executor/launcher/cgroup.h"
#include "executor/launcher/seccomp.h"
#include "lib/sbx_host.h"

/*
 * Fills `ret` except for its head. `tree` is NULL, or one whose ops are NULL, when there are no control groups;
 * `no_tree` then says why. Before the launcher leaves the host's file system and privileges. Never fails: a
 * wall that could not be tried is missing.
 */
void host_check(struct launch_walls *ret, const struct settings *settings, const struct cgroup_tree *tree,
                const char *no_tree);
/* Those that are missing or weaker, into the log. */
void host_check_log(const struct launch_walls *walls);
/* `sandbox-launch --check-host`: tries, prints; the exit status. */
int host_check_main(const struct settings *settings, bool json);

/* In a child, made for one wall. 0: it holds; HOST_TRIAL_E_WEAKER: less than wanted, `why` says how; -errno. */
enum { HOST_TRIAL_E_WEAKER = 1 };

struct host_trial {
    const struct settings *settings;
    const char *ns_before;       /* of the launcher, for the kind that the wall is about */
    const char *why;             /* what was being done */
    int agent_fd;                /* a sealed program that ends with 0 */
    const struct filter *filter; /* the payload's; not built when its fd is -1 */
};

struct host_attempt {
    uint64_t namespaces; /* made with the child, besides a user namespace; 0: none, not that either */
    bool is_mapped;      /* its ids are mapped, and it is root inside */
    const char *ns;      /* name in /proc/self/ns that must be another */
    int (*attempt)(struct host_trial *trial);
};

/* By enum sbx_wall; those of control groups have none. */
extern const struct host_attempt host_attempts[SBX_N_WALLS];
