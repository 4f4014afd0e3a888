// title: spin on each processor at once with a twentieth of one allowed, pinned so that nobody moves us
// wall: cpu
// gvisor: cpu
// limits: millis=50 cpu_ms=30000
// The bound is far above the limit and far below what even a busy host gives four threads. What we had is counted in
// turns of a loop: gVisor's own clock of CPU time runs on while the host holds us back.
#include "attack.h"
#include <pthread.h>
#include <sched.h>
#include <time.h>

#define TURNS 20000
#define THREADS 4

static volatile int stop;
static double fastest[THREADS]; /* for TURNS, when nobody interrupts */
static long bursts[THREADS];

static double
seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void *
spin(void *arg)
{
    long me = (long)arg;
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((unsigned long)me % 2, &set);
    sched_setaffinity(0, sizeof(set), &set);
    fastest[me] = 1;
    while (!stop) {
        double start = seconds(), took;

        for (volatile int i = 0; i < TURNS; i++) {
        }
        took = seconds() - start;
        fastest[me] = took < fastest[me] ? took : fastest[me];
        bursts[me]++;
    }
    return NULL;
}

int
main(void)
{
    pthread_t threads[THREADS];
    double start = seconds(), wall, burst = 1, cpu;
    long all = 0;

    for (long i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, spin, (void *)i) != 0) {
            held("no thread");
        }
    }
    while (seconds() - start < 2) {
        usleep(20000);
    }
    stop = 1;
    wall = seconds() - start;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        all += bursts[i];
        burst = fastest[i] < burst ? fastest[i] : burst;
    }
    cpu = (double)all * burst;
    if (cpu > 0.12 * wall) {
        escaped("%.2f s of CPU in %.1f s", cpu, wall);
    }
    held("%.2f s of CPU in %.1f s", cpu, wall);
}
