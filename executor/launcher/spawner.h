/*
 * The process that sandboxes of the process tier are cloned from, as children of the launcher. It has little memory, few
 * descriptors and few mounts, all of which a child copies and gives up again, and no right on the host: it has a user
 * namespace, in which all ids of sandboxes are. Those of the sandboxes are beneath it, networks that are made ahead belong
 * to it, and so does the agent's memory; zygotes, whose user owns it, reach sandboxes through it.
 *
 * Without it the launcher clones sandboxes itself, and none of them gets a slot of a zygote.
 */
#pragma once

#include "executor/launcher/ns.h"
#include "executor/launcher/sandbox.h"

/* Before the launcher gives up its own rights. `filter` is the launcher's. Errors leave all to the launcher. */
void spawner_start(const struct sandbox_host *host, const struct filter *filter);
/* From the loop: it said something unasked, or is gone. */
void spawner_on_event(void);
void spawner_stop(void);

/* The user namespace, as long as there is a spawner; -1: there is none. */
int spawner_user_ns(void);
/* As ns_spawn(), and it has its ids; after an error there may be a process nevertheless. -EOPNOTSUPP: it cannot, for there is none, or the sandbox is none of the process tier with inodes of its own. */
_must_check_ int spawner_spawn(pid_t *ret_pid, int *ret_pidfd, const struct ns_spec *spec);
