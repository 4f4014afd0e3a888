// title: lock more memory than the limit on it, having raised the limit first
// wall: rlimits
// limits: memory=128m
#include "attack.h"
#include <sys/mman.h>
#include <sys/resource.h>

int
main(void)
{
    struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
    char *at = mmap(NULL, 24u << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (setrlimit(RLIMIT_MEMLOCK, &all) == 0) {
        escaped("the limit was raised");
    }
    if (getrlimit(RLIMIT_MEMLOCK, &all) == 0 && setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){ all.rlim_max, all.rlim_max }) < 0) {
        held("the soft limit stays");
    }
    if (all.rlim_max > 8u << 20) {
        escaped("the hard limit is %llu", (unsigned long long)all.rlim_max);
    }
    if (mlock(at, 24u << 20) == 0) {
        escaped("24 MiB are locked");
    }
    held("mlock: %s", strerror(errno));
}
