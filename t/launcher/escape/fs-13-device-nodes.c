// title: make device nodes for memory, the disk and a whiteout in the workspace
// wall: seccomp_arguments landlock
// source: mknod(2): a whiteout, device 0:0, needs no privilege
#include "attack.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

int
main(void)
{
    const struct {
        const char *name;
        mode_t type;
        dev_t device;
    } nodes[] = { { "mem", S_IFCHR, makedev(1, 1) },
                  { "kmsg", S_IFCHR, makedev(1, 11) },
                  { "vda", S_IFBLK, makedev(254, 0) },
                  { "fuse", S_IFCHR, makedev(10, 229) },
                  { "whiteout", S_IFCHR, 0 } };

    for (unsigned i = 0; i < sizeof(nodes) / sizeof(*nodes); i++) {
        if (mknod(nodes[i].name, nodes[i].type | 0600, nodes[i].device) == 0 ||
            syscall(SYS_mknodat, AT_FDCWD, nodes[i].name, (uint64_t)(nodes[i].type | 0600) | 1ull << 40,
                    nodes[i].device) == 0) {
            escaped("%s", nodes[i].name);
        }
    }
    held("%s", strerror(errno));
}
