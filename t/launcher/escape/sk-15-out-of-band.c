// title: out-of-band data between unix sockets, where the byte that was taken is freed while it is in use
// wall: seccomp_arguments
// gvisor: seccomp_arguments
// source: CVE-2025-38236
#include "attack.h"

#include <sys/socket.h>

int
main(void)
{
    struct iovec byte = { "x", 1 };
    struct msghdr message = { .msg_iov = &byte, .msg_iovlen = 1 };
    char got;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0) {
        held("no sockets");
    }
    if (send(fds[0], "x", 1, MSG_OOB) == 1) {
        escaped("sent, received %d", (int)recv(fds[1], &got, 1, MSG_OOB));
    }
    if (sendmsg(fds[0], &message, MSG_OOB) == 1) {
        escaped("sent as a message");
    }
    held("%s", strerror(errno));
}
