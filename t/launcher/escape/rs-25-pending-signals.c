// title: queue blocked real-time signals to itself, kernel memory each
// wall: rlimits
#include "attack.h"
#include <signal.h>

int
main(void)
{
    sigset_t set;
    int n = 0;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    while (n < 20000 && sigqueue(getpid(), SIGRTMIN, (union sigval){ 0 }) == 0) {
        n++;
    }
    if (n > 1024) {
        escaped("%d signals pending", n);
    }
    held("after %d: %s", n, strerror(errno));
}
