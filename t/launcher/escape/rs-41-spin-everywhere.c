// title: spin on each processor at once with an eighth of one allowed, pinned so that nobody moves us
// wall: cpu
// The bound is far above the limit and far below what even a busy host gives four threads.
// limits: millis=125 cpu_ms=30000
#include "attack.h"
#include <pthread.h>
#include <sched.h>
#include <time.h>

static volatile int stop;

static void *
spin(void *arg)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((unsigned long)arg % 2, &set);
    sched_setaffinity(0, sizeof(set), &set);
    while (!stop) {
    }
    return NULL;
}

static double
seconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int
main(void)
{
    pthread_t threads[4];
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);

    for (long i = 0; i < 4; i++) {
        if (pthread_create(&threads[i], NULL, spin, (void *)i) != 0) {
            held("no thread");
        }
    }
    while (seconds(CLOCK_MONOTONIC) - wall < 2) {
        usleep(20000);
    }
    stop = 1;
    wall = seconds(CLOCK_MONOTONIC) - wall;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    if (cpu > 0.25 * wall) {
        escaped("%.1f s of CPU in %.1f s", cpu, wall);
    }
    held("%.1f s of CPU in %.1f s", cpu, wall);
}
