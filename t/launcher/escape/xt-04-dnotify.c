// title: watch directories by F_NOTIFY, and files by leases, which the descriptors' own call offers
// wall: seccomp_arguments own_inodes
// parties: 2
#include "attack.h"
#include <signal.h>

static volatile sig_atomic_t told;

static void
on_signal(int number)
{
    (void)number;
    told = 1;
}

int
main(int argc, char **argv)
{
    int dir = open("/usr/bin", O_RDONLY | O_DIRECTORY), refused = 0;

    if (argc > 1 && strcmp(argv[1], "victim") == 0) {
        printf("READY\n");
        fflush(stdout);
        for (int i = 0; i < 100; i++) {
            char byte;
            int fd = open("/usr/bin/env", O_RDONLY);

            (void)!read(fd, &byte, 1);
            close(fd);
            usleep(50000);
        }
        held("read for five seconds");
    }
    signal(SIGIO, on_signal);
    if (fcntl(dir, F_NOTIFY, 1u /* DN_ACCESS */ | 0x80000000u /* DN_MULTISHOT */) < 0) {
        refused++;
    }
    for (int i = 0; i < 15 && !told; i++) {
        usleep(100000);
    }
    if (told) {
        escaped("told when the other read /usr/bin/env");
    }
    held("%s", refused ? strerror(errno) : "told nothing");
}
