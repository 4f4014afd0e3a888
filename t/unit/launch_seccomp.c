/*
 * The generated BPF itself, run by a small interpreter over every call number of
 * every ABI and over argument values at the edges.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/bpf_common.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executor/launcher/seccomp.h"
#include "executor/launcher/seccomp_program.h"
#include "t/unit/tap.h"

#define X32 0x40000000u
#define MAX_NR 1100
#define FAULT 0xdeadbeefu /* the program left its bounds or used an instruction no filter needs */

#define ERR(n) (SECCOMP_RET_ERRNO | (uint32_t)(n))
#define ALLOW SECCOMP_RET_ALLOW
#define KILL SECCOMP_RET_KILL_PROCESS

static struct filter payload = FILTER_NULL, payload_inet = FILTER_NULL, guest = FILTER_NULL,
                     agent = FILTER_NULL, launcher, zygote = FILTER_NULL;

static bool
jump_taken(uint16_t code, uint32_t a, uint32_t k)
{
    switch (BPF_OP(code)) {
    case BPF_JEQ:
        return a == k;
    case BPF_JGT:
        return a > k;
    case BPF_JGE:
        return a >= k;
    default:
        return a & k;
    }
}

static uint32_t
run(const struct sock_fprog *prog, const struct seccomp_data *data)
{
    uint32_t a = 0, x = 0, mem[16] = { 0 };

    for (unsigned pc = 0; pc < prog->len; pc++) {
        const struct sock_filter *in = &prog->filter[pc];

        switch (BPF_CLASS(in->code)) {
        case BPF_LD:
            if (BPF_MODE(in->code) == BPF_MEM) {
                a = mem[in->k & 15];
            } else if (in->k + 4 > sizeof(*data)) {
                return FAULT;
            } else {
                memcpy(&a, (const char *)data + in->k, 4);
            }
            break;
        case BPF_ST:
            mem[in->k & 15] = a;
            break;
        case BPF_LDX:
            x = BPF_MODE(in->code) == BPF_MEM ? mem[in->k & 15] : in->k;
            break;
        case BPF_ALU:
            if (BPF_OP(in->code) != BPF_AND) {
                return FAULT;
            }
            a &= BPF_SRC(in->code) == BPF_X ? x : in->k;
            break;
        case BPF_MISC:
            BPF_MISCOP(in->code) == 0 ? (x = a) : (a = x);
            break;
        case BPF_JMP:
            if (BPF_OP(in->code) == BPF_JA) {
                pc += in->k;
            } else {
                pc += jump_taken(in->code, a, BPF_SRC(in->code) == BPF_X ? x : in->k) ? in->jt : in->jf;
            }
            break;
        case BPF_RET:
            return in->k;
        default:
            return FAULT;
        }
    }
    return FAULT;
}

static uint32_t
ask(const struct filter *filter, uint32_t arch, uint32_t nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
    const struct seccomp_data data = { .nr = (int)nr, .arch = arch, .args = { a0, a1, a2 } };

    return run(&filter->prog, &data);
}

static uint32_t
native(const struct filter *filter, long nr, uint64_t a0, uint64_t a1, uint64_t a2)
{
    return ask(filter, AUDIT_ARCH_X86_64, (uint32_t)nr, a0, a1, a2);
}

static void
foreign_abis(void)
{
    const struct filter *all[] = { &payload, &payload_inet, &agent, &launcher };
    static const uint32_t archs[] = { AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, AUDIT_ARCH_ARM, 0, ~0u };
    unsigned n_wrong = 0;

    for (size_t f = 0; f < SBX_COUNT(all); f++) {
        for (uint32_t nr = 0; nr < MAX_NR; nr++) {
            for (size_t i = 0; i < SBX_COUNT(archs); i++) {
                n_wrong += ask(all[f], archs[i], nr, 0, 0, 0) != KILL;
            }
            n_wrong += ask(all[f], AUDIT_ARCH_X86_64, X32 | nr, 0, 0, 0) != KILL;
        }
    }
    is_uint(n_wrong, 0, "every call of a foreign ABI, x32 included, kills");
}

/* A process keeps its ancestors' filters: a wider one that refuses what a narrower allows would break it. */
static void
nesting(void)
{
    static const uint64_t values[] = { 0,          1,      2,      3,          4,           6,
                                       7,          8,      10,     16,         17,          22,
                                       31,         38,     39,     0x1000,     0x2000,      0x6000,
                                       0x5401,     0x5412, 0x5421, 0xffffffff, 0x100000000, 0x10000000,
                                       0x7e020000, ~0ull };
    unsigned n_wrong = 0, n_fault = 0;

    for (uint32_t nr = 0; nr < MAX_NR; nr++) {
        for (size_t i = 0; i < SBX_COUNT(values); i++) {
            for (size_t k = 0; k < SBX_COUNT(values); k++) {
                uint32_t p = native(&payload, nr, values[i], values[k], values[i]);
                uint32_t a = native(&agent, nr, values[i], values[k], values[i]);
                uint32_t z = native(&zygote, nr, values[i], values[k], values[i]);
                uint32_t l = native(&launcher, nr, values[i], values[k], values[i]);

                n_fault += p == FAULT || a == FAULT || l == FAULT;
                n_wrong += (p == ALLOW && a != ALLOW) || (a == ALLOW && l != ALLOW) ||
                           (p == ALLOW && z != ALLOW) || (z == ALLOW && l != ALLOW);
            }
        }
    }
    is_uint(n_wrong, 0, "payload within agent and zygote within launcher");
    is_uint(n_fault, 0, "the interpreter understood every path");
}

struct expectation {
    const char *name;
    long nr;
    uint64_t a0, a1, a2;
    uint32_t action;
};

static const struct expectation expectations[] = {
    { "read", SYS_read, 0, 0, 0, ALLOW },
    { "execve", SYS_execve, 0, 0, 0, ALLOW },
    { "fchmodat2", 452, 0, 0, 0, ALLOW },
    { "clone of a thread", SYS_clone, 0x3d0f00, 0, 0, ALLOW },
    { "clone of a process", SYS_clone, 0x01200011, 0, 0, ALLOW },
    { "clone NEWUSER", SYS_clone, CLONE_NEWUSER | 17, 0, 0, ERR(EPERM) },
    { "clone NEWNS", SYS_clone, CLONE_NEWNS, 0, 0, ERR(EPERM) },
    { "clone NEWNET", SYS_clone, CLONE_NEWNET, 0, 0, ERR(EPERM) },
    { "clone NEWTIME", SYS_clone, 0x80, 0, 0, ERR(EPERM) },
    { "clone NEWUSER with garbage above", SYS_clone, 0xffffffff00000000 | CLONE_NEWUSER, 0, 0, ERR(EPERM) },
    { "clone3", SYS_clone3, 0, 0, 0, ERR(ENOSYS) },
    { "unshare", SYS_unshare, 0, 0, 0, ERR(EPERM) },
    { "setns", SYS_setns, 0, 0, 0, ERR(EPERM) },
    { "mount", SYS_mount, 0, 0, 0, ERR(EPERM) },
    { "umount2", SYS_umount2, 0, 0, 0, ERR(EPERM) },
    { "pivot_root", SYS_pivot_root, 0, 0, 0, ERR(EPERM) },
    { "chroot", SYS_chroot, 0, 0, 0, ERR(EPERM) },
    { "fsopen", SYS_fsopen, 0, 0, 0, ERR(EPERM) },
    { "open_tree", SYS_open_tree, 0, 0, 0, ERR(EPERM) },
    { "move_mount", SYS_move_mount, 0, 0, 0, ERR(EPERM) },
    { "mount_setattr", SYS_mount_setattr, 0, 0, 0, ERR(EPERM) },
    { "ptrace", SYS_ptrace, 0, 0, 0, ERR(EPERM) },
    { "process_vm_readv", SYS_process_vm_readv, 0, 0, 0, ERR(EPERM) },
    { "process_vm_writev", SYS_process_vm_writev, 0, 0, 0, ERR(EPERM) },
    { "pidfd_getfd", SYS_pidfd_getfd, 0, 0, 0, ERR(EPERM) },
    { "kcmp", SYS_kcmp, 0, 0, 0, ERR(EPERM) },
    { "bpf", SYS_bpf, 0, 0, 0, ERR(EPERM) },
    { "perf_event_open", SYS_perf_event_open, 0, 0, 0, ERR(EPERM) },
    { "keyctl", SYS_keyctl, 0, 0, 0, ERR(EPERM) },
    { "add_key", SYS_add_key, 0, 0, 0, ERR(EPERM) },
    { "request_key", SYS_request_key, 0, 0, 0, ERR(EPERM) },
    { "init_module", SYS_init_module, 0, 0, 0, ERR(EPERM) },
    { "finit_module", SYS_finit_module, 0, 0, 0, ERR(EPERM) },
    { "kexec_load", SYS_kexec_load, 0, 0, 0, ERR(EPERM) },
    { "reboot", SYS_reboot, 0, 0, 0, ERR(EPERM) },
    { "swapon", SYS_swapon, 0, 0, 0, ERR(EPERM) },
    { "open_by_handle_at", SYS_open_by_handle_at, 0, 0, 0, ERR(EPERM) },
    { "name_to_handle_at", SYS_name_to_handle_at, 0, 0, 0, ERR(EPERM) },
    { "modify_ldt", SYS_modify_ldt, 0, 0, 0, ERR(EPERM) },
    { "ioperm", SYS_ioperm, 0, 0, 0, ERR(EPERM) },
    { "iopl", SYS_iopl, 0, 0, 0, ERR(EPERM) },
    { "vmsplice", SYS_vmsplice, 0, 0, 0, ERR(EPERM) },
    { "mbind", SYS_mbind, 0, 0, 0, ERR(EPERM) },
    { "move_pages", SYS_move_pages, 0, 0, 0, ERR(EPERM) },
    { "quotactl", SYS_quotactl, 0, 0, 0, ERR(EPERM) },
    { "fanotify_init", SYS_fanotify_init, 0, 0, 0, ERR(EPERM) },
    { "acct", SYS_acct, 0, 0, 0, ERR(EPERM) },
    { "syslog", SYS_syslog, 0, 0, 0, ERR(EPERM) },
    { "settimeofday", SYS_settimeofday, 0, 0, 0, ERR(EPERM) },
    { "clock_settime", SYS_clock_settime, 0, 0, 0, ERR(EPERM) },
    { "adjtimex", SYS_adjtimex, 0, 0, 0, ERR(EPERM) },
    { "sethostname", SYS_sethostname, 0, 0, 0, ERR(EPERM) },
    { "mq_open", SYS_mq_open, 0, 0, 0, ERR(EPERM) },
    { "seccomp", SYS_seccomp, 1, 0, 0, ERR(EPERM) },
    { "uselib", SYS_uselib, 0, 0, 0, ERR(EPERM) },
    { "ustat", SYS_ustat, 0, 0, 0, ERR(EPERM) },
    { "io_setup", SYS_io_setup, 0, 0, 0, ERR(EPERM) },
    { "io_uring_setup", SYS_io_uring_setup, 0, 0, 0, ERR(ENOSYS) },
    { "io_uring_enter", SYS_io_uring_enter, 0, 0, 0, ERR(ENOSYS) },
    { "userfaultfd", SYS_userfaultfd, 0, 0, 0, ERR(ENOSYS) },
    { "memfd_secret", 447, 0, 0, 0, ERR(ENOSYS) },
    { "process_madvise", SYS_process_madvise, 0, 0, 0, ERR(ENOSYS) },
    { "open_tree_attr", 467, 0, 0, 0, ERR(ENOSYS) },
    { "file_setattr", 469, 0, 0, 0, ERR(ENOSYS) },
    { "the last number reserved", 511, 0, 0, 0, ERR(ENOSYS) },
    { "personality 0", SYS_personality, 0, 0, 0, ALLOW },
    { "personality query", SYS_personality, 0xffffffff, 0, 0, ALLOW },
    { "personality ADDR_NO_RANDOMIZE", SYS_personality, 0x40000, 0, 0, ERR(EPERM) },
    { "personality PER_LINUX32", SYS_personality, 8, 0, 0, ERR(EPERM) },
    { "socketpair unix", SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, ALLOW },
    { "socketpair inet", SYS_socketpair, AF_INET, SOCK_STREAM, 0, ERR(EPERM) },
    { "socket unix stream", SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ALLOW },
    { "socket unix raw", SYS_socket, AF_UNIX, SOCK_RAW, 0, ERR(EPERM) },
    { "socket inet", SYS_socket, AF_INET, SOCK_STREAM, 0, ERR(EAFNOSUPPORT) },
    { "socket inet with garbage above", SYS_socket, 0x100000000 | AF_INET, SOCK_STREAM, 0,
      ERR(EAFNOSUPPORT) },
    { "socket inet6", SYS_socket, AF_INET6, SOCK_DGRAM, 0, ERR(EAFNOSUPPORT) },
    { "socket netlink", SYS_socket, AF_NETLINK, SOCK_RAW, 0, ERR(EAFNOSUPPORT) },
    { "socket packet", SYS_socket, AF_PACKET, SOCK_RAW, 0, ERR(EAFNOSUPPORT) },
    { "socket alg", SYS_socket, AF_ALG, SOCK_SEQPACKET, 0, ERR(EAFNOSUPPORT) },
    { "socket vsock", SYS_socket, AF_VSOCK, SOCK_STREAM, 0, ERR(EAFNOSUPPORT) },
    { "socket rxrpc", SYS_socket, AF_RXRPC, SOCK_DGRAM, 0, ERR(EAFNOSUPPORT) },
    { "socket tipc", SYS_socket, AF_TIPC, SOCK_STREAM, 0, ERR(EAFNOSUPPORT) },
    { "socket of a family to come", SYS_socket, 200, SOCK_STREAM, 0, ERR(EPERM) },
    { "setsockopt SO_REUSEADDR", SYS_setsockopt, 3, SOL_SOCKET, 2, ALLOW },
    { "setsockopt SO_RCVTIMEO", SYS_setsockopt, 3, SOL_SOCKET, 20, ALLOW },
    { "setsockopt SO_ATTACH_FILTER", SYS_setsockopt, 3, SOL_SOCKET, 26, ERR(EPERM) },
    { "setsockopt SO_ATTACH_BPF", SYS_setsockopt, 3, SOL_SOCKET, 50, ERR(EPERM) },
    { "setsockopt SO_ATTACH_REUSEPORT_CBPF", SYS_setsockopt, 3, SOL_SOCKET, 51, ERR(EPERM) },
    { "setsockopt SO_ATTACH_FILTER with garbage above", SYS_setsockopt, 3, SOL_SOCKET, 0x10000001a,
      ERR(EPERM) },
    { "setsockopt SO_ZEROCOPY", SYS_setsockopt, 3, SOL_SOCKET, 60, ERR(EPERM) },
    { "setsockopt TCP_NODELAY", SYS_setsockopt, 3, 6, 1, ALLOW },
    { "setsockopt TCP_ULP", SYS_setsockopt, 3, 6, 31, ERR(EPERM) },
    { "setsockopt TCP_ULP with garbage above the level", SYS_setsockopt, 3, 0x100000006, 31, ERR(EPERM) },
    { "setsockopt TCP_ULP with garbage above the option", SYS_setsockopt, 3, 6, 0x10000001f, ERR(EPERM) },
    { "setsockopt UDP_ENCAP", SYS_setsockopt, 3, 17, 100, ERR(EPERM) },
    { "setsockopt SOL_TLS", SYS_setsockopt, 3, 282, 1, ERR(EPERM) },
    { "futex wait", SYS_futex, 0, 0, 0, ALLOW },
    { "futex wait bitset, private, realtime", SYS_futex, 0, 9 | 128 | 256, 0, ALLOW },
    { "futex lock pi", SYS_futex, 0, 6, 0, ERR(ENOSYS) },
    { "futex lock pi private", SYS_futex, 0, 6 | 128, 0, ERR(ENOSYS) },
    { "futex cmp requeue pi", SYS_futex, 0, 12, 0, ERR(ENOSYS) },
    { "futex of an operation to come", SYS_futex, 0, 50, 0, ERR(EPERM) },
    { "ioctl TCGETS", SYS_ioctl, 0, 0x5401, 0, ALLOW },
    { "ioctl TCSETSW", SYS_ioctl, 0, 0x5403, 0, ALLOW },
    { "ioctl TIOCSPGRP", SYS_ioctl, 0, 0x5410, 0, ALLOW },
    { "ioctl TIOCSWINSZ", SYS_ioctl, 0, 0x5414, 0, ALLOW },
    { "ioctl TIOCSCTTY", SYS_ioctl, 0, 0x540e, 0, ERR(ENOTTY) },
    { "ioctl TIOCSETD", SYS_ioctl, 0, 0x5423, 0, ERR(EPERM) },
    { "ioctl TIOCCONS", SYS_ioctl, 0, 0x541d, 0, ERR(EPERM) },
    { "ioctl TIOCSPTLCK", SYS_ioctl, 0, 0x40045431, 0, ERR(EPERM) },
    { "ioctl TIOCGPTPEER", SYS_ioctl, 0, 0x5441, 0, ERR(EPERM) },
    { "ioctl TIOCSTI", SYS_ioctl, 0, 0x5412, 0, ERR(EPERM) },
    { "ioctl TIOCSTI with garbage above", SYS_ioctl, 0, 0xffffffff00005412, 0, ERR(EPERM) },
    { "ioctl TIOCLINUX", SYS_ioctl, 0, 0x541c, 0, ERR(EPERM) },
    { "ioctl SIOCSIFFLAGS", SYS_ioctl, 0, 0x8914, 0, ERR(EPERM) },
    { "ioctl FS_IOC_FSSETXATTR", SYS_ioctl, 0, 0x401c5820, 0, ERR(EPERM) },
    { "ioctl FICLONE", SYS_ioctl, 0, 0x40049409, 0, ERR(ENOTTY) },
    { "inotify_init", SYS_inotify_init, 0, 0, 0, ERR(ENOSYS) },
    { "inotify_init1", SYS_inotify_init1, 0, 0, 0, ERR(ENOSYS) },
    { "inotify_add_watch", SYS_inotify_add_watch, 0, 0, 0, ERR(EPERM) },
    { "fcntl F_GETFL", SYS_fcntl, 0, F_GETFL, 0, ALLOW },
    { "fcntl F_DUPFD_CLOEXEC", SYS_fcntl, 0, F_DUPFD_CLOEXEC, 0, ALLOW },
    { "fcntl F_OFD_SETLKW", SYS_fcntl, 0, F_OFD_SETLKW, 0, ALLOW },
    { "fcntl F_NOTIFY", SYS_fcntl, 0, F_NOTIFY, 0, ERR(EPERM) },
    { "fcntl F_NOTIFY with garbage above", SYS_fcntl, 0, 0x100000000 | F_NOTIFY, 0, ERR(EPERM) },
    { "fcntl F_SETLEASE", SYS_fcntl, 0, F_SETLEASE, 0, ERR(EPERM) },
    { "prctl SET_NAME", SYS_prctl, 15, 0, 0, ALLOW },
    { "prctl SET_SECCOMP", SYS_prctl, 22, 2, 0, ERR(EPERM) },
    { "prctl CAPBSET_DROP", SYS_prctl, 24, 0, 0, ERR(EPERM) },
    { "prctl SET_MM", SYS_prctl, 35, 0, 0, ERR(EPERM) },
    { "prctl SET_PTRACER", SYS_prctl, 0x59616d61, 0, 0, ERR(EPERM) },
    { "prctl SET_MM with garbage above", SYS_prctl, 0x100000023, 0, 0, ERR(EPERM) },
    { "prlimit64 of itself", SYS_prlimit64, 0, 7, 0, ALLOW },
    { "prlimit64 of another", SYS_prlimit64, 5, 7, 0, ERR(EPERM) },
    { "prlimit64 of another: processes", SYS_prlimit64, 5, 6, 0, ERR(EPERM) },
    { "prlimit64 of another: size of a file", SYS_prlimit64, 5, 1, 0, ERR(EPERM) },
    { "setpriority of itself", SYS_setpriority, 0, 0, 19, ALLOW },
    { "setpriority of a child", SYS_setpriority, 0, 3, 19, ALLOW },
    { "setpriority of the agent", SYS_setpriority, 0, 1, 19, ERR(EPERM) },
    { "setpriority of the agent, garbage above", SYS_setpriority, 0, 0x100000001, 19, ERR(EPERM) },
    { "sched_setaffinity of a thread", SYS_sched_setaffinity, 4097, 8, 0, ALLOW },
    { "sched_setaffinity of the agent", SYS_sched_setaffinity, 1, 8, 0, ERR(EPERM) },
    { "sched_setscheduler of the agent", SYS_sched_setscheduler, 1, 0, 0, ERR(EPERM) },
    { "sched_setparam of the agent", SYS_sched_setparam, 1, 0, 0, ERR(EPERM) },
    { "sched_setattr of the agent", SYS_sched_setattr, 1, 0, 0, ERR(EPERM) },
    { "ioprio_set of the agent", SYS_ioprio_set, 1, 1, 0, ERR(EPERM) },
    { "ioprio_set of itself", SYS_ioprio_set, 1, 0, 0, ALLOW },
    { "get_robust_list of the agent", SYS_get_robust_list, 1, 0, 0, ERR(EPERM) },
    { "get_robust_list of itself", SYS_get_robust_list, 0, 0, 0, ALLOW },
    { "mknod fifo", SYS_mknod, 0, 0010644, 0, ALLOW },
    { "timer_create", SYS_timer_create, 0, 0, 0, ALLOW },
    { "memfd_create", SYS_memfd_create, 0, MFD_CLOEXEC, 0, ALLOW },
    { "memfd_create of huge pages", SYS_memfd_create, 0, 4 | 21u << 26, 0, ERR(ENOSYS) },
    { "madvise DONTNEED", SYS_madvise, 0, 0, 4, ALLOW },
    { "madvise GUARD_INSTALL", SYS_madvise, 0, 0, 102, ALLOW },
    { "madvise MERGEABLE", SYS_madvise, 0, 0, 12, ERR(EINVAL) },
    { "madvise MERGEABLE with garbage above", SYS_madvise, 0, 0, 0x10000000c, ERR(EINVAL) },
    { "madvise HWPOISON", SYS_madvise, 0, 0, 100, ERR(EPERM) },
    { "sendmsg", SYS_sendmsg, 3, 0, MSG_NOSIGNAL | MSG_DONTWAIT, ALLOW },
    { "sendmsg out of band", SYS_sendmsg, 3, 0, MSG_OOB | MSG_DONTWAIT, ERR(EOPNOTSUPP) },
    { "recvmsg out of band", SYS_recvmsg, 3, 0, MSG_OOB, ERR(EOPNOTSUPP) },
    { "sync, which the host would do", SYS_sync, 0, 0, 0, ERR(0) },
    { "syncfs", SYS_syncfs, 0, 0, 0, ERR(0) },
    { "fsync", SYS_fsync, 0, 0, 0, ALLOW },
    { "mknod regular", SYS_mknod, 0, 0100644, 0, ALLOW },
    { "mknod character device", SYS_mknod, 0, 0020666, 0, ERR(EPERM) },
    { "mknod block device", SYS_mknod, 0, 0060666, 0, ERR(EPERM) },
    { "mknodat character device", SYS_mknodat, 0, 0, 0020666, ERR(EPERM) },
};

/* What the payload may not in gVisor; the rest is as above. */
static const struct expectation guest_expectations[] = {
    { "timer_create", SYS_timer_create, 0, 0, 0, ERR(ENOSYS) },
    { "timer_settime", SYS_timer_settime, 0, 0, 0, ALLOW },
    { "sync", SYS_sync, 0, 0, 0, ERR(0) },
    { "clone3", SYS_clone3, 0, 0, 0, ERR(ENOSYS) },
    { "mount", SYS_mount, 0, 0, 0, ERR(EPERM) },
    { "socket netlink", SYS_socket, AF_NETLINK, SOCK_RAW, 0, ERR(EAFNOSUPPORT) },
};

/* What the agent may besides, and what it may not either. */
static const struct expectation agent_expectations[] = {
    { "seccomp", SYS_seccomp, 1, 0, 0, ALLOW },
    { "ioctl TIOCSCTTY", SYS_ioctl, 0, 0x540e, 0, ALLOW },
    { "ioctl TIOCGPTN", SYS_ioctl, 0, 0x80045430, 0, ALLOW },
    { "ioctl TIOCSPTLCK", SYS_ioctl, 0, 0x40045431, 0, ALLOW },
    { "ioctl TIOCGPTPEER", SYS_ioctl, 0, 0x5441, 0, ALLOW },
    { "ioctl TIOCSTI", SYS_ioctl, 0, 0x5412, 0, ERR(EPERM) },
    { "ioctl TIOCCONS", SYS_ioctl, 0, 0x541d, 0, ERR(EPERM) },
    { "prctl SET_SECCOMP", SYS_prctl, 22, 2, 0, ALLOW },
    { "prctl CAPBSET_DROP", SYS_prctl, 24, 0, 0, ALLOW },
    { "capset", SYS_capset, 0, 0, 0, ALLOW },
    { "setresuid", SYS_setresuid, 1000, 1000, 1000, ALLOW },
    { "clone3", SYS_clone3, 0, 0, 0, ERR(ENOSYS) },
    { "unshare", SYS_unshare, 0, 0, 0, ERR(EPERM) },
    { "mount", SYS_mount, 0, 0, 0, ERR(EPERM) },
    { "ptrace", SYS_ptrace, 0, 0, 0, ERR(EPERM) },
    { "socket inet", SYS_socket, AF_INET, SOCK_STREAM, 0, ERR(EAFNOSUPPORT) },
    { "bpf", SYS_bpf, 0, 0, 0, ERR(EPERM) },
    { "prlimit64 of itself", SYS_prlimit64, 0, 7, 0, ALLOW },
    { "prlimit64 of another: processes", SYS_prlimit64, 5, 6, 0, ALLOW },
    { "prlimit64 of another: size of a file", SYS_prlimit64, 5, 1, 0, ALLOW },
};

static const struct expectation zygote_expectations[] = {
    { "setns of any kind", SYS_setns, 3, 0, 0, ERR(EPERM) },
    { "setns to a user namespace", SYS_setns, 3, CLONE_NEWUSER, 0, ALLOW },
    { "setns to a time namespace", SYS_setns, 3, CLONE_NEWTIME, 0, ALLOW },
    { "setns to two", SYS_setns, 3, CLONE_NEWUSER | CLONE_NEWNS, 0, ERR(EPERM) },
    { "setns to a mount namespace", SYS_setns, 3, CLONE_NEWNS, 0, ERR(EPERM) },
    { "setns to a process of the host's", SYS_setns, 3, CLONE_NEWPID, 0, ERR(EPERM) },
    { "setns to all that a sandbox has", SYS_setns, 3,
      CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET |
          CLONE_NEWCGROUP,
      0, ALLOW },
    { "capset", SYS_capset, 0, 0, 0, ALLOW },
    { "seccomp", SYS_seccomp, 1, 0, 0, ALLOW },
    { "unshare", SYS_unshare, 0, 0, 0, ERR(EPERM) },
    { "clone of a namespace", SYS_clone, CLONE_NEWUSER, 0, 0, ERR(EPERM) },
    { "mount", SYS_mount, 0, 0, 0, ERR(EPERM) },
    { "move_mount", SYS_move_mount, 0, 0, 0, ERR(EPERM) },
    { "ptrace", SYS_ptrace, 0, 0, 0, ERR(EPERM) },
    { "socket inet", SYS_socket, AF_INET, SOCK_STREAM, 0, ERR(EAFNOSUPPORT) },
};

static const struct expectation launcher_expectations[] = {
    { "clone3", SYS_clone3, 0, 0, 0, ALLOW },
    { "move_mount", SYS_move_mount, 0, 0, 0, ALLOW },
    { "mount, which it did before", SYS_mount, 0, 0, 0, ALLOW },
    { "setns of any kind", SYS_setns, 3, 0, 0, ERR(EPERM) },
    { "setns to a network", SYS_setns, 3, CLONE_NEWNET, 0, ALLOW },
    { "setns to a user namespace, for zygotes", SYS_setns, 3, CLONE_NEWUSER, 0, ALLOW },
    { "setns to a network and more", SYS_setns, 3, CLONE_NEWNET | CLONE_NEWNS, 0, ERR(EPERM) },
    { "ptrace", SYS_ptrace, 0, 0, 0, ERR(EPERM) },
    { "bpf", SYS_bpf, 0, 0, 0, ERR(EPERM) },
    { "finit_module", SYS_finit_module, 0, 0, 0, ERR(EPERM) },
    { "kexec_load", SYS_kexec_load, 0, 0, 0, ERR(EPERM) },
    { "chroot", SYS_chroot, 0, 0, 0, ERR(EPERM) },
    { "open_by_handle_at", SYS_open_by_handle_at, 0, 0, 0, ERR(EPERM) },
    { "socket inet", SYS_socket, AF_INET, SOCK_STREAM, 0, ERR(EAFNOSUPPORT) },
    { "socket netlink", SYS_socket, AF_NETLINK, SOCK_RAW, 0, ERR(EAFNOSUPPORT) },
    { "reboot", SYS_reboot, 0, 0, 0, ERR(EPERM) },
};

static void
compare(const char *whose, const struct filter *filter, const struct expectation *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        is_uint(native(filter, list[i].nr, list[i].a0, list[i].a1, list[i].a2), list[i].action, "%s: %s",
                whose, list[i].name);
    }
}

static void
totals(void)
{
    unsigned n_allowed = 0, n_beyond = 0, n_returns = 0;

    for (uint32_t nr = 0; nr < MAX_NR; nr++) {
        uint32_t action = native(&payload, nr, 0, 0, 0);

        n_allowed += action == ALLOW;
        n_beyond += nr > 452 && action == ALLOW;
    }
    for (unsigned i = 0; i < payload.prog.len; i++) {
        n_returns += BPF_CLASS(payload.prog.filter[i].code) == BPF_RET;
    }
    note("%u calls allowed with zero arguments, %u instructions", n_allowed, payload.prog.len);
    ok(n_allowed > 200 && n_allowed < 270, "about as many calls as the reference list");
    is_uint(n_beyond, 0, "no call newer than the list");
    ok(payload.prog.len < 450, "and a program that loads fast");
    ok(n_returns < payload.prog.len / 8, "in which calls share their answers");
}

static void
inet(void)
{
    is_uint(native(&payload_inet, SYS_socket, AF_INET, SOCK_STREAM, 0), ALLOW, "inet: stream");
    is_uint(native(&payload_inet, SYS_socket, AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0), ALLOW,
            "inet: datagram");
    is_uint(native(&payload_inet, SYS_socket, AF_INET, SOCK_RAW, 0), ERR(EPERM), "inet: never raw");
    is_uint(native(&payload_inet, SYS_socket, AF_INET, SOCK_SEQPACKET, 0), ERR(EPERM), "inet: never SCTP");
    is_uint(native(&payload_inet, SYS_socket, AF_INET, SOCK_STREAM, 6), ALLOW, "inet: TCP by its name");
    is_uint(native(&payload_inet, SYS_socket, AF_INET6, SOCK_DGRAM, 17), ALLOW, "inet: UDP by its name");
    is_uint(native(&payload_inet, SYS_socket, AF_INET, SOCK_STREAM, 262), ERR(EPERM), "inet: never MPTCP");
    is_uint(native(&payload_inet, SYS_socket, AF_INET, SOCK_STREAM, 0x100000106), ERR(EPERM),
            "inet: nor with garbage above");
    is_uint(native(&payload_inet, SYS_socket, AF_INET6, SOCK_DGRAM, 136), ERR(EPERM), "inet: never UDP-Lite");
    is_uint(native(&payload_inet, SYS_socket, AF_INET, SOCK_DGRAM, 1), ERR(EPERM), "inet: never ping");
    is_uint(native(&payload_inet, SYS_setsockopt, 3, 0, 1), ALLOW, "inet: IP_TOS");
    is_uint(native(&payload_inet, SYS_setsockopt, 3, 41, 26), ALLOW, "inet: IPV6_V6ONLY");
    is_uint(native(&payload_inet, SYS_setsockopt, 3, 0, 4), ERR(EPERM), "inet: no IP_OPTIONS");
    is_uint(native(&payload_inet, SYS_setsockopt, 3, 0, 64), ERR(EPERM), "inet: no firewall tables");
    is_uint(native(&payload_inet, SYS_setsockopt, 3, 41, 1), ERR(EPERM), "inet: no IPV6_ADDRFORM");
    is_uint(native(&payload_inet, SYS_socket, AF_NETLINK, SOCK_RAW, 0), ERR(EAFNOSUPPORT),
            "inet: no netlink");
    is_uint(native(&payload_inet, SYS_setsockopt, 3, 6, 31), ERR(EPERM), "inet: no TCP_ULP");
}

static void
files(void)
{
    struct sock_filter first;

    is_int(pread(payload.fd, &first, sizeof(first), 0), sizeof(first), "the program is in the file");
    ok(memcmp(&first, payload.prog.filter, sizeof(first)) == 0, "the same one");
    ok(pwrite(payload.fd, &first, sizeof(first), 0) < 0, "which is sealed against writing");
    ok(ftruncate(payload.fd, 0) < 0, "and truncating");
    ok(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, payload.fd, 0) == MAP_FAILED, "and mapping");
}

static bool
add(struct program *program, int nr, struct program_rule rule)
{
    return program_add(program, nr, &rule);
}

/* Anything else would mean that the order of rules counts, or that one is without effect. */
static void
contradictions(void)
{
    struct program *p = program_new(AUDIT_ARCH_X86_64, ERR(1), KILL);
    const struct program_rule bad[] = {
        { 0, { { 0 } }, ALLOW, false },                        /* whatever the arguments */
        { 1, { { 1, ~0u, 5 } }, ALLOW, false },                /* of another argument */
        { 1, { { 0, 0xff, 5 } }, ALLOW, false },               /* of other bits */
        { 1, { { 0, ~0u, 1 } }, ERR(5), false },               /* another answer */
        { 2, { { 0, ~0u, 1 }, { 1, ~0u, 1 } }, ALLOW, false }, /* more than another looks at */
        { 1, { { 0, ~0u, 7 } }, ALLOW, true },                 /* a rest with a match */
        { 2, { { 0, ~0u, 3 }, { 1, 0xf, 9 } }, ALLOW, false }, /* of other bits behind the same value */
        { 4, { { 0, ~0u, 9 } }, ALLOW, false },                /* more matches than there are */
    };

    ok(add(p, 7, (struct program_rule){ 1, { { 0, ~0u, 1 } }, ALLOW, false }), "a rule of an argument");
    ok(add(p, 7, (struct program_rule){ 2, { { 0, ~0u, 3 }, { 1, ~0u, 1 } }, ALLOW, false }), "of two");
    for (size_t i = 0; i < SBX_COUNT(bad); i++) {
        ok(!add(p, 7, bad[i]), "contradiction %zu is refused", i);
    }
    ok(!add(p, -1, bad[0]) && !add(p, 1024, bad[0]), "so are numbers of no call");
    ok(add(p, 8, bad[0]) && !add(p, 8, bad[1]), "no rule of an argument after one for all");
    ok(add(p, 8, (struct program_rule){ 0, { { 0 } }, ERR(5), false }), "a second one for all is no error");
    program_free(p);
}

/* What a compiler may get wrong: edges of runs, a rest, values behind which more is looked at, jumps that are too far. */
static void
program_shapes(void)
{
    static struct sock_filter code[4096];
    struct filter f = { .prog = { 0, code }, .fd = -1 };
    struct program *p = program_new(AUDIT_ARCH_X86_64, ERR(1), KILL);
    bool is_ok = true;

    for (uint32_t v = 10; v < 20; v++) {
        is_ok = is_ok && add(p, 3, (struct program_rule){ 1, { { 2, ~0u, v } }, ALLOW, false });
    }
    is_ok = is_ok && add(p, 3, (struct program_rule){ 1, { { 2, ~0u, ~0u } }, ERR(2), false });
    is_ok = is_ok && add(p, 5, (struct program_rule){ 1, { { 0, ~0u, 1 } }, ERR(3), false });
    is_ok = is_ok && add(p, 5, (struct program_rule){ 0, { { 0 } }, ALLOW, true });
    is_ok = is_ok && add(p, 9, (struct program_rule){ 2, { { 0, 0xf, 2 }, { 1, ~0u, 4 } }, ALLOW, false });
    is_ok = is_ok && add(p, 9, (struct program_rule){ 1, { { 0, 0xf, 3 } }, ERR(4), false });
    for (int nr = 20; nr < 420; nr += 2) {
        is_ok = is_ok && add(p, nr, (struct program_rule){ 0, { { 0 } }, ALLOW, false });
    }
    ok(is_ok, "rules are taken");
    f.prog.len = (unsigned short)program_compile(p, code, SBX_COUNT(code));
    ok(f.prog.len > 0, "and compiled");
    is_uint(native(&f, 3, 0, 0, 9), ERR(1), "below a run");
    is_uint(native(&f, 3, 0, 0, 10), ALLOW, "its first");
    is_uint(native(&f, 3, 0, 0, 19), ALLOW, "its last");
    is_uint(native(&f, 3, 0, 0, 20), ERR(1), "above it");
    is_uint(native(&f, 3, 0, 0, ~0u), ERR(2), "a value with an answer of its own");
    is_uint(native(&f, 5, 1, 0, 0), ERR(3), "one that is excepted");
    is_uint(native(&f, 5, 2, 0, 0), ALLOW, "and the rest");
    is_uint(native(&f, 9, 0x12, 4, 0), ALLOW, "two arguments, bits beside the mask");
    is_uint(native(&f, 9, 2, 5, 0), ERR(1), "the second does not fit");
    is_uint(native(&f, 9, 3, 4, 0), ERR(4), "a value beside that of a block");
    is_uint(native(&f, 20, 0, 0, 0), ALLOW, "the first of many calls");
    is_uint(native(&f, 21, 0, 0, 0), ERR(1), "the gap behind it");
    is_uint(native(&f, 418, 0, 0, 0), ALLOW, "the last");
    is_uint(native(&f, 419, 0, 0, 0), ERR(1), "beyond it");
    is_uint(native(&f, ~0u, 0, 0, 0), ERR(1), "the call that a tracer skips");
    is_ok = true;
    for (uint32_t nr = 20; nr < 420; nr++) {
        is_ok = is_ok && native(&f, nr, 0, 0, 0) == (nr % 2 == 0 ? ALLOW : ERR(1));
    }
    ok(is_ok, "all between them, whose answers are shared");
    program_free(p);
    p = program_new(AUDIT_ARCH_X86_64, ERR(1), KILL);
    ok(add(p, 3, (struct program_rule){ 0, { { 0 } }, ALLOW, false }), "a small one");
    is_uint(program_compile(p, code, 5), 0, "without room is none");
    program_free(p);
}

int
main(void)
{
    ok(filter_build(&payload, FILTER_PAYLOAD, false) == 0, "payload's program is built");
    ok(filter_build(&payload_inet, FILTER_PAYLOAD, true) == 0, "payload's with inet");
    ok(filter_build(&guest, FILTER_PAYLOAD_GVISOR, false) == 0, "payload's in gVisor");
    ok(filter_build(&agent, FILTER_AGENT, false) == 0, "agent's");
    ok(filter_build(&launcher, FILTER_LAUNCHER, false) == 0, "launcher's");
    ok(filter_build(&zygote, FILTER_ZYGOTE, false) == 0, "zygote's");
    contradictions();
    program_shapes();
    foreign_abis();
    nesting();
    compare("payload", &payload, expectations, SBX_COUNT(expectations));
    compare("payload in gVisor", &guest, guest_expectations, SBX_COUNT(guest_expectations));
    compare("agent", &agent, agent_expectations, SBX_COUNT(agent_expectations));
    compare("zygote", &zygote, zygote_expectations, SBX_COUNT(zygote_expectations));
    compare("launcher", &launcher, launcher_expectations, SBX_COUNT(launcher_expectations));
    totals();
    inet();
    files();
    filter_deinit(&payload);
    filter_deinit(&payload_inet);
    filter_deinit(&guest);
    filter_deinit(&agent);
    filter_deinit(&launcher);
    filter_deinit(&launcher);
    return done_testing();
}
