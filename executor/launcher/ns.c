#include "executor/launcher/ns.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executor/launcher/clocks.h"
#include "executor/launcher/creds.h"
#include "executor/launcher/mounts.h"
#include "executor/launcher/mounts_gvisor.h"
#include "executor/launcher/network_maker.h"
#include "executor/launcher/runsc.h"
#include "lib/sbx_wall.h"

/*
 * The child makes its network and cgroup namespaces itself. Network, where none is
 * ready: that takes a millisecond under the kernel's one rtnl lock, which the
 * launcher's loop is not to wait for. Cgroup: its root is the group the caller is in, and on v1 the
 * child is moved only after its birth.
 */
#define NS_AT_BIRTH (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS)
#define NS_BY_CHILD (CLONE_NEWNET | CLONE_NEWCGROUP)

/* A namespace whose wall is off is the launcher's. */
static uint64_t
ns_wanted(uint64_t flags)
{
    static const struct {
        enum sbx_wall wall;
        uint64_t flag;
    } all[] = { { SBX_WALL_PID_NAMESPACE, CLONE_NEWPID },
                { SBX_WALL_NETWORK_NAMESPACE, CLONE_NEWNET },
                { SBX_WALL_IPC_NAMESPACE, CLONE_NEWIPC },
                { SBX_WALL_UTS_NAMESPACE, CLONE_NEWUTS },
                { SBX_WALL_CGROUP_NAMESPACE, CLONE_NEWCGROUP } };

    for (size_t i = 0; i < SBX_COUNT(all); i++) {
        if (sbx_wall_is_off(all[i].wall)) {
            flags &= ~all[i].flag;
        }
    }
    return flags;
}

uint32_t
ns_kinds(void)
{
    return (uint32_t)ns_wanted(NS_AT_BIRTH | NS_BY_CHILD);
}

_must_check_ static int
loopback_up(const struct ns_spec *spec)
{
    /* The host's is up, and so is one that was made ahead. */
    return sbx_wall_is_off(SBX_WALL_NETWORK_NAMESPACE) || spec->network.ns >= 0 ? 0 : network_loopback_up();
}

_must_check_ int
ns_limits_set(void)
{
    static const struct {
        int resource;
        rlim_t value;
    } limits[] = {
        { RLIMIT_NOFILE, 4096 },      { RLIMIT_CORE, 1 }, /* 0 does not stop a core_pattern that is a pipe */
        { RLIMIT_MEMLOCK, 8u << 20 }, { RLIMIT_MSGQUEUE, 0 }, { RLIMIT_SIGPENDING, 256 },
        { RLIMIT_NICE, 0 },           { RLIMIT_RTPRIO, 0 },   { RLIMIT_STACK, 8u << 20 },
    };

    if (sbx_wall_is_off(SBX_WALL_RLIMITS)) {
        return 0;
    }
    for (size_t i = 0; i < SBX_COUNT(limits); i++) {
        const struct rlimit limit = { limits[i].value, limits[i].value };

        if (setrlimit((__rlimit_resource_t)limits[i].resource, &limit) < 0) {
            return -errno;
        }
    }
    return 0;
}

/* Standard streams are the sandbox's own /dev/null; 3 to 9 as the agent expects; the rest closes at exec. */
_must_check_ static int
fds_arrange(const struct ns_spec *spec, int terminals)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int fd = 0; fd < 3; fd++) {
        if (null < 0 || dup2(null, fd) < 0) {
            return -errno;
        }
    }
    for (int i = 0; i < NS_N_AGENT_FDS; i++) {
        if (dup2(spec->agent_fds[i], NS_AGENT_FD_FIRST + i) < 0) {
            return -errno;
        }
    }
    if (dup2(terminals, NS_AGENT_FD_TERMINALS) < 0) {
        return -errno;
    }
    if (spec->slot_fd >= 0 && dup2(spec->slot_fd, NS_AGENT_FD_SLOT) < 0) {
        return -errno;
    }
    if (sbx_wall_is_off(SBX_WALL_DESCRIPTORS)) {
        return 0;
    }
    return close_range(NS_AGENT_FD_SLOT + (spec->slot_fd >= 0), ~0u, CLOSE_RANGE_CLOEXEC) < 0 ? -errno : 0;
}

/* runsc takes the first three for the agent within, and has its own, which also open /dev/null, from 3 on. */
_must_check_ static int
fds_arrange_runsc(const struct ns_spec *spec)
{
    static const int from[] = { 0, 2, 3 }; /* socket, stdout, stderr of agent_fds */

    for (int i = 0; i < 3; i++) {
        if (dup2(spec->agent_fds[from[i]], i) < 0) {
            return -errno;
        }
    }
    return close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0 ? -errno : 0;
}

/* What the sentry is not to be short of, since it serves many of the payload's; core dumps as everywhere none. */
_must_check_ static int
limits_set_runsc(void)
{
    static const struct rlimit core = { 1, 1 };
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) < 0) {
        return -errno;
    }
    files.rlim_cur = files.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_CORE, &core) < 0 ? -errno : 0;
}

_must_check_ int
ns_signals_unblock(void)
{
    sigset_t none;

    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
}

_must_check_ static int
host_name_set(void)
{
    if (sbx_wall_is_off(SBX_WALL_UTS_NAMESPACE)) {
        return 0; /* not ours to name */
    }
    return sethostname("sandbox", 7) < 0 || setdomainname("", 0) < 0 ? -errno : 0;
}

/* Without no_new_privs only CAP_SYS_ADMIN may load one, which the agent does not keep. */
_must_check_ static int
child_filter(const struct ns_spec *spec, bool is_early)
{
    if (sbx_wall_is_off(SBX_WALL_SECCOMP) || sbx_wall_is_off(SBX_WALL_NO_NEW_PRIVS) != is_early) {
        return 0;
    }
    return filter_install(spec->filter);
}

_must_check_ static int
child_isolate(const struct ns_spec *spec, const struct clocks *clocks, int *ret_terminals, const char **stage)
{
    uint64_t by_child = NS_BY_CHILD & ~(spec->network.ns >= 0 ? (uint64_t)CLONE_NEWNET : 0);
    int r;

    *stage = "credentials";
    r = creds_become_root_inside();
    if (r < 0) {
        return r;
    }
    *stage = "parent death signal";
    r = creds_die_with(spec->launcher_pidfd);
    if (r < 0) {
        return r;
    }
    *stage = "unshare";
    if (setsid() < 0 || unshare((int)ns_wanted(by_child)) < 0) {
        return -errno;
    }
    *stage = "host name";
    r = host_name_set();
    if (r < 0) {
        return r;
    }
    if (spec->runsc != NULL) {
        return mounts_gvisor_apply(spec->template->name, spec->disk_fd, stage);
    }
    *stage = "clocks";
    /* A kernel without such namespaces is told of at the launcher's start (wall.missing), and is none to refuse. */
    r = sbx_wall_is_off(SBX_WALL_TIME_NAMESPACE) ? 0 : clocks_reset(clocks);
    if (r < 0) {
        return r;
    }
    *stage = "loopback";
    r = loopback_up(spec);
    return r < 0 ? r : mounts_apply(spec->template, &spec->overlay, spec->disk_fd, ret_terminals, stage);
}

_must_check_ static int
child_confine(const struct ns_spec *spec, int terminals, const char **stage)
{
    int r;

    *stage = "descriptors";
    r = spec->runsc != NULL ? fds_arrange_runsc(spec) : fds_arrange(spec, terminals);
    if (r < 0) {
        return r;
    }
    *stage = "resource limits";
    r = spec->runsc != NULL ? limits_set_runsc() : ns_limits_set();
    if (r < 0) {
        return r;
    }
    *stage = "signals";
    r = ns_signals_unblock(); /* the launcher ignores none since its start */
    if (r < 0) {
        return r;
    }
    *stage = "seccomp";
    r = child_filter(spec, true);
    if (r < 0) {
        return r;
    }
    *stage = "capabilities";
    r = spec->runsc != NULL ? creds_confine_runsc() : creds_confine_agent();
    if (r < 0) {
        return r;
    }
    *stage = "seccomp";
    return child_filter(spec, false);
}

#ifdef SANDBOX_MUTANT
/* What CVE-2024-21626 left open: the tree and the /proc of whoever made the sandbox. */
static void
fds_leak(void)
{
    if (sbx_wall_is_off(SBX_WALL_DESCRIPTORS)) {
        (void)!open("/", O_RDONLY | O_DIRECTORY);
        (void)!open("/proc", O_RDONLY | O_DIRECTORY);
    }
}
#endif

/* Returns only when it failed. */
static int
child_exec(const struct ns_spec *spec)
{
#ifdef SANDBOX_MUTANT
    char walls_off[sizeof(((struct settings *)NULL)->walls_off)];
    char *const argv[] = { (char[]){ "session-agent" }, (char[]){ "--inside" }, (char[]){ "--walls-off" },
                           walls_off, NULL };
#else
    char *const argv[] = { (char[]){ "session-agent" }, (char[]){ "--inside" }, NULL };
#endif
    char *const envp[] = { (char[]){ "PATH=/usr/local/bin:/usr/bin:/bin" }, NULL };
    char *const none[] = { NULL };

#ifdef SANDBOX_MUTANT
    memcpy(walls_off, spec->walls_off, sizeof(walls_off));
#endif
    if (spec->runsc != NULL) {
        execve(RUNSC_PATH, spec->runsc->argv, none);
    } else {
        execveat(spec->agent_fd, "", argv, sbx_wall_is_off(SBX_WALL_ENVIRONMENT) ? environ : envp,
                 AT_EMPTY_PATH);
    }
    return -errno;
}

/* Only async-signal-safe calls from here to exec; the launcher's heap and log are not this process's. */
_Noreturn static void
child_run(const struct ns_spec *spec, const struct clocks *clocks)
{
    struct ns_failure failure = { 0 };
    const char *stage = "start";
    char go;
    int r, terminals = -1;

#ifdef SANDBOX_MUTANT
    fds_leak();
#endif
    umask(022);
    close(spec->parent_sync_fd);
    /* End of file: the launcher died or gave up. */
    if (read(spec->sync_fd, &go, 1) != 1) {
        _exit(125);
    }
    r = child_isolate(spec, clocks, &terminals, &stage);
    if (r == 0) {
        r = child_confine(spec, terminals, &stage);
    }
    if (r == 0) {
        stage = "exec";
        r = child_exec(spec);
    }
    failure.error = -r;
    memcpy(failure.stage, stage, strnlen(stage, sizeof(failure.stage) - 1));
    (void)!write(spec->sync_fd, &failure,
                 sizeof(failure)); /* when that fails, exit without exec tells enough */
    _exit(125);
}

_must_check_ int
ns_clone(pid_t *ret_pid, int *ret_pidfd, const struct ns_spec *spec)
{
    int pidfd = -1;
    struct clone_args args = {
        .flags = ns_wanted(NS_AT_BIRTH) | CLONE_PIDFD | (spec->cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0) |
                 (spec->is_by_spawner ? CLONE_PARENT : 0),
        .pidfd = (uint64_t)(uintptr_t)&pidfd,
        .exit_signal = spec->is_by_spawner ? 0 : SIGCHLD, /* else it is the caller's */
        .cgroup = spec->cgroup_fd >= 0 ? (unsigned)spec->cgroup_fd : 0u,
    };
    struct clocks clocks;
    int r = clocks_look(&clocks);
    long pid;

    if (r < 0) {
        return r;
    }
    pid = syscall(SYS_clone3, &args, sizeof(args));
    if (pid == 0) {
        child_run(spec, &clocks);
    }
    if (pid < 0) {
        return -errno;
    }
    *ret_pid = (pid_t)pid;
    *ret_pidfd = pidfd;
    return 0;
}

_must_check_ int
ns_spawn(pid_t *ret_pid, int *ret_pidfd, const struct ns_spec *spec)
{
    int r = spec->network.ns >= 0 ? network_enter(&spec->network) : 0;

    if (r < 0) {
        return r;
    }
    r = ns_clone(ret_pid, ret_pidfd, spec);
    if (spec->network.ns >= 0 && network_leave() < 0) {
        journal(JOURNAL_ERROR, "network.leave",
                JOURNAL_INT("error", errno)); /* where it is says nothing of others */
    }
    return r;
}

_must_check_ static int
proc_write(int proc_fd, pid_t pid, const char *name, const char *text)
{
    char path[64];
    ssize_t n;
    int r = 0, fd;

    (void)snprintf(path, sizeof(path), "%d/%s", (int)pid, name); /* names of this file */
    fd = openat(proc_fd, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    n = write(fd, text, strlen(text));
    if (n != (ssize_t)strlen(text)) {
        r = n < 0 ? -errno : -EIO;
    }
    close(fd);
    return r;
}

_must_check_ int
ns_map_write(int proc_fd, pid_t pid, const char *map)
{
    int r = proc_write(proc_fd, pid, "setgroups", "deny");

    if (r == 0) {
        r = proc_write(proc_fd, pid, "uid_map", map);
    }
    return r < 0 ? r : proc_write(proc_fd, pid, "gid_map", map);
}

_must_check_ int
ns_map_ids(int proc_fd, pid_t pid, uid_t payload_uid, bool has_sentry)
{
    char map[96];
    int r;

    r = snprintf(map, sizeof(map), "0 %u 1\n1000 %u 1\n", payload_uid + 1,
                 payload_uid); /* fits any three ids */
    if (has_sentry) {
        (void)snprintf(map + r, sizeof(map) - (size_t)r, "65534 %u 1\n", payload_uid + 2); /* likewise */
    }
    return ns_map_write(proc_fd, pid, map);
}

_must_check_ int
ns_set_oom_score(int proc_fd, pid_t pid, int score)
{
    char text[16];

    (void)snprintf(text, sizeof(text), "%d", score); /* -1000 to 1000 */
    return proc_write(proc_fd, pid, "oom_score_adj", text);
}
