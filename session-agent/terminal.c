#include "session-agent/terminal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* By the master's own words, not by a name; gVisor has that call not. */
_must_check_ static int
slave_open(int *ret, int master, int dir)
{
    char name[32];
    unsigned number;
    int fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (fd < 0 && ioctl(master, TIOCGPTN, &number) == 0) {
        (void)snprintf(name, sizeof(name), "%s%u", dir < 0 ? "/dev/pts/" : "", number); /* fits */
        fd = openat(dir, name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    }
    if (fd < 0) {
        return -errno;
    }
    *ret = fd;
    return 0;
}

int
terminal_open(struct terminal *ret, int dir, struct terminal_size size)
{
    struct terminal terminal = TERMINAL_NULL;
    const int unlocked = 0;
    int r = 0;

    terminal.master = openat(dir, dir < 0 ? "/dev/ptmx" : "ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (terminal.master < 0) {
        return -errno;
    }
    if (ioctl(terminal.master, TIOCSPTLCK, &unlocked) < 0) {
        r = -errno;
    }
    r = r < 0 ? r : slave_open(&terminal.slave, terminal.master, dir);
    r = r < 0 ? r : terminal_resize(terminal.master, size);
    if (r < 0) {
        terminal_deinit(&terminal);
        return r;
    }
    *ret = terminal;
    return 0;
}

void
terminal_deinit(struct terminal *terminal)
{
    if (terminal->master >= 0) {
        (void)close(terminal->master); /* nothing of it is a file's */
    }
    if (terminal->slave >= 0) {
        (void)close(terminal->slave); /* likewise */
    }
    *terminal = (struct terminal)TERMINAL_NULL;
}

int
terminal_resize(int master, struct terminal_size size)
{
    const struct winsize window = { .ws_row = (unsigned short)size.rows,
                                    .ws_col = (unsigned short)size.cols };

    return ioctl(master, TIOCSWINSZ, &window) < 0 ? -errno : 0;
}
