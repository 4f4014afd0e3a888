// title: find other processes by their numbers: signal 0, priority, group and session of each
// wall: pid_namespace
// source: kill(2): EPERM says that somebody is there
#include "attack.h"

#include <signal.h>
#include <sys/resource.h>

int
main(void)
{
    int found = 0;

    for (pid_t pid = 2; pid < 40000; pid++) {
        if (pid == getpid() || pid == getppid()) {
            continue;
        }
        errno = 0;
        if (kill(pid, 0) == 0 || errno == EPERM) {
            if (getpgid(pid) != getpgid(0) && getsid(pid) != getsid(0)) {
                escaped("process %d", pid);
            }
            found++;
        }
    }
    held("%d of our own session, nobody else", found);
}
