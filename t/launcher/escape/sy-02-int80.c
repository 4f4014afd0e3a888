// title: call the i386 kernel interface by int 0x80, where numbers mean something else
// wall: seccomp_arch
// expect: signal SIGSYS SIGSEGV
// sentry: held
#include "attack.h"

int
main(void)
{
    long result;

    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L /* getpid */) : "memory", "r8", "r9", "r10", "r11");
    /* gVisor has one interface only: there the number means what it means to any call, 20 is writev, and is filtered so. */
    if (is_gvisor() && result != getpid()) {
        held("another way to the same calls: %ld", result);
    }
    escaped("getpid by int 0x80 = %ld", result);
}
