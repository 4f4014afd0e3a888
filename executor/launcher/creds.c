#include "executor/launcher/creds.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/sbx_wall.h"

#define CAP_BIT(cap) (1ull << (cap))

/* setuid/setgid become the payload, setpcap empties its bounding set, kill ends it. */
#define AGENT_CAPS (CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_KILL) | CAP_BIT(CAP_SETPCAP))

/*
 * All of the sandbox's own user namespace. sys_admin, sys_chroot: roots of gofer and sentry; setuid, setgid, setpcap,
 * setfcap: their namespaces' id maps and what they drop; chown, dac, fowner, fsetid, mknod: the gofer's files are
 * those of agent and payload; sys_ptrace: the ptrace platform; kill: runsc ends them.
 */
#define RUNSC_CAPS                                                                                           \
    (CAP_BIT(CAP_SYS_ADMIN) | CAP_BIT(CAP_SYS_CHROOT) | CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID) |          \
     CAP_BIT(CAP_SETPCAP) | CAP_BIT(CAP_SETFCAP) | CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) |          \
     CAP_BIT(CAP_DAC_READ_SEARCH) | CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_FSETID) | CAP_BIT(CAP_MKNOD) |         \
     CAP_BIT(CAP_SYS_PTRACE) | CAP_BIT(CAP_KILL))

/*
 * sys_admin: namespaces, mounts and id maps; setuid/setgid: maps of ids that are not
 * ours; kill and sys_resource: other ids' pids and oom scores; dac_override and
 * chown: control groups and the workspace's directories; setpcap, net_admin and
 * sys_chroot: nothing may be lost that the child is to hold in its own namespace
 * (create_user_ns gives a full set, the kernel's own checks of pivot_root do not).
 */
#define LAUNCHER_CAPS                                                                                        \
    (CAP_BIT(CAP_SYS_ADMIN) | CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_KILL) |                \
     CAP_BIT(CAP_SYS_RESOURCE) | CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_FOWNER) |      \
     CAP_BIT(CAP_SETPCAP) | CAP_BIT(CAP_NET_ADMIN) | CAP_BIT(CAP_SYS_CHROOT) | CAP_BIT(CAP_SYS_PTRACE))

_must_check_ static int
bounding_keep(uint64_t keep)
{
    for (int cap = 0; cap < 64; cap++) {
        if (keep & CAP_BIT(cap)) {
            continue;
        }
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
            return errno == EINVAL && cap > 0 ? 0 : -errno; /* past the last one the kernel has */
        }
    }
    return 0;
}

/* Of `caps`, those that are held: containers take sys_resource from root. */
_must_check_ static int
caps_set(uint64_t caps)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

    if (syscall(SYS_capget, &head, data) < 0) {
        return -errno;
    }
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        data[i].permitted &= (uint32_t)(caps >> (32 * i));
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

_must_check_ static int
confine(uint64_t caps)
{
    int r;

    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) {
        return -errno;
    }
    r = bounding_keep(caps);
    if (r < 0) {
        return r;
    }
    r = caps_set(caps);
    if (r < 0) {
        return r;
    }
    if (sbx_wall_is_off(SBX_WALL_NO_NEW_PRIVS)) {
        return 0;
    }
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

_must_check_ int
creds_confine_launcher(void)
{
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
        return -errno;
    }
    return confine(LAUNCHER_CAPS);
}

_must_check_ int
creds_become_root_inside(void)
{
    if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0) {
        return -errno;
    }
    return 0;
}

_must_check_ int
creds_die_with(int launcher_pidfd)
{
    struct pollfd dead = { .fd = launcher_pidfd, .events = POLLIN };

    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) {
        return -errno;
    }
    return poll(&dead, 1, 0) == 0 ? 0 : -ESRCH;
}

_must_check_ int
creds_confine_runsc(void)
{
    return confine(RUNSC_CAPS);
}

_must_check_ int
creds_keep_over_ids(void)
{
    return prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0 ? -errno : 0;
}

_must_check_ int
creds_confine_zygote(uid_t uid)
{
    int r = bounding_keep(0); /* while we may */

    if (r < 0) {
        return r;
    }
    if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, uid, uid, uid) < 0 ||
        syscall(SYS_setresuid, uid, uid, uid) < 0) {
        return -errno;
    }
    return caps_set(0);
}

_must_check_ int
creds_confine_agent(void)
{
    return confine(AGENT_CAPS);
}
