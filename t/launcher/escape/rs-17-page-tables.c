// title: page tables: one shared page mapped thirty thousand times, two megabytes apart
// wall: memory
// limits: memory=48m
// expect: limit memory
// tier: process
// without: the sentry's own mappings are the host's to count, and are (rs-11); the guest sees no tables
#include "attack.h"
#include <sys/mman.h>

int
main(void)
{
    int fd = memfd_create("page", 0), n = 0;

    if (fd < 0 || ftruncate(fd, 4096) < 0) {
        held("memfd: %s", strerror(errno));
    }
    for (; n < 30000; n++) {
        volatile char *at = mmap((void *)(0x10000000000 + ((uintptr_t)n << 21)), 4096, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);

        if (at == MAP_FAILED) {
            held("mapping %d: %s", n, strerror(errno));
        }
        *at = 1;
    }
    escaped("%d page tables of 4 KiB", n);
}
