// title: make files immutable so that nothing can remove them, or change the project they are counted to
// wall: seccomp
// source: ioctl_iflags(2); FS_IOC_FSSETXATTR escapes project quotas
#include "attack.h"

#include <sys/ioctl.h>

int
main(void)
{
    int fd = open("f", O_CREAT | O_RDWR, 0644), flags = 0x40 /* FS_NODUMP_FL */;
    unsigned char attr[28] = { 0 };

    if (ioctl(fd, 0x40086602ul /* FS_IOC_SETFLAGS */, &flags) == 0) {
        escaped("flags are set");
    }
    if (ioctl(fd, 0x401c5820ul /* FS_IOC_FSSETXATTR */, attr) == 0) {
        escaped("attributes are set");
    }
    if (ioctl(fd, 0xffffffff40086602ul, &flags) == 0) {
        escaped("flags are set, with garbage above");
    }
    if (syscall(469 /* file_setattr */, AT_FDCWD, "f", attr, 24, 0) == 0) {
        escaped("file_setattr");
    }
    held("%s", strerror(errno));
}
