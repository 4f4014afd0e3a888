// title: unix sockets that carry each other, for the kernel's collector to find: how many may be in flight
// wall: rlimits
// source: CVE-2021-0920, CVE-2022-2602
#include "attack.h"

#include <sys/socket.h>

static int
pass(int over, int fd)
{
    char control[CMSG_SPACE(sizeof(fd))] = { 0 };
    struct iovec byte = { "x", 1 };
    struct msghdr message = { .msg_iov = &byte, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);

    *head = (struct cmsghdr){ CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS };
    memcpy(CMSG_DATA(head), &fd, sizeof(fd));
    return sendmsg(over, &message, MSG_DONTWAIT) == 1 ? 0 : -1;
}

int
main(void)
{
    unsigned n = 0;
    int fds[2];

    /* Each pair holds its own other end, as often as its buffer takes; the ends stay open so that none is collected. */
    for (unsigned pairs = 0; pairs < 2000 && n <= 5000; pairs++) {
        if (socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) < 0) {
            break;
        }
        while (n <= 5000 && pass(fds[0], fds[1]) == 0) {
            n++;
        }
        if (errno == ETOOMANYREFS) {
            held("%u in flight, then %s", n, strerror(errno));
        }
    }
    if (n > 4200) {
        escaped("%u descriptors in flight", n);
    }
    held("%u in flight: %s", n, strerror(errno));
}
