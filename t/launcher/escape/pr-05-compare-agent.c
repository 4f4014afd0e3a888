// title: learn of the agent's kernel objects and addresses with kcmp and get_robust_list
// wall: seccomp uid capabilities not_dumpable landlock
// source: kcmp(2): an order of kernel pointers
#include "attack.h"

int
main(void)
{
    long n;
    void *head;
    size_t size;

    for (int type = 0; type < 7; type++) {
        n = syscall(SYS_kcmp, getpid(), 1, type, 0, 0);
        if (n >= 0) {
            escaped("kcmp %d = %ld", type, n);
        }
    }
    n = errno;
    if (syscall(SYS_get_robust_list, 1, &head, &size) == 0) {
        escaped("the agent's list at %p", head);
    }
    held("%s, %s", strerror((int)n), strerror(errno));
}
