// title: AF_XDP sockets, memory shared with a network driver
// wall: seccomp_sockets
// source: CVE-2024-26611, socket family 44
#include "attack.h"

#include <sys/socket.h>

int
main(void)
{
    long fd = syscall(SYS_socket, 44, SOCK_RAW, 0);

    if (fd >= 0 || errno == EPERM) {
        escaped("AF_XDP: %s", fd >= 0 ? "open" : strerror(errno));
    }
    held("%s", strerror(errno));
}
