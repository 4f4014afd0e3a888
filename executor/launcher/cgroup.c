#include "executor/launcher/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/sbx_time.h"
#include "lib/sbx_wall.h"

#define SWEEP_MS 5000
#define RECORD "cgroups"
#define GREEDY_PART 8
#define GATHER_TURNS 64

_must_check_ int
cgroup_write(int dir, const char *file, const char *text)
{
    size_t len = strlen(text);
    ssize_t n;
    int r = 0, fd = openat(dir, file, O_WRONLY | O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    n = write(fd, text, len);
    if (n < 0) {
        r = -errno;
    } else if ((size_t)n != len) {
        r = -EIO;
    }
    close(fd);
    return r;
}

_must_check_ int
cgroup_write_u64(int dir, const char *file, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value); /* 20 digits at most */
    return cgroup_write(dir, file, text);
}

/*
 * A new group weighs as much as one process, so that on a busy host all sandboxes would share what one process
 * gets. And of a group's weight the kernel gives each processor the part that the group's load there has in the
 * whole; the load of one that it has left decays over some 100 ms: a program that is moved loses half. Hence
 * two processes' weight a processor; a daemon that shares one with sandboxes keeps a third of it.
 */
_must_check_ int
cgroup_weigh(int base, const char *file, unsigned normal, unsigned most, bool is_greedy)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t weight = 2ull * normal * (cpus > 0 ? (uint64_t)cpus : 1) / (is_greedy ? GREEDY_PART : 1);

    return cgroup_write_u64(base, file, weight < most ? weight : most);
}

_must_check_ int
cgroup_read_u64(int fd, const char *key, uint64_t *ret)
{
    char text[4096]; /* a memory.stat, the longest, as far as is asked for */
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    size_t len = strlen(key);

    if (n < 0) {
        return -errno;
    }
    text[n] = '\0';
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) == 0) {
            char *end;
            unsigned long long value = strtoull(line + len, &end, 10);

            if (end == line + len) {
                return -EBADMSG;
            }
            *ret = value;
            return 0;
        }
    }
    return -ENODATA;
}

_must_check_ int
cgroup_reclaim_read(int dir, const char *cache, struct cgroup_reclaim *ret)
{
    int r, fd = openat(dir, "memory.stat", O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    r = cgroup_read_u64(fd, "workingset_refault_file ", &ret->refaults);
    if (r == 0) {
        r = cgroup_read_u64(fd, "pgmajfault ", &ret->major_faults);
    }
    if (r == 0) {
        r = cgroup_read_u64(fd, cache, &ret->cache_bytes);
    }
    close(fd);
    return r;
}

_must_check_ int
cgroup_base_make(struct cgroup_tree *tree, unsigned index, const char *path)
{
    int n = snprintf(tree->path[index], CGROUP_PATH_LEN, "%s/%s", path, tree->name);

    if (n < 0 || n >= CGROUP_PATH_LEN) {
        return -ENAMETOOLONG;
    }
    tree->parent[index] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tree->parent[index] < 0 || (mkdirat(tree->parent[index], tree->name, 0755) < 0 && errno != EEXIST)) {
        return -errno;
    }
    tree->base[index] =
        openat(tree->parent[index], tree->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return tree->base[index] < 0 ? -errno : 0;
}

static void
slot_name(char *ret, size_t size, unsigned slot)
{
    (void)snprintf(ret, size, "s%u", slot); /* at most eleven characters */
}

void
cgroup_deinit(struct cgroup *group)
{
    for (size_t i = 0; i < CGROUP_MAX_DIRS; i++) {
        if (group->dir[i] >= 0) {
            close(group->dir[i]);
        }
        if (group->procs[i] >= 0) {
            close(group->procs[i]);
        }
    }
    for (size_t i = 0; i < CGROUP_N_FILES; i++) {
        if (group->file[i] >= 0) {
            close(group->file[i]);
        }
    }
    *group = (struct cgroup)CGROUP_NULL;
}

/* Without a wall: as much as any program of the tests takes, and no more. */
_must_check_ int
cgroup_limit(struct cgroup *group, const struct cgroup_tree *tree, const struct cgroup_limits *limits,
             const char **ret_stage)
{
    struct cgroup_limits kept = *limits;

    if (sbx_wall_is_off(SBX_WALL_MEMORY)) {
        kept.memory_bytes = 2ull << 30;
    }
    if (sbx_wall_is_off(SBX_WALL_PIDS)) {
        kept.pids = 4096;
    }
    if (sbx_wall_is_off(SBX_WALL_CPU)) {
        kept.cpu_millis = 1000000;
    }
    return tree->ops->limit(group, &kept, ret_stage);
}

static bool
is_near(uint64_t set, uint64_t wanted)
{
    return set >= wanted / 2 && set <= wanted * 2;
}

/* What its last sandbox had. Nothing but the agent is in it until ADOPT sets what counts, often the same again. */
static bool
is_limited(const struct cgroup *group, const struct cgroup_limits *limits)
{
    return limits->is_rough && is_near(group->set.memory_bytes, limits->memory_bytes) &&
           is_near(group->set.pids, limits->pids) && is_near(group->set.cpu_millis, limits->cpu_millis);
}

_must_check_ int
cgroup_create(struct cgroup *ret, const struct cgroup_tree *tree, unsigned slot,
              const struct cgroup_limits *limits)
{
    struct cgroup group = CGROUP_NULL;
    const char *stage;
    char name[16];
    bool is_kept;
    int r = 0;

    slot_name(name, sizeof(name), slot);
    is_kept = cgroup_take(&group, tree, name);
    for (unsigned i = 0; i < tree->ops->n_dirs && r == 0 && !is_kept; i++) {
        if (tree->base[i] < 0) {
            continue;
        }
        if (mkdirat(tree->base[i], name, 0755) < 0) {
            r = -errno;
            break;
        }
        group.dir[i] = openat(tree->base[i], name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        r = group.dir[i] < 0 ? -errno : 0;
    }
    if (r == 0 && !is_limited(&group, limits)) {
        r = cgroup_limit(&group, tree, limits, &stage);
    }
    if (r < 0) {
        /* Nothing is in it yet; what cannot be removed now the next use of the slot trips over. */
        if (cgroup_remove(&group, tree, slot) != 0) {
            cgroup_deinit(&group);
        }
        return r;
    }
    *ret = group;
    return 0;
}

_must_check_ int
cgroup_procs(struct cgroup *group, unsigned i)
{
    if (group->procs[i] < 0) {
        group->procs[i] = openat(group->dir[i], "cgroup.procs", O_WRONLY | O_CLOEXEC);
    }
    return group->procs[i] < 0 ? -errno : group->procs[i];
}

int
cgroup_clone_fd(const struct cgroup *group, const struct cgroup_tree *tree)
{
    return tree->ops == &cgroup_v2_ops ? group->dir[0] : -1;
}

_must_check_ int
cgroup_remove(struct cgroup *group, const struct cgroup_tree *tree, unsigned slot)
{
    char name[16];

    slot_name(name, sizeof(name), slot);
    for (unsigned i = 0; i < cgroup_all_dirs(tree); i++) {
        if (tree->base[i] >= 0 && unlinkat(tree->base[i], name, AT_REMOVEDIR) < 0 && errno != ENOENT) {
            return errno == EBUSY ? CGROUP_E_BUSY : -errno;
        }
    }
    cgroup_deinit(group);
    return 0;
}

_must_check_ int
cgroup_retire(struct cgroup *group, const struct cgroup_tree *tree, unsigned slot)
{
    char name[16];

    slot_name(name, sizeof(name), slot);
    return cgroup_keep(group, tree, name);
}

/* True when the process that `pid` names now is in the group: to be asked after pidfd_open. `controller`: of that
 * hierarchy; NULL: of any. */
static bool
pid_is_in(pid_t pid, const char *controller, const char *needle)
{
    char path[48], text[4096], *line, *after;
    ssize_t n;
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid); /* fits any pid */
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0) {
        close(fd);
    }
    if (n <= 0) {
        return false;
    }
    text[n] = '\0';
    line = controller == NULL ? text : strstr(text, controller);
    if (line != NULL && controller != NULL && (after = strchr(line, '\n')) != NULL) {
        *after = '\0';
    }
    return line != NULL && strstr(line, needle) != NULL;
}

/* What procs_each is about. */
struct procs {
    char needle[CGROUP_NAME_LEN + NAME_MAX + 8]; /* of the group's path */
    int to;                                      /* where they are moved */
    unsigned n_moved;
};

/* `visit` for each process of the group `dir`: one that is in a group of ours now. */
static void
procs_each(struct procs *procs, int dir, void (*visit)(struct procs *procs, pid_t pid, int pidfd))
{
    int pid, pidfd, fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *in = fd < 0 ? NULL : fdopen(fd, "r");

    if (in == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    while (fscanf(in, "%d", &pid) == 1) {
        pidfd = pid > 1 ? pidfd_open(pid, 0) : -1;
        if (pidfd >= 0 && pid_is_in(pid, NULL, procs->needle)) {
            visit(procs, pid, pidfd);
        }
        if (pidfd >= 0) {
            close(pidfd);
        }
    }
    (void)fclose(in); /* was only read */
}

static void
procs_name(struct procs *procs, const char *base_name, const char *slot)
{
    (void)snprintf(procs->needle, sizeof(procs->needle), "/%s/%s", base_name, slot); /* both are bounded */
}

static void
proc_kill(struct procs *procs _unused_, pid_t pid _unused_, int pidfd)
{
    (void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0); /* it may be gone by now */
}

/* v1 has no cgroup.kill: each process by pidfd, until none is listed. */
static void
procs_kill(int dir, const char *base_name, const char *slot)
{
    struct procs procs = { .to = -1 };

    procs_name(&procs, base_name, slot);
    procs_each(&procs, dir, proc_kill);
}

static void
proc_move(struct procs *procs, pid_t pid, int pidfd _unused_)
{
    if (!pid_is_in(pid, ":freezer:", procs->needle) &&
        cgroup_write_u64(procs->to, "cgroup.procs", (uint64_t)pid) == 0) {
        procs->n_moved++;
    }
}

_must_check_ int
cgroup_gather(int from, int to, const char *base_name, const char *slot)
{
    struct procs procs = { .to = to };

    procs_name(&procs, base_name, slot);
    for (unsigned turn = 0; turn < GATHER_TURNS; turn++) {
        procs.n_moved = 0;
        procs_each(&procs, from, proc_move);
        if (procs.n_moved == 0) {
            return 0;
        }
    }
    return -EBUSY;
}

_must_check_ int
cgroup_freeze(struct cgroup *group, const struct cgroup_tree *tree, unsigned slot, bool is_frozen)
{
    char name[16];

    slot_name(name, sizeof(name), slot);
    return tree->ops->freeze(group, tree, name, is_frozen);
}

void
cgroup_kill(const struct cgroup *group, const struct cgroup_tree *tree, unsigned slot)
{
    char name[16];

    slot_name(name, sizeof(name), slot);
    if (group->dir[0] >= 0 && tree->ops->kill(group->dir[0]) < 0) {
        procs_kill(group->dir[0], tree->name, name);
    }
}

_must_check_ static int
sweep_one(int base, const char *name, const char *slot, const struct cgroup_ops *ops)
{
    const struct timespec pause = { .tv_nsec = 2000000 };
    uint64_t deadline = sbx_now_mono_ms() + SWEEP_MS;
    int dir = openat(base, slot, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    int r = 0;

    if (dir < 0) {
        return -errno;
    }
    ops->thaw_left(dir);
    while (unlinkat(base, slot, AT_REMOVEDIR) < 0) {
        if (errno == ENOENT) {
            break;
        }
        if (errno != EBUSY || sbx_now_mono_ms() > deadline) {
            r = -errno;
            break;
        }
        if (ops->kill(dir) < 0) {
            procs_kill(dir, name, slot);
        }
        (void)nanosleep(&pause, NULL); /* an early return only asks again sooner */
    }
    close(dir);
    return r;
}

_must_check_ int
cgroup_sweep(int base, const char *name, const struct cgroup_ops *ops)
{
    int n_swept = 0, r = 0, fd = openat(base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct dirent *entry;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (dir == NULL) {
        r = -errno;
        if (fd >= 0) {
            close(fd);
        }
        return r;
    }
    while (r == 0 && (entry = readdir(dir)) != NULL) {
        if ((entry->d_name[0] == 's' || entry->d_name[0] == 'k') && entry->d_name[1] != '\0' &&
            strspn(entry->d_name + 1, "0123456789") == strlen(entry->d_name + 1)) {
            r = sweep_one(base, name, entry->d_name, ops);
            n_swept++;
        }
    }
    closedir(dir);
    if (n_swept > 0) {
        journal(r < 0 ? JOURNAL_ERROR : JOURNAL_WARN, "cgroup.swept", JOURNAL_INT("groups", n_swept),
                JOURNAL_INT("error", -r));
    }
    return r;
}

/* A base of an earlier launcher that ran elsewhere in the hierarchy. */
static void
recorded_sweep(const char *path, const struct cgroup_ops *ops)
{
    const char *name = strrchr(path, '/');
    int base = name == NULL ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    int r;

    if (base < 0) {
        return;
    }
    r = cgroup_sweep(base, name + 1, ops);
    close(base);
    if (r == 0 && rmdir(path) < 0 && errno != ENOENT) {
        journal(JOURNAL_WARN, "cgroup.leftover", JOURNAL_INT("error", errno));
    }
}

static bool
tree_has_path(const struct cgroup_tree *tree, const char *path)
{
    for (unsigned i = 0; i < cgroup_all_dirs(tree); i++) {
        if (tree->base[i] >= 0 && strcmp(tree->path[i], path) == 0) {
            return true;
        }
    }
    return false;
}

static void
record_sweep(const struct cgroup_tree *tree, int state_dir)
{
    char path[CGROUP_PATH_LEN + 2];
    size_t len;
    int fd = openat(state_dir, RECORD, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    FILE *in = fd < 0 ? NULL : fdopen(fd, "r");

    if (in == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    while (fgets(path, sizeof(path), in) != NULL) {
        len = strcspn(path, "\n");
        path[len] = '\0';
        /* Only a directory of ours: of this instance, beneath the place control groups live. */
        if (path[0] == '/' && strstr(path, "/..") == NULL && len > strlen(tree->name) &&
            strcmp(path + len - strlen(tree->name), tree->name) == 0 && !tree_has_path(tree, path)) {
            recorded_sweep(path, tree->ops);
        }
    }
    (void)fclose(in); /* was only read */
}

_must_check_ static int
record_write(const struct cgroup_tree *tree, int state_dir)
{
    int r = 0,
        fd = openat(state_dir, RECORD ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        return -errno;
    }
    for (unsigned i = 0; i < cgroup_all_dirs(tree) && r >= 0; i++) {
        if (tree->base[i] >= 0) {
            r = dprintf(fd, "%s\n", tree->path[i]);
        }
    }
    if (r < 0 || renameat(state_dir, RECORD ".new", state_dir, RECORD) < 0) {
        r = -errno;
    }
    close(fd);
    return r < 0 ? r : 0;
}

_must_check_ static int
tree_probe(struct cgroup_tree *tree, const struct settings *settings)
{
    static const struct cgroup_ops *const all[] = { &cgroup_v1_ops, &cgroup_v2_ops };
    int r = CGROUP_E_ABSENT;

    for (size_t i = 0; i < SBX_COUNT(all) && r == CGROUP_E_ABSENT; i++) {
        if (settings->cgroup != SETTINGS_CGROUP_AUTO && settings->cgroup != SETTINGS_CGROUP_V1 + i) {
            continue;
        }
        for (size_t k = 0; k < CGROUP_MAX_DIRS; k++) {
            tree->base[k] = tree->parent[k] = -1;
        }
        tree->own_leaf = -1;
        tree->ops = all[i];
        r = all[i]->open(tree, settings);
    }
    return r;
}

/*
 * Two launchers with one name would sweep each other's sandboxes. A lock of the process, on a file that
 * only v2's own start opens, before: closing any descriptor of it would give the lock up.
 */
_must_check_ static int
tree_lock(const struct cgroup_tree *tree)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = openat(tree->base[0], "cgroup.procs", O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    if (fcntl(fd, F_SETLK, &lock) < 0) {
        int r = errno == EACCES ? -EAGAIN : -errno;

        close(fd);
        return r;
    }
    return 0; /* open until exit, and the lock with it */
}

_must_check_ int
cgroup_tree_probe(struct cgroup_tree *ret, const struct settings *settings, char *error)
{
    int r;

    (void)snprintf(ret->name, sizeof(ret->name), "ngx_sandbox-%s",
                   settings->instance); /* instance is 32 at most */
    r = tree_probe(ret, settings);
    if (r != 0) {
        (void)snprintf(error, SETTINGS_ERROR_LEN, "%s",
                       r == CGROUP_E_ABSENT ? "no control groups with memory, pids and cpu" : strerror(-r));
    }
    return r == CGROUP_E_ABSENT ? -ENODEV : r;
}

_must_check_ int
cgroup_tree_open(struct cgroup_tree *ret, const struct settings *settings, int state_dir, char *error)
{
    int r = cgroup_tree_probe(ret, settings, error);

    if (r < 0) {
        return r;
    }
    r = tree_lock(ret);
    if (r < 0) {
        (void)snprintf(error, SETTINGS_ERROR_LEN, "instance %s: %s", settings->instance,
                       r == -EAGAIN ? "another launcher of this name is running" : strerror(-r));
        ret->ops = NULL; /* the directories are not ours to remove */
        return r;
    }
    for (unsigned i = cgroup_all_dirs(ret); i-- > 0;) { /* the freezer first: what is frozen does not die */
        if (ret->base[i] >= 0) {
            r = cgroup_sweep(ret->base[i], ret->name, ret->ops);
            if (r < 0) {
                (void)snprintf(error, SETTINGS_ERROR_LEN, "groups of an earlier launcher stay: %s",
                               strerror(-r));
                return r;
            }
        }
    }
    record_sweep(ret, state_dir);
    r = record_write(ret, state_dir);
    if (r < 0) {
        (void)snprintf(error, SETTINGS_ERROR_LEN, "state_dir: %s", strerror(-r));
    }
    return r;
}

bool
cgroup_tree_present(const struct cgroup_tree *tree)
{
    for (unsigned i = 0; i < cgroup_all_dirs(tree); i++) {
        if (tree->base[i] >= 0 && faccessat(tree->base[i], "cgroup.procs", F_OK, 0) < 0 && errno == ENOENT) {
            return false;
        }
    }
    return true;
}

void
cgroup_tree_close(struct cgroup_tree *tree)
{
    cgroup_kept_remove(tree);
    tree->ops->close(tree);
    for (unsigned i = 0; i < cgroup_all_dirs(tree); i++) {
        if (tree->base[i] < 0) {
            continue;
        }
        if (unlinkat(tree->parent[i], tree->name, AT_REMOVEDIR) < 0 && errno != ENOENT) {
            journal(JOURNAL_WARN, "cgroup.leftover", JOURNAL_INT("error", errno));
        }
        close(tree->base[i]);
        close(tree->parent[i]);
        tree->base[i] = tree->parent[i] = -1;
    }
}
