// title: POSIX message queues: kernel memory that outlives its makers
// wall: seccomp_calls rlimits
// source: mq_overview(7)
#include "attack.h"

int
main(void)
{
    long fd = syscall(SYS_mq_open, "left", O_CREAT | O_RDWR, 0600, NULL);

    if (fd >= 0) {
        syscall(SYS_mq_unlink, "left");
        escaped("a queue");
    }
    held("%s", strerror(errno));
}
