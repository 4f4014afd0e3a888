/*
 * executord <-> sandbox-launch: fixed-size messages over an AF_UNIX SOCK_SEQPACKET
 * socket, one request one reply, same host, same build (HELLO compares version
 * and size). Descriptors travel with CREATED as SCM_RIGHTS. A connection that
 * ends takes all its sandboxes with it.
 *
 *   state of a connection: NEW --HELLO--> READY
 *   state of a sandbox:    (CREATE) WARM --ADOPT--> RUNNING --SETTLE--> SETTLED
 *                          each may end: --> ENDED --DESTROY--> gone
 *   WALLS is permitted when READY and names no sandbox.
 *   HASTEN is permitted when WARM or ENDED.
 *   FREEZE and THAW are permitted when RUNNING or ENDED; what is frozen is RUNNING all the same, and its clocks go on.
 *   DESTROY and STAT are permitted in each, SETTLE also when ENDED. Only a sandbox
 *   within its limits settles: what the kernel enforces by itself holds on, but no
 *   verdict comes any more.
 * A request that is not permitted in the state is answered ERROR/EPROTO and the
 * connection is closed.
 */
#pragma once

#include "lib/sbx_isolation.h"
#include "lib/sbx_wall.h"

#define LAUNCH_WIRE_VERSION 8u
#define LAUNCH_TEMPLATE_LEN 32
#define LAUNCH_PREPARE_LEN 32
#define LAUNCH_N_FDS 4 /* agent's HTTP socket, stdin (write), stdout (read), stderr (read) */
/* gVisor: socket, stdout, stderr. runsc passes three descriptors; a step's own message has its input. */
#define LAUNCH_N_FDS_GVISOR 3

enum launch_type {
    LAUNCH_HELLO = 1, /* launch_hello   -> launch_hello */
    LAUNCH_CREATE,    /* launch_create  -> launch_created */
    LAUNCH_ADOPT,     /* launch_adopt   -> launch_head (type LAUNCH_ADOPTED) */
    LAUNCH_STAT,      /* launch_head    -> launch_report (type LAUNCH_STATS) */
    LAUNCH_DESTROY,   /* launch_head    -> launch_report (type LAUNCH_DESTROYED), when nothing is left */
    LAUNCH_SETTLE,    /* launch_head    -> launch_report (type LAUNCH_STATS): the run is over */
    LAUNCH_WALLS,     /* launch_head    -> launch_walls (type LAUNCH_WALLS): what this host enforces */
    LAUNCH_FREEZE, /* launch_head    -> launch_report (type LAUNCH_STATS): no process of it runs any more */
    LAUNCH_THAW,   /* launch_head    -> launch_report (type LAUNCH_STATS) */
    LAUNCH_HASTEN, /* launch_head    -> launch_head (type LAUNCH_HASTENED): somebody waits for it now */
    LAUNCH_CREATED = 101,
    LAUNCH_ADOPTED,
    LAUNCH_STATS,
    LAUNCH_DESTROYED,
    LAUNCH_HASTENED,
    LAUNCH_ERROR,      /* launch_error, answers any request */
    LAUNCH_ENDED = 201 /* launch_report, unasked: the sandbox is dead (agent exit or a limit) */
};

enum launch_limit { /* values of launch_report.verdict */
                    LAUNCH_LIMIT_NONE,
                    LAUNCH_LIMIT_CPU,
                    LAUNCH_LIMIT_MEMORY,
                    LAUNCH_LIMIT_DISK,
                    LAUNCH_LIMIT_PROCESSES,
                    LAUNCH_LIMIT_TIME
};

struct launch_head {
    uint16_t type;
    uint16_t size; /* of the whole message */
    uint32_t pad;
    uint64_t seq;     /* the request's, from 1 and rising, echoed; 0 in LAUNCH_ENDED */
    uint64_t sandbox; /* given by CREATED; 0 where there is none */
};

struct launch_hello {
    struct launch_head head;
    uint32_t version;
    uint32_t max_sandboxes; /* reply only */
};

struct launch_limits {
    uint64_t memory_bytes;
    uint64_t disk_bytes;
    uint64_t cpu_ms;     /* total CPU time from ADOPT on */
    uint64_t wall_ms;    /* from ADOPT on */
    uint32_t cpu_millis; /* 1000 = one core */
    uint32_t processes;  /* of the tenant; the agent is not counted */
};

struct launch_create {
    struct launch_head head;
    char template_name[LAUNCH_TEMPLATE_LEN]; /* a section of the launcher's own configuration */
    char prepare[LAUNCH_PREPARE_LEN]; /* language of the slot that a zygote is to fork into it; "": none */
    uint32_t isolation;               /* enum sbx_isolation */
    uint32_t is_spare; /* 1: for nobody yet: others go before it, until HASTEN or ADOPT, but not for long */
};

struct launch_created {
    struct launch_head head;
    uint32_t host_uid;  /* of the payload */
    uint32_t is_forked; /* 1: a zygote forks the slot that was asked for into it */
};

struct launch_adopt {
    struct launch_head head;
    struct launch_limits limits;
    uint64_t
        share; /* those with the same one divide one sandbox's weight on the processors until dead; 0: none */
};

struct launch_report {
    struct launch_head head;
    uint64_t cpu_ms;            /* since ADOPT, from the cgroup */
    uint64_t wall_ms;           /* since ADOPT */
    uint64_t peak_memory_bytes; /* since ADOPT, from the cgroup */
    uint64_t disk_bytes;        /* used now */
    uint32_t oom_kills;
    uint32_t fork_refusals;
    uint32_t verdict;       /* enum launch_limit: the launcher's, from the kernel's counters */
    uint32_t running;       /* 0 once pid 1 is dead */
    uint64_t verdict_limit; /* ms, bytes, processes or files */
    uint64_t verdict_observed;
    uint32_t verdict_files; /* 1: verdict is DISK for the number of files, which limit and observed are */
    uint32_t host_oom;      /* 1: what oom_kills counts was for want of memory outside of the sandbox */
    int32_t exit_signal;    /* of pid 1 when not running; 0 when it exited */
    int32_t exit_code;
    uint64_t cpu_throttled_ms; /* since ADOPT: had work and was held back by its cpu rate */
};

struct launch_error {
    struct launch_head head;
    int32_t error; /* errno */
    uint32_t pad;
    char stage[64]; /* "clone", "mount /proc", "cgroup memory" ... */
};

#define LAUNCH_TIER_TEXT_LEN 64

/* As tried once, when the launcher started. Texts end in NUL. */
struct launch_walls {
    struct launch_head head;
    uint32_t n_walls;                        /* SBX_N_WALLS */
    uint32_t tiers;                          /* bit per enum sbx_isolation that CREATE may name */
    struct sbx_wall_found wall[SBX_N_WALLS]; /* by enum sbx_wall */
    char cgroup[8];                          /* "v1" or "v2" */
    char gvisor_version[LAUNCH_TIER_TEXT_LEN];
    char gvisor_platform[LAUNCH_TIER_TEXT_LEN];
    char gvisor_why[LAUNCH_TIER_TEXT_LEN]; /* why that tier is not offered */
};
