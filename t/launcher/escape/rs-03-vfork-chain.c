// title: children by vfork and clone that never return to be counted by their parent
// wall: pids rlimits
// gvisor: pids rlimits
// limits: processes=16
// expect: limit processes held
#include "attack.h"
#include <sched.h>
#include <signal.h>

static char stacks[200][4096];

static int
stay(void *unused)
{
    (void)unused;
    pause();
    return 0;
}

int
main(void)
{
    int n = 0;

    for (; n < 200; n++) {
        if (clone(stay, stacks[n] + sizeof(stacks[n]),
                  CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_PARENT * (n % 2), NULL) < 0) {
            held("child %d: %s", n, strerror(errno));
        }
    }
    escaped("%d children that share all memory", n);
}
