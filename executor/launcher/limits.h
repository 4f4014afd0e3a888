/*
 * What a sandbox has used, by the kernel's counters, and which limit ended it.
 */
#pragma once

#include "executor/launcher/sandbox.h"

#define LIMITS_TICK_MS 20
/*
 * One that does nothing breaks no limit but that of passed time, so only its processor time is looked at, and less
 * often. Beyond so much of it, since it was last seen to use any, it is at work. One that is new has done nothing yet.
 */
#define LIMITS_NEW_MS 2
#define LIMITS_QUIET_MS 200
#define LIMITS_QUIET_US 500
#define LIMITS_PROBE_MS 100
#define LIMITS_PROBE_LATER_MS 250 /* after ten times that of quiet */

/* False when a value is one no sandbox can be run with. */
_must_check_ bool limits_valid(const struct launch_limits *limits);
/* Before ADOPT nothing of a tenant runs; a sandbox that is never adopted stays small all the same. */
struct cgroup_limits limits_until_adopted(enum sbx_isolation isolation, unsigned n_cpus);
/* Nothing of a tenant's is in it then; ADOPT makes it another size where it is not the one asked for. */
uint64_t limits_disk_until_adopted(void);
/* Sets them, resets peaks, notes where the counters stand. */
_must_check_ int limits_apply(struct sandbox *sb, const struct sandbox_host *host, const char **ret_stage);
/* True when limits_check() is due: with every tick while it is at work. */
_must_check_ bool limits_due(struct sandbox *sb, const struct sandbox_host *host);
/*
 * Fills the report and decides: the first verdict is final, and of several at
 * once memory, processes, disk, cpu, time, in this order. After the death of pid 1
 * the wall clock no longer counts.
 */
void limits_check(struct sandbox *sb, const struct sandbox_host *host, bool is_alive);
