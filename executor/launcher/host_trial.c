/* The attempts: each runs in a child of its own, which ends with it. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/mount.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "executor/launcher/creds.h"
#include "executor/launcher/host_check.h"
#include "executor/launcher/mounts.h"
#include "executor/launcher/template.h"

#ifndef LANDLOCK_CREATE_RULESET_VERSION
#define LANDLOCK_CREATE_RULESET_VERSION 1u
#endif
#define LANDLOCK_SCOPES 6 /* the ABI that confines signals and abstract sockets */
#define PAYLOAD_ID 1000
#define TRIAL_DISK 65536

static const char dev_names[][8] = { "null", "zero", "full", "random", "urandom" };
static const unsigned dev_minors[] = { 3, 5, 7, 8, 9 };

/* Where a trial mounts: the one directory of the host that is surely there. */
#define PLACE "/proc"

_must_check_ static int
attach(int fd, const char *path)
{
    return move_mount(fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

_must_check_ static int
bind_read_only(const char *from, const char *to)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
    int r, fd = open_tree(AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    r = mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ? -errno : attach(fd, to);
    close(fd);
    return r;
}

/* Opening for writing must fail with `wanted`. */
_must_check_ static int
must_refuse(struct host_trial *trial, const char *path, int flags, int wanted)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd >= 0) {
        close(fd);
        trial->why = "it was put up and does not hold";
        return -EIO;
    }
    return errno == wanted ? 0 : -errno;
}

_must_check_ static int
proc_mount(struct host_trial *trial, const char *option)
{
    const char *const options[] = { option, "invisible", NULL };
    static const char *const none[] = { NULL };
    int r, fd = -1;

    trial->why = "mount of /proc";
    r = template_fs_new(&fd, "proc", option != NULL ? options : none,
                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (r == 0) {
        r = attach(fd, PLACE);
        close(fd);
    }
    return r;
}

_must_check_ static int
tmpfs_mount(struct host_trial *trial, int *ret_fd)
{
    static const char *const options[] = { "size", "1m", "nr_inodes", "64", NULL };
    int r;

    trial->why = "mount of a tmpfs";
    r = template_fs_new(ret_fd, "tmpfs", options, MOUNT_ATTR_NOSUID);
    return r < 0 ? r : attach(*ret_fd, PLACE);
}

/* Runs `act` in a child; its wait status, or -1. */
static int
grandchild(void (*act)(const void *arg), const void *arg)
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

static int
attempt_time(struct host_trial *trial)
{
    trial->why = "unshare";
    return unshare(CLONE_NEWTIME) < 0 ? -errno : 0;
}

static int
attempt_nested(struct host_trial *trial)
{
    int fd, r = proc_mount(trial, NULL);

    if (r < 0) {
        return r;
    }
    trial->why = "max_user_namespaces";
    fd = open(PLACE "/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1) {
        return -errno;
    }
    if (unshare(CLONE_NEWUSER) == 0) {
        trial->why = "it was put up and does not hold";
        return -EIO;
    }
    return errno == ENOSPC ? 0 : -errno;
}

static int
attempt_own_root(struct host_trial *trial)
{
    char cwd[8];
    struct stat st;
    int root = -1, r = tmpfs_mount(trial, &root);

    if (r < 0) {
        return r;
    }
    trial->why = "pivot_root";
    if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
        chdir("/") < 0) {
        return -errno;
    }
    trial->why = "the host's files are still there";
    if (getcwd(cwd, sizeof(cwd)) == NULL || strcmp(cwd, "/") != 0 || stat("/usr", &st) == 0) {
        return -EXDEV;
    }
    return errno == ENOENT ? 0 : -errno;
}

static int
attempt_read_only_root(struct host_trial *trial)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
    int root = -1, r = tmpfs_mount(trial, &root);

    if (r < 0) {
        return r;
    }
    trial->why = "mount_setattr";
    if (mount_setattr(root, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) {
        return -errno;
    }
    trial->why = "writing";
    return must_refuse(trial, PLACE "/x", O_WRONLY | O_CREAT, EROFS);
}

/* The same file through two mounts of an overlay is two inodes. */
static int
attempt_inodes_own(struct host_trial *trial)
{
    struct stat below, above;
    int fd = -1, lower = -1, r = tmpfs_mount(trial, &lower);

    if (r < 0) {
        return r;
    }
    trial->why = "overlay";
    if (mkdirat(lower, "empty", 0755) < 0) {
        return -errno;
    }
    {
        static const char *const options[] = { "lowerdir", "/usr:" PLACE "/empty", NULL };

        r = template_fs_new(&fd, "overlay", options,
                            MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    }
    if (r < 0) {
        return r;
    }
    if (stat("/usr/bin/env", &below) < 0 || fstatat(fd, "bin/env", &above, 0) < 0) {
        return -errno;
    }
    trial->why = "inodes of an overlay";
    return below.st_dev != above.st_dev ? 0 : -EXDEV;
}

static int
attempt_devices(struct host_trial *trial)
{
    char from[32], to[32];
    struct stat st;
    int fd = -1, r = tmpfs_mount(trial, &fd);

    for (size_t i = 0; i < SBX_COUNT(dev_minors) && r == 0; i++) {
        (void)snprintf(from, sizeof(from), "/dev/%s", dev_names[i]); /* names of ours */
        (void)snprintf(to, sizeof(to), PLACE "/%s", dev_names[i]);   /* as above */
        trial->why = dev_names[i];
        if (stat(from, &st) < 0) {
            return -errno;
        }
        if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, dev_minors[i])) {
            return -ENODEV;
        }
        if (mknod(to, S_IFREG | 0600, 0) < 0) {
            return -errno;
        }
        r = bind_read_only(from, to);
    }
    if (r == 0) {
        trial->why = "use of a node that was bound";
        fd = open(PLACE "/null", O_WRONLY | O_CLOEXEC);
        r = fd < 0 || write(fd, "x", 1) != 1 ? -errno : 0;
    }
    return r;
}

static int
attempt_proc_read_only(struct host_trial *trial)
{
    int r = proc_mount(trial, NULL);

    if (r == 0) {
        trial->why = "bind of /proc/sys";
        r = bind_read_only(PLACE "/sys", PLACE "/sys");
    }
    return r < 0 ? r : must_refuse(trial, PLACE "/sys/user/max_user_namespaces", O_WRONLY, EROFS);
}

static int
attempt_masks(struct host_trial *trial)
{
    char byte;
    int fd, memory = -1, r = proc_mount(trial, NULL);

    if (r == 0) {
        /* Any empty file will do: that of a tmpfs, mounted where nobody needs it now. */
        static const char *const options[] = { "size", "4k", NULL };

        trial->why = "mask of /proc/cmdline";
        r = template_fs_new(&memory, "tmpfs", options, MOUNT_ATTR_NOSUID);
        r = r == 0 ? attach(memory, PLACE "/sys") : r;
    }
    if (r < 0) {
        return r;
    }
    if (mknod(PLACE "/sys/empty", S_IFREG | 0444, 0) < 0) {
        return -errno;
    }
    r = bind_read_only(PLACE "/sys/empty", PLACE "/cmdline");
    if (r < 0) {
        return r;
    }
    fd = open(PLACE "/cmdline", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    return read(fd, &byte, 1) == 0 ? 0 : -EIO;
}

/* As the payload's user: pid 1, which is another user's, must not be there. */
static void
act_look_at_init(const void *arg)
{
    struct stat st;

    (void)arg; /* nothing to be told */
    if (syscall(SYS_setresgid, PAYLOAD_ID, PAYLOAD_ID, PAYLOAD_ID) < 0 ||
        syscall(SYS_setresuid, PAYLOAD_ID, PAYLOAD_ID, PAYLOAD_ID) < 0) {
        _exit(2);
    }
    _exit(stat(PLACE "/1", &st) < 0 && errno == ENOENT ? 0 : 1);
}

static int
attempt_hidepid(struct host_trial *trial)
{
    int r = proc_mount(trial, "hidepid");

    trial->why = r < 0 ? "hidepid=invisible" : "a process of another user is in sight";
    return r < 0 ? r : grandchild(act_look_at_init, NULL) == 0 ? 0 : -EIO;
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

#if defined(__x86_64__)
#define NATIVE_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCH AUDIT_ARCH_AARCH64
#else
#error "an architecture that the filters do not know"
#endif

/* Kills foreign ABIs and getpgid, refuses uname with a number that nothing else gives. */
_must_check_ static int
filter_load(struct host_trial *trial)
{
    static struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCH, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpgid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_uname, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EDOM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog prog = { SBX_COUNT(program), program };

    trial->why = "loading a filter";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0) {
        return -errno;
    }
    return 0;
}

static void
act_forbidden(const void *arg)
{
    (void)arg;                     /* nothing to be told */
    (void)syscall(SYS_getpgid, 0); /* does not return */
}

static int
attempt_seccomp(struct host_trial *trial)
{
    int status, r = filter_load(trial);

    if (r < 0) {
        return r;
    }
    trial->why = "a call that the filter refuses";
    if (syscall(SYS_uname, NULL) == 0 || errno != EDOM) {
        return -EIO;
    }
    trial->why = "a call that the filter kills for";
    status = grandchild(act_forbidden, NULL);
    return status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS ? 0 : -EIO;
}

static void
act_foreign(const void *arg)
{
    (void)arg; /* nothing to be told */
#if defined(__x86_64__)
    long result = 20; /* getpid of i386 */

    __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
#else
    (void)raise(SIGSYS); /* the 32-bit mode cannot be entered from here */
#endif
}

static int
attempt_seccomp_arch(struct host_trial *trial)
{
    int status, r = filter_load(trial);

    if (r < 0) {
        return r;
    }
    trial->why = "a call of another ABI";
    status = grandchild(act_foreign, NULL);
    /* SIGSEGV: the kernel has no such ABI. */
    return status >= 0 && WIFSIGNALED(status) && (WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV)
               ? 0
               : -EIO;
}

/*
 * The payload's own filter refuses what this process could do otherwise: it has every right in its namespace.
 * The descriptor is of a namespace, which answers an ioctl of its own.
 */
enum forbidden { FORBID_CALL, FORBID_CLONE, FORBID_SOCKET, FORBID_IOCTL, FORBID_ARGUMENT };

static long
forbidden_try(enum forbidden what, int ns)
{
    switch (what) {
    case FORBID_CALL:
        return syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
    case FORBID_CLONE:
        return unshare(CLONE_NEWUTS);
    case FORBID_SOCKET:
        return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
    case FORBID_IOCTL:
        return ioctl(ns, NS_GET_NSTYPE);
    case FORBID_ARGUMENT:
        return syscall(SYS_personality, ADDR_NO_RANDOMIZE);
    }
    return -1;
}

_must_check_ static int
forbidden_attempt(struct host_trial *trial, enum forbidden what)
{
    int r, ns = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);

    trial->why = "building the filter";
    if (trial->filter->fd < 0) {
        return -ENOTSUP;
    }
    if (ns < 0) {
        return -errno;
    }
    trial->why = "loading the filter";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return -errno;
    }
    r = filter_install(trial->filter);
    if (r < 0) {
        return r;
    }
    trial->why = "the filter does not refuse";
    return forbidden_try(what, ns) < 0 ? 0 : -EIO;
}

static int
attempt_seccomp_calls(struct host_trial *trial)
{
    return forbidden_attempt(trial, FORBID_CALL);
}

static int
attempt_seccomp_clone(struct host_trial *trial)
{
    return forbidden_attempt(trial, FORBID_CLONE);
}

static int
attempt_seccomp_sockets(struct host_trial *trial)
{
    return forbidden_attempt(trial, FORBID_SOCKET);
}

static int
attempt_seccomp_ioctl(struct host_trial *trial)
{
    return forbidden_attempt(trial, FORBID_IOCTL);
}

static int
attempt_seccomp_arguments(struct host_trial *trial)
{
    return forbidden_attempt(trial, FORBID_ARGUMENT);
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
    r = must_refuse(trial, "/", O_RDONLY | O_DIRECTORY, EACCES);
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
    return grandchild(act_exec, &trial->agent_fd) == 0 ? 0 : -ENOEXEC;
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

/* As the agent opens files: neither a link nor a way out leads anywhere. */
static int
attempt_workspace(struct host_trial *trial)
{
    struct open_how how = { .flags = O_RDONLY | O_CLOEXEC,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
    int dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    long fd = syscall(SYS_openat2, dir, "proc", &how, sizeof(how));

    trial->why = "openat2";
    if (dir < 0 || fd < 0) {
        return -errno;
    }
    if (syscall(SYS_openat2, fd, "../etc", &how, sizeof(how)) >= 0 || errno != EXDEV ||
        syscall(SYS_openat2, fd, "self", &how, sizeof(how)) >= 0 || errno != ELOOP) {
        trial->why = "a path that leads away is followed";
        return -EIO;
    }
    return 0;
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

static int
attempt_disk(struct host_trial *trial)
{
    static const char zeroes[4096];
    unsigned written = 0;
    int fd, disk = -1, r;

    trial->why = "a tmpfs with a size";
    r = mounts_disk_new(&disk, getuid());
    if (r == 0) {
        r = mounts_disk_resize(disk, TRIAL_DISK);
    }
    if (r < 0) {
        return r;
    }
    fd = openat(disk, "x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -errno;
    }
    while (written < 4 * TRIAL_DISK && write(fd, zeroes, sizeof(zeroes)) == (ssize_t)sizeof(zeroes)) {
        written += (unsigned)sizeof(zeroes);
    }
    trial->why = "the size of a tmpfs";
    return written < 4 * TRIAL_DISK ? 0 : -EIO;
}

static int
attempt_inodes(struct host_trial *trial)
{
    static const char *const options[] = { "size", "1m", "nr_inodes", "8", NULL };
    char name[16];
    int fd = -1, r;

    trial->why = "a tmpfs with nr_inodes";
    r = template_fs_new(&fd, "tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    for (unsigned i = 0; i < 16 && r == 0; i++) {
        (void)snprintf(name, sizeof(name), "f%u", i); /* two digits */
        if (mknodat(fd, name, S_IFREG | 0600, 0) < 0) {
            return errno == ENOSPC ? 0 : -errno;
        }
    }
    trial->why = "the number of files of a tmpfs";
    return r < 0 ? r : -EIO;
}

const struct host_attempt host_attempts[SBX_N_WALLS] = {
    [SBX_WALL_PID_NAMESPACE] = { CLONE_NEWPID, false, "pid", attempt_pid },
    [SBX_WALL_NETWORK_NAMESPACE] = { CLONE_NEWUSER, false, "net", attempt_network },
    [SBX_WALL_IPC_NAMESPACE] = { CLONE_NEWIPC, false, "ipc", attempt_namespace },
    [SBX_WALL_UTS_NAMESPACE] = { CLONE_NEWUTS, false, "uts", attempt_namespace },
    [SBX_WALL_CGROUP_NAMESPACE] = { CLONE_NEWUSER, false, "cgroup", attempt_cgroup },
    [SBX_WALL_TIME_NAMESPACE] = { CLONE_NEWUSER, false, "time_for_children", attempt_time },
    [SBX_WALL_NESTED_NAMESPACES] = { CLONE_NEWNS | CLONE_NEWPID, true, NULL, attempt_nested },
    [SBX_WALL_OWN_ROOT] = { CLONE_NEWNS, true, NULL, attempt_own_root },
    [SBX_WALL_READ_ONLY_ROOT] = { CLONE_NEWNS, true, NULL, attempt_read_only_root },
    [SBX_WALL_OWN_INODES] = { CLONE_NEWNS, true, NULL, attempt_inodes_own },
    [SBX_WALL_DEVICES] = { CLONE_NEWNS, true, NULL, attempt_devices },
    [SBX_WALL_PROC_READ_ONLY] = { CLONE_NEWNS | CLONE_NEWPID, true, NULL, attempt_proc_read_only },
    [SBX_WALL_PROC_MASKS] = { CLONE_NEWNS | CLONE_NEWPID, true, NULL, attempt_masks },
    [SBX_WALL_HIDEPID] = { CLONE_NEWNS | CLONE_NEWPID, true, NULL, attempt_hidepid },
    [SBX_WALL_OWN_IDS] = { CLONE_NEWUSER, true, "user", attempt_namespace },
    [SBX_WALL_UID] = { CLONE_NEWUSER, true, "user", attempt_uid },
    [SBX_WALL_CAPABILITIES] = { CLONE_NEWUTS, true, NULL, attempt_capabilities },
    [SBX_WALL_NO_NEW_PRIVS] = { 0, false, NULL, attempt_no_new_privs },
    [SBX_WALL_SECCOMP] = { 0, false, NULL, attempt_seccomp },
    [SBX_WALL_SECCOMP_ARCH] = { 0, false, NULL, attempt_seccomp_arch },
    [SBX_WALL_SECCOMP_CALLS] = { CLONE_NEWUSER, true, NULL, attempt_seccomp_calls },
    [SBX_WALL_SECCOMP_CLONE] = { CLONE_NEWUSER, true, NULL, attempt_seccomp_clone },
    [SBX_WALL_SECCOMP_SOCKETS] = { CLONE_NEWUSER, true, NULL, attempt_seccomp_sockets },
    [SBX_WALL_SECCOMP_IOCTL] = { CLONE_NEWUSER, true, NULL, attempt_seccomp_ioctl },
    [SBX_WALL_SECCOMP_ARGUMENTS] = { CLONE_NEWUSER, true, NULL, attempt_seccomp_arguments },
    [SBX_WALL_LANDLOCK] = { 0, false, NULL, attempt_landlock },
    [SBX_WALL_DESCRIPTORS] = { 0, false, NULL, attempt_descriptors },
    [SBX_WALL_SEALED_AGENT] = { 0, false, NULL, attempt_sealed },
    [SBX_WALL_NOT_DUMPABLE] = { 0, false, NULL, attempt_not_dumpable },
    [SBX_WALL_ENVIRONMENT] = { 0, false, NULL, attempt_own },
    [SBX_WALL_WORKSPACE] = { 0, false, NULL, attempt_workspace },
    [SBX_WALL_RESULT] = { 0, false, NULL, attempt_own },
    [SBX_WALL_SWEEP] = { CLONE_NEWPID, false, "pid", attempt_sweep },
    [SBX_WALL_RLIMITS] = { 0, false, NULL, attempt_rlimits },
    [SBX_WALL_TIME] = { 0, false, NULL, attempt_time_limit },
    [SBX_WALL_DISK] = { 0, false, NULL, attempt_disk },
    [SBX_WALL_INODES] = { 0, false, NULL, attempt_inodes },
};
