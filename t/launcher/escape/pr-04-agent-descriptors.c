// title: take the agent's descriptors (its connection to the executor) with pidfd_getfd
// wall: seccomp_calls uid capabilities not_dumpable landlock
// source: pidfd_getfd(2)
#include "attack.h"

int
main(void)
{
    int pidfd = (int)syscall(SYS_pidfd_open, 1, 0);

    for (int fd = 0; fd < 16; fd++) {
        long got = syscall(SYS_pidfd_getfd, pidfd, fd, 0);

        if (got >= 0) {
            escaped("the agent's descriptor %d", fd);
        }
    }
    held("pidfd %d: %s", pidfd, strerror(errno));
}
