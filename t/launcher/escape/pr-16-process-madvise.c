// title: page out or free another process' memory by process_madvise and process_mrelease
// wall: seccomp_calls
// source: process_madvise(2)
#include "attack.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

int
main(void)
{
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct iovec range = { page, 4096 };
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    long n;

    *page = 1;
    n = syscall(SYS_process_madvise, pidfd, &range, 1, 20 /* MADV_COLD */, 0);
    if (n >= 0) {
        escaped("process_madvise = %ld", n);
    }
    held("%s", strerror(errno));
}
