// title: raw sockets, packet sockets and pings
// wall: seccomp_sockets
// gvisor: seccomp_sockets
// source: CVE-2017-7308, CVE-2020-14386 (packet sockets); the missing capability is a second wall
#include "attack.h"
#include <sys/socket.h>

int
main(void)
{
    static const struct {
        int family, type, protocol;
        const char *name;
    } tries[] = {
        { AF_INET, SOCK_RAW, 1, "ICMP" },
        { AF_INET, SOCK_RAW, 255, "raw IP" },
        { AF_INET6, SOCK_RAW, 58, "ICMPv6" },
        { AF_INET, SOCK_DGRAM, 1, "ping" },
        { AF_PACKET, SOCK_RAW, 768, "packet" },
        { AF_PACKET, SOCK_DGRAM, 768, "cooked packet" },
        { AF_INET, SOCK_PACKET, 768, "old packet" },
    };
    int last = 0;

    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
        if (socket(tries[i].family, tries[i].type, tries[i].protocol) >= 0) {
            escaped("a socket for %s", tries[i].name);
        }
        last = errno;
        if (tries[i].family == AF_PACKET && last != EAFNOSUPPORT) {
            escaped("the kernel's own code for %s was asked: %s", tries[i].name, strerror(last));
        }
    }
    held("%s", strerror(last));
}
