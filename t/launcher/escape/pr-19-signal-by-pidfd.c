// title: signal the agent by a descriptor of it, with the one capability that would allow it
// wall: capabilities landlock
// source: pidfd_send_signal(2)
#include "attack.h"

#include <signal.h>

int
main(void)
{
    int pidfd = (int)syscall(SYS_pidfd_open, 1, 0);

    if (pidfd >= 0 && syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0) {
        escaped("pid 1 takes signals");
    }
    if (syscall(SYS_kill, 1, 0) == 0) {
        escaped("pid 1 can be signalled");
    }
    held("pidfd %d: %s", pidfd, strerror(errno));
}
