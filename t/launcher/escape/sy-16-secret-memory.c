// title: memory that the host can neither see nor move: memfd_secret
// wall: seccomp_calls
// source: memfd_secret(2)
#include "attack.h"

int
main(void)
{
    long fd = syscall(447, 0);

    if (fd >= 0) {
        escaped("descriptor %ld", fd);
    }
    if (syscall(447, 0xfff0) < 0 && errno == EINVAL) {
        escaped("the call looks at its flags");
    }
    held("%s", strerror(errno));
}
