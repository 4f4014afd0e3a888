#include "session-agent/landlock.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From linux/landlock.h; Debian 12's ends with version 2. */
#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH 1

#define FS_EXECUTE (1u << 0)
#define FS_WRITE_FILE (1u << 1)
#define FS_READ_FILE (1u << 2)
#define FS_READ_DIR (1u << 3)
#define FS_MAKE_CHAR (1u << 6)
#define FS_MAKE_BLOCK (1u << 11)
#define FS_REFER (1u << 13)     /* version 2 */
#define FS_TRUNCATE (1u << 14)  /* 3 */
#define FS_IOCTL_DEV (1u << 15) /* 5 */
#define FS_ALL ((1u << 16) - 1)
#define SCOPE_ABSTRACT_UNIX (1u << 0) /* 6 */
#define SCOPE_SIGNAL (1u << 1)

#define READ (FS_READ_FILE | FS_READ_DIR)
/* No device is ever made or driven in them. */
#define OWN (FS_ALL & ~(FS_MAKE_CHAR | FS_MAKE_BLOCK | FS_IOCTL_DEV))

struct ruleset {
    uint64_t handled_access_fs;
    uint64_t handled_access_net; /* version 4; there is no network but lo, where servers must work */
    uint64_t scoped;             /* 6 */
};

struct __attribute__((packed)) path_beneath {
    uint64_t allowed_access;
    int32_t parent_fd;
};

static const struct {
    const char *path;
    uint64_t access;
} rules[] = {
    { "/", FS_READ_DIR }, /* its own entries have to be listed, and what is below holds no secret */
    { "/usr", READ | FS_EXECUTE },
    { "/opt", READ | FS_EXECUTE },
    { "/etc", READ },
    { "/proc", READ },
    { "/dev", READ | FS_WRITE_FILE | FS_TRUNCATE | FS_IOCTL_DEV },
    { "/dev/shm", OWN },
    { "/workspace", OWN },
    { "/tmp", OWN },
    { "/run/sandbox", OWN },
};

/* What this version of the kernel's knows; it refuses the rest. */
static uint64_t
fs_known(long version)
{
    return FS_ALL & ~(version < 5 ? FS_IOCTL_DEV : 0u) & ~(version < 3 ? FS_TRUNCATE : 0u);
}

_must_check_ static int
rules_add(int ruleset, uint64_t known)
{
    for (size_t i = 0; i < SBX_COUNT(rules); i++) {
        struct path_beneath rule = { .allowed_access = rules[i].access & known };
        long r;

        rule.parent_fd = open(rules[i].path, O_PATH | O_CLOEXEC);
        if (rule.parent_fd < 0) {
            return -errno;
        }
        r = syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0);
        close(rule.parent_fd);
        if (r < 0) {
            return -errno;
        }
    }
    return 0;
}

_must_check_ static int
terminal_add(int ruleset, int terminal, uint64_t known)
{
    const struct path_beneath rule = { .allowed_access =
                                           (FS_READ_FILE | FS_WRITE_FILE | FS_IOCTL_DEV) & known,
                                       .parent_fd = terminal };

    return terminal >= 0 && syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno
                                                                                                     : 0;
}

_must_check_ int
landlock_confine(int terminal)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
    struct ruleset attr = { .handled_access_fs = fs_known(version) };
    size_t size = sizeof(attr.handled_access_fs);
    int r, ruleset;

    if (version < 2) {
        return 0;
    }
    if (version >= 6) {
        attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
        size = sizeof(attr);
    }
    ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (ruleset < 0) {
        return -errno;
    }
    r = rules_add(ruleset, attr.handled_access_fs);
    r = r < 0 ? r : terminal_add(ruleset, terminal, attr.handled_access_fs);
    if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0) {
        r = -errno;
    }
    close(ruleset);
    return r;
}
