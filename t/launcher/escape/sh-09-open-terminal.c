// title: make a pseudo terminal, or open the end of one that is somebody else's
// wall: devices
// gvisor: devices
// source: docs/launcher.md: a payload has the terminal that it was given, and no name for another
#include "attack.h"
#include <sys/ioctl.h>

int
main(void)
{
    static const char *const paths[] = { "/dev/ptmx", "/dev/pts/ptmx", "/proc/self/root/dev/pts/ptmx",
                                         "/proc/1/root/dev/ptmx" };
    char path[64];
    unsigned number = 0;
    int unlocked = 0;

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        int fd = open(paths[i], O_RDWR | O_NOCTTY);

        if (fd >= 0) {
            /* Whether its other end can be had is the filter's to say; that there is one is too much. */
            escaped("%s opens: number %u: %s", paths[i], number,
                    ioctl(fd, TIOCSPTLCK, &unlocked) == 0 ? "unlocked" : strerror(errno));
        }
    }
    for (number = 0; number < 64; number++) {
        snprintf(path, sizeof(path), "/dev/pts/%u", number);
        if (open(path, O_RDWR | O_NOCTTY) >= 0) {
            escaped("%s opens", path);
        }
    }
    /* The agent's directory of terminals, were it left open. */
    for (int fd = 3; fd < 64; fd++) {
        if (openat(fd, "ptmx", O_RDWR | O_NOCTTY) >= 0) {
            escaped("descriptor %d has terminals", fd);
        }
    }
    held("none to be opened: %s", strerror(errno));
}
