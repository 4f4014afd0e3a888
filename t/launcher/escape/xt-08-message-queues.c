// title: leave a message for another sandbox in a POSIX queue, and count what is left of the user's share of them
// wall: seccomp_calls ipc_namespace rlimits
// parties: 2
// tier: process
// without: gVisor has no POSIX message queues
#include "attack.h"
#include <mqueue.h>
#include <sys/stat.h>

int
main(int argc, char **argv)
{
    struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 16 };
    int is_victim = argc > 1 && strcmp(argv[1], "victim") == 0;
    long queue = (umask(0), 0L);

    queue = syscall(240 /* mq_open */, "meeting", is_victim ? O_CREAT | O_RDWR : O_RDWR, 0666, &attr);

    if (is_victim) {
        printf("READY\n");
        fflush(stdout);
        sleep(3);
        syscall(241 /* mq_unlink */, "meeting");
        held("waited");
    }
    if (queue >= 0) {
        sleep(4); /* until the other has removed it */
        escaped("opened the other's queue");
    }
    held("mq_open: %s", strerror(errno));
}
