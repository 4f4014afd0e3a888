// title: System V semaphores by the million: kernel memory, two megabytes a set
// wall: memory
// gvisor: memory
// limits: memory=64m
// expect: limit memory held
#include "attack.h"
#include <sys/sem.h>

int
main(void)
{
    int most = is_gvisor() ? 400 : 100; /* 96 MiB of the group are gVisor's own */
    static unsigned short ones[32000];
    int n = 0, id;

    memset(ones, 1, sizeof(ones));
    while (n < most && (id = semget(IPC_PRIVATE, 32000, 0600)) >= 0) {
        semctl(id, 0, SETALL, ones); /* memory that was never touched is none */
        n++;
    }
    if (n == most) {
        escaped("%d sets of 32000", n);
    }
    held("after %d: %s", n, strerror(errno));
}
