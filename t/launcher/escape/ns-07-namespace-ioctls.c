// title: climb from a namespace to its parent and its owner by ioctl
// wall: seccomp
// source: ioctl_ns(2)
#include "attack.h"

#include <sys/ioctl.h>

int
main(void)
{
    static const char *const files[] = { "/proc/self/ns/user", "/proc/self/ns/pid", "/proc/self/ns/net",
                                         "/proc/self/ns/mnt" };

    for (unsigned i = 0; i < sizeof(files) / sizeof(*files); i++) {
        int fd = open(files[i], O_RDONLY);

        for (unsigned long request = 0xb701; fd >= 0 && request <= 0xb704; request++) {
            int got = ioctl(fd, request, 0);

            if (got >= 0) {
                escaped("%s: request %#lx = %d", files[i], request, got);
            }
        }
    }
    held("%s", strerror(errno));
}
