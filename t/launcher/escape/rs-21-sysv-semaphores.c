// title: System V semaphores by the million: kernel memory, two megabytes a set
// wall: memory
// limits: memory=64m
// expect: limit memory held
#include "attack.h"
#include <sys/sem.h>

int
main(void)
{
    int n = 0;

    while (n < 100 && semget(IPC_PRIVATE, 32000, 0600) >= 0) {
        n++;
    }
    if (n * 2 > 128) {
        escaped("%d sets of 32000", n);
    }
    held("after %d: %s", n, strerror(errno));
}
