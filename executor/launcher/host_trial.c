#include "executor/launcher/host_trial.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "executor/launcher/clocks.h"
#include "executor/launcher/creds.h"

#ifndef LANDLOCK_CREATE_RULESET_VERSION
#define LANDLOCK_CREATE_RULESET_VERSION 1u
#endif
#define LANDLOCK_SCOPES 6 /* the ABI that confines signals and abstract sockets */
#define PAYLOAD_ID 1000
#define CLOCK_MAX_S 60 /* long for a trial, short for a host */

_must_check_ int
host_trial_must_refuse(struct host_trial *trial, const char *path, int flags, int wanted)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd >= 0) {
        close(fd);
        trial->why = "it was put up and does not hold";
        return -EIO;
    }
    return errno == wanted ? 0 : -errno;
}

int
host_trial_grandchild(void (*act)(const void *arg), const void *arg)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        act(arg);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        return -1;
    }
    return status;
}

/* The kinds that come with clone or unshare; that the link in /proc differs is looked at by the caller. */
static int
attempt_namespace(struct host_trial *trial)
{
    (void)trial; /* being here is the proof */
    return 0;
}

/* What the agent does by itself, with calls that every kernel has had for long. */
static int
attempt_own(struct host_trial *trial)
{
    (void)trial; /* nothing to be tried */
    return 0;
}

static int
attempt_pid(struct host_trial *trial)
{
    trial->why = "pid 1";
    return getpid() == 1 ? 0 : -ESRCH;
}

static int
attempt_network(struct host_trial *trial)
{
    trial->why = "unshare";
    return unshare(CLONE_NEWNET) < 0 ? -errno : 0;
}

static int
attempt_cgroup(struct host_trial *trial)
{
    trial->why = "unshare";
    return unshare(CLONE_NEWCGROUP) < 0 ? -errno : 0;
}

/* The clock since boot counts from the trial's beginning, in the child of whoever made the namespace. */
static void
act_read_clock(const void *arg)
{
    struct timespec now;

    (void)arg; /* nothing to be told */
    _exit(clock_gettime(CLOCK_BOOTTIME, &now) == 0 && now.tv_sec < CLOCK_MAX_S ? 0 : 1);
}

static int
attempt_time(struct host_trial *trial)
{
    struct clocks clocks;
    int r = clocks_look(&clocks);

    r = r < 0 ? r : clocks_reset(&clocks);
    trial->why = r == CLOCKS_E_NONE ? "the kernel has none" : "clocks of its own";
    if (r != 0) {
        return r == CLOCKS_E_NONE ? -EINVAL : r;
    }
    trial->why = "the clock still counts from the host's start";
    return host_trial_grandchild(act_read_clock, NULL) == 0 ? 0 : -EIO;
}

static int
attempt_uid(struct host_trial *trial)
{
    trial->why = "taking on the payload's id";
    if (syscall(SYS_setresuid, 5, 5, 5) == 0) {
        trial->why = "an id that is not mapped";
        return -EIO;
    }
    return syscall(SYS_setresgid, PAYLOAD_ID, PAYLOAD_ID, PAYLOAD_ID) < 0 ||
                   syscall(SYS_setresuid, PAYLOAD_ID, PAYLOAD_ID, PAYLOAD_ID) < 0
               ? -errno
               : 0;
}

static int
attempt_capabilities(struct host_trial *trial)
{
    int r;

    trial->why = "giving up";
    r = creds_confine_agent();
    if (r < 0) {
        return r;
    }
    if (prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) != 0 || sethostname("x", 1) == 0) {
        trial->why = "a privilege that was given up is still there";
        return -EIO;
    }
    return errno == EPERM ? 0 : -errno;
}

static int
attempt_no_new_privs(struct host_trial *trial)
{
    trial->why = "prctl";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return -errno;
    }
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -EIO;
}

static int
attempt_landlock(struct host_trial *trial)
{
    const struct landlock_ruleset_attr rules = { .handled_access_fs = LANDLOCK_ACCESS_FS_READ_DIR |
                                                                      LANDLOCK_ACCESS_FS_READ_FILE };
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    long ruleset;
    int r;

    trial->why = "creating rules";
    if (abi < 1) {
        return abi < 0 ? -errno : -EOPNOTSUPP;
    }
    ruleset = syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules.handled_access_fs), 0);
    if (ruleset < 0) {
        return -errno;
    }
    trial->why = "taking on rules";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) < 0) {
        return -errno;
    }
    r = host_trial_must_refuse(trial, "/", O_RDONLY | O_DIRECTORY, EACCES);
    if (r == 0 && abi < LANDLOCK_SCOPES) {
        trial->why = "this kernel's rules do not cover signals and abstract sockets (6.12 does)";
        return HOST_TRIAL_E_WEAKER;
    }
    return r;
}

static int
attempt_descriptors(struct host_trial *trial)
{
    int flags, fd = open("/", O_RDONLY | O_DIRECTORY); /* left open on purpose */

    trial->why = "close_range";
    if (fd < 0 || close_range((unsigned)fd, (unsigned)fd, CLOSE_RANGE_CLOEXEC) < 0) {
        return -errno;
    }
    flags = fcntl(fd, F_GETFD);
    if (flags < 0 || (flags & FD_CLOEXEC) == 0 || close_range((unsigned)fd, (unsigned)fd, 0) < 0) {
        return -EIO;
    }
    return fcntl(fd, F_GETFD) < 0 ? 0 : -EIO;
}

static void
act_exec(const void *arg)
{
    char *const argv[] = { (char[]){ "sealed" }, (char[]){ "--help" }, NULL };
    char *const envp[] = { NULL };
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null >= 0) {
        (void)dup2(null, 1); /* else its help is seen */
        (void)dup2(null, 2); /* as above */
    }
    execveat(*(const int *)arg, "", argv, envp, AT_EMPTY_PATH);
    _exit(126);
}

static int
attempt_sealed(struct host_trial *trial)
{
    trial->why = "memfd_create with seals";
    if (trial->agent_fd < 0) {
        return trial->agent_fd;
    }
    if (write(trial->agent_fd, "x", 1) >= 0 || errno != EPERM) {
        trial->why = "it was sealed and can be written";
        return -EIO;
    }
    trial->why = "starting a program from sealed memory";
    return host_trial_grandchild(act_exec, &trial->agent_fd) == 0 ? 0 : -ENOEXEC;
}

static int
attempt_not_dumpable(struct host_trial *trial)
{
    trial->why = "prctl";
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
        return -errno;
    }
    return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : -EIO;
}

/* Pid 1 kills all that there is beside it, whatever session it made for itself. */
static int
attempt_sweep(struct host_trial *trial)
{
    int status = 0;
    pid_t pid;

    trial->why = "pid 1";
    if (getpid() != 1) {
        return -ESRCH; /* what follows would be the end of the host */
    }
    pid = fork();
    if (pid == 0) {
        (void)setsid(); /* a child leads no group: it works */
        pause();
        _exit(0);
    }
    trial->why = "killing all but pid 1";
    if (pid < 0 || kill(-1, SIGKILL) < 0 || waitpid(pid, &status, 0) != pid) {
        return -errno;
    }
    return WIFSIGNALED(status) ? 0 : -EIO;
}

static int
attempt_rlimits(struct host_trial *trial)
{
    static const struct {
        const char *name;
        int resource;
        rlim_t value;
    } limits[] = {
        { "open files", RLIMIT_NOFILE, 4096 },         { "core files", RLIMIT_CORE, 1 },
        { "locked memory", RLIMIT_MEMLOCK, 8u << 20 }, { "message queues", RLIMIT_MSGQUEUE, 0 },
        { "pending signals", RLIMIT_SIGPENDING, 256 }, { "stack", RLIMIT_STACK, 8u << 20 },
    };

    for (size_t i = 0; i < SBX_COUNT(limits); i++) {
        const struct rlimit wanted = { limits[i].value, limits[i].value };
        struct rlimit got;

        trial->why = limits[i].name;
        if (setrlimit((__rlimit_resource_t)limits[i].resource, &wanted) < 0 ||
            getrlimit((__rlimit_resource_t)limits[i].resource, &got) < 0) {
            return -errno;
        }
        if (got.rlim_max != limits[i].value) {
            return -EIO;
        }
    }
    return 0;
}

static int
attempt_time_limit(struct host_trial *trial)
{
    pid_t pid = fork();
    struct pollfd dead = { .fd = -1, .events = POLLIN };
    int r = 0;

    if (pid == 0) {
        pause();
        _exit(0);
    }
    if (pid < 0) {
        return -errno;
    }
    trial->why = "killing by a pidfd";
    dead.fd = pidfd_open(pid, 0);
    if (dead.fd < 0 || pidfd_send_signal(dead.fd, SIGKILL, NULL, 0) < 0) {
        r = -errno;
        (void)kill(pid, SIGKILL); /* the child of our own hands, not yet waited for */
    } else if (poll(&dead, 1, 2000) != 1) {
        r = -ETIMEDOUT;
    }
    (void)waitpid(pid, NULL, 0); /* there is nothing else to wait for */
    return r;
}

const struct host_attempt host_attempts[SBX_N_WALLS] = {
    [SBX_WALL_PID_NAMESPACE] = { CLONE_NEWPID, HOST_AS_NOBODY, "pid", attempt_pid },
    [SBX_WALL_NETWORK_NAMESPACE] = { 0, HOST_AS_NOBODY, "net", attempt_network },
    [SBX_WALL_IPC_NAMESPACE] = { CLONE_NEWIPC, HOST_AS_NOBODY, "ipc", attempt_namespace },
    [SBX_WALL_UTS_NAMESPACE] = { CLONE_NEWUTS, HOST_AS_NOBODY, "uts", attempt_namespace },
    [SBX_WALL_CGROUP_NAMESPACE] = { 0, HOST_AS_NOBODY, "cgroup", attempt_cgroup },
    [SBX_WALL_TIME_NAMESPACE] = { 0, HOST_AS_SANDBOX, "time_for_children", attempt_time },
    [SBX_WALL_NESTED_NAMESPACES] = { CLONE_NEWNS | CLONE_NEWPID, HOST_AS_SANDBOX, NULL, host_try_nested },
    [SBX_WALL_OWN_ROOT] = { CLONE_NEWNS, HOST_AS_SANDBOX, NULL, host_try_own_root },
    [SBX_WALL_READ_ONLY_ROOT] = { CLONE_NEWNS, HOST_AS_SANDBOX, NULL, host_try_read_only_root },
    [SBX_WALL_OWN_INODES] = { CLONE_NEWNS, HOST_AS_LAUNCHER, NULL, host_try_inodes_own },
    [SBX_WALL_DEVICES] = { CLONE_NEWNS, HOST_AS_SANDBOX, NULL, host_try_devices },
    [SBX_WALL_PROC_READ_ONLY] = { CLONE_NEWNS | CLONE_NEWPID, HOST_AS_SANDBOX, NULL,
                                  host_try_proc_read_only },
    [SBX_WALL_PROC_MASKS] = { CLONE_NEWNS | CLONE_NEWPID, HOST_AS_SANDBOX, NULL, host_try_masks },
    [SBX_WALL_HIDEPID] = { CLONE_NEWNS | CLONE_NEWPID, HOST_AS_SANDBOX, NULL, host_try_hidepid },
    [SBX_WALL_OWN_IDS] = { 0, HOST_AS_SANDBOX, "user", attempt_namespace },
    [SBX_WALL_UID] = { 0, HOST_AS_SANDBOX, "user", attempt_uid },
    [SBX_WALL_CAPABILITIES] = { CLONE_NEWUTS, HOST_AS_SANDBOX, NULL, attempt_capabilities },
    [SBX_WALL_NO_NEW_PRIVS] = { 0, HOST_AS_LAUNCHER, NULL, attempt_no_new_privs },
    [SBX_WALL_SECCOMP] = { 0, HOST_AS_LAUNCHER, NULL, host_try_seccomp },
    [SBX_WALL_SECCOMP_ARCH] = { 0, HOST_AS_LAUNCHER, NULL, host_try_seccomp_arch },
    [SBX_WALL_SECCOMP_CALLS] = { 0, HOST_AS_SANDBOX, NULL, host_try_seccomp_calls },
    [SBX_WALL_SECCOMP_CLONE] = { 0, HOST_AS_SANDBOX, NULL, host_try_seccomp_clone },
    [SBX_WALL_SECCOMP_SOCKETS] = { 0, HOST_AS_SANDBOX, NULL, host_try_seccomp_sockets },
    [SBX_WALL_SECCOMP_IOCTL] = { 0, HOST_AS_SANDBOX, NULL, host_try_seccomp_ioctl },
    [SBX_WALL_SECCOMP_ARGUMENTS] = { 0, HOST_AS_SANDBOX, NULL, host_try_seccomp_arguments },
    [SBX_WALL_LANDLOCK] = { 0, HOST_AS_LAUNCHER, NULL, attempt_landlock },
    [SBX_WALL_DESCRIPTORS] = { 0, HOST_AS_LAUNCHER, NULL, attempt_descriptors },
    [SBX_WALL_SEALED_AGENT] = { 0, HOST_AS_LAUNCHER, NULL, attempt_sealed },
    [SBX_WALL_NOT_DUMPABLE] = { 0, HOST_AS_LAUNCHER, NULL, attempt_not_dumpable },
    [SBX_WALL_ENVIRONMENT] = { 0, HOST_AS_LAUNCHER, NULL, attempt_own },
    [SBX_WALL_WORKSPACE] = { 0, HOST_AS_LAUNCHER, NULL, host_try_workspace },
    [SBX_WALL_RESULT] = { 0, HOST_AS_LAUNCHER, NULL, attempt_own },
    [SBX_WALL_SWEEP] = { CLONE_NEWPID, HOST_AS_NOBODY, "pid", attempt_sweep },
    [SBX_WALL_RLIMITS] = { 0, HOST_AS_LAUNCHER, NULL, attempt_rlimits },
    [SBX_WALL_TIME] = { 0, HOST_AS_LAUNCHER, NULL, attempt_time_limit },
    [SBX_WALL_DISK] = { 0, HOST_AS_LAUNCHER, NULL, host_try_disk },
    [SBX_WALL_INODES] = { 0, HOST_AS_LAUNCHER, NULL, host_try_inodes },
};
