// title: mount the control groups to write release_agent or lift a limit
// wall: seccomp nested_namespaces landlock
// source: CVE-2022-0492
#include "attack.h"

#include <sched.h>
#include <sys/stat.h>
#include <sys/mount.h>

int
main(void)
{
    static const char *const places[] = { "/sys/fs/cgroup/release_agent",
                                          "/sys/fs/cgroup/memory/release_agent",
                                          "/sys/fs/cgroup/cgroup.procs" };
    int error;

    for (unsigned i = 0; i < 3; i++) {
        if (open(places[i], O_WRONLY) >= 0) {
            escaped("%s can be written", places[i]);
        }
    }
    mkdir("c", 0755);
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP) < 0) {
        held("unshare: %s", strerror(errno));
    }
    if (mount("none", "c", "cgroup2", 0, NULL) == 0 || mount("none", "c", "cgroup", 0, "memory") == 0 ||
        mount("none", "c", "cgroup", 0, "none,name=x") == 0) {
        escaped("control groups are mounted");
    }
    error = errno;
    held("mount: %s", strerror(error));
}
