// title: hard-link or move files across the mounts, so that the workspace holds what is not its own
// wall: descriptors
// source: linkat(2) with AT_EMPTY_PATH and AT_SYMLINK_FOLLOW
#include "attack.h"

int
main(void)
{
    static const char *const from[] = { "/usr/bin/passwd", "/etc/passwd", "/opt/sandbox/runtimes.json", "/dev/null" };
    char path[64];

    for (unsigned i = 0; i < sizeof(from) / sizeof(*from); i++) {
        int fd = open(from[i], O_RDONLY | O_CLOEXEC);

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (link(from[i], "stolen") == 0 || linkat(fd, "", AT_FDCWD, "stolen", AT_EMPTY_PATH) == 0 ||
            linkat(AT_FDCWD, path, AT_FDCWD, "stolen", AT_SYMLINK_FOLLOW) == 0) {
            escaped("a link to %s", from[i]);
        }
        close(fd);
    }
    /* What an outside directory would be good for: making a file there. */
    for (int fd = 3; fd < 64; fd++) {
        int file = openat(fd, "etc/fstab", O_RDONLY);

        if (file >= 0) {
            escaped("a file outside by descriptor %d", fd);
        }
    }
    held("%s", strerror(errno));
}
