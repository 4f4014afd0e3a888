// title: thousands of POSIX timers, kernel memory that no file stands for
// wall: rlimits
// gvisor: rlimits
#include "attack.h"
#include <signal.h>
#include <time.h>

int
main(void)
{
    timer_t timer;
    int n = 0;

    while (n < 4096 && timer_create(CLOCK_MONOTONIC, NULL, &timer) == 0) {
        n++;
    }
    if (n > 1024) {
        escaped("%d timers", n);
    }
    held("after %d: %s", n, strerror(errno));
}
