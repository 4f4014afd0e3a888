// title: raise capabilities: permitted, effective, inheritable, one by one and all at once
// wall: capabilities
// gvisor: capabilities
// source: capset(2)
#include "attack.h"

#include <linux/capability.h>

/* gVisor takes those of later kernels than it plays, and gives none. */
static int
has_any(void)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct now[2] = { 0 };

    if (syscall(SYS_capget, &head, now) < 0) {
        return 1;
    }
    return (now[0].permitted | now[0].effective | now[0].inheritable | now[1].permitted | now[1].effective |
            now[1].inheritable) != 0;
}

int
main(void)
{
    for (int cap = -1; cap < 41; cap++) {
        struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
        struct __user_cap_data_struct data[2] = { 0 };

        data[0].permitted = data[0].effective = cap < 0 ? ~0u : cap < 32 ? 1u << cap : 0;
        data[1].permitted = data[1].effective = cap >= 32 ? 1u << (cap - 32) : 0;
        if (syscall(SYS_capset, &head, data) == 0 && has_any()) {
            escaped("capability %d", cap);
        }
        data[0].inheritable = data[0].permitted;
        data[0].permitted = data[0].effective = 0;
        if (cap >= 0 && cap < 32 && syscall(SYS_capset, &head, data) == 0 && has_any()) {
            escaped("capability %d to be inherited", cap);
        }
    }
    held("%s", strerror(errno));
}
