/*
 * Whether the gVisor tier can be had, and with which platform: found out at start by making a sandbox of it, agent
 * included, with each candidate in turn.
 */
#pragma once

#include "executor/launcher/sandbox.h"

enum {
    GVISOR_E_UNFIT = 1, /* no candidate ran; the log has why */
};

/* `turn` waits for events and handles them, as the loop does; nobody is served meanwhile. Sets has_gvisor. */
_must_check_ int gvisor_choose(struct sandbox_host *host, int (*turn)(void *arg), void *arg);
/* Into what clients are told of the host; `why_not` is for when the tier cannot be had. */
void gvisor_tell(struct sandbox_host *host, const char *why_not);
