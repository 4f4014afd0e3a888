// title: type into the terminal of whoever started us: TIOCSTI, TIOCLINUX, also with garbage above 32 bits
// wall: seccomp_ioctl
// gvisor: seccomp_ioctl
// source: CVE-2017-5226, CVE-2023-28100, CVE-2019-10063
#include "attack.h"

#include <sys/ioctl.h>

int
main(void)
{
    static const unsigned long requests[] = { 0x5412 /* TIOCSTI */, 0x541c /* TIOCLINUX */,
                                              0xffffffff00005412ul, 0x1000000005412ul, 0x10000541cul };
    static const char *const files[] = { "/dev/tty", "/dev/console", "/dev/ptmx", "/dev/null", "/dev/stdin" };
    char text[2] = "\n";

    for (unsigned f = 0; f < sizeof(files) / sizeof(*files); f++) {
        int fd = open(files[f], O_RDWR | O_NOCTTY | O_NONBLOCK);

        for (unsigned i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
            long r = fd < 0 ? -1 : syscall(SYS_ioctl, fd, requests[i], text);

            /* ENOTTY: a driver was asked. */
            if (r >= 0 || (fd >= 0 && errno != EPERM)) {
                escaped("%s: request %#lx: %s", files[f], requests[i], strerror(errno));
            }
        }
    }
    held("%s", strerror(errno));
}
