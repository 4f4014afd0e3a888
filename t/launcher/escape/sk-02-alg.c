// title: a socket to the kernel's cryptography, which writes to pages that splice gave it
// wall: seccomp_sockets
// source: CVE-2026-31431, CVE-2025-39964
#include "attack.h"

#include <sys/socket.h>

int
main(void)
{
    /* The kernel may lack the family; then what it says when asked is not what the filter says for all types. */
    long fd = syscall(SYS_socket, 38, SOCK_SEQPACKET, 0);

    if (fd >= 0 || syscall(SYS_socket, 38ul | 1ul << 32, SOCK_SEQPACKET, 0) >= 0) {
        escaped("AF_ALG");
    }
    /* A type out of range is EINVAL before any family is looked for. */
    if (syscall(SYS_socket, 38, 14, 0) < 0 && errno == EINVAL) {
        escaped("the family reaches the kernel");
    }
    held("%s", strerror(errno));
}
