/*
 * Version 2. A group that hands controllers to children may hold no process
 * itself (the root excepted), so a launcher started inside a delegated group moves
 * itself into a leaf beside the sandboxes' base.
 */
#include "executor/launcher/cgroup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WEIGHT_NORMAL 100
#define CONTROLLERS "+memory +pids +cpu"

_must_check_ static int
controllers_present(int dir)
{
    static const char *const needed[] = { "memory", "pids", "cpu" };
    char text[512] = " ", word[16];
    int fd = openat(dir, "cgroup.controllers", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text + 1, sizeof(text) - 3);

    if (fd >= 0) {
        close(fd);
    }
    if (n < 0) {
        return -EIO;
    }
    text[1 + n] = ' ';
    text[2 + n] = '\0';
    for (char *at = text; (at = strchr(at, '\n')) != NULL;) {
        *at = ' ';
    }
    for (size_t i = 0; i < SBX_COUNT(needed); i++) {
        (void)snprintf(word, sizeof(word), " %s ", needed[i]); /* six letters at most */
        if (strstr(text, word) == NULL) {
            return CGROUP_E_ABSENT;
        }
    }
    return 0;
}

/* `parent` is the launcher's own group. Other processes in it keep the controllers from being handed down:
 * EBUSY. */
_must_check_ static int
leaf_enter(struct cgroup_tree *tree, int parent)
{
    char name[CGROUP_NAME_LEN + 16];

    (void)snprintf(name, sizeof(name), "%s.launcher", tree->name); /* both bounded */
    if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST) {
        return -errno;
    }
    tree->own_leaf = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (tree->own_leaf < 0) {
        return -errno;
    }
    return cgroup_write(tree->own_leaf, "cgroup.procs", "0");
}

/* The hierarchy's root has no cgroup.type and is free of the rule about inner processes. */
static bool
is_root(int dir)
{
    struct stat st;

    return fstatat(dir, "cgroup.type", &st, 0) < 0 && errno == ENOENT;
}

static int
v2_weigh_all(const struct cgroup_tree *tree, bool is_greedy)
{
    return cgroup_weigh(tree->base[0], "cpu.weight", WEIGHT_NORMAL, 10000, is_greedy);
}

static int
v2_open(struct cgroup_tree *tree, const struct settings *settings)
{
    char mount[SETTINGS_PATH_LEN], path[CGROUP_PATH_LEN];
    bool configured = settings->cgroup_parent[0] != '\0';
    int r = cgroup_own_path(NULL, mount, path);

    if (r != 0) {
        return r;
    }
    if (configured) {
        r = snprintf(path, sizeof(path), "%s%s", mount, settings->cgroup_parent);
        if (r < 0 || (size_t)r >= sizeof(path)) {
            return -ENAMETOOLONG;
        }
        if (mkdir(path, 0755) < 0 && errno != EEXIST) {
            return -errno;
        }
    }
    r = cgroup_base_make(tree, 0, path);
    if (r < 0) {
        return r;
    }
    r = controllers_present(tree->parent[0]);
    if (r == 0 && !configured && !is_root(tree->parent[0])) {
        r = leaf_enter(tree, tree->parent[0]);
    }
    if (r == 0) {
        r = cgroup_write(tree->parent[0], "cgroup.subtree_control", CONTROLLERS);
    }
    if (r == 0) {
        r = cgroup_write(tree->base[0], "cgroup.subtree_control", CONTROLLERS);
    }
    if (r == 0) {
        r = v2_weigh_all(tree, false);
    }
    if (r != 0 && unlinkat(tree->parent[0], tree->name, AT_REMOVEDIR) < 0 && errno != EBUSY) {
        journal(JOURNAL_WARN, "cgroup.leftover", JOURNAL_INT("error", errno));
    }
    return r;
}

static int
v2_attach(struct cgroup *group, pid_t pid)
{
    (void)group; /* CLONE_INTO_CGROUP put it there */
    (void)pid;
    return 0;
}

static int
v2_limit(struct cgroup *group, const struct cgroup_limits *limits, const char **stage)
{
    char quota[48];
    int r;

    *stage = "cgroup memory";
    r = cgroup_write_u64(group->dir[0], "memory.max", limits->memory_bytes);
    if (r < 0) {
        return r;
    }
    r = cgroup_write(group->dir[0], "memory.swap.max", "0");
    if (r < 0 && r != -ENOENT) { /* absent without swap accounting */
        return r;
    }
    *stage = "cgroup pids";
    r = cgroup_write_u64(group->dir[0], "pids.max", limits->pids);
    if (r < 0) {
        return r;
    }
    *stage = "cgroup cpu";
    (void)snprintf(quota, sizeof(quota), "%llu %d", /* two numbers fit */
                   (unsigned long long)limits->cpu_millis * CGROUP_PERIOD_US / 1000, CGROUP_PERIOD_US);
    return cgroup_write(group->dir[0], "cpu.max", quota);
}

static int
v2_watch(struct cgroup *group)
{
    static const char *const names[CGROUP_FILE_PEAK + 1] = {
        [CGROUP_FILE_CPU] = "cpu.stat",      [CGROUP_FILE_THROTTLED] = "cpu.stat",
        [CGROUP_FILE_OOM] = "memory.events", [CGROUP_FILE_PIDS] = "pids.events",
        [CGROUP_FILE_PEAK] = "memory.peak",
    };

    for (size_t i = 0; i < SBX_COUNT(names); i++) {
        /* Writing resets the peak for this descriptor (6.12); memory.peak came with 5.19. */
        group->file[i] =
            openat(group->dir[0], names[i], (i == CGROUP_FILE_PEAK ? O_RDWR : O_RDONLY) | O_CLOEXEC);
        if (group->file[i] < 0 && i == CGROUP_FILE_PEAK) {
            group->file[i] = openat(group->dir[0], "memory.current", O_RDONLY | O_CLOEXEC);
        } else if (i == CGROUP_FILE_PEAK && write(group->file[i], "reset", 5) != 5) {
            continue; /* an older kernel: the peak counts from CREATE on */
        }
        if (group->file[i] < 0) {
            return -errno;
        }
    }
    group->peak_seen = 0;
    return 0;
}

static int
v2_cpu(const struct cgroup *group, uint64_t *ret_us)
{
    return cgroup_read_u64(group->file[CGROUP_FILE_CPU], "usage_usec ", ret_us);
}

static int
v2_read(struct cgroup *group, struct cgroup_usage *ret)
{
    uint64_t peak;
    int r = v2_cpu(group, &ret->cpu_us);

    if (r == 0) {
        r = cgroup_read_u64(group->file[CGROUP_FILE_OOM], "oom_kill ", &ret->oom_kills);
    }
    if (r == 0) {
        r = cgroup_read_u64(group->file[CGROUP_FILE_THROTTLED], "throttled_usec ", &ret->throttled_us);
    }
    if (r == 0 && ret->oom_kills > 0) {
        r = cgroup_read_u64(group->file[CGROUP_FILE_OOM], "oom ", &ret->limit_hits);
    }
    if (r == 0) {
        r = cgroup_read_u64(group->file[CGROUP_FILE_PIDS], "max ", &ret->fork_refusals);
    }
    if (r == 0) {
        r = cgroup_read_u64(group->file[CGROUP_FILE_PEAK], "", &peak);
    }
    if (r == 0) {
        group->peak_seen = peak > group->peak_seen ? peak : group->peak_seen;
        ret->peak_bytes = group->peak_seen;
    }
    return r;
}

static int
v2_reclaim(const struct cgroup *group, struct cgroup_reclaim *ret)
{
    return cgroup_reclaim_read(group->dir[0], "file ", ret);
}

static int
v2_weigh(const struct cgroup *group, unsigned weight)
{
    return cgroup_write_u64(group->dir[0], "cpu.weight", weight);
}

static int
v2_idle(const struct cgroup *group, bool is_idle)
{
    return cgroup_write_u64(group->dir[0], "cpu.idle", is_idle);
}

static int
v2_kill(int dir)
{
    return cgroup_write(dir, "cgroup.kill", "1");
}

static int
v2_freeze(struct cgroup *group, const struct cgroup_tree *tree _unused_, const char *slot _unused_,
          bool is_frozen)
{
    int r = cgroup_write(group->dir[0], "cgroup.freeze", is_frozen ? "1" : "0");

    return r == -ENOENT ? -EOPNOTSUPP : r; /* before 5.2 */
}

static void
v2_thaw_left(int dir _unused_)
{
    /* Here what is frozen dies of a signal all the same. */
}

static void
v2_close(struct cgroup_tree *tree)
{
    char name[CGROUP_NAME_LEN + 16];

    if (tree->own_leaf < 0) {
        return;
    }
    (void)snprintf(name, sizeof(name), "%s.launcher", tree->name); /* both bounded */
    close(tree->own_leaf);
    tree->own_leaf = -1;
    if (unlinkat(tree->parent[0], tree->name, AT_REMOVEDIR) < 0 ||
        cgroup_write(tree->parent[0], "cgroup.subtree_control", "-memory -pids -cpu") < 0 ||
        cgroup_write(tree->parent[0], "cgroup.procs", "0") < 0 ||
        unlinkat(tree->parent[0], name, AT_REMOVEDIR) < 0) {
        journal(JOURNAL_WARN, "cgroup.leftover", JOURNAL_INT("error", errno));
    }
}

const struct cgroup_ops cgroup_v2_ops = {
    .name = "v2",
    .n_dirs = 1,
    .open = v2_open,
    .attach = v2_attach,
    .limit = v2_limit,
    .watch = v2_watch,
    .read = v2_read,
    .cpu = v2_cpu,
    .reclaim = v2_reclaim,
    .weigh = v2_weigh,
    .idle = v2_idle,
    .weigh_all = v2_weigh_all,
    .weight_normal = WEIGHT_NORMAL,
    .weight_least = 1,
    .kill = v2_kill,
    .freeze = v2_freeze,
    .thaw_left = v2_thaw_left,
    .close = v2_close,
};
