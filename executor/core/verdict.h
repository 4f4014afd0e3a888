/*
 * From what is known about the end of a run to a status: pure, and the only place
 * that decides it. When several things are true at once the first of this list wins,
 * so that the same race always has the same answer:
 *
 *   1. the kernel's counters, through the launcher     limit_exceeded
 *   2. more output than allowed, counted here          limit_exceeded
 *   3. a policy forbids it                             denied
 *   4. somebody cancelled it                           cancelled
 *   5. the executor was stopped                        lost
 *   6. its time to wait had passed                     timed_out
 *   7. no sandbox of its tier can be made here         lost
 *   8. it went wrong while the host had no memory left lost
 *   9. the launcher, the sandbox or the agent is gone  lost
 *  10. the agent refused the run, said why             failed
 *  11. the agent's word: exit status or signal         succeeded, failed; SIGXFSZ limit_exceeded, as is what was killed
 *                                                     within gVisor for too many processes
 */
#pragma once

#include "executor/core/job_record.h"
#include "executor/runtime/runtime.h"

struct verdict_input {
    const struct sbx_limits *limits;
    int rc;                                /* of the runtime: 0 or RUNTIME_E_*; meaningless without outcome */
    const struct runtime_outcome *outcome; /* NULL: there was no end of its own */
    uint64_t output_bytes;                 /* stdout and stderr together */
    bool output_exceeded;
    bool denied; /* by a policy; why is the job's */
    bool cancelled;
    bool drained;
    bool expired;     /* never started in time */
    bool unsupported; /* never started: the launcher has no such tier */
};

struct verdict {
    enum job_state state;
    bool has_violation;
    enum sbx_limit violated;
    uint64_t limit, observed;
    bool in_files; /* of the disk: limit and observed are files, not bytes */
    bool has_exit_code;
    int exit_code;
    char signal[16];
    char message[JOB_MESSAGE_LEN];
};

void verdict_decide(struct verdict *ret, const struct verdict_input *input);
/* {"rule","name","limit","observed","hint"} */
void violation_write(struct sbx_jsonw *w, const char *key, const struct verdict *verdict);
