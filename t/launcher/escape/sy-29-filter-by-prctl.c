// title: a filter of one's own by the older way of prctl, which makes calls succeed that did nothing
// wall: seccomp_arguments
// gvisor: seccomp_arguments
// source: seccomp(2)
#include "attack.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

int
main(void)
{
    struct sock_filter lie[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
    struct sock_fprog program = { 1, lie };

    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0 ||
        syscall(SYS_prctl, 0xabcdef0000000000ul | PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0) {
        escaped("a filter");
    }
    held("%s", strerror(errno));
}
