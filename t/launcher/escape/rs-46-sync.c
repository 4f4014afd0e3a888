// title: keep all disks of the host busy: sync(2) writes everybody's data, whoever asks
// wall: seccomp_calls
// gvisor: seccomp_calls
// source: sync(2)
#include "attack.h"

/* The answer to a descriptor that is none tells whether the kernel was asked at all. */
int
main(void)
{
    if (syscall(SYS_syncfs, -1) < 0 && errno == EBADF) {
        sync();
        escaped("the kernel was asked");
    }
    sync();
    held("all is written, says nobody");
}
