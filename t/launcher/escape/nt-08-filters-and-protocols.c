// title: load packet filters and upper-layer protocols into the kernel through a socket's options
// wall: seccomp_sockets
// source: CVE-2023-0461 (TCP_ULP), CVE-2017-7308 (rings); a filter's program is translated to machine code
// tier: process
// without: gVisor's network stack is its own and has neither
#include "attack.h"
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

int
main(void)
{
    struct sock_filter all = { 0x06 /* return */, 0, 0, 0xffff };
    struct sock_fprog program = { 1, &all };
    int pair[2], tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0), one = 1;

    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0) {
        held("no socket: %s", strerror(errno));
    }
    if (setsockopt(pair[0], SOL_SOCKET, 26 /* SO_ATTACH_FILTER */, &program, sizeof(program)) == 0) {
        escaped("a filter on a unix socket");
    }
    if (setsockopt(udp, SOL_SOCKET, 51 /* SO_ATTACH_REUSEPORT_CBPF */, &program, sizeof(program)) == 0) {
        escaped("a filter that chooses among sockets");
    }
    if (setsockopt(udp, SOL_SOCKET, 60 /* SO_ZEROCOPY */, &one, sizeof(one)) == 0) {
        escaped("zero copy");
    }
    if (setsockopt(tcp, IPPROTO_TCP, TCP_ULP, "tls", 3) == 0 || errno != EPERM) {
        escaped("the protocols above TCP answer: %s", strerror(errno));
    }
    if (setsockopt(udp, IPPROTO_UDP, 100 /* UDP_ENCAP */, &one, sizeof(one)) == 0) {
        escaped("encapsulation");
    }
    held("%s", strerror(errno));
}
