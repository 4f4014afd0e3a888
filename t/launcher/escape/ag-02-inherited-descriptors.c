// title: use a descriptor that the agent or the launcher left open: its socket, its filter, a directory outside
// wall: descriptors
// source: CVE-2024-21626 (a directory of the host left open), CVE-2016-9962
#include "attack.h"
#include <sys/socket.h>

int
main(void)
{
    char what[256], name[32];

    for (int fd = 3; fd < 4096; fd++) {
        ssize_t n;

        if (fcntl(fd, F_GETFD) < 0) {
            continue;
        }
        (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
        n = readlink(name, what, sizeof(what) - 1);
        what[n > 0 ? n : 0] = '\0';
        if (send(fd, "HTTP/1.1 200 OK\r\n", 0, MSG_NOSIGNAL) == 0) {
            escaped("%d is a socket that takes our words: %s", fd, what);
        }
        if (strstr(what, "/.attack") == NULL && strstr(what, "/run/sandbox/") == NULL) {
            escaped("%d is open: %s", fd, what);
        }
    }
    held("three descriptors");
}
