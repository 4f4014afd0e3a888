// title: stop the kernel in the middle of a copy with userfaultfd
// wall: seccomp_calls
// source: CVE-2021-22555 and many exploits that need a pause
#include "attack.h"

#include <fcntl.h>

int
main(void)
{
    long fd = syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */);

    if (fd >= 0 || open("/dev/userfaultfd", O_RDWR) >= 0) {
        escaped("descriptor %ld", fd);
    }
    fd = syscall(SYS_userfaultfd, 0xffff);
    if (fd < 0 && errno == EINVAL) {
        escaped("the call looks at its flags");
    }
    held("%s", strerror(errno));
}
