// title: make another root with pivot_root in a mount namespace of one's own
// wall: seccomp nested_namespaces landlock
#include "attack.h"

#include <sched.h>
#include <sys/stat.h>
#include <sys/mount.h>

int
main(void)
{
    if (syscall(SYS_pivot_root, ".", ".") == 0) {
        escaped("at once");
    }
    mkdir("new", 0755);
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 || mount("none", "new", "tmpfs", 0, NULL) < 0 ||
        chdir("new") < 0) {
        held("%s", strerror(errno));
    }
    if (syscall(SYS_pivot_root, ".", ".") == 0) {
        umount2(".", MNT_DETACH);
        escaped("a root of its own");
    }
    held("pivot_root: %s", strerror(errno));
}
