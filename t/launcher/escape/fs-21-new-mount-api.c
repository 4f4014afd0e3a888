// title: the mount calls of 5.2 and later, which old filters do not know
// wall: seccomp nested_namespaces
// source: CVE-2022-0185 (fsconfig)
#include "attack.h"

#include <sched.h>

int
main(void)
{
    for (int nested = 0; nested < 2; nested++) {
        char attr[32] = { 0 };

        if (nested && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
            break;
        }
        if (syscall(430 /* fsopen */, "tmpfs", 0) >= 0) {
            escaped("fsopen");
        }
        if (syscall(428 /* open_tree */, AT_FDCWD, "/usr", 1 /* OPEN_TREE_CLONE */) >= 0) {
            escaped("open_tree clones /usr");
        }
        if (syscall(433 /* fspick */, AT_FDCWD, "/tmp", 0) >= 0) {
            escaped("fspick");
        }
        if (syscall(442 /* mount_setattr */, AT_FDCWD, "/usr", 0, attr, sizeof(attr)) == 0) {
            escaped("mount_setattr");
        }
        if (syscall(467 /* open_tree_attr */, AT_FDCWD, "/usr", 1, attr, sizeof(attr)) >= 0) {
            escaped("open_tree_attr");
        }
    }
    held("%s", strerror(errno));
}
