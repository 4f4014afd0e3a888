// title: change read-only memory by /proc/self/mem, the door of Dirty COW, and another's by /proc/<pid>/mem
// wall: landlock
// source: CVE-2016-5195
#include "attack.h"

int
main(void)
{
    static const char text[] = "as it was";
    int fd = open("/proc/self/mem", O_RDWR);
    char changed[] = "now else!";

    if (fd < 0) {
        held("%s", strerror(errno));
    }
    if (pwrite(fd, changed, sizeof(changed), (off_t)(uintptr_t)text) == sizeof(changed)) {
        escaped("a constant is %s", *(const char *volatile *)&(const char *){ text });
    }
    held("pwrite: %s", strerror(errno));
}
