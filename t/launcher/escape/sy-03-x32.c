// title: the x32 numbers: the same machine mode, another table of calls
// wall: seccomp
// gvisor: seccomp
// source: CVE-2014-0038; seccomp(2), bit 30
// expect: signal SIGSYS
#include "attack.h"

int
main(void)
{
    long result = syscall(0x40000000 | 39 /* getpid */);

    if (result > 0) {
        escaped("x32 getpid = %ld", result);
    }
    /* The kernel was asked and has no such table: the filter did not look. */
    escaped("x32 calls reach the kernel: %s", strerror(errno));
}
