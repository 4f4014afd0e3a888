/*
 * Control groups of sandboxes: <parent>/ngx_sandbox-<instance>/s<slot>, on v1
 * (memory, pids, cpu, cpuacct) or on v2, chosen once at start. All access is by
 * descriptor, so it goes on after the launcher left the host's file system.
 */
#pragma once

#include <stdio.h>
#include <sys/types.h>

#include "executor/launcher/settings.h"

#define CGROUP_MAX_DIRS 5
#define CGROUP_NAME_LEN 64
#define CGROUP_PATH_LEN 2048
#define CGROUP_PERIOD_US 100000
#define CGROUP_KEPT_MAX 64

enum {
    CGROUP_E_BUSY = 1,   /* remove: something is in it still, ask again */
    CGROUP_E_ABSENT = 2, /* open: this host has no such hierarchy with the controllers needed */
    CGROUP_E_UNFIT = 3,  /* keep: it is to be removed */
};

enum cgroup_file {
    CGROUP_FILE_CPU,
    CGROUP_FILE_THROTTLED,
    CGROUP_FILE_OOM,
    CGROUP_FILE_PIDS,
    CGROUP_FILE_PEAK,
    CGROUP_FILE_TASKS, /* of a group that may be kept */
    CGROUP_FILE_BYTES,
    CGROUP_N_FILES
};

struct cgroup_limits {
    uint64_t memory_bytes;
    uint32_t pids;
    uint32_t cpu_millis;
    bool is_rough; /* between half and twice as much does as well, where it is set already */
};

/* One sandbox's group. All-null initialiser: CGROUP_NULL. */
struct cgroup {
    int dir[CGROUP_MAX_DIRS];
    int procs[CGROUP_MAX_DIRS]; /* cgroup.procs, for writing; once they were asked for */
    int file[CGROUP_N_FILES];   /* open from ADOPT on: the tick reads them 50 times a second */
    uint64_t peak_seen;         /* v2 before 6.12 cannot reset memory.peak */
    struct cgroup_limits set;   /* v1: as written last, 0: never; what is the same is not written again */
};

#define CGROUP_NULL                                                                                          \
    {                                                                                                        \
        .dir = { -1, -1, -1, -1, -1 }, .procs = { -1, -1, -1, -1, -1 }, .file = {                            \
            -1,                                                                                              \
            -1,                                                                                              \
            -1,                                                                                              \
            -1,                                                                                              \
            -1,                                                                                              \
            -1,                                                                                              \
            -1                                                                                               \
        }                                                                                                    \
    }

struct cgroup_usage {
    uint64_t cpu_us;
    uint64_t throttled_us; /* held back for its rate */
    uint64_t peak_bytes;
    uint64_t oom_kills;
    uint64_t limit_hits; /* of its own memory limit; read once there are oom_kills, whoever ran out */
    uint64_t fork_refusals;
};

/* How the kernel keeps the group below its limit. */
struct cgroup_reclaim {
    uint64_t refaults;     /* pages of files read in again soon after they were thrown away */
    uint64_t major_faults; /* that waited for a disk */
    uint64_t cache_bytes;
};

/* What is in a group whose sandbox is gone. */
struct cgroup_rest {
    uint64_t tasks; /* zombies, too */
    uint64_t bytes;
};

/* Where the groups of this launcher are. */
struct cgroup_tree {
    const struct cgroup_ops *ops;
    int base[CGROUP_MAX_DIRS]; /* -1: not a directory of its own */
    int parent[CGROUP_MAX_DIRS];
    char path[CGROUP_MAX_DIRS][CGROUP_PATH_LEN]; /* of base */
    char name[CGROUP_NAME_LEN];
    int own_leaf; /* v2: the launcher moved itself here; -1 */
};

struct cgroup_ops {
    const char *name;
    unsigned n_dirs;  /* of each group */
    unsigned n_later; /* behind those: of a group that needs it, where the host has the hierarchy */
    /* Finds and makes the base directories. */
    int (*open)(struct cgroup_tree *tree, const struct settings *settings);
    int (*attach)(struct cgroup *group, pid_t pid);
    int (*limit)(struct cgroup *group, const struct cgroup_limits *limits, const char **stage);
    int (*watch)(struct cgroup *group);
    int (*read)(struct cgroup *group, struct cgroup_usage *ret);
    /* Of that only `cpu_us`. */
    int (*cpu)(const struct cgroup *group, uint64_t *ret_us);
    /* NULL: groups are cheap, and none is kept. */
    int (*rest)(struct cgroup *group, struct cgroup_rest *ret);
    int (*reclaim)(const struct cgroup *group, struct cgroup_reclaim *ret);
    /* Its part of the processors when they are busy: `weight_normal` is what a new group has. */
    int (*weigh)(const struct cgroup *group, unsigned weight);
    /* Behind every other that wants a processor, whatever it weighs; given up, it weighs `weight_normal`. -ENOENT:
     * the kernel has no such thing (before 5.15). */
    int (*idle)(const struct cgroup *group, bool is_idle);
    /* The same of all sandboxes together. */
    int (*weigh_all)(const struct cgroup_tree *tree, bool is_greedy);
    unsigned weight_normal, weight_least;
    /* Kills all that is in the group `dir` without a race; -EOPNOTSUPP where the kernel cannot. */
    int (*kill)(int dir);
    /* All of its processes stop where they are, or go on. -EOPNOTSUPP where the host has no freezer. */
    int (*freeze)(struct cgroup *group, const struct cgroup_tree *tree, const char *slot, bool is_frozen);
    /* For what an earlier launcher left frozen: it would not die. */
    void (*thaw_left)(int dir);
    void (*close)(struct cgroup_tree *tree);
};

extern const struct cgroup_ops cgroup_v1_ops;
extern const struct cgroup_ops cgroup_v2_ops;

/* Finds the hierarchies and makes the base; nothing there is taken to be ours. `error` says why not. */
_must_check_ int cgroup_tree_probe(struct cgroup_tree *ret, const struct settings *settings, char *error);
/* The same, and removes what an earlier launcher of this instance left. `error` says why not. */
_must_check_ int cgroup_tree_open(struct cgroup_tree *ret, const struct settings *settings, int state_dir,
                                  char *error);
/* False: somebody removed a base directory, and nothing can be made in it any more. */
bool cgroup_tree_present(const struct cgroup_tree *tree);
/* Removes the base directories; leftovers are logged. */
void cgroup_tree_close(struct cgroup_tree *tree);

/*
 * One that was kept serves again. Its counters go on from where they were, its limits are those given, its weight is a
 * new group's.
 */
_must_check_ int cgroup_create(struct cgroup *ret, const struct cgroup_tree *tree, unsigned slot,
                               const struct cgroup_limits *limits);
/* cgroup.procs of its directory `i`, open for writing and the group's, or -errno. */
_must_check_ int cgroup_procs(struct cgroup *group, unsigned i);
/* The group's descriptor for CLONE_INTO_CGROUP; -1 on v1. */
int cgroup_clone_fd(const struct cgroup *group, const struct cgroup_tree *tree);
_must_check_ int cgroup_limit(struct cgroup *group, const struct cgroup_tree *tree,
                              const struct cgroup_limits *limits, const char **ret_stage);
/* SIGKILL to whatever is in it. */
void cgroup_kill(const struct cgroup *group, const struct cgroup_tree *tree, unsigned slot);
_must_check_ int cgroup_freeze(struct cgroup *group, const struct cgroup_tree *tree, unsigned slot,
                               bool is_frozen);
/* 0, CGROUP_E_BUSY or -errno. Closes descriptors when it is done. */
_must_check_ int cgroup_remove(struct cgroup *group, const struct cgroup_tree *tree, unsigned slot);
/* Instead, for one that met no limit and has a new group's weight; 0: kept, CGROUP_E_BUSY, CGROUP_E_UNFIT. */
_must_check_ int cgroup_retire(struct cgroup *group, const struct cgroup_tree *tree, unsigned slot);
void cgroup_deinit(struct cgroup *group);

static inline unsigned
cgroup_all_dirs(const struct cgroup_tree *tree)
{
    return tree->ops->n_dirs + tree->ops->n_later;
}

/* For cgroup.c, of executor/launcher/cgroup_keep.c. */
_must_check_ bool cgroup_take(struct cgroup *ret, const struct cgroup_tree *tree, const char *slot);
_must_check_ int cgroup_keep(struct cgroup *group, const struct cgroup_tree *tree, const char *slot);
void cgroup_kept_remove(const struct cgroup_tree *tree);

/* For the backends. */
_must_check_ int cgroup_write(int dir, const char *file, const char *text);
_must_check_ int cgroup_write_u64(int dir, const char *file, uint64_t value);
/*
 * Sets the processor's weight of all sandboxes together; `normal` is what the kernel gives a new group. Greedy:
 * one of them has more than its part, so that they go behind the host's own.
 */
_must_check_ int cgroup_weigh(int base, const char *file, unsigned normal, unsigned most, bool is_greedy);
/* The number after `key` at the start of a line; `key` "" takes the first number. */
_must_check_ int cgroup_read_u64(int fd, const char *key, uint64_t *ret);
/* Of the group `dir`, whose memory.stat calls the page cache `cache`. */
_must_check_ int cgroup_reclaim_read(int dir, const char *cache, struct cgroup_reclaim *ret);
/* Opens (making it when absent) path/name and fills base, parent and path of `index`. */
_must_check_ int cgroup_base_make(struct cgroup_tree *tree, unsigned index, const char *path);
/* Kills, waits (a deadline of seconds) and removes every s<slot> in `base`. */
_must_check_ int cgroup_sweep(int base, const char *name, const struct cgroup_ops *ops);
/* Moves all that is in `from` into `to`, where it freezes: who was not there yet cannot have escaped by forking. */
_must_check_ int cgroup_gather(int from, int to, const char *base_name, const char *slot);

/* Mount point of the v1 hierarchy with `controller`, or of v2 when NULL, joined with the launcher's own
 * group. */
_must_check_ int cgroup_own_path(const char *controller, char *ret_mount, char *ret_path);
