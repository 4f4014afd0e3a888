/*
 * The gVisor tier. To this side it is the process tier with another CREATE: the
 * launcher puts runsc between the kernel and the agent, and kills, limits and
 * verdicts are the same. What differs: runsc hands three descriptors into its
 * sandbox, so there is no pipe for stdin and a step brings its input along.
 */
#include "executor/runtime/process.h"

int
runtime_gvisor_new(struct runtime **ret, const struct process_spec *spec)
{
    static const struct process_tier tier = {
        .isolation = SBX_ISOLATION_GVISOR,
        .n_pipes = LAUNCH_N_FDS_GVISOR - 1,
        .pipes = { PROCESS_STDOUT, PROCESS_STDERR },
        .input = AGENT_STDIN_BODY,
    };

    return process_new(ret, spec, &tier);
}
