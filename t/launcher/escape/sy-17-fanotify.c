// title: watch and veto other processes' opens with fanotify
// wall: seccomp_calls
// source: fanotify_init(2)
#include "attack.h"

int
main(void)
{
    long fd = syscall(SYS_fanotify_init, 0x200 /* FAN_REPORT_FID */, O_RDONLY);

    if (fd >= 0) {
        escaped("a group");
    }
    if (syscall(SYS_fanotify_mark, 0, 0x10000 /* no such mask */, 0, -1, NULL) < 0 && errno == EINVAL) {
        escaped("marks are looked at");
    }
    held("%s", strerror(errno));
}
