/*
 * Between the launcher and a zygote (docs/launcher.md, "Zygotes"): datagrams over a SOCK_SEQPACKET socket, both
 * ends of one build. Any other datagram from the zygote is a text for the log.
 */
#pragma once

#include <stdint.h>

#define SBX_ZYGOTE_FD 3                          /* its only socket */
#define SBX_ZYGOTE_FD_FILTER 4                   /* the payload's seccomp program, sealed */
#define SBX_ZYGOTE_WALLS_OFF "SANDBOX_WALLS_OFF" /* of a mutant build */

#define SBX_ZYGOTE_MAX_GROUPS 5
#define SBX_ZYGOTE_MAX_FDS (4 + SBX_ZYGOTE_MAX_GROUPS)
#define SBX_ZYGOTE_TEXT_MAX 200

/*
 * With it, as SCM_RIGHTS: the slot's end of its socket; the user namespace above the sandbox's; the sandbox's pid 1; its time
 * namespace when there is one; cgroup.procs of its groups, open for writing.
 */
struct sbx_zygote_request {
    uint64_t id;    /* the sandbox's; never 0 */
    uint32_t kinds; /* CLONE_NEW... of pid 1's namespaces that are to be joined, but for that of time */
    uint32_t n_groups;
    uint32_t has_time;
    uint32_t pad;
};

enum sbx_zygote_stage {
    SBX_ZYGOTE_DONE,
    SBX_ZYGOTE_GROUP,
    SBX_ZYGOTE_SPACE,
    SBX_ZYGOTE_FORK,
    SBX_ZYGOTE_TIME,
    SBX_ZYGOTE_SESSION,
    SBX_ZYGOTE_DESCRIPTORS,
    SBX_ZYGOTE_CONFINE,
    SBX_ZYGOTE_N_STAGES
};

/* id 0: it is up and waits. Else DONE: the slot was forked, and it does the rest itself, from TIME on. */
struct sbx_zygote_reply {
    uint64_t id;
    uint32_t stage; /* enum sbx_zygote_stage */
    int32_t error;  /* errno; of CONFINE: stage of session-agent/confine.h in the upper half */
};
