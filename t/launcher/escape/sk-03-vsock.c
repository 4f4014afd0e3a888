// title: the channel to the hypervisor, which no network namespace confines
// wall: seccomp_sockets
// source: CVE-2021-26708, CVE-2025-21756
#include "attack.h"

#include <sys/socket.h>

int
main(void)
{
    static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };

    for (unsigned i = 0; i < 3; i++) {
        for (int garbage = 0; garbage < 2; garbage++) {
            long fd =
                syscall(SYS_socket, 40ul | (garbage ? 0x1234567800000000ul : 0), types[i] | SOCK_NONBLOCK, 0);

            if (fd >= 0) {
                escaped("vsock, type %d", types[i]);
            }
        }
    }
    held("%s", strerror(errno));
}
