// title: epoll, event, timer and signal descriptors until none is left, the limit raised first
// wall: rlimits
// gvisor: rlimits
#include "attack.h"
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

int
main(void)
{
    struct rlimit files;
    sigset_t set;
    int n = 0, fd = 0;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    for (; fd >= 0 && n < 8192; n++) {
        fd = n % 4 == 0   ? epoll_create1(0)
             : n % 4 == 1 ? eventfd(0, 0)
             : n % 4 == 2 ? timerfd_create(CLOCK_MONOTONIC, 0)
                          : signalfd(-1, &set, 0);
    }
    if (fd >= 0) {
        escaped("%d descriptors", n);
    }
    held("after %d: %s", n, strerror(errno));
}
