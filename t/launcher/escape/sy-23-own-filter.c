// title: a filter of one's own with a listener, to answer for one's children what the kernel would
// wall: seccomp_calls
// gvisor: seccomp_calls
// source: seccomp_unotify(2)
#include "attack.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

int
main(void)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = { 1, &allow };

    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program) >= 0) {
        escaped("a listener");
    }
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0) {
        escaped("a filter on top");
    }
    held("%s", strerror(errno));
}
