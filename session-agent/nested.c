#include "session-agent/nested.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/sbx_wall.h"

#define CAP_BIT(cap) (1u << (cap))
/* As in the process tier (executor/launcher/creds.c). */
#define KEPT (CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_KILL) | CAP_BIT(CAP_SETPCAP))

/* The agent and its filter (executor/launcher/bundle.h). */
#define NESTED_OWN "/opt/sandbox/agent"

static bool
is_kept(const char *name)
{
    static const char *const kept[] = { ".",       "..", "null",  "zero",   "full",   "random",
                                        "urandom", "fd", "stdin", "stdout", "stderr", "shm" };

    for (size_t i = 0; i < SBX_COUNT(kept); i++) {
        if (strcmp(name, kept[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* One name of a directory, which holds nothing but files. */
_must_check_ static int
remove_at(int dir, const char *name)
{
    if (unlinkat(dir, name, 0) == 0 || unlinkat(dir, name, AT_REMOVEDIR) == 0) {
        return 0;
    }
    return errno == ENOTEMPTY || errno == EEXIST ? -ENOTEMPTY : -errno;
}

/* What is below `path` but the kept ones; `depth` directories deep. */
_must_check_ static int
directory_strip(int at, const char *path, unsigned depth)
{
    int r = 0, fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (dir == NULL) {
        r = -errno;
        if (fd >= 0) {
            close(fd);
        }
        return r;
    }
    while (r == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
        if (is_kept(entry->d_name)) {
            continue;
        }
        r = remove_at(fd, entry->d_name);
        if (r == -ENOTEMPTY && depth > 0) {
            r = directory_strip(fd, entry->d_name, depth - 1);
            r = r < 0 ? r : remove_at(fd, entry->d_name);
        }
    }
    r = r < 0 ? r : -errno;
    closedir(dir);
    return r;
}

/* What is left is root's alone to write, which no payload is; making it read-only ends some builds of gVisor. */
_must_check_ static int
dev_strip(void)
{
    if (sbx_wall_is_off(SBX_WALL_DEVICES)) {
        return 0;
    }
    if (umount2("/dev/pts", MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT) {
        return -errno;
    }
    return directory_strip(AT_FDCWD, "/dev", 1);
}

_must_check_ static int
file_write(const char *path, const void *data, size_t len)
{
    int r = 0, fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);

    if (fd < 0) {
        return -errno;
    }
    if (write(fd, data, len) != (ssize_t)len) {
        r = -EIO;
    }
    return close(fd) < 0 ? -errno : r;
}

static bool
knows_no_automount(void)
{
    struct statx st;

    return syscall(SYS_statx, AT_FDCWD, "/", AT_NO_AUTOMOUNT, STATX_TYPE, &st) == 0 || errno != EINVAL;
}

/* Where the template's /etc/ld.so.preload points to: without the file it says nothing. */
_must_check_ static int
preload_place(void)
{
    static const char library[] = NESTED_OWN "/statx.so\n";
    int r;

    if (mount("none", NESTED_OWN, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=65536") < 0) {
        return -errno;
    }
    r = file_write(NESTED_OWN "/statx.so", nested_preload, nested_preload_len);
    return r < 0 ? r : file_write(NESTED_OWN "/ld.so.preload", library, sizeof(library) - 1);
}

_must_check_ static int
cover(const char *path)
{
    return mount("none", path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0555,size=4096") <
                   0
               ? -errno
               : 0;
}

_must_check_ int
nested_terminals_keep(int fd)
{
    int dir = open("/dev/pts", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (dir < 0) {
        return -errno;
    }
    return dir == fd ? 0 : -EBADF;
}

_must_check_ int
nested_root_strip(void)
{
    int r = dev_strip();

    if (r == 0 && !sbx_wall_is_off(SBX_WALL_OWN_ROOT) && umount2("/sys", MNT_DETACH) < 0) {
        r = -errno;
    }
    if (r == 0 && !sbx_wall_is_off(SBX_WALL_SEALED_AGENT)) {
        r = knows_no_automount() ? cover(NESTED_OWN) : preload_place();
    }
    if (r == 0 && !sbx_wall_is_off(SBX_WALL_HIDEPID)) {
        r = cover("/proc/1");
    }
    return r;
}

_must_check_ int
nested_rights_drop(void)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct kept[_LINUX_CAPABILITY_U32S_3] = { { .effective = KEPT,
                                                                       .permitted = KEPT } };

    for (unsigned cap = 0; cap < 64; cap++) {
        /* EINVAL: beyond the last one. */
        if ((cap >= 32 || !(KEPT & CAP_BIT(cap))) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 &&
            errno != EINVAL) {
            return -errno;
        }
    }
    if (syscall(SYS_capset, &head, kept) < 0) {
        return -errno;
    }
    /* Asked, not believed. */
    if (umount2("/proc/1", MNT_DETACH) == 0 || errno != EPERM) {
        return -EPERM;
    }
    return 0;
}
