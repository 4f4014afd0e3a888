// title: claim to be pid 1 and user 0 in the credentials that a unix socket carries
// wall: capabilities
// source: unix(7), SCM_CREDENTIALS
#include "attack.h"

#include <sys/socket.h>

int
main(void)
{
    static const struct ucred forged[] = { { 0, 0, 1000 }, { 0, 1000, 0 }, { 1, 1000, 1000 }, { 1, 0, 0 } };
    int fds[2], on = 1;

    socketpair(AF_UNIX, SOCK_DGRAM, 0, fds);
    setsockopt(fds[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
    for (unsigned i = 0; i < sizeof(forged) / sizeof(*forged); i++) {
        struct ucred claim = forged[i];
        char control[CMSG_SPACE(sizeof(claim))] = { 0 };
        struct iovec byte = { "x", 1 };
        struct msghdr message = {
            .msg_iov = &byte, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
        };
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);

        if (claim.pid == 0) {
            claim.pid = getpid();
        }
        *head = (struct cmsghdr){ CMSG_LEN(sizeof(claim)), SOL_SOCKET, SCM_CREDENTIALS };
        memcpy(CMSG_DATA(head), &claim, sizeof(claim));
        if (sendmsg(fds[0], &message, 0) == 1) {
            escaped("taken for user %u of group %u, process %d", claim.uid, claim.gid, claim.pid);
        }
    }
    held("%s", strerror(errno));
}
