// title: reach the machine's input and output ports
// wall: seccomp_calls
// source: iopl(2), ioperm(2)
#include "attack.h"

int
main(void)
{
    if (syscall(SYS_ioperm, 0x80, 1, 1) == 0 || syscall(SYS_iopl, 3) == 0) {
        escaped("ports");
    }
    /* EPERM is the filter's and the kernel's own word; a kernel without the calls says ENOSYS, one that looks EINVAL. */
    if ((syscall(SYS_iopl, 99) < 0 && (errno == ENOSYS || errno == EINVAL)) ||
        (syscall(SYS_ioperm, -1, 2, 1) < 0 && (errno == ENOSYS || errno == EINVAL))) {
        escaped("the calls reach the kernel: %s", strerror(errno));
    }
    held("%s", strerror(errno));
}
