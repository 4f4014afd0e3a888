// title: make forbidden sockets by socketcall of the i386 interface, whose arguments lie in memory
// wall: seccomp_arch
// source: moby#52494: vsock and AF_ALG were open by socketcall
// expect: signal SIGSYS SIGSEGV
// sentry: held
#include "attack.h"

#include <sys/mman.h>

int
main(void)
{
    uint32_t *arguments = mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    static const unsigned families[] = { 40 /* AF_VSOCK */, 38 /* AF_ALG */, 16 /* AF_NETLINK */, 17 };
    long result = -1;

    for (unsigned i = 0; i < 4; i++) {
        arguments[0] = families[i];
        arguments[1] = families[i] == 38 ? 5 : families[i] == 16 ? 3 : 1;
        arguments[2] = 0;
        __asm__ volatile("int $0x80"
                         : "=a"(result)
                         : "a"(102L), "b"(1L), "c"(arguments)
                         : "memory", "r8", "r9", "r10", "r11");
        if ((int)result >= 0 && !(is_gvisor() && result == getuid())) { /* 102 of the one interface it has */
            escaped("family %u by int 0x80", families[i]);
        }
    }
    if (is_gvisor()) {
        register long protocol __asm__("rdx") = 0;

        __asm__ volatile("int $0x80"
                         : "=a"(result)
                         : "a"((long)SYS_socket), "D"(16L), "S"(3L), "r"(protocol)
                         : "memory", "rcx", "r8", "r9", "r10", "r11");
        if (result >= 0) {
            escaped("a netlink socket past the filter");
        }
        held("no socketcall, and the filter stands: %ld", result);
    }
    escaped("socketcall was answered: %d", (int)result);
}
