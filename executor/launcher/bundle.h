/*
 * config.json of the gVisor tier: what runsc is told of a sandbox. It is the same for all sandboxes of a template;
 * what differs (limits, ids, disk) is outside, in the namespaces and groups that runsc runs in.
 */
#pragma once

#include "lib/sbx_buf.h"

/* Within gVisor; the agent's own names are in session-agent/options.h. */
#define BUNDLE_AGENT_DIR "opt/agent"
#define BUNDLE_AGENT "session-agent"
#define BUNDLE_FILTER "payload.bpf"
/* In runsc's root: directories of the sandbox's own tmpfs. */
#define BUNDLE_DISK "/disk"

/* buf->failed when it did not fit. `agent_args` are NULL-terminated, the program first. */
void bundle_write(struct sbx_buf *buf, const char *const *agent_args, bool workspace_exec);
