// title: lock memory without end, which the host can never swap or move
// wall: rlimits
// limits: memory=256m
// source: mlock(2)
#include "attack.h"

#include <sys/mman.h>
#include <sys/resource.h>

int
main(void)
{
    size_t size = 12 << 20;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct rlimit raised = { RLIM_INFINITY, RLIM_INFINITY }, pending;

    if (setrlimit(RLIMIT_MEMLOCK, &raised) == 0) {
        escaped("the limit is lifted");
    }
    if (mlock(memory, size) == 0) {
        escaped("12 MiB are locked");
    }
    /* The same list of limits, where a host may have none to inherit. */
    getrlimit(RLIMIT_SIGPENDING, &pending);
    if (pending.rlim_max > 256) {
        escaped("%llu signals may be queued", (unsigned long long)pending.rlim_max);
    }
    held("%s", strerror(errno));
}
