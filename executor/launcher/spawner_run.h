/* What the launcher and the process that sandboxes are cloned from say to each other, and that process. */
#pragma once

#include "executor/launcher/sandbox.h"

/*
 * With it, in this order: child's end of the sync socket, disk, overlays of the root and of usr/, the agent's descriptors, the
 * slot's socket, the network, the control group; the last three only where they are said to be.
 */
struct spawner_request {
    uint32_t template; /* its number in the settings */
    uint32_t payload_uid;
    uint8_t has_slot, has_network, has_group;
    uint8_t pad;
};
#define SPAWNER_MAX_FDS (4 + NS_N_AGENT_FDS + 3)

/* With the pidfd, when there is a process. The first one says that there is a user namespace without ids, the second that it serves. */
struct spawner_reply {
    int32_t error;
    int32_t pid;
    char stage[24];
};

struct spawner_run {
    const struct sandbox_host *host;
    const struct filter *filter;
    int fd;
};

_Noreturn void spawner_run(const struct spawner_run *run);
