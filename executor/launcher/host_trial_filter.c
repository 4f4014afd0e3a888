/* Attempts at the walls that are system call filters. */
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "executor/launcher/host_trial.h"

/* Kills foreign ABIs and getpgid, refuses uname with a number that nothing else gives. */
_must_check_ static int
filter_load(struct host_trial *trial)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, filter_native_arch(), 1, 0),
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

int
host_try_seccomp(struct host_trial *trial)
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
    status = host_trial_grandchild(act_forbidden, NULL);
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

int
host_try_seccomp_arch(struct host_trial *trial)
{
    int status, r = filter_load(trial);

    if (r < 0) {
        return r;
    }
    trial->why = "a call of another ABI";
    status = host_trial_grandchild(act_foreign, NULL);
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

int
host_try_seccomp_calls(struct host_trial *trial)
{
    return forbidden_attempt(trial, FORBID_CALL);
}

int
host_try_seccomp_clone(struct host_trial *trial)
{
    return forbidden_attempt(trial, FORBID_CLONE);
}

int
host_try_seccomp_sockets(struct host_trial *trial)
{
    return forbidden_attempt(trial, FORBID_SOCKET);
}

int
host_try_seccomp_ioctl(struct host_trial *trial)
{
    return forbidden_attempt(trial, FORBID_IOCTL);
}

int
host_try_seccomp_arguments(struct host_trial *trial)
{
    return forbidden_attempt(trial, FORBID_ARGUMENT);
}
