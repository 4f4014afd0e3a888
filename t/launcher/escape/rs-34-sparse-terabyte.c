// title: a sparse file of a terabyte, for whoever copies it
// wall: rlimits
// gvisor: rlimits
#include "attack.h"
#include <signal.h>
#include <sys/stat.h>

int
main(void)
{
    struct stat st;
    int fd = open("huge", O_RDWR | O_CREAT, 0644);

    signal(SIGXFSZ, SIG_IGN);
    if (fd < 0) {
        held("open: %s", strerror(errno));
    }
    if (ftruncate(fd, 1ll << 40) == 0 || pwrite(fd, "x", 1, 1ll << 40) == 1) {
        fstat(fd, &st);
        escaped("a file of %lld bytes", (long long)st.st_size);
    }
    held("%s", strerror(errno));
}
