/*
 * Preloaded into every program within a gVisor that refuses AT_NO_AUTOMOUNT (before 2023, so Debian 12's): with that
 * flag, which has no meaning there, `ls` and `stat` ask for all they show. It is linked to no library and meets the
 * one of the template.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT int
statx(int dir, const char *restrict path, int flags, unsigned mask, struct statx *restrict ret)
{
    return (int)syscall(SYS_statx, dir, path, flags & ~AT_NO_AUTOMOUNT, mask, ret);
}

EXPORT int
fstatat(int dir, const char *restrict path, struct stat *restrict ret, int flags)
{
    return (int)syscall(SYS_newfstatat, dir, path, ret, flags & ~AT_NO_AUTOMOUNT);
}

EXPORT int
fstatat64(int dir, const char *restrict path, struct stat64 *restrict ret, int flags)
{
    return (int)syscall(SYS_newfstatat, dir, path, ret, flags & ~AT_NO_AUTOMOUNT);
}
