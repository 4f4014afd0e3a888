// title: make a ring of io_uring, whose requests no filter sees
// wall: seccomp
// gvisor: seccomp
// source: CVE-2022-29582, CVE-2023-2598
#include "attack.h"

int
main(void)
{
    char params[120] = { 0 };
    long fd = syscall(425 /* io_uring_setup */, 4, params);

    if (fd >= 0) {
        escaped("a ring, descriptor %ld", fd);
    }
    held("io_uring_setup: %s", strerror(errno));
}
