// title: read and write the agent's memory with process_vm_readv and process_vm_writev
// wall: seccomp_calls uid capabilities not_dumpable landlock
// source: process_vm_readv(2)
#include "attack.h"

#include <sys/uio.h>

int
main(void)
{
    char bytes[64];
    struct iovec here = { bytes, sizeof(bytes) };
    int error = 0;

    /* Where code of a static program may be; that nothing is there (EFAULT) is told only to who may look. */
    for (uintptr_t at = 0x400000; at < 0x402000; at += 0x1000) {
        struct iovec there = { (void *)at, sizeof(bytes) };

        if (process_vm_readv(1, &here, 1, &there, 1, 0) >= 0 || errno == EFAULT) {
            escaped("the agent's memory: %s", strerror(errno));
        }
        error = errno;
    }
    held("%s", strerror(error));
}
