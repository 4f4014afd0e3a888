// title: become user 0 by every call that sets an id
// wall: capabilities
// source: setuid(2), setresuid(2)
#include "attack.h"

#include <grp.h>

int
main(void)
{
    static const gid_t groups[] = { 0, 4, 6, 27 };

    if (syscall(SYS_setuid, 0) == 0 || syscall(SYS_setreuid, 0, 0) == 0 ||
        syscall(SYS_setresuid, 0, 0, 0) == 0 || syscall(SYS_setresuid, -1, 0, -1) == 0) {
        escaped("user %d", (int)geteuid());
    }
    if (syscall(SYS_setgid, 0) == 0 || syscall(SYS_setregid, 0, 0) == 0 ||
        syscall(SYS_setresgid, 0, 0, 0) == 0) {
        escaped("group %d", (int)getegid());
    }
    if (syscall(SYS_setgroups, 4, groups) == 0) {
        escaped("groups");
    }
    syscall(SYS_setfsuid, 0);
    if (syscall(SYS_setfsuid, -1) == 0) {
        escaped("file user 0");
    }
    held("%s", strerror(errno));
}
