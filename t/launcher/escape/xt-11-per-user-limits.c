// title: use up what the kernel counts per user - signals, pipes' pages, epoll watches, flying descriptors - so that another has none
// wall: own_ids
// parties: 2
// limits: memory=256m
#include "attack.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* How many real-time signals still can be queued by this user. */
static int
signals_left(int most)
{
    sigset_t set;
    int n = 0;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    while (n < most && sigqueue(getpid(), SIGRTMIN, (union sigval){ 0 }) == 0) {
        n++;
    }
    return n;
}

/* Beyond the user's share, a new pipe is of two pages only. */
static int
pipes_are_small(void)
{
    for (int i = 0; i < 1200; i++) {
        int ends[2];

        if (pipe(ends) < 0) {
            return 0;
        }
        if (fcntl(ends[0], F_GETPIPE_SZ) < 65536) {
            return 1;
        }
    }
    return 0;
}

int
main(int argc, char **argv)
{
    int is_victim = argc > 1 && strcmp(argv[1], "victim") == 0;
    int left, most, ends[2];

    if (is_victim) { /* here it is the one that takes everything */
        left = signals_left(100000);
        pipes_are_small();
        printf("READY %d\n", left);
        fflush(stdout);
        sleep(20);
        held("waited");
    }
    most = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0; /* what the other had: 256, in gVisor 32 */
    most = most > 200 ? 200 : most;
    left = signals_left(most);
    if (left < most / 2 || most == 0) {
        escaped("only %d signals of %d can be queued", left, most);
    }
    if (pipe(ends) < 0 || fcntl(ends[0], F_GETPIPE_SZ) < 65536) {
        escaped("pipes are small or none");
    }
    held("%d signals and whole pipes", left);
}
