// title: unix sockets that carry each other, for the kernel's collector to find: how many may be in flight
// wall: rlimits
// limits: memory=64m
// sentry: limit memory held
// source: CVE-2021-0920, CVE-2022-2602
#include "attack.h"

#include <sys/socket.h>

/* gVisor counts none of them: there its memory has to end it. */
#define MOST (is_gvisor() ? 20000000u : 5000u)
#define AT_ONCE (is_gvisor() ? 250u : 1u)

static int
pass(int over, int fd)
{
    char control[CMSG_SPACE(250 * sizeof(fd))] = { 0 };
    struct iovec byte = { "x", 1 };
    struct msghdr message = { .msg_iov = &byte,
                              .msg_iovlen = 1,
                              .msg_control = control,
                              .msg_controllen = CMSG_SPACE(AT_ONCE * sizeof(fd)) };
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);

    *head = (struct cmsghdr){ CMSG_LEN(AT_ONCE * sizeof(fd)), SOL_SOCKET, SCM_RIGHTS };
    for (unsigned i = 0; i < AT_ONCE; i++) {
        memcpy(CMSG_DATA(head) + i * sizeof(fd), &fd, sizeof(fd));
    }
    return sendmsg(over, &message, MSG_DONTWAIT) == 1 ? 0 : -1;
}

int
main(void)
{
    unsigned n = 0;
    int fds[2];

    /* Each pair holds its own other end, as often as its buffer takes; the ends stay open so that none is collected. */
    for (unsigned pairs = 0; pairs < 2000 && n <= MOST; pairs++) {
        if (socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) < 0) {
            break;
        }
        for (unsigned i = 0; i < 1000 && n <= MOST && pass(fds[0], fds[1]) == 0; i++) {
            n += AT_ONCE;
        }
        if (errno == ETOOMANYREFS) {
            held("%u in flight, then %s", n, strerror(errno));
        }
    }
    if (n > (is_gvisor() ? MOST : 4200)) {
        escaped("%u descriptors in flight", n);
    }
    held("%u in flight: %s", n, strerror(errno));
}
