// title: find the agent's program by every link to it, and see whether it could be written
// wall: sealed_agent uid capabilities not_dumpable landlock
// source: CVE-2019-5736
#include "attack.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#ifndef F_GET_SEALS
#define F_GET_SEALS 1034
#endif

int
main(void)
{
    static const char *const links[] = { "/proc/1/exe", "/proc/1/task/1/exe", "/proc/1/map_files" };

    for (unsigned i = 0; i < 2; i++) {
        int fd = open(links[i], O_RDONLY);

        if (fd < 0) {
            continue;
        }
        /* Never written: that the kernel would let us is told by the seals. */
        int seals = fcntl(fd, F_GET_SEALS);

        if (seals < 0 || !(seals & F_SEAL_WRITE)) {
            escaped("%s is open and not sealed (%x)", links[i], (unsigned)seals);
        }
        held("%s is sealed (%x)", links[i], (unsigned)seals);
    }
    held("no link: %s", strerror(errno));
}
