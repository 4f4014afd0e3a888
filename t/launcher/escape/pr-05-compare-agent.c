// title: learn of the agent's kernel objects and addresses with kcmp
// wall: seccomp_calls uid capabilities not_dumpable landlock
// source: kcmp(2): an order of kernel pointers
#include "attack.h"

int
main(void)
{
    long n;

    for (int type = 0; type < 7; type++) {
        n = syscall(SYS_kcmp, getpid(), 1, type, 0, 0);
        if (n >= 0) {
            escaped("kcmp %d = %ld", type, n);
        }
    }
    n = errno;
    held("%s", strerror((int)n));
}
