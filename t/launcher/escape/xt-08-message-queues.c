// title: leave a message for another sandbox in a POSIX queue; what they hold is charged to the user, not to a control group
// wall: seccomp_calls
// gvisor: seccomp_calls
#include "attack.h"
#include <mqueue.h>

int
main(void)
{
    struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 16 };
    long queue = syscall(240 /* mq_open */, "meeting-of-two", O_CREAT | O_RDWR, 0600, &attr);
    int error = errno;

    if (queue >= 0) {
        syscall(241 /* mq_unlink */, "meeting-of-two");
        escaped("opened a queue");
    }
    if (error != EPERM) {
        escaped("the kernel was asked: %s", strerror(error));
    }
    held("mq_open: %s", strerror(error));
}
