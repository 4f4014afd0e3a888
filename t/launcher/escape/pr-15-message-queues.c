// title: POSIX message queues: kernel memory that outlives its makers
// wall: seccomp_calls rlimits
// gvisor: seccomp_calls
// source: mq_overview(7)
#include "attack.h"

int
main(void)
{
    long fd = syscall(SYS_mq_open, "left", O_CREAT | O_RDWR, 0600, NULL);

    int error = errno;

    /* Landlock stops the opening of one that has been made by then. */
    if (syscall(SYS_mq_unlink, "left") == 0 || fd >= 0) {
        escaped("a queue");
    }
    held("%s", strerror(error));
}
