// title: with a terminal of its own, push input back into it for whoever reads there next
// wall: devices seccomp_ioctl
// gvisor: devices seccomp_ioctl
// source: CVE-2017-5226, CVE-2023-28339
#include "attack.h"
#include <sys/ioctl.h>

int
main(void)
{
    static const char *const masters[] = { "/dev/ptmx", "/dev/pts/ptmx" };
    char path[64], byte = '#';
    int unlocked = 0, master = -1, slave = -1;
    unsigned number;

    for (size_t i = 0; i < sizeof(masters) / sizeof(masters[0]) && master < 0; i++) {
        master = open(masters[i], O_RDWR | O_NOCTTY);
    }
    if (master < 0) {
        held("no terminal: %s", strerror(errno));
    }
    if (ioctl(master, TIOCSPTLCK, &unlocked) < 0 || ioctl(master, TIOCGPTN, &number) < 0) {
        held("a master without its slave: %s", strerror(errno));
    }
    snprintf(path, sizeof(path), "/dev/pts/%u", number);
    setsid();
    slave = open(path, O_RDWR);
    if (slave < 0 || ioctl(slave, TIOCSTI, &byte) < 0) {
        /* Anything but EPERM is the word of a terminal's driver: it was asked. */
        if (slave >= 0 && errno != EPERM) {
            escaped("typing is up to the kernel: %s", strerror(errno));
        }
        held("%s: %s", path, strerror(errno));
    }
    escaped("typed into %s", path);
}
