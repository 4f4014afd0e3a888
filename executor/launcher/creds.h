/*
 * Identities and capabilities: what the launcher keeps for itself, and what
 * pid 1 of a sandbox is left with.
 */
#pragma once

#include <sys/types.h>

#include "lib/sbx_base.h"

/* Gives up what making sandboxes does not need; after the last use of CAP_MKNOD and CAP_CHOWN of paths. */
_must_check_ int creds_confine_launcher(void);

/* In the child, whose id maps are written: user and group 0 of its namespace. */
_must_check_ int creds_become_root_inside(void);
/*
 * In the child, after creds_become_root_inside (which clears it): SIGKILL when the
 * launcher dies. -ESRCH when it is dead already; getppid cannot tell across pid
 * namespaces, the launcher's pidfd can.
 */
_must_check_ int creds_die_with(int launcher_pidfd);
/* The same for runsc: what it makes its own namespaces and the gofer with. */
_must_check_ int creds_confine_runsc(void);
/* At start: what follows from a change of ids is capset's alone. */
_must_check_ int creds_keep_over_ids(void);
/* In a zygote, before it is one: that user, without any capability for good. */
_must_check_ int creds_confine_zygote(uid_t uid);
/* In the child, last before seccomp: four capabilities stay, in the bounding set too. */
_must_check_ int creds_confine_agent(void);
