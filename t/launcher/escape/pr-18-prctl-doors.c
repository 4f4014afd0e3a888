// title: prctl requests that no program needs: call dispatch of one's own, memory maps, machine checks, counters
// wall: seccomp_arguments
// gvisor: seccomp_arguments
// source: prctl(2)
#include "attack.h"

#include <sys/prctl.h>

int
main(void)
{
    static const struct {
        const char *name;
        unsigned long request, a, b, c, d;
    } doors[] = { { "PR_SET_SYSCALL_USER_DISPATCH", 59, 0, 0, 0, 0 },
                  { "PR_SET_MM_MAP_SIZE", 35, 15, 0, 0, 0 },
                  { "PR_MCE_KILL_GET", 34, 0, 0, 0, 0 },
                  { "PR_TASK_PERF_EVENTS_ENABLE", 32, 0, 0, 0, 0 },
                  { "PR_SET_PTRACER", 0x59616d61, 1, 0, 0, 0 },
                  { "PR_GET_TSC", 25, 0, 0, 0, 0 },
                  { "PR_SCHED_CORE", 62, 0, 0, 0, 0 },
                  { "PR_SET_MDWE", 65, 1, 0, 0, 0 },
                  { "PR_GET_SPECULATION_CTRL", 52, 0, 0, 0, 0 } };
    static unsigned cell;

    for (unsigned i = 0; i < sizeof(doors) / sizeof(*doors); i++) {
        unsigned long b = doors[i].a == 15 ? (unsigned long)&cell : doors[i].b;
        unsigned long a = doors[i].request == 25 ? (unsigned long)&cell : doors[i].a;

        if (prctl((int)doors[i].request, a, b, doors[i].c, doors[i].d) >= 0 ||
            syscall(SYS_prctl, doors[i].request | 0xffffffff00000000ul, a, b, doors[i].c, doors[i].d) >= 0) {
            escaped("%s", doors[i].name);
        }
    }
    held("%s", strerror(errno));
}
