#include "executor/launcher/network_maker.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executor/launcher/creds.h"

#define NICE 10 /* what is running goes before what may be wanted */

_must_check_ int
network_loopback_up(void)
{
    struct ifreq lo = { .ifr_name = "lo" };
    int r = 0, fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* any family reaches the device ioctls */

    if (fd < 0) {
        return -errno;
    }
    lo.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(fd, SIOCSIFFLAGS, &lo) < 0) {
        r = -errno;
    }
    close(fd);
    return r;
}

/* A process in a user namespace without ids for root's. */
_must_check_ static int
user_namespace_enter(const struct networks_spec *spec)
{
    const uid_t uid = spec->uid;
    bool is_there = spec->owner_ns >= 0;

    if (is_there && setns(spec->owner_ns, CLONE_NEWUSER) < 0) {
        return -errno;
    }
    if (syscall(SYS_setresgid, uid, uid, uid) < 0 || syscall(SYS_setresuid, uid, uid, uid) < 0) {
        return -errno;
    }
    return is_there || unshare(CLONE_NEWUSER) == 0 ? 0 : -errno;
}

/* Nothing but its socket, which becomes 0; no right but over the user namespace. */
_must_check_ static int
confine(int fd, const struct networks_spec *spec, const char **stage)
{
    int r;

    *stage = "user namespace";
    r = user_namespace_enter(spec);
    if (r < 0) {
        return r;
    }
    *stage = "parent death signal"; /* which a change of ids takes away */
    r = creds_die_with(spec->launcher_pidfd);
    if (r < 0) {
        return r;
    }
    *stage = "descriptors";
    if (dup2(fd, 0) < 0 || close_range(1, ~0u, 0) < 0) {
        return -errno;
    }
    (void)setpriority(PRIO_PROCESS, 0, NICE); /* at most it is as quick as others */
    return 0;
}

_must_check_ static int
knob_write(const char *path)
{
    int r = 0, fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    if (write(fd, "1", 1) != 1) {
        r = -errno;
    }
    close(fd);
    return r;
}

/*
 * Who joins and leaves a group of multicast has the kernel report it twice, up to a second later: to whoever has the
 * network then. The first versions of IGMP and MLD forget what they have not said when the group is left, and what they
 * have said is counted by then.
 */
_must_check_ static int
reports_prompt(void)
{
    int r = knob_write("/proc/sys/net/ipv4/conf/all/force_igmp_version");

    if (r == 0) {
        r = knob_write("/proc/sys/net/ipv6/conf/all/force_mld_version");
        r = r == -ENOENT ? 0 : r; /* a kernel without IPv6 */
    }
    return r;
}

_must_check_ static int
network_make(int *ret_ns, const char **stage)
{
    int r;

    *stage = "network namespace";
    if (unshare(CLONE_NEWNET) < 0) {
        return -errno;
    }
    *stage = "loopback";
    r = network_loopback_up();
    if (r == 0) {
        *stage = "multicast";
        r = reports_prompt();
    }
    if (r < 0) {
        return r;
    }
    *ret_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    return *ret_ns < 0 ? -errno : 0;
}

_must_check_ static int
made_send(int error, const char *stage, int ns)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr first;
    } control = { 0 };
    struct network_made made = { .error = error };
    struct iovec iov = { &made, sizeof(made) };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (error == 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = sizeof(control.bytes);
        control.first.cmsg_level = SOL_SOCKET;
        control.first.cmsg_type = SCM_RIGHTS;
        control.first.cmsg_len = CMSG_LEN(sizeof(ns));
        memcpy(CMSG_DATA(&control.first), &ns, sizeof(ns));
    } else {
        memcpy(made.stage, stage, strnlen(stage, sizeof(made.stage) - 1));
    }
    return sendmsg(0, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Back to one that is no sandbox's before the new one is anybody's. */
_must_check_ static int
one_make(int home, const char **stage)
{
    int ns = -1, r = network_make(&ns, stage);

    if (r == 0 && setns(home, CLONE_NEWNET) < 0) {
        *stage = "own network";
        r = -errno;
    }
    if (r == 0) {
        *stage = "sending";
        r = made_send(0, NULL, ns);
    }
    if (ns >= 0) {
        close(ns);
    }
    return r;
}

_Noreturn void
network_maker_run(int fd, const struct networks_spec *spec)
{
    const char *stage = "start";
    int home = -1, r = confine(fd, spec, &stage);
    char byte;

    if (r == 0) {
        stage = "own network";
        home = unshare(CLONE_NEWNET) < 0 ? -1 : open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        r = home < 0 ? -errno : 0;
    }
    while (r == 0 && recv(0, &byte, 1, 0) == 1) {
        r = one_make(home, &stage);
    }
    /* Whether or not it is heard, this is the end. */
    if (r < 0 && made_send(-r, stage, -1) < 0) {
        _exit(2);
    }
    _exit(r < 0);
}
