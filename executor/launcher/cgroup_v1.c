/*
 * Version 1: memory, pids, cpu and cpuacct, each a hierarchy of its own or
 * mounted together (cpu,cpuacct). An entry of `base` that shares a mount with an
 * earlier one stays -1; dir_of() leads to the one that holds the files. A group in
 * the freezer's hierarchy is made for who is frozen: each hierarchy costs each start.
 */
#include "executor/launcher/cgroup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WEIGHT_NORMAL 1024

#define SOCKET_PART 8

#define PEAK_SLACK (1ull << 20)

enum { MEMORY, PIDS, CPU, CPUACCT, N_HIERARCHIES, FREEZER = N_HIERARCHIES, N_WITH_FREEZER };

static const char *const controllers[N_WITH_FREEZER] = { "memory", "pids", "cpu", "cpuacct", "freezer" };
static unsigned shares[N_WITH_FREEZER];

static int
dir_of(const struct cgroup *group, unsigned hierarchy)
{
    return group->dir[shares[hierarchy]];
}

_must_check_ static int
v1_base(struct cgroup_tree *tree, unsigned index, const struct settings *settings)
{
    char mount[SETTINGS_PATH_LEN], own[CGROUP_PATH_LEN], configured[CGROUP_PATH_LEN];
    int r = cgroup_own_path(controllers[index], mount, own);
    const char *path = own;

    if (r != 0) {
        return r;
    }
    if (settings->cgroup_parent[0] != '\0') {
        r = snprintf(configured, sizeof(configured), "%s%s", mount, settings->cgroup_parent);
        if (r < 0 || (size_t)r >= sizeof(configured)) {
            return -ENAMETOOLONG;
        }
        if (mkdir(configured, 0755) < 0 && errno != EEXIST) {
            return -errno;
        }
        path = configured;
    }
    shares[index] = index;
    r = cgroup_base_make(tree, index, path);
    for (unsigned i = 0; i < index && r == 0; i++) {
        if (shares[i] == i && strcmp(tree->path[i], tree->path[index]) == 0) {
            shares[index] = i;
            close(tree->base[index]);
            close(tree->parent[index]);
            tree->base[index] = tree->parent[index] = -1;
        }
    }
    return r;
}

static int
v1_weigh_all(const struct cgroup_tree *tree, bool is_greedy)
{
    return cgroup_weigh(tree->base[shares[CPU]], "cpu.shares", WEIGHT_NORMAL, 262144, is_greedy);
}

static int
v1_open(struct cgroup_tree *tree, const struct settings *settings)
{
    int r = 0;

    for (unsigned i = 0; i < N_HIERARCHIES && r == 0; i++) {
        r = v1_base(tree, i, settings);
    }
    shares[FREEZER] = FREEZER;
    if (r == 0) {
        r = v1_base(tree, FREEZER, settings);
        if (r == CGROUP_E_ABSENT) {
            r = 0; /* nothing can be frozen then */
        }
    }
    return r != 0 ? r : v1_weigh_all(tree, false);
}

static int
v1_attach(struct cgroup *group, pid_t pid)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "%d", (int)pid); /* fits any pid */

    for (unsigned i = 0; i < N_HIERARCHIES; i++) {
        int fd = shares[i] == i ? cgroup_procs(group, i) : -1;

        if (shares[i] == i && fd < 0) {
            return fd;
        }
        if (fd >= 0 && pwrite(fd, text, (size_t)len, 0) != len) {
            return -errno;
        }
    }
    return 0;
}

/* memsw may never be below memory, so which is written first depends on the direction. */
_must_check_ static int
memory_limit(int dir, uint64_t bytes)
{
    int r = cgroup_write_u64(dir, "memory.limit_in_bytes", bytes);

    if (r == -EINVAL) {
        r = cgroup_write_u64(dir, "memory.memsw.limit_in_bytes", bytes);
        return r < 0 ? r : cgroup_write_u64(dir, "memory.limit_in_bytes", bytes);
    }
    if (r < 0) {
        return r;
    }
    r = cgroup_write_u64(dir, "memory.memsw.limit_in_bytes", bytes);
    if (r == -ENOENT || r == -EOPNOTSUPP) {
        /* A kernel without swap accounting: keep the group out of swap instead. */
        r = cgroup_write(dir, "memory.swappiness", "0");
    }
    return r;
}

/*
 * The queues of IP sockets are not in the group's memory on version 1: through loopback a sandbox could fill
 * gigabytes of the host's, and use up the limit that all TCP connections of the host share. Datagrams are in this
 * number too.
 */
_must_check_ static int
socket_limit(int dir, uint64_t memory_bytes)
{
    int r = cgroup_write_u64(dir, "memory.kmem.tcp.limit_in_bytes", memory_bytes / SOCKET_PART);

    return r == -ENOENT || r == -EOPNOTSUPP ? 0 : r; /* a kernel built without */
}

_must_check_ static int
cpu_limit(struct cgroup *group, uint32_t millis)
{
    int r = 0;

    if (group->set.cpu_millis == millis) {
        return 0;
    }
    if (group->set.cpu_millis == 0) {
        r = cgroup_write_u64(dir_of(group, CPU), "cpu.cfs_period_us", CGROUP_PERIOD_US);
    }
    if (r == 0) {
        r = cgroup_write_u64(dir_of(group, CPU), "cpu.cfs_quota_us",
                             (uint64_t)millis * CGROUP_PERIOD_US / 1000);
    }
    group->set.cpu_millis = r == 0 ? millis : 0;
    return r;
}

static int
v1_limit(struct cgroup *group, const struct cgroup_limits *limits, const char **stage)
{
    int r = 0;

    *stage = "cgroup memory";
    if (group->set.memory_bytes != limits->memory_bytes) {
        group->set.memory_bytes = 0; /* half set is not set */
        r = memory_limit(dir_of(group, MEMORY), limits->memory_bytes);
        if (r == 0) {
            r = socket_limit(dir_of(group, MEMORY), limits->memory_bytes);
        }
    }
    if (r < 0) {
        return r;
    }
    group->set.memory_bytes = limits->memory_bytes;
    *stage = "cgroup pids";
    if (group->set.pids != limits->pids) {
        group->set.pids = 0;
        r = cgroup_write_u64(dir_of(group, PIDS), "pids.max", limits->pids);
    }
    if (r < 0) {
        return r;
    }
    group->set.pids = limits->pids;
    *stage = "cgroup cpu";
    return cpu_limit(group, limits->cpu_millis);
}

static const struct {
    unsigned hierarchy;
    const char *name;
} files[CGROUP_N_FILES] = {
    [CGROUP_FILE_CPU] = { CPUACCT, "cpuacct.usage" },
    [CGROUP_FILE_THROTTLED] = { CPU, "cpu.stat" },
    [CGROUP_FILE_OOM] = { MEMORY, "memory.oom_control" },
    [CGROUP_FILE_PIDS] = { PIDS, "pids.events" },
    [CGROUP_FILE_PEAK] = { MEMORY, "memory.max_usage_in_bytes" },
    [CGROUP_FILE_TASKS] = { PIDS, "pids.current" },
    [CGROUP_FILE_BYTES] = { MEMORY, "memory.usage_in_bytes" },
};

/* Once for all sandboxes that the group will have. */
_must_check_ static int
file_open(struct cgroup *group, enum cgroup_file i)
{
    if (group->file[i] < 0) {
        group->file[i] = openat(dir_of(group, files[i].hierarchy), files[i].name,
                                (i == CGROUP_FILE_PEAK ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    }
    return group->file[i] < 0 ? -errno : 0;
}

static int
v1_watch(struct cgroup *group)
{
    int r = 0;

    for (int i = 0; i <= CGROUP_FILE_PEAK && r == 0; i++) {
        r = file_open(group, (enum cgroup_file)i);
    }
    return r < 0 ? r : pwrite(group->file[CGROUP_FILE_PEAK], "0", 1, 0) == 1 ? 0 : -errno;
}

_must_check_ static int
number_read(int dir, const char *file, uint64_t *ret)
{
    int r, fd = openat(dir, file, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    r = cgroup_read_u64(fd, "", ret);
    close(fd);
    return r;
}

/*
 * Version 1 counts kills but not whose limit was met (memory.failcnt stays 0 on 6.18). A kill for the group's own
 * limit comes when a charge of at most a few pages no longer fits, so its peak is next to the limit; a kill for
 * a group above leaves it where it was.
 */
_must_check_ static int
limit_hits_read(int dir, uint64_t peak, uint64_t *ret)
{
    uint64_t limit = 0;
    int r = number_read(dir, "memory.limit_in_bytes", &limit);

    *ret = peak >= limit - (limit < 8 * PEAK_SLACK ? limit / 8 : PEAK_SLACK);
    return r;
}

static int
v1_cpu(const struct cgroup *group, uint64_t *ret_us)
{
    int r = cgroup_read_u64(group->file[CGROUP_FILE_CPU], "", ret_us);

    *ret_us /= 1000;
    return r;
}

static int
v1_read(struct cgroup *group, struct cgroup_usage *ret)
{
    uint64_t throttled_ns = 0;
    int r = v1_cpu(group, &ret->cpu_us);

    if (r == 0) {
        r = cgroup_read_u64(group->file[CGROUP_FILE_OOM], "oom_kill ", &ret->oom_kills);
    }
    if (r == 0) {
        r = cgroup_read_u64(group->file[CGROUP_FILE_THROTTLED], "throttled_time ", &throttled_ns);
        ret->throttled_us = throttled_ns / 1000;
    }
    if (r == 0) {
        r = cgroup_read_u64(group->file[CGROUP_FILE_PIDS], "max ", &ret->fork_refusals);
    }
    if (r == 0) {
        r = cgroup_read_u64(group->file[CGROUP_FILE_PEAK], "", &ret->peak_bytes);
    }
    if (r == 0 && ret->oom_kills > 0) {
        r = limit_hits_read(dir_of(group, MEMORY), ret->peak_bytes, &ret->limit_hits);
    }
    return r;
}

/* A process is put into all hierarchies before it runs, and its children are born in the same. */
static int
v1_rest(struct cgroup *group, struct cgroup_rest *ret)
{
    int r = file_open(group, CGROUP_FILE_TASKS);

    r = r < 0 ? r : file_open(group, CGROUP_FILE_BYTES);
    r = r < 0 ? r : cgroup_read_u64(group->file[CGROUP_FILE_TASKS], "", &ret->tasks);
    return r < 0 ? r : cgroup_read_u64(group->file[CGROUP_FILE_BYTES], "", &ret->bytes);
}

static int
v1_reclaim(const struct cgroup *group, struct cgroup_reclaim *ret)
{
    return cgroup_reclaim_read(dir_of(group, MEMORY), "cache ", ret);
}

static int
v1_weigh(const struct cgroup *group, unsigned weight)
{
    return cgroup_write_u64(dir_of(group, CPU), "cpu.shares", weight);
}

static int
v1_idle(const struct cgroup *group, bool is_idle)
{
    return cgroup_write_u64(dir_of(group, CPU), "cpu.idle", is_idle);
}

static int
v1_kill(int dir)
{
    (void)dir; /* there is no cgroup.kill here */
    return -EOPNOTSUPP;
}

/*
 * FROZEN is written first: a process that is moved into a frozen group stops before it can fork again, and what it
 * forked before is found in the next turn.
 */
static int
v1_freeze(struct cgroup *group, const struct cgroup_tree *tree, const char *slot, bool is_frozen)
{
    int r, dir = dir_of(group, FREEZER);

    if (dir < 0 && !is_frozen) {
        return 0;
    }
    if (dir < 0 && tree->base[FREEZER] < 0) {
        return -EOPNOTSUPP;
    }
    if (dir < 0) {
        if (mkdirat(tree->base[FREEZER], slot, 0755) < 0) {
            return -errno;
        }
        dir = openat(tree->base[FREEZER], slot, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (dir < 0) {
            return -errno;
        }
        group->dir[FREEZER] = dir;
    }
    r = cgroup_write(dir, "freezer.state", is_frozen ? "FROZEN" : "THAWED");
    if (r < 0 || !is_frozen || shares[FREEZER] != FREEZER) {
        return r;
    }
    return cgroup_gather(dir_of(group, MEMORY), dir, tree->name, slot);
}

static void
v1_thaw_left(int dir)
{
    int r = cgroup_write(dir, "freezer.state", "THAWED");

    (void)r; /* -ENOENT in the other hierarchies */
}

static void
v1_close(struct cgroup_tree *tree)
{
    (void)tree; /* the launcher stayed where it was */
}

const struct cgroup_ops cgroup_v1_ops = {
    .name = "v1",
    .n_dirs = N_HIERARCHIES,
    .n_later = 1,
    .open = v1_open,
    .attach = v1_attach,
    .limit = v1_limit,
    .watch = v1_watch,
    .read = v1_read,
    .cpu = v1_cpu,
    .rest = v1_rest,
    .reclaim = v1_reclaim,
    .weigh = v1_weigh,
    .idle = v1_idle,
    .weigh_all = v1_weigh_all,
    .weight_normal = WEIGHT_NORMAL,
    .weight_least = 2,
    .kill = v1_kill,
    .freeze = v1_freeze,
    .thaw_left = v1_thaw_left,
    .close = v1_close,
};
