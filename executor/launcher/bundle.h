/*
 * config.json of the gVisor tier: what runsc is told of a sandbox. It is the same for all sandboxes of a template;
 * what differs (limits, ids, disk) is outside, in the namespaces and groups that runsc runs in.
 */
#pragma once

#include "executor/launcher/template.h"
#include "lib/sbx_buf.h"

/*
 * Within gVisor agent and filter are over an empty directory of the template, and the agent covers them. Its own names
 * are in session-agent/options.h and nested.c.
 */
#define BUNDLE_AGENT_DIR TEMPLATE_AGENT_DIR
#define BUNDLE_AGENT "session-agent"
#define BUNDLE_FILTER "payload.bpf"
/* In runsc's root: directories of the sandbox's own tmpfs. */
#define BUNDLE_DISK "/disk"

/* buf->failed when it did not fit. `agent_args` are NULL-terminated, the program first. */
void bundle_write(struct sbx_buf *buf, const char *const *agent_args, bool workspace_exec);
