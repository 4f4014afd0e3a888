/*
 * The table of sandboxes. A slot owns four host user ids and one control group
 * name; it is free again only when the group is gone or counts no task, which proves that no
 * process with those ids is left.
 */
#pragma once

#include <unistd.h>

#include "executor/launcher/cgroup.h"
#include "executor/launcher/network.h"
#include "executor/launcher/runsc.h"
#include "executor/launcher/seccomp.h"
#include "executor/launcher/settings.h"
#include "executor/launcher/share.h"
#include "executor/launcher/spare.h"
#include "executor/launcher/thrash.h"
#include "executor/launcher/wire.h"
#include "lib/sbx_list.h"
#include "lib/sbx_wall.h"

struct conn;

enum sandbox_state {
    SANDBOX_FREE,
    SANDBOX_STARTING,
    SANDBOX_WARM,
    SANDBOX_RUNNING,
    SANDBOX_SETTLED,
    SANDBOX_ENDED,
    SANDBOX_N_STATES
};

/* What making a sandbox takes; filled at start, unchanged from then on. */
struct sandbox_host {
    struct settings settings;
    struct cgroup_tree tree;
    unsigned n_cpus;
    int epoll_fd;
    int proc_fd;
    int agent_fd;
    int launcher_pidfd;
    struct filter payload_filter[2]; /* [inet] */
    struct filter agent_filter[2];
    struct filter zygote_filter[2];
    struct launch_walls walls; /* as tried at start */
    struct filter runsc_filter;
    struct runsc runsc;
    bool has_runsc;   /* it is there, and the launcher is prepared for it */
    bool has_gvisor;  /* and it runs: the tier can be had */
    bool is_treeless; /* somebody removed the directory of the groups: only a new start makes it again */
};

struct sandbox {
    enum sandbox_state state;
    struct list link; /* in the list of its state */
    unsigned slot;
    uint64_t id;
    struct conn *owner; /* NULL: nobody is told; goes as soon as it is dead */
    uint64_t create_seq;
    uint64_t destroy_seq; /* 0: not asked for */
    bool killed;
    bool frozen;
    bool was_warm;
    bool is_spare;  /* nobody waits for it yet */
    bool has_group; /* or may have: until it is known to be gone */
    enum sbx_isolation isolation;

    pid_t pid;
    int pidfd;
    int sync_fd;
    int disk_fd;
    uint64_t disk_bytes;          /* that it is made for */
    int slot_fd;                  /* what a zygote is to be given; -1: none */
    unsigned zygote;              /* which */
    int client_fds[LAUNCH_N_FDS]; /* -1 where the tier has none */
    struct cgroup cgroup;
    struct network network; /* none: it made its own */
    struct spare spare;     /* behind others, since nobody waits for it */
    struct share share;     /* its part of its tenant's processor time; in from ADOPT until dead */

    struct launch_limits limits;
    uint64_t started_ms; /* STARTING: for its deadline */
    uint64_t adopted_ms;
    uint64_t killed_ms;
    uint64_t active_us, active_ms; /* processor time when it was last seen to use any */
    uint64_t probe_ms;             /* when to look at an idle one again */
    struct cgroup_usage before;    /* counters at ADOPT */
    struct thrash thrash;
    struct launch_report report;
};

_must_check_ int sandboxes_init(struct sandbox_host *host);
/* True when no slot is taken. */
bool sandboxes_idle(void);
/* How many are in this state. */
unsigned sandboxes_in(enum sandbox_state state);
/* Kills all; they leave as the loop goes on. */
void sandboxes_kill_all(void);
/* Kills those of a connection that is closing. */
void sandboxes_orphan(const struct conn *owner);
/* Time for what nobody announces: limits, deadlines, groups that were busy. Call after every wait. */
void sandboxes_tick(void);
/* How long the loop may wait, in ms; -1 for ever. */
int sandboxes_timeout(void);

/* NULL unless it exists and is `owner`'s. */
struct sandbox *sandbox_find(const struct conn *owner, uint64_t id);
/* CREATED or ERROR follows later; an error here is the caller's to answer. `owner` NULL: nobody is told. */
_must_check_ int sandbox_create(struct conn *owner, uint64_t seq, const struct launch_create *request,
                                const char **ret_stage);
_must_check_ int sandbox_adopt(struct sandbox *sb, const struct launch_limits *limits, uint64_t share,
                               const char **ret_stage);
/* Somebody waits for it now. */
void sandbox_hasten(struct sandbox *sb);
/* Brings the report up to date, and acts on a limit that it shows. */
void sandbox_stat(struct sandbox *sb);
/* The same, and nothing of it changes any more when the sandbox is within its limits. */
void sandbox_settle(struct sandbox *sb);
/* Stops all of its processes where they are, or lets them go on. -EOPNOTSUPP: this host cannot. */
_must_check_ int sandbox_freeze(struct sandbox *sb, bool is_frozen);
/* DESTROYED follows when nothing is left. */
void sandbox_destroy(struct sandbox *sb, uint64_t seq);
void sandbox_kill(struct sandbox *sb);

/* From the loop; `id` may be that of one gone meanwhile. */
void sandbox_on_sync(uint64_t id);
void sandbox_on_death(uint64_t id);
void sandbox_on_ready(uint64_t id);
void sandbox_on_forked(uint64_t id); /* or it failed: the zygote is done with it */

uint64_t sandbox_now_ms(void);

static inline uid_t
sandbox_payload_uid(const struct sandbox *sb, const struct sandbox_host *host)
{
    uint64_t slot = sbx_wall_is_off(SBX_WALL_OWN_IDS) ? 0 : sb->slot;

    return (uid_t)(host->settings.uid_base + SETTINGS_UIDS_A_SLOT * slot);
}

static inline void
sandbox_fd_close(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}
