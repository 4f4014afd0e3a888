// title: an overlay over /usr or a fuse mount, whose server is the attacker
// wall: seccomp nested_namespaces landlock
// source: CVE-2021-3493, CVE-2023-0386
#include "attack.h"

#include <sched.h>
#include <sys/stat.h>
#include <sys/mount.h>

int
main(void)
{
    int fuse = open("/dev/fuse", O_RDWR);

    if (fuse >= 0) {
        escaped("/dev/fuse");
    }
    mkdir("u", 0755);
    mkdir("w", 0755);
    mkdir("o", 0755);
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
        held("unshare: %s", strerror(errno));
    }
    if (mount("overlay", "o", "overlay", 0, "lowerdir=/usr,upperdir=u,workdir=w,userxattr") == 0 ||
        mount("overlay", "o", "overlay", 0, "lowerdir=/usr:/opt") == 0) {
        escaped("an overlay of /usr");
    }
    held("mount: %s", strerror(errno));
}
