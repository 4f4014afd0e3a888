/*
 * One allowlist; what is not on it fails with EPERM. Calls that programs probe
 * before falling back fail with ENOSYS, foreign ABIs kill.
 */
#include "executor/launcher/seccomp.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "executor/launcher/ns.h"
#include "executor/launcher/seccomp_program.h"
#include "lib/sbx_wall.h"

#define LOW32 0xffffffffu

/* Newer than libseccomp 2.5 knows. */
#define NR_FCHMODAT2 452
/* Everything from here on is newer than this list; programs fall back on ENOSYS. */
#define NR_FIRST_UNKNOWN 453
#define NR_LAST_UNKNOWN 511

#define MATCH(arg, mask, value)                                                                              \
    {                                                                                                        \
        (arg), (uint32_t)(mask), (uint32_t)(value)                                                           \
    }
#define ERRNO_OF(error) (SECCOMP_RET_ERRNO | (uint32_t)(error))
#define MATCH32(arg, value) MATCH((arg), LOW32, (uint32_t)(value))

static const char *const allowed[] = {
    /* files */
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2",
    "open", "openat", "openat2", "creat", "close", "close_range", "dup", "dup2", "dup3", "stat", "fstat",
    "lstat", "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat", "faccessat2", "lseek",
    "readlink", "readlinkat", "getdents", "getdents64", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat",
    "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "chmod", "fchmod",
    "fchmodat", "chown", "fchown", "lchown", "fchownat", "truncate", "ftruncate", "fallocate", "fsync",
    "fdatasync", "sync_file_range", "utime", "utimes", "utimensat", "futimesat", "umask", "chdir", "fchdir",
    "getcwd", "flock", "fadvise64", "readahead", "sendfile", "splice", "tee", "copy_file_range", "getxattr",
    "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr", "setxattr", "lsetxattr", "fsetxattr",
    "removexattr", "lremovexattr", "fremovexattr",
    /* memory */
    "mprotect", "munmap", "mremap", "msync", "mincore", "mlock", "mlock2", "munlock", "mlockall",
    "munlockall", "brk", "membarrier", "pkey_alloc", "pkey_free", "pkey_mprotect", "get_mempolicy",
    /* waiting */
    "pipe", "pipe2", "poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl",
    "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "signalfd", "signalfd4",
    "timerfd_create", "timerfd_settime", "timerfd_gettime", "nanosleep", "clock_nanosleep", "clock_gettime",
    "clock_getres", "gettimeofday", "time", "times", "getitimer", "setitimer", "alarm", "timer_settime",
    "timer_gettime", "timer_getoverrun", "timer_delete",
    /* the process itself */
    "getpid", "getppid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid",
    "getgroups", "getpgid", "getpgrp", "getsid", "setsid", "setpgid", "setuid", "setgid", "setreuid",
    "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups", "capget", "capset", "uname",
    "sysinfo", "getrlimit", "setrlimit", "getrusage", "getpriority", "getcpu", "sched_yield",
    "sched_getaffinity", "sched_getparam", "sched_getscheduler", "sched_get_priority_max",
    "sched_get_priority_min", "sched_rr_get_interval", "sched_getattr", "ioprio_get", "arch_prctl",
    "set_tid_address", "set_robust_list", "rseq", "getrandom", "landlock_create_ruleset", "landlock_add_rule",
    "landlock_restrict_self",
    /* others */
    "rt_sigaction", "rt_sigprocmask", "rt_sigpending", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
    "rt_sigqueueinfo", "rt_tgsigqueueinfo", "sigaltstack", "kill", "tkill", "tgkill", "pause",
    "restart_syscall", "pidfd_open", "pidfd_send_signal", "wait4", "waitid", "fork", "vfork", "execve",
    "execveat", "exit", "exit_group",
    /* sockets that exist, and System V IPC of the own namespace */
    "bind", "listen", "accept", "accept4", "connect", "getsockname", "getpeername", "shutdown", "getsockopt",
    "shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semtimedop", "semctl", "msgget", "msgsnd",
    "msgrcv", "msgctl"
};

/*
 * Probed for by runtimes, which take "no such call" as an answer but not "forbidden".
 * inotify is here because of the one inode that all eventfd and epoll descriptors of
 * a host share: before 6.14 a watch on it, through /proc/self/fd, told of all of them.
 */
static const char *const absent[] = { "io_uring_setup", "io_uring_enter",  "io_uring_register", "userfaultfd",
                                      "memfd_secret",   "process_madvise", "process_mrelease",  "futex_waitv",
                                      "inotify_init",   "inotify_init1" };

/* Done without a call: a tenant's files are in memory, and all disks of the host would be kept busy. */
static const char *const not_needed[] = { "sync", "syncfs" };

/* As many as RLIMIT_SIGPENDING lets through, but gVisor's sentry knows no such limit and has a goroutine for each. */
static const char *const limited[] = { "timer_create" };

/* The launcher makes the child with these; the agent has lost them. */
static const char *const launcher_only[] = { "clone3",      "unshare",      "mount",     "umount2",
                                             "pivot_root",  "fsopen",       "fsconfig",  "fsmount",
                                             "fspick",      "move_mount",   "open_tree", "mount_setattr",
                                             "sethostname", "setdomainname" };

/* runsc makes namespaces and roots for its gofer and its sentry; the ptrace platform traces the tenant's processes. */
static const char *const runsc_only[] = { "chroot",      "ptrace",           "unshare",
                                          "mount",       "umount2",          "pivot_root",
                                          "sethostname", "process_vm_readv", "process_vm_writev" };

struct rule {
    const char *name;
    unsigned n;
    struct program_match match[PROGRAM_MAX_MATCHES];
    int error; /* 0: allow */
};

#define CLONE_NAMESPACES                                                                                     \
    (CLONE_NEWNS | CLONE_NEWTIME | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |           \
     CLONE_NEWPID | CLONE_NEWNET)
#define FUTEX_OP_MASK (LOW32 & ~(128u | 256u)) /* without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME */

static const struct rule clone_rule = { "clone", 1, { MATCH(0, CLONE_NAMESPACES, 0) }, 0 };

static const struct rule tenant_rules[] = {
    { "personality", 1, { MATCH32(0, 0) }, 0 },         { "personality", 1, { MATCH32(0, LOW32) }, 0 },
    { "prlimit64", 1, { MATCH32(0, 0) }, 0 },           { "mknod", 1, { MATCH(1, S_IFMT, 0) }, 0 },
    { "mknod", 1, { MATCH(1, S_IFMT, S_IFREG) }, 0 },   { "mknod", 1, { MATCH(1, S_IFMT, S_IFIFO) }, 0 },
    { "mknod", 1, { MATCH(1, S_IFMT, S_IFSOCK) }, 0 },  { "mknodat", 1, { MATCH(2, S_IFMT, 0) }, 0 },
    { "mknodat", 1, { MATCH(2, S_IFMT, S_IFREG) }, 0 }, { "mknodat", 1, { MATCH(2, S_IFMT, S_IFIFO) }, 0 },
    { "mknodat", 1, { MATCH(2, S_IFMT, S_IFSOCK) }, 0 }
};

/* Not with pid 1, the agent: the kernel would refuse it anyway, gVisor asks for no right before it obeys. */
static const struct {
    const char *name;
    unsigned arg;
} steering[] = { { "setpriority", 1 },    { "ioprio_set", 1 },         { "sched_setaffinity", 0 },
                 { "sched_setparam", 0 }, { "sched_setscheduler", 0 }, { "sched_setattr", 0 },
                 { "get_robust_list", 0 } };

/* Priority-inheriting operations are left out: their code is where futex exploits were. */
static const uint32_t futex_ops[] = { 0, 1, 3, 4, 5, 9, 10 };
static const uint32_t futex_pi_ops[] = { 6, 7, 8, 11, 12, 13 };

static const uint32_t payload_prctls[] = { PR_SET_NAME,
                                           PR_GET_NAME,
                                           PR_SET_PDEATHSIG,
                                           PR_GET_PDEATHSIG,
                                           PR_GET_DUMPABLE,
                                           PR_SET_DUMPABLE,
                                           PR_SET_NO_NEW_PRIVS,
                                           PR_GET_NO_NEW_PRIVS,
                                           PR_GET_SECCOMP,
                                           PR_CAPBSET_READ,
                                           PR_SET_TIMERSLACK,
                                           PR_GET_TIMERSLACK,
                                           PR_SET_CHILD_SUBREAPER,
                                           PR_GET_CHILD_SUBREAPER,
                                           PR_SET_THP_DISABLE,
                                           PR_GET_THP_DISABLE,
                                           PR_GET_SECUREBITS,
                                           PR_GET_KEEPCAPS,
                                           PR_SET_VMA };

/*
 * Allowed without these bits. Huge pages are the host's reserve, which no control group counts; out-of-band data of
 * unix sockets is a corner that nobody uses and that freed memory in use (CVE-2025-38236).
 */
static const struct {
    const char *name;
    unsigned arg;
    uint64_t bits;
    int error;
} without_bits[] = { { "mmap", 3, MAP_HUGETLB, ENOMEM },     { "memfd_create", 1, MFD_HUGETLB, ENOSYS },
                     { "sendto", 3, MSG_OOB, EOPNOTSUPP },   { "sendmsg", 2, MSG_OOB, EOPNOTSUPP },
                     { "sendmmsg", 3, MSG_OOB, EOPNOTSUPP }, { "recvfrom", 3, MSG_OOB, EOPNOTSUPP },
                     { "recvmsg", 2, MSG_OOB, EOPNOTSUPP },  { "recvmmsg", 3, MSG_OOB, EOPNOTSUPP } };

/* All but poisoning, and MADV_MERGEABLE: a page that is the same in two sandboxes would be one, and its first write slow. */
static const uint32_t advices[] = { 0,  1,  2,  3,  4,  8,  9,  10, 11, 13,  14, 15,
                                    16, 17, 18, 19, 20, 21, 22, 23, 24, 102, 103 };
static const uint32_t advices_not_here[] = { 12 /* MADV_MERGEABLE */ };

/* A zygote's interpreter puts itself on huge pages. */
static const uint32_t advice_of_zygote = 25; /* MADV_COLLAPSE */

/* All but leases and F_NOTIFY, which watches directories as inotify does. */
static const uint32_t fcntls[] = {
    F_DUPFD,           F_GETFD,      F_SETFD,         F_GETFL,       F_SETFL,
    F_GETLK,           F_SETLK,      F_SETLKW,        F_SETOWN,      F_GETOWN,
    F_SETSIG,          F_GETSIG,     F_SETOWN_EX,     F_GETOWN_EX,   F_OFD_GETLK,
    F_OFD_SETLK,       F_OFD_SETLKW, F_DUPFD_CLOEXEC, F_SETPIPE_SZ,  F_GETPIPE_SZ,
    F_ADD_SEALS,       F_GET_SEALS,  F_GET_RW_HINT,   F_SET_RW_HINT, F_GET_FILE_RW_HINT,
    F_SET_FILE_RW_HINT
};

/* TIOCSTI, TIOCLINUX and everything a device driver offers are absent by not being here. */
static const uint32_t ioctls[] = {
    TCGETS,
    TCSETS,
    TCSETSW,
    TCSETSF,
    0x802c542a /* TCGETS2 */,
    0x402c542b /* TCSETS2, TCSETSW2, TCSETSF2 */,
    0x402c542c,
    0x402c542d,
    TCSBRK,
    TCXONC,
    TCFLSH,
    TIOCGWINSZ,
    TIOCSWINSZ,
    TIOCGPGRP,
    TIOCSPGRP,
    TIOCGSID,
    FIONREAD,
    FIONBIO,
    FIOCLEX,
    FIONCLEX,
    FIOASYNC,
    0x8910 /* SIOCGIFNAME */,
    0x8912 /* SIOCGIFCONF */,
    0x8913 /* SIOCGIFFLAGS */,
    0x8915 /* SIOCGIFADDR */,
    0x8933 /* SIOCGIFINDEX */
};
/* Asked of ordinary files by cp, tar and terminals' libraries. */
static const uint32_t ioctls_not_here[] = {
    0x40049409 /* FICLONE */,         0x4020940d /* FICLONERANGE */,  0x80086601 /* FS_IOC_GETFLAGS */,
    0x40086602 /* FS_IOC_SETFLAGS */, 0xc020660b /* FS_IOC_FIEMAP */, TIOCNOTTY
};

/* The agent opens terminals, and its child takes one as its own before the payload's filter is on. */
static const uint32_t ioctls_of_agent[] = { TIOCSCTTY, TIOCGPTN, TIOCSPTLCK, TIOCGPTPEER };

/* Packet filters, which the kernel translates to machine code for anybody, zero copy and busy polling are absent. */
static const uint32_t socket_options[] = {
    SO_DEBUG,
    SO_REUSEADDR,
    SO_DONTROUTE,
    SO_BROADCAST,
    SO_SNDBUF,
    SO_RCVBUF,
    SO_KEEPALIVE,
    SO_OOBINLINE,
    SO_NO_CHECK,
    SO_PRIORITY,
    SO_LINGER,
    SO_BSDCOMPAT,
    SO_REUSEPORT,
    SO_PASSCRED,
    SO_RCVLOWAT,
    SO_SNDLOWAT,
    20 /* SO_RCVTIMEO */,
    21 /* SO_SNDTIMEO */,
    29 /* SO_TIMESTAMP */,
    SO_PASSSEC,
    35 /* SO_TIMESTAMPNS */,
    63 /* SO_TIMESTAMP, 64 bits */,
    64 /* SO_TIMESTAMPNS */,
    66 /* SO_RCVTIMEO */,
    67 /* SO_SNDTIMEO */,
    76 /* SO_PASSPIDFD */
};

/* By level: options beyond these reach TCP_ULP (kTLS, espintcp), encapsulation and packet filters. */
static const uint32_t tcp_options[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 18, 23, 25, 30, 36, 37 };
static const uint32_t udp_options[] = { 1, 103, 104 };
/* What servers and clients set; no header options, raw headers, xfrm policies, firewall tables. */
static const uint32_t ip_options[] = { 1,  2,  8,  10, 11, 12, 13, 15, 21, 24,
                                       32, 33, 34, 35, 36, 42, 45, 49, 50, 51 };
static const uint32_t ipv6_options[] = { 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 29,
                                         42, 45, 49, 51, 66, 67, 70, 72, 76, 78 };

#define IP_SOCKET(family, type, protocol)                                                                    \
    {                                                                                                        \
        "socket", 3, { MATCH32(0, family), MATCH(1, 0xf, type), MATCH32(2, protocol) }, 0                    \
    }

/* TCP and UDP, by name or as a type's default: behind the same types wait MPTCP, SMC, UDP-Lite, L2TP and ping. */
static const struct rule ip_rules[] = {
    IP_SOCKET(AF_INET, SOCK_STREAM, 0),  IP_SOCKET(AF_INET, SOCK_STREAM, 6),
    IP_SOCKET(AF_INET, SOCK_DGRAM, 0),   IP_SOCKET(AF_INET, SOCK_DGRAM, 17),
    IP_SOCKET(AF_INET6, SOCK_STREAM, 0), IP_SOCKET(AF_INET6, SOCK_STREAM, 6),
    IP_SOCKET(AF_INET6, SOCK_DGRAM, 0),  IP_SOCKET(AF_INET6, SOCK_DGRAM, 17)
};

static bool
is_unknown_call(int nr)
{
    return nr == __NR_SCMP_ERROR || nr < 0; /* negative: a pseudo number, absent on this architecture */
}

static bool
call_add(struct program *program, int nr, uint32_t action)
{
    const struct program_rule rule = { .action = action };

    return program_add(program, nr, &rule);
}

static bool
names_add(struct program *program, uint32_t action, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int nr = seccomp_syscall_resolve_name(names[i]);

        if (!is_unknown_call(nr) && !call_add(program, nr, action)) {
            return false;
        }
    }
    return true;
}

/* True when the wall is off; then its calls are let through whatever their arguments, or *ret_ok is false. */
static bool
wall_left_out(struct program *program, enum sbx_wall wall, const char *const *names, size_t n, bool *ret_ok)
{
    *ret_ok = !sbx_wall_is_off(wall) || names_add(program, SECCOMP_RET_ALLOW, names, n);
    return sbx_wall_is_off(wall);
}

static bool
rule_add(struct program *program, const struct rule *rule)
{
    int nr = seccomp_syscall_resolve_name(rule->name);
    struct program_rule added = { .n = rule->n,
                                  .action = rule->error ? ERRNO_OF(rule->error) : SECCOMP_RET_ALLOW };

    memcpy(added.match, rule->match, sizeof(added.match));
    return is_unknown_call(nr) || program_add(program, nr, &added);
}

/* One rule a value: several rules of one call are alternatives. */
static bool
values_add(struct program *program, const char *name, unsigned arg, uint64_t mask, int error,
           const uint32_t *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct rule rule = { name, 1, { MATCH(arg, mask, values[i]) }, error };

        if (!rule_add(program, &rule)) {
            return false;
        }
    }
    return true;
}

static bool
family_rules_add(struct program *program, bool inet)
{
    static const uint32_t types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
    const struct rule pair = { "socketpair", 1, { MATCH32(0, AF_UNIX) }, 0 };

    /* Families are numbered to 45 by now; one the kernel gets later is refused by the default. */
    for (uint32_t family = 0; family < 64; family++) {
        bool is_ip = family == AF_INET || family == AF_INET6;

        if (family != AF_UNIX && !(inet && is_ip)) {
            const struct rule refuse = { "socket", 1, { MATCH32(0, family) }, EAFNOSUPPORT };

            if (!rule_add(program, &refuse)) {
                return false;
            }
            continue;
        }
        /* Never SOCK_RAW; the bits above the type are SOCK_CLOEXEC and SOCK_NONBLOCK. */
        for (size_t i = 0; i < SBX_COUNT(types) && !is_ip; i++) {
            const struct rule allow = { "socket", 2, { MATCH32(0, family), MATCH(1, 0xf, types[i]) }, 0 };

            if (!rule_add(program, &allow)) {
                return false;
            }
        }
    }
    for (size_t i = 0; i < SBX_COUNT(ip_rules) && inet; i++) {
        if (!rule_add(program, &ip_rules[i])) {
            return false;
        }
    }
    return rule_add(program, &pair);
}

static bool
sockopt_options_add(struct program *program, int level, const uint32_t *options, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct rule rule = { "setsockopt", 2, { MATCH32(1, level), MATCH32(2, options[i]) }, 0 };

        if (!rule_add(program, &rule)) {
            return false;
        }
    }
    return true;
}

static bool
sockopt_rules_add(struct program *program)
{
    return sockopt_options_add(program, SOL_SOCKET, socket_options, SBX_COUNT(socket_options)) &&
           sockopt_options_add(program, 0 /* IP */, ip_options, SBX_COUNT(ip_options)) &&
           sockopt_options_add(program, 41 /* IPV6 */, ipv6_options, SBX_COUNT(ipv6_options)) &&
           sockopt_options_add(program, 6 /* TCP */, tcp_options, SBX_COUNT(tcp_options)) &&
           sockopt_options_add(program, 17 /* UDP */, udp_options, SBX_COUNT(udp_options));
}

/* `is_tenant`: options of sockets are judged too. */
static bool
socket_rules_add(struct program *program, bool inet, bool is_tenant)
{
    static const char *const names[] = { "socket", "socketpair", "setsockopt" };
    bool is_ok;

    if (wall_left_out(program, SBX_WALL_SECCOMP_SOCKETS, names, SBX_COUNT(names), &is_ok)) {
        return is_ok;
    }
    return family_rules_add(program, inet) && (!is_tenant || sockopt_rules_add(program));
}

static bool
ioctl_rules_add(struct program *program, bool is_agent)
{
    const uint32_t take = TIOCSCTTY;
    static const char *const names[] = { "ioctl" };
    bool is_ok;

    if (wall_left_out(program, SBX_WALL_SECCOMP_IOCTL, names, SBX_COUNT(names), &is_ok)) {
        return is_ok;
    }
    return values_add(program, "ioctl", 1, LOW32, 0, ioctls, SBX_COUNT(ioctls)) &&
           values_add(program, "ioctl", 1, LOW32, ENOTTY, ioctls_not_here, SBX_COUNT(ioctls_not_here)) &&
           (is_agent ? values_add(program, "ioctl", 1, LOW32, 0, ioctls_of_agent, SBX_COUNT(ioctls_of_agent))
                     : values_add(program, "ioctl", 1, LOW32, ENOTTY, &take, 1));
}

static bool
clone_rules_add(struct program *program)
{
    static const char *const names[] = { "clone", "clone3", "unshare", "setns" };
    static const char *const absent_clone = "clone3";
    bool is_ok;

    if (wall_left_out(program, SBX_WALL_SECCOMP_CLONE, names, SBX_COUNT(names), &is_ok)) {
        return is_ok;
    }
    /* ENOSYS and not EPERM: only then does glibc make its threads with clone. */
    return rule_add(program, &clone_rule) && names_add(program, ERRNO_OF(ENOSYS), &absent_clone, 1);
}

/* Whatever it is but 1. */
static bool
not_one_add(struct program *program, const char *name, unsigned arg)
{
    const struct program_rule one = { 1, { MATCH32(arg, 1) }, ERRNO_OF(EPERM), false };
    const struct program_rule rest = { .action = SECCOMP_RET_ALLOW, .is_rest = true };
    int nr = seccomp_syscall_resolve_name(name);

    return is_unknown_call(nr) || (program_add(program, nr, &one) && program_add(program, nr, &rest));
}

static bool
steering_add(struct program *program, bool is_payload)
{
    bool is_ok = true;

    for (size_t i = 0; i < SBX_COUNT(steering) && is_ok; i++) {
        is_ok = is_payload && !sbx_wall_is_off(SBX_WALL_SECCOMP_ARGUMENTS)
                    ? not_one_add(program, steering[i].name, steering[i].arg)
                    : names_add(program, SECCOMP_RET_ALLOW, &steering[i].name, 1);
    }
    return is_ok;
}

static bool
argument_rules_add(struct program *program)
{
    static const char *const names[] = { "futex",   "fcntl",    "personality", "prlimit64", "mknod",
                                         "mknodat", "madvise",  "mmap",        "sendto",    "sendmsg",
                                         "recvmsg", "sendmmsg", "recvmmsg",    "recvfrom",  "memfd_create" };
    bool is_ok;

    if (wall_left_out(program, SBX_WALL_SECCOMP_ARGUMENTS, names, SBX_COUNT(names), &is_ok)) {
        return is_ok;
    }
    for (size_t i = 0; i < SBX_COUNT(tenant_rules); i++) {
        if (!rule_add(program, &tenant_rules[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < SBX_COUNT(without_bits); i++) {
        const uint64_t bits = without_bits[i].bits;
        const struct rule allow = { without_bits[i].name, 1, { MATCH(without_bits[i].arg, bits, 0) }, 0 };
        const struct rule refuse = {
            without_bits[i].name, 1, { MATCH(without_bits[i].arg, bits, bits) }, without_bits[i].error
        };

        if (!rule_add(program, &allow) || !rule_add(program, &refuse)) {
            return false;
        }
    }
    return values_add(program, "madvise", 2, LOW32, 0, advices, SBX_COUNT(advices)) &&
           values_add(program, "madvise", 2, LOW32, EINVAL, advices_not_here, SBX_COUNT(advices_not_here)) &&
           values_add(program, "futex", 1, FUTEX_OP_MASK, 0, futex_ops, SBX_COUNT(futex_ops)) &&
           values_add(program, "futex", 1, FUTEX_OP_MASK, ENOSYS, futex_pi_ops, SBX_COUNT(futex_pi_ops)) &&
           values_add(program, "fcntl", 1, LOW32, 0, fcntls, SBX_COUNT(fcntls));
}

static bool
tenant_rules_add(struct program *program, bool inet, bool is_agent)
{
    return clone_rules_add(program) && argument_rules_add(program) && ioctl_rules_add(program, is_agent) &&
           socket_rules_add(program, inet, true);
}

#ifdef SANDBOX_MUTANT
/* All but those that another wall judges. */
static bool
every_call_add(struct program *program)
{
    static const char *const judged[] = { "clone",      "clone3",     "unshare",  "setns",       "socket",
                                          "socketpair", "setsockopt", "ioctl",    "prctl",       "fcntl",
                                          "futex",      "prlimit64",  "mknod",    "personality", "mknodat",
                                          "madvise",    "mmap",       "sendto",   "sendmsg",     "recvmsg",
                                          "sendmmsg",   "recvmmsg",   "recvfrom", "memfd_create" };

    for (int nr = 0; nr <= NR_LAST_UNKNOWN; nr++) {
        bool is_judged = false;

        for (size_t i = 0; i < SBX_COUNT(judged) && !is_judged; i++) {
            is_judged = seccomp_syscall_resolve_name(judged[i]) == nr;
        }
        for (size_t i = 0; i < SBX_COUNT(steering) && !is_judged; i++) {
            is_judged = seccomp_syscall_resolve_name(steering[i].name) == nr;
        }
        if (!is_judged && !call_add(program, nr, SECCOMP_RET_ALLOW)) {
            return false;
        }
    }
    return true;
}
#endif

static bool
absent_add(struct program *program)
{
    if (!names_add(program, ERRNO_OF(ENOSYS), absent, SBX_COUNT(absent))) {
        return false;
    }
    for (int nr = NR_FIRST_UNKNOWN; nr <= NR_LAST_UNKNOWN; nr++) {
        if (!call_add(program, nr, ERRNO_OF(ENOSYS))) {
            return false;
        }
    }
    return true;
}

static bool
calls_add(struct program *program)
{
#ifdef SANDBOX_MUTANT
    if (sbx_wall_is_off(SBX_WALL_SECCOMP_CALLS)) {
        return every_call_add(program);
    }
#endif
    return names_add(program, SECCOMP_RET_ALLOW, allowed, SBX_COUNT(allowed)) &&
           call_add(program, NR_FCHMODAT2, SECCOMP_RET_ALLOW) && absent_add(program);
}

static bool
tier_rules_add(struct program *program, enum filter_kind kind)
{
    uint32_t timers = kind == FILTER_PAYLOAD_GVISOR && !sbx_wall_is_off(SBX_WALL_RLIMITS) ? ERRNO_OF(ENOSYS)
                                                                                          : SECCOMP_RET_ALLOW;

    return names_add(program, timers, limited, SBX_COUNT(limited)) &&
           names_add(program, ERRNO_OF(0), not_needed, SBX_COUNT(not_needed));
}

/* The limits of an interpreter that has waited for its work come from outside of it; the kernel asks for its ids. */
static bool
slot_rules_add(struct program *program)
{
    const struct program_rule others = { .action = SECCOMP_RET_ALLOW, .is_rest = true };

    return sbx_wall_is_off(SBX_WALL_SECCOMP_ARGUMENTS) ||
           program_add(program, seccomp_syscall_resolve_name("prlimit64"), &others);
}

/* The launcher a network, what it has beside it a user namespace, zygotes all of a sandbox's at once, but its time. */
static bool
joining_rules_add(struct program *program)
{
    const uint32_t kinds[] = { CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWTIME, ns_kinds() };
    static const char *const setns = "setns";

    if (sbx_wall_is_off(SBX_WALL_SECCOMP_CLONE)) {
        return names_add(program, SECCOMP_RET_ALLOW, &setns, 1); /* of all kinds */
    }
    return values_add(program, "setns", 1, LOW32, 0, kinds, SBX_COUNT(kinds));
}

static bool
kind_rules_add(struct program *program, enum filter_kind kind, bool inet)
{
    static const char *const wide[] = { "prctl", "seccomp" };
    static const char *const launcher_wide[] = { "ioctl",      "clone",       "prlimit64",   "futex",
                                                 "setsockopt", "mknodat",     "personality", "mknod",
                                                 "fcntl",      "madvise",     "mmap",        "sendto",
                                                 "sendmsg",    "recvmsg",     "sendmmsg",    "recvmmsg",
                                                 "recvfrom",   "memfd_create" };
    bool is_ok;

    switch (kind) {
    case FILTER_PAYLOAD:
    case FILTER_PAYLOAD_GVISOR:
        if (wall_left_out(program, SBX_WALL_SECCOMP_ARGUMENTS, wide, 1, &is_ok)) {
            return is_ok && tenant_rules_add(program, inet, false);
        }
        return tenant_rules_add(program, inet, false) &&
               values_add(program, "prctl", 0, LOW32, 0, payload_prctls, SBX_COUNT(payload_prctls));
    case FILTER_AGENT:
        return tenant_rules_add(program, inet, true) && slot_rules_add(program) &&
               names_add(program, SECCOMP_RET_ALLOW, wide, SBX_COUNT(wide));
    case FILTER_ZYGOTE:
        /* Without the wall the agent's have it. */
        return kind_rules_add(program, FILTER_AGENT, inet) &&
               (sbx_wall_is_off(SBX_WALL_SECCOMP_ARGUMENTS) ||
                values_add(program, "madvise", 2, LOW32, 0, &advice_of_zygote, 1)) &&
               (sbx_wall_is_off(SBX_WALL_SECCOMP_CLONE) || joining_rules_add(program));
    case FILTER_RUNSC:
        return socket_rules_add(program, inet, false) &&
               names_add(program, SECCOMP_RET_ALLOW, wide, SBX_COUNT(wide)) &&
               names_add(program, SECCOMP_RET_ALLOW, launcher_wide, SBX_COUNT(launcher_wide)) &&
               names_add(program, SECCOMP_RET_ALLOW, runsc_only, SBX_COUNT(runsc_only));
    case FILTER_LAUNCHER_GVISOR:
        return names_add(program, SECCOMP_RET_ALLOW, runsc_only, SBX_COUNT(runsc_only)) &&
               kind_rules_add(program, FILTER_LAUNCHER, inet);
    case FILTER_LAUNCHER:
        return socket_rules_add(program, inet, false) &&
               names_add(program, SECCOMP_RET_ALLOW, wide, SBX_COUNT(wide)) &&
               names_add(program, SECCOMP_RET_ALLOW, launcher_wide, SBX_COUNT(launcher_wide)) &&
               joining_rules_add(program) &&
               names_add(program, SECCOMP_RET_ALLOW, launcher_only, SBX_COUNT(launcher_only));
    }
    return false;
}

static bool
filter_compose(struct program *program, enum filter_kind kind, bool inet)
{
    return calls_add(program) && tier_rules_add(program, kind) &&
           steering_add(program, kind == FILTER_PAYLOAD || kind == FILTER_PAYLOAD_GVISOR) &&
           kind_rules_add(program, kind, inet);
}

/* What is not needed each child would copy. */
static void
fit(struct filter *filter)
{
    void *smaller = realloc(filter->prog.filter, filter->prog.len * sizeof(*filter->prog.filter));

    if (smaller != NULL) {
        filter->prog.filter = smaller;
    }
}

/* The instructions once more as a file, for who loads them elsewhere. */
_must_check_ static int
filter_file(struct filter *filter)
{
    ssize_t size = (ssize_t)(filter->prog.len * sizeof(*filter->prog.filter));

    filter->fd = memfd_create("seccomp", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (filter->fd < 0) {
        return -errno;
    }
    if (pwrite(filter->fd, filter->prog.filter, (size_t)size, 0) != size) {
        return -EIO;
    }
    return fcntl(filter->fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0
               ? -errno
               : 0;
}

_must_check_ int
filter_build(struct filter *ret, enum filter_kind kind, bool inet)
{
    uint32_t other_abi =
        sbx_wall_is_off(SBX_WALL_SECCOMP_ARCH) ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS;
    struct program *program = program_new(filter_native_arch(), ERRNO_OF(EPERM), other_abi);
    struct filter filter = FILTER_NULL;
    int r = -ENOMEM;

    if (program != NULL) {
        filter.prog.filter = calloc(BPF_MAXINSNS, sizeof(*filter.prog.filter));
    }
    if (filter.prog.filter != NULL) {
        r = FILTER_E_REFUSED;
        if (filter_compose(program, kind, inet)) {
            filter.prog.len = (unsigned short)program_compile(program, filter.prog.filter, BPF_MAXINSNS);
        }
    }
    if (filter.prog.len > 0) {
        fit(&filter);
        r = filter_file(&filter);
    }
    program_free(program);
    if (r != 0) {
        filter_deinit(&filter);
        return r;
    }
    *ret = filter;
    return 0;
}

void
filter_deinit(struct filter *filter)
{
    if (filter->fd >= 0) {
        close(filter->fd);
    }
    free(filter->prog.filter);
    *filter = (struct filter)FILTER_NULL;
}

uint32_t
filter_native_arch(void)
{
    return seccomp_arch_native(); /* libseccomp's tokens are the kernel's */
}

_must_check_ int
filter_install(const struct filter *filter)
{
    return prctl(PR_SET_SECCOMP, 2 /* SECCOMP_MODE_FILTER */, &filter->prog, 0, 0) < 0 ? -errno : 0;
}
