// title: list the mounts by number (listmount, statmount), covers and their sources with them
// wall: seccomp_calls
// source: listmount(2), 6.8
#include "attack.h"

int
main(void)
{
    uint64_t request[4] = { 24, ~0ull /* LSMT_ROOT */, 0, 0 }, ids[64];
    long n = syscall(458 /* listmount */, request, ids, 64, 0);

    if (n >= 0) {
        escaped("%ld mounts", n);
    }
    held("%s", strerror(errno));
}
