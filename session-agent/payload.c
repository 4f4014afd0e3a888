#include "session-agent/payload.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/sbx_wall.h"
#include "session-agent/landlock.h"

#define CONTROL_FD 3
#define STATUS_FD 4
#define HIGH_FD 16 /* above all that have a place */
#define MAX_FILES 4096

enum stage {
    STAGE_DESCRIPTORS,
    STAGE_SESSION,
    STAGE_TERMINAL,
    STAGE_LIMITS,
    STAGE_BOUNDING_SET,
    STAGE_GROUPS,
    STAGE_IDENTITY,
    STAGE_CAPABILITIES,
    STAGE_NO_NEW_PRIVS,
    STAGE_DIRECTORY,
    STAGE_DEATH_SIGNAL,
    STAGE_LANDLOCK,
    STAGE_SECCOMP,
    STAGE_EXEC,
    N_STAGES
};

static const char *const stage_names[N_STAGES] = {
    [STAGE_DESCRIPTORS] = "descriptors",
    [STAGE_SESSION] = "session",
    [STAGE_TERMINAL] = "terminal",
    [STAGE_LIMITS] = "resource limits",
    [STAGE_BOUNDING_SET] = "capability bounding set",
    [STAGE_GROUPS] = "groups",
    [STAGE_IDENTITY] = "identity",
    [STAGE_CAPABILITIES] = "capabilities",
    [STAGE_NO_NEW_PRIVS] = "no_new_privs",
    [STAGE_DIRECTORY] = "directory",
    [STAGE_DEATH_SIGNAL] = "death signal",
    [STAGE_LANDLOCK] = "landlock",
    [STAGE_SECCOMP] = "seccomp",
    [STAGE_EXEC] = "interpreter",
};

struct status {
    int stage;
    int error;
};

/* Nothing else survives: the error pipe moves to STATUS_FD, the rest is closed, now and not at execve. */
static bool
child_descriptors(const struct payload_spec *spec, int status_fd)
{
    int control = -1, i;

    /* Out of the way: either may have the other's number. */
    status_fd = fcntl(status_fd, F_DUPFD_CLOEXEC, HIGH_FD);
    if (status_fd >= 0 && spec->has_control) {
        control = fcntl(spec->control, F_DUPFD_CLOEXEC, HIGH_FD);
    }
    if (status_fd < 0 || (spec->has_control && control < 0)) {
        return false;
    }
    for (i = 0; i < 3; i++) {
        if (dup2(spec->stdio[i], i) < 0) {
            return false;
        }
    }
    if (dup3(status_fd, STATUS_FD, O_CLOEXEC) < 0) {
        return false;
    }
    if (spec->has_control ? dup2(control, CONTROL_FD) < 0 : close(CONTROL_FD) < 0 && errno != EBADF) {
        return false;
    }
    /* gVisor refuses ~0u. */
    return sbx_wall_is_off(SBX_WALL_DESCRIPTORS) || syscall(SYS_close_range, STATUS_FD + 1, INT_MAX, 0) == 0;
}

static bool
child_limit(int resource, rlim_t value)
{
    struct rlimit limit = { .rlim_cur = value, .rlim_max = value };
    struct rlimit now;

    if (getrlimit((__rlimit_resource_t)resource, &now) < 0) {
        return false;
    }
    /* Set by whoever started us: gVisor lets nobody within change some of them. */
    if (now.rlim_max <= value && now.rlim_cur <= value) {
        return true;
    }
    /* Raising is not ours to do, and a lower limit is as good. */
    if (now.rlim_max < value) {
        limit = (struct rlimit){ .rlim_cur = now.rlim_max, .rlim_max = now.rlim_max };
    }
    return setrlimit((__rlimit_resource_t)resource, &limit) == 0;
}

static bool
child_limits(const struct payload_spec *spec)
{
    if (sbx_wall_is_off(SBX_WALL_RLIMITS)) {
        return true;
    }
    /* CORE 0 would still start a core_pattern pipe handler; 1 does not. */
    if (!child_limit(RLIMIT_CORE, 1) || !child_limit(RLIMIT_NOFILE, MAX_FILES) ||
        !child_limit(RLIMIT_MEMLOCK, 8 << 20) || !child_limit(RLIMIT_MSGQUEUE, 0) ||
        !child_limit(RLIMIT_SIGPENDING, 256) || !child_limit(RLIMIT_NICE, 0) ||
        !child_limit(RLIMIT_RTPRIO, 0) || !child_limit(RLIMIT_STACK, 8 << 20)) {
        return false;
    }
    /* Counted per user: without one of its own the agent's other processes would be in it. */
    return !spec->identity.change || spec->processes == 0 ||
           child_limit(RLIMIT_NPROC, (rlim_t)spec->processes);
}

/* As the payload: the workspace may be closed to the agent. */
static bool
child_directory(const struct payload_spec *spec)
{
    struct statvfs fs;

    if (chdir(spec->cwd) < 0 || statvfs(".", &fs) < 0) {
        return false;
    }
    /* No file can be larger than its file system, sparse ones included. */
    return sbx_wall_is_off(SBX_WALL_RLIMITS) || sbx_wall_is_off(SBX_WALL_DISK) ||
           child_limit(RLIMIT_FSIZE, (rlim_t)fs.f_blocks * fs.f_frsize);
}

static bool
child_bounding_set(const struct payload_spec *spec)
{
    unsigned long cap;

    if (!spec->identity.change || sbx_wall_is_off(SBX_WALL_CAPABILITIES)) {
        return true; /* not ours to shrink; no_new_privs keeps execve from giving any */
    }
    for (cap = 0; cap < 64; cap++) {
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
            return errno == EINVAL && cap > 0; /* past the last one the kernel has */
        }
    }
    return true;
}

static bool
child_groups(const struct payload_spec *spec)
{
    if (!spec->identity.change || syscall(SYS_setgroups, 0, NULL) == 0) {
        return true;
    }
    /* A user namespace may deny setgroups for good; then there must be nothing to give up. */
    return syscall(SYS_getgroups, 0, NULL) == 0;
}

static bool
child_identity(const struct payload_spec *spec)
{
    gid_t gid = spec->identity.gid;
    uid_t uid = spec->identity.uid;

    if (!spec->identity.change || sbx_wall_is_off(SBX_WALL_UID)) {
        return true;
    }
    if (sbx_wall_is_off(SBX_WALL_CAPABILITIES) && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) {
        return false;
    }
    return syscall(SYS_setresgid, gid, gid, gid) == 0 && syscall(SYS_setresuid, uid, uid, uid) == 0 &&
           getuid() == uid && geteuid() == uid && getegid() == gid;
}

#ifdef SANDBOX_MUTANT
/* The agent's own, through execve. */
static bool
child_keep_capabilities(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct caps[2] = { { 0 }, { 0 } };
    unsigned long cap;

    if (syscall(SYS_capget, &header, caps) < 0) {
        return false;
    }
    caps[0].effective = caps[0].inheritable = caps[0].permitted;
    if (syscall(SYS_capset, &header, caps) < 0) {
        return false;
    }
    for (cap = 0; cap < 32; cap++) {
        /* EINVAL: gVisor has no such set; there only root of the sandbox keeps what it has through execve. */
        if ((caps[0].permitted >> cap & 1) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0 &&
            errno != EINVAL) {
            return false;
        }
    }
    return true;
}
#endif

static bool
child_capabilities(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[2] = { { 0 }, { 0 } };

#ifdef SANDBOX_MUTANT
    if (sbx_wall_is_off(SBX_WALL_CAPABILITIES)) {
        return child_keep_capabilities();
    }
#endif
    /* EINVAL: a kernel that has no such set, as gVisor. */
    return (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0 || errno == EINVAL) &&
           syscall(SYS_capset, &header, none) == 0;
}

/* A change of identity clears the signal, and the parent may be gone already. */
static bool
child_death_signal(pid_t parent)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == parent;
}

/* Standalone there is no telling what the code needs. */
static bool
child_landlock(const struct payload_spec *spec)
{
    int r;

    if (spec->filter == NULL || sbx_wall_is_off(SBX_WALL_LANDLOCK) ||
        sbx_wall_is_off(SBX_WALL_NO_NEW_PRIVS)) {
        return true;
    }
    r = landlock_confine(spec->has_terminal ? STDIN_FILENO : -1);
    errno = -r;
    return r == 0;
}

static bool
child_seccomp(const struct payload_spec *spec)
{
    /* Without no_new_privs the kernel does not let us. */
    if (sbx_wall_is_off(SBX_WALL_SECCOMP) || sbx_wall_is_off(SBX_WALL_NO_NEW_PRIVS)) {
        return true;
    }
    return spec->filter == NULL || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, spec->filter) == 0;
}

/* Ignored signals survive execve, so SIGPIPE would. */
static void
child_signals(void)
{
    struct sigaction action = { .sa_handler = SIG_DFL };
    sigset_t none;
    int i;

    for (i = 1; i < NSIG; i++) {
        (void)sigaction(i, &action, NULL); /* fails for KILL, STOP and libc's own */
    }
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL); /* cannot fail */
}

/* Everything up to execve; returns the stage that failed. */
static enum stage
child_prepare(const struct payload_spec *spec, pid_t parent)
{
    if (setsid() < 0) {
        return STAGE_SESSION;
    }
    if (spec->has_terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0) {
        return STAGE_TERMINAL;
    }
    if (!child_limits(spec)) {
        return STAGE_LIMITS;
    }
    if (!child_bounding_set(spec)) {
        return STAGE_BOUNDING_SET;
    }
    if (!child_groups(spec)) {
        return STAGE_GROUPS;
    }
    if (!child_identity(spec)) {
        return STAGE_IDENTITY;
    }
    if (!child_capabilities()) {
        return STAGE_CAPABILITIES;
    }
    if (!sbx_wall_is_off(SBX_WALL_NO_NEW_PRIVS) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return STAGE_NO_NEW_PRIVS;
    }
    if (!child_directory(spec)) {
        return STAGE_DIRECTORY;
    }
    if (!child_death_signal(parent)) {
        return STAGE_DEATH_SIGNAL;
    }
    if (!child_landlock(spec)) {
        return STAGE_LANDLOCK;
    }
    return child_seccomp(spec) ? STAGE_EXEC : STAGE_SECCOMP;
}

/* Returns when there is no such program, or it is none; as a shell does, the last reason that tells anything counts. */
static int
child_exec(const struct payload_spec *spec)
{
    int error = ENOENT;

    if (spec->programs == NULL) {
        execve(spec->argv[0], spec->argv, spec->env);
        return errno;
    }
    for (char *const *program = spec->programs; *program != NULL; program++) {
        execve(*program, spec->argv, spec->env);
        if (errno != ENOENT && errno != ENOTDIR) {
            error = errno;
        }
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) {
            break;
        }
    }
    return error;
}

static void __attribute__((noreturn)) child_run(const struct payload_spec *spec, int status_fd, pid_t parent)
{
    struct status status = { .stage = STAGE_DESCRIPTORS };

    child_signals();
    (void)umask(022); /* cannot fail */
    if (child_descriptors(spec, status_fd)) {
        status_fd = STATUS_FD;
        status.stage = (int)child_prepare(spec, parent);
        if (status.stage == STAGE_EXEC) {
            errno = child_exec(spec);
        }
    }
    status.error = errno;
    (void)!write(status_fd, &status, sizeof(status)); /* nobody else could be told */
    _exit(127);
}

int
payload_spawn(struct payload *ret, const struct payload_spec *spec)
{
    pid_t parent = getpid(), pid;
    sigset_t all, before;
    int fds[2], r;

    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0) {
        return -errno;
    }

    /* A signal in the child must not run the parent's handlers. */
    sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before); /* cannot fail */
    pid = fork();
    r = pid < 0 ? -errno : 0;
    if (pid == 0) {
        child_run(spec, fds[1], parent);
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL); /* cannot fail */

    (void)close(fds[1]); /* the child's */
    if (r < 0) {
        (void)close(fds[0]); /* never used */
        return r;
    }
    *ret = (struct payload){ .pid = pid, .status_fd = fds[0] };
    return 0;
}

bool
payload_failed(struct payload *payload, const char **ret_stage, int *ret_error)
{
    struct status status = { 0 };
    ssize_t n;

    n = read(payload->status_fd, &status, sizeof(status));
    (void)close(payload->status_fd); /* only read */
    payload->status_fd = -1;
    if (n != (ssize_t)sizeof(status) || status.stage < 0 || status.stage >= N_STAGES) {
        return false;
    }
    *ret_stage = stage_names[status.stage];
    *ret_error = status.error;
    return true;
}
