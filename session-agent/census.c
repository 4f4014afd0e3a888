#include "session-agent/census.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define THREADS_FIELD 18 /* in /proc/self/stat, counted from after the name, which may hold anything */

static int self_fd = -1;

_must_check_ int
census_open(void)
{
    self_fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return self_fd < 0 ? -errno : 0;
}

/* 0: cannot be told. */
static unsigned
own_threads(void)
{
    char text[1024], *at;
    ssize_t n;
    int fd = openat(self_fd, "stat", O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return 0;
    }
    n = read(fd, text, sizeof(text) - 1);
    (void)close(fd); /* was only read */
    if (n <= 0) {
        return 0;
    }
    text[n] = '\0';
    at = strrchr(text, ')');
    for (int i = 0; at != NULL && i < THREADS_FIELD; i++) {
        at = strchr(at + 1, ' ');
    }
    return at == NULL ? 0 : (unsigned)strtoul(at, NULL, 10);
}

bool
census_is_over(unsigned processes)
{
    struct sysinfo info;
    unsigned own;

    /* The sentry counts threads here, of this pid namespace: a call, not a walk through /proc. */
    if (sysinfo(&info) < 0 || info.procs <= processes) {
        return false;
    }
    own = own_threads();
    return own > 0 && info.procs > own + processes;
}
