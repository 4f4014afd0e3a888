// title: watch which programs the others start, by inotify on /usr
// wall: seccomp_calls own_inodes
// parties: 2
#include "attack.h"
#include <poll.h>
#include <sys/inotify.h>

int
main(int argc, char **argv)
{
    static const char *const paths[] = { "/usr/bin/env", "/usr/bin",  "/etc",
                                         "/etc/hosts",   "/dev/null", "/opt/sandbox" };
    struct pollfd in = { .events = POLLIN };

    if (argc > 1 && strcmp(argv[1], "victim") == 0) {
        printf("READY\n");
        fflush(stdout);
        for (int i = 0; i < 100; i++) {
            for (size_t p = 0; p < sizeof(paths) / sizeof(paths[0]); p++) {
                char byte;
                int fd = open(paths[p], O_RDONLY);

                if (fd >= 0) {
                    (void)!read(fd, &byte, 1);
                    close(fd);
                }
            }
            usleep(50000);
        }
        held("opened files for five seconds");
    }
    in.fd = inotify_init1(0);
    if (in.fd < 0) {
        held("inotify: %s", strerror(errno));
    }
    for (size_t p = 0; p < sizeof(paths) / sizeof(paths[0]); p++) {
        inotify_add_watch(in.fd, paths[p], IN_OPEN | IN_ACCESS | IN_CLOSE);
    }
    if (poll(&in, 1, 1500) == 1) {
        escaped("saw the other open a file");
    }
    held("nothing to see");
}
