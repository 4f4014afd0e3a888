/*
 * The version 2 backend. Its file contents against a directory that only looks like
 * a control group; birth inside, kill, sweep and removal against the real hierarchy,
 * which needs no controller for them. Skipped parts say why.
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "executor/launcher/cgroup.h"
#include "t/unit/tap.h"

static const struct cgroup_ops *const v2 = &cgroup_v2_ops;
static char dir[] = "/tmp/launch_cgroup.XXXXXX";
static int dir_fd = -1;

static void
put(const char *name, const char *text)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    ok(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s prepared", name);
    close(fd);
}

static const char *
get(const char *name)
{
    static char text[256];
    int fd = openat(dir_fd, name, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0) {
        close(fd);
    }
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

static void
limits(void)
{
    const struct cgroup_limits wanted = { .memory_bytes = 64u << 20, .pids = 17, .cpu_millis = 500 };
    struct cgroup group = CGROUP_NULL;
    const char *stage = "";

    group.dir[0] = dir_fd;
    is_int(v2->limit(&group, &wanted, &stage), -ENOENT, "no memory controller: an error");
    is_str(stage, "cgroup memory", "which is named");
    put("memory.max", "");
    is_int(v2->limit(&group, &wanted, &stage), -ENOENT,
           "no pids controller: an error, no swap accounting: none");
    is_str(stage, "cgroup pids", "which is named");
    put("pids.max", "");
    is_int(v2->limit(&group, &wanted, &stage), -ENOENT, "no cpu controller: an error");
    is_str(stage, "cgroup cpu", "which is named");
    put("cpu.max", "");
    put("memory.swap.max", "");
    is_int(v2->limit(&group, &wanted, &stage), 0, "all there");
    is_str(get("memory.max"), "67108864", "memory.max");
    is_str(get("memory.swap.max"), "0", "memory.swap.max");
    is_str(get("pids.max"), "17", "pids.max");
    is_str(get("cpu.max"), "50000 100000", "cpu.max");
}

static void
weight(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    struct cgroup group = CGROUP_NULL;
    char expected[24];

    is_int(cgroup_weigh(dir_fd, "cpu.weight", 100, 10000, false), -ENOENT, "a group without cpu: an error");
    put("cpu.weight", "");
    is_int(cgroup_weigh(dir_fd, "cpu.weight", 100, 10000, false), 0, "weighed");
    (void)snprintf(expected, sizeof(expected), "%ld", cpus < 50 ? 200 * cpus : 10000);
    is_str(get("cpu.weight"), expected, "two processes a processor");
    put("cpu.weight", "");
    is_int(cgroup_weigh(dir_fd, "cpu.weight", 100, 150, false), 0, "again, on a large host");
    is_str(get("cpu.weight"), "150", "no more than the kernel takes");
    put("cpu.weight", "");
    is_int(cgroup_weigh(dir_fd, "cpu.weight", 100, 10000, true), 0, "while only greedy ones run");
    (void)snprintf(expected, sizeof(expected), "%ld", cpus < 400 ? 200 * cpus / 8 : 10000);
    is_str(get("cpu.weight"), expected, "an eighth of it");
    group.dir[0] = dir_fd;
    put("cpu.weight", "");
    is_int(v2->weigh(&group, 33), 0, "a sandbox's own weight");
    is_str(get("cpu.weight"), "33", "is written as it is");
    is_int(v2->idle(&group, true), -ENOENT, "a kernel without idle groups: an error");
    put("cpu.idle", "");
    is_int(v2->idle(&group, true), 0, "one behind all others");
    is_str(get("cpu.idle"), "1", "is idle");
    put("cpu.idle", "");
    is_int(v2->idle(&group, false), 0, "and no more");
    is_str(get("cpu.idle"), "0", "than others");
}

static void
counters(void)
{
    struct cgroup group = CGROUP_NULL;
    struct cgroup_usage usage;

    group.dir[0] = dup(dir_fd);
    is_int(v2->watch(&group), -ENOENT, "counters absent: an error");
    cgroup_deinit(&group);
    group.dir[0] = dup(dir_fd);
    put("cpu.stat", "usage_usec 1234567\nuser_usec 1000000\nsystem_usec 234567\n"
                    "nr_periods 9\nnr_throttled 4\nthrottled_usec 765432\n");
    put("memory.events", "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n");
    put("pids.events", "max 5\n");
    put("memory.current", "4096\n");
    is_int(v2->watch(&group), 0, "counters without memory.peak");
    is_int(v2->read(&group, &usage), 0, "are read");
    is_uint(usage.cpu_us, 1234567, "cpu");
    is_uint(usage.throttled_us, 765432, "time held back");
    is_uint(usage.oom_kills, 2, "oom_kill and not oom");
    is_uint(usage.limit_hits, 3, "how often its own limit was met");
    is_uint(usage.fork_refusals, 5, "refused forks");
    is_uint(usage.peak_bytes, 4096, "peak from memory.current");
    put("memory.current", "1024\n");
    is_int(v2->read(&group, &usage), 0, "read again");
    is_uint(usage.peak_bytes, 4096, "a peak does not fall");
    put("cpu.stat", "user_usec 1\n");
    is_int(v2->read(&group, &usage), -ENODATA, "a line that is missing is an error");
    put("cpu.stat", "usage_usec x\n");
    is_int(v2->read(&group, &usage), -EBADMSG, "no number is an error");
    cgroup_deinit(&group);
    cgroup_deinit(&group);
    ok(group.dir[0] == -1, "given back twice without harm");
}

static pid_t
sleeper(int cgroup_fd, int *ret_pidfd)
{
    struct clone_args args = { .flags = CLONE_INTO_CGROUP | CLONE_PIDFD,
                               .pidfd = (uint64_t)(uintptr_t)ret_pidfd,
                               .exit_signal = SIGCHLD,
                               .cgroup = (unsigned)cgroup_fd };
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

    if (pid == 0) {
        for (;;) {
            pause();
        }
    }
    return pid;
}

static bool
killed(int pidfd)
{
    siginfo_t info = { 0 };

    return waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) == 0 && info.si_code == CLD_KILLED &&
           info.si_status == SIGKILL;
}

static void
real_hierarchy(void)
{
    char mount[SETTINGS_PATH_LEN], path[CGROUP_PATH_LEN];
    struct cgroup_tree tree = {
        .ops = v2, .base = { -1, -1, -1, -1 }, .parent = { -1, -1, -1, -1 }, .own_leaf = -1
    };
    struct cgroup group = CGROUP_NULL;
    int pidfd = -1, other_pidfd = -1;

    if (geteuid() != 0 || cgroup_own_path(NULL, mount, path) != 0) {
        ok(true, "no version 2 hierarchy or no root here # SKIP");
        return;
    }
    (void)snprintf(tree.name, sizeof(tree.name), "ngx_sandbox-unit%d", (int)getpid());
    is_int(cgroup_base_make(&tree, 0, path), 0, "the base is made");
    is_int(mkdirat(tree.base[0], "s3", 0755), 0, "a slot");
    group.dir[0] = openat(tree.base[0], "s3", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    is_int(cgroup_clone_fd(&group, &tree), group.dir[0], "its descriptor is for CLONE_INTO_CGROUP");
    ok(sleeper(group.dir[0], &pidfd) > 0, "a process is born inside");
    is_int(cgroup_remove(&group, &tree, 3), CGROUP_E_BUSY, "a group in use is busy");
    is_int(v2->kill(group.dir[0]), 0, "cgroup.kill");
    ok(killed(pidfd), "kills it");
    for (int i = 0; i < 30000 && cgroup_remove(&group, &tree, 3) == CGROUP_E_BUSY; i++) {
        usleep(1000);
    }
    ok(faccessat(tree.base[0], "s3", F_OK, 0) < 0, "then the group is gone");
    ok(group.dir[0] == -1, "and closed");

    is_int(mkdirat(tree.base[0], "s4", 0755), 0, "left behind: a slot");
    is_int(mkdirat(tree.base[0], "other", 0755), 0, "and a group that is no slot");
    group.dir[0] = openat(tree.base[0], "s4", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ok(sleeper(group.dir[0], &other_pidfd) > 0, "with a process");
    is_int(cgroup_sweep(tree.base[0], tree.name, v2), 0, "swept");
    ok(killed(other_pidfd), "the process is killed");
    ok(faccessat(tree.base[0], "s4", F_OK, 0) < 0, "the slot is gone");
    ok(faccessat(tree.base[0], "other", F_OK, 0) == 0, "the other is not touched");
    unlinkat(tree.base[0], "other", AT_REMOVEDIR);
    cgroup_deinit(&group);
    cgroup_tree_close(&tree);
    (void)snprintf(path + strlen(path), sizeof(path) - strlen(path), "/%s", tree.name);
    struct stat st;
    ok(stat(path, &st) < 0, "the base is gone");
    close(pidfd);
    close(other_pidfd);
}

/* On a host whose v2 has no memory, pids and cpu the launcher must say so and not run without limits. */
static void
refusal(void)
{
    struct settings settings = { .cgroup = SETTINGS_CGROUP_V2, .instance = "unit" };
    struct cgroup_tree tree = { 0 };
    char error[SETTINGS_ERROR_LEN] = "", text[512] = "";
    char mount[SETTINGS_PATH_LEN], path[CGROUP_PATH_LEN];
    int fd;

    if (geteuid() != 0 || cgroup_own_path(NULL, mount, path) != 0) {
        ok(true, "no version 2 hierarchy or no root here # SKIP");
        return;
    }
    (void)snprintf(path + strlen(path), sizeof(path) - strlen(path), "/cgroup.controllers");
    fd = open(path, O_RDONLY);
    if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0 || strstr(text, "memory") != NULL) {
        ok(true, "version 2 has its controllers here # SKIP");
    } else {
        ok(cgroup_tree_open(&tree, &settings, dir_fd, error) < 0, "v2 without controllers is refused");
        ok(error[0] != '\0', "with a reason: %s", error);
    }
    if (fd >= 0) {
        close(fd);
    }
}

int
main(void)
{
    if (mkdtemp(dir) == NULL) {
        return 1;
    }
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    limits();
    weight();
    counters();
    real_hierarchy();
    refusal();
    if (strncmp(dir, "/tmp/launch_cgroup.", 19) == 0) {
        static const char *const names[] = { "memory.max", "memory.swap.max", "pids.max",       "cpu.max",
                                             "cpu.stat",   "memory.events",   "memory.current", "pids.events",
                                             "cpu.weight", "cpu.idle" };
        for (size_t i = 0; i < SBX_COUNT(names); i++) {
            unlinkat(dir_fd, names[i], 0);
        }
        rmdir(dir);
    }
    return done_testing();
}
