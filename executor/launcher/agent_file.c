#include "executor/launcher/agent_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sbx_wall.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010u /* 6.3 */
#endif
#define AGENT_MAX_BYTES (256 << 20)

_must_check_ static int
copy_all(int to, int from, off_t size)
{
    off_t offset = 0;

    while (offset < size) {
        if (sendfile(to, from, &offset, (size_t)(size - offset)) <= 0) {
            return errno != 0 ? -errno : -EIO;
        }
    }
    return 0;
}

/*
 * Mode 0111: a program that its user cannot read is not dumpable from its first
 * instruction, so the payload cannot look into it before it protects itself. And its
 * memory belongs to a user namespace that knows the owner: not to the sandbox's.
 */
_must_check_ static int
seal(int fd, uid_t owner)
{
    if (sbx_wall_is_off(SBX_WALL_SEALED_AGENT)) {
        return fchmod(fd, 0777) < 0 ? -errno : 0;
    }
    if (fchown(fd, owner, owner) < 0 ||
        fchmod(fd, sbx_wall_is_off(SBX_WALL_NOT_DUMPABLE) ? 0555 : 0111) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        return -errno;
    }
    return 0;
}

_must_check_ int
agent_file_load(int *ret_fd, const char *path, uid_t owner)
{
    struct stat st = { 0 };
    int r = 0, fd = -1, from = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (from < 0 || fstat(from, &st) < 0) {
        r = -errno;
    } else if (!S_ISREG(st.st_mode) || (st.st_mode & S_IWOTH) || st.st_size == 0 ||
               st.st_size > AGENT_MAX_BYTES) {
        r = -EPERM;
    }
    if (r == 0) {
        fd = memfd_create("session-agent", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
        if (fd < 0 && errno == EINVAL) {
            fd = memfd_create("session-agent", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        }
        r = fd < 0 ? -errno : copy_all(fd, from, st.st_size);
    }
    if (r == 0) {
        r = seal(fd, owner);
    }
    if (from >= 0) {
        close(from);
    }
    if (r < 0) {
        if (fd >= 0) {
            close(fd);
        }
        return r;
    }
    *ret_fd = fd;
    return 0;
}
