// title: a program of one's own, compiled outside and run from the workspace: threads, mapped code, signals, timers
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int events;

static void *
work(void *arg)
{
    (void)arg;
    return (void *)(eventfd_write(events, 1) == 0 ? 1L : 0L);
}

int
main(void)
{
    static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 }; /* return 42 */
    struct itimerspec soon = { .it_value = { 0, 10000000 } };
    struct epoll_event event = { .events = EPOLLIN };
    int ep = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    pthread_t thread;
    void *result, *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int (*function)(void);

    memcpy(page, code, sizeof(code));
    memcpy(&function, &page, sizeof(function));
    if (mprotect(page, 4096, PROT_READ | PROT_EXEC) < 0 || function() != 42) {
        return 1;
    }
    events = eventfd(0, 0);
    timerfd_settime(timer, 0, &soon, NULL);
    if (pthread_create(&thread, NULL, work, NULL) != 0 || pthread_join(thread, &result) != 0 ||
        result == NULL) {
        return 2;
    }
    if (epoll_ctl(ep, EPOLL_CTL_ADD, timer, &event) < 0 || epoll_wait(ep, &event, 1, 5000) != 1) {
        return 3;
    }
    puts("WORKS");
    return 0;
}
