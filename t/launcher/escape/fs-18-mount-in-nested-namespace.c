// title: mount, remount and unmount, plainly and as root of a user namespace made inside
// wall: seccomp nested_namespaces landlock
// source: CVE-2022-0185 and half of the kernel's list begin so
#include "attack.h"

#include <sched.h>
#include <sys/stat.h>
#include <sys/mount.h>

int
main(void)
{
    int error = 0;

    mkdir("m", 0755);
    for (int nested = 0; nested < 2; nested++) {
        if (nested && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
            held("unshare: %s, mount: %s", strerror(errno), strerror(error));
        }
        if (mount("none", "m", "tmpfs", 0, NULL) == 0) {
            escaped("a tmpfs");
        }
        error = errno;
        if (mount("/usr", "m", NULL, MS_BIND, NULL) == 0 ||
            mount(NULL, "/usr", NULL, MS_REMOUNT | MS_BIND, NULL) == 0) {
            escaped("/usr mounted anew");
        }
        if (umount2("/proc/kallsyms", MNT_DETACH) == 0 || umount2("/usr", MNT_DETACH) == 0) {
            escaped("a cover is off");
        }
    }
    held("%s", strerror(error));
}
