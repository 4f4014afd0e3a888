// title: watch which programs the others start, by inotify on /usr
// wall: seccomp_calls own_inodes
// parties: 2
#include "attack.h"
#include <poll.h>
#include <sys/inotify.h>
#include <time.h>

/* Opens of one thing: the other does 20 a second, whoever is in this sandbox too one or two. */
#define ENOUGH 5
#define SECONDS 12 /* of a busy machine: who gets through is done with five opens */

static uint64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Counts what has happened by watch; the most that one has seen. */
static unsigned
opens_read(int fd, unsigned *opens, int n_watches)
{
    char events[4096] __attribute__((aligned(8)));
    ssize_t n = read(fd, events, sizeof(events));
    unsigned most = 0;

    for (char *at = events; n > 0 && at < events + n;) {
        const struct inotify_event *event = (const void *)at;

        if (event->wd > 0 && event->wd <= n_watches && ++opens[event->wd - 1] > most) {
            most = opens[event->wd - 1];
        }
        at += sizeof(*event) + event->len;
    }
    return most;
}

int
main(int argc, char **argv)
{
    static const char *const paths[] = { "/usr/bin/env", "/usr/bin",  "/etc",
                                         "/etc/hosts",   "/dev/null", "/opt/sandbox" };
    enum { N_PATHS = sizeof(paths) / sizeof(paths[0]) };
    struct pollfd in = { .events = POLLIN };
    unsigned opens[N_PATHS] = { 0 }, most = 0;
    uint64_t end;

    if (argc > 1 && strcmp(argv[1], "victim") == 0) {
        printf("READY\n");
        fflush(stdout);
        for (int i = 0; i < 400; i++) {
            for (size_t p = 0; p < N_PATHS; p++) {
                char byte;
                int fd = open(paths[p], O_RDONLY);

                if (fd >= 0) {
                    (void)!read(fd, &byte, 1);
                    close(fd);
                }
            }
            usleep(50000);
        }
        held("opened files for twenty seconds");
    }
    in.fd = inotify_init1(0);
    if (in.fd < 0) {
        held("inotify: %s", strerror(errno));
    }
    for (size_t p = 0; p < N_PATHS; p++) {
        inotify_add_watch(in.fd, paths[p], IN_OPEN);
    }
    for (end = now_ms() + SECONDS * 1000; now_ms() < end;) {
        unsigned seen = poll(&in, 1, 100) == 1 ? opens_read(in.fd, opens, N_PATHS) : 0;

        most = seen > most ? seen : most;
        if (most >= ENOUGH) {
            escaped("saw the other open a file %u times", most);
        }
    }
    held("%u opens seen, none of them the other's", most);
}
