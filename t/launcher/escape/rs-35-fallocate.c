// title: reserve and punch blocks without writing them
// wall: disk
// limits: disk=8m memory=256m
// expect: limit disk held
#include "attack.h"
#include <signal.h>
#include <sys/stat.h>

int
main(void)
{
    struct stat st;
    char name[16];
    long long total = 0;

    signal(SIGXFSZ, SIG_IGN);
    for (int i = 0; i < 8; i++) {
        int fd;

        (void)snprintf(name, sizeof(name), "/tmp/r%d", i);
        fd = open(name, O_RDWR | O_CREAT, 0644);
        if (fd < 0 || fallocate(fd, i % 2, 0, 5 << 20) < 0 || fstat(fd, &st) < 0) {
            held("%lld KiB: %s", total >> 10, strerror(errno));
        }
        total += st.st_blocks * 512;
    }
    if (total > 12 << 20) {
        escaped("%lld MiB reserved", total >> 20);
    }
    held("%lld KiB reserved", total >> 10);
}
