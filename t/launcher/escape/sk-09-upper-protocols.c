// title: put kernel TLS or espintcp on top of a TCP socket
// wall: seccomp_sockets
// gvisor: seccomp_sockets
// source: CVE-2023-0461, CVE-2026-46300
#include "attack.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

int
main(void)
{
    static const char *const names[] = { "tls", "espintcp", "mptcp", "smc" };
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0) {
        held("no IP socket: %s", strerror(errno));
    }
    for (unsigned i = 0; i < 4; i++) {
        if (setsockopt(fd, IPPROTO_TCP, 31, names[i], strlen(names[i])) == 0 || errno == ENOTCONN ||
            errno == ENOENT) {
            escaped("TCP_ULP %s: %s", names[i], strerror(errno));
        }
        if (syscall(SYS_setsockopt, fd, (uint64_t)IPPROTO_TCP | 7ull << 32, 31ull | 1ull << 40, names[i],
                    strlen(names[i])) == 0 ||
            errno == ENOTCONN || errno == ENOENT) {
            escaped("TCP_ULP %s with garbage above", names[i]);
        }
    }
    /* Encapsulation of UDP, and what else lies beyond the options that programs use. */
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (setsockopt(fd, 17, 100 /* UDP_ENCAP */, &(int){ 2 }, 4) == 0 ||
        setsockopt(fd, 136, 10, &(int){ 8 }, 4) == 0) {
        escaped("UDP_ENCAP");
    }
    held("%s", strerror(errno));
}
