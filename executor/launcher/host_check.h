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
