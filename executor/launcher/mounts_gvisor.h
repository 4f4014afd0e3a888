/*
 * The file systems of the gVisor tier. The sandbox's root is the same as in the process tier; around it is one for
 * runsc itself: its binary, the bundle, /proc, five devices, and per sandbox its state and the tenant's disk.
 * What is in the outer root nothing inside can see: gVisor's own mounts begin at the bundle's root.
 *
 *   /bin/runsc  /bundle/config.json  /bundle/rootfs (the template, with the agent)
 *   /dev  /proc  /tmp  /run (tmpfs)  /disk (tmpfs: the tenant's)
 */
#pragma once

#include "executor/launcher/settings.h"

/* What is copied at start, from descriptors. */
struct mounts_gvisor_files {
    int runsc_fd;
    int agent_fd;
    int filter_fd[2]; /* [inet]; -1 where no template uses it */
};

/* In mounts_prepare: below the directory "g" of `root`, of which "t" is complete. */
_must_check_ int mounts_gvisor_prepare(int root, const struct settings *settings,
                                       const struct mounts_gvisor_files *files, const char **ret_stage);
/* In the child: runsc's root. */
_must_check_ int mounts_gvisor_apply(const char *template_name, int disk_fd, const char **ret_stage);
