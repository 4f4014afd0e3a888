#include "session-agent/workspace.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/sbx_wall.h"

static void
fd_close(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd); /* what was written has been checked */
        *fd = -1;
    }
}

/* Our own, which never change, and whether the kernel is one that has no ids of file systems: gVisor. Asked once. */
static struct {
    bool is_known, is_plain;
    uid_t uid;
    gid_t gid;
} own;

static void
own_learn(void)
{
    if (!own.is_known) {
        own.uid = getuid();
        own.gid = getgid();
        own.is_known = true;
    }
}

static void
fs_ids_restore(void)
{
    (void)syscall(SYS_setfsuid, own.uid); /* back to our own: always allowed */
    (void)syscall(SYS_setfsgid, own.gid); /* likewise */
}

/*
 * setfsuid reports no errors: a second call with an impossible id tells what is
 * set. With a user id other than 0 the kernel takes the file capabilities from
 * the effective set by itself and gives them back afterwards.
 */
static bool
fs_ids_set(const struct identity *identity)
{
    (void)syscall(SYS_setfsgid, identity->gid); /* checked below */
    (void)syscall(SYS_setfsuid, identity->uid); /* checked below */
    if (syscall(SYS_setfsgid, -1) == (long)identity->gid &&
        syscall(SYS_setfsuid, -1) == (long)identity->uid) {
        return true;
    }
    fs_ids_restore(); /* before others are set: those would not give back what these may have taken */
    return false;
}

int
identity_enter(const struct identity *identity)
{
    if (!identity->change) {
        return 0;
    }
    own_learn();
    if (!own.is_plain && fs_ids_set(identity)) {
        return 0;
    }
    own.is_plain = true;
    /* The real and saved ones, which signals are judged by, stay. */
    if (syscall(SYS_setresgid, -1, identity->gid, -1) < 0 ||
        syscall(SYS_setresuid, -1, identity->uid, -1) < 0) {
        identity_leave(identity);
        return -EPERM;
    }
    return 0;
}

void
identity_leave(const struct identity *identity)
{
    if (!identity->change) {
        return;
    }
    own_learn();
    if (!own.is_plain) {
        fs_ids_restore();
    } else {
        (void)syscall(SYS_setresuid, -1, own.uid, -1); /* back to our own: always allowed */
        (void)syscall(SYS_setresgid, -1, own.gid, -1); /* likewise */
    }
    if (sbx_wall_is_off(SBX_WALL_NOT_DUMPABLE)) {
        (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* each change of identity has taken it away */
    }
}

int
workspace_open_root(int *ret_fd, const char *path)
{
    struct stat st;

    /* Its owner may have shut it, for itself and so for us. */
    if (stat(path, &st) == 0 && (st.st_mode & S_IRWXU) != S_IRWXU) {
        (void)chmod(path, S_IRWXU); /* what cannot be opened is told below */
    }
    *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd < 0 ? -errno : 0;
}

/* One step down, into what is a directory and no link. */
static int
walk_step(int *at, int root, const char *name)
{
    struct stat st, root_st;
    int fd = openat(*at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;

    if (fd < 0) {
        r = -errno;
        /* As openat2 says it. */
        return fstatat(*at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode) ? -ELOOP : r;
    }
    if (fstat(fd, &st) < 0 || fstat(root, &root_st) < 0) {
        r = -errno;
    } else if (st.st_dev != root_st.st_dev) {
        r = -EXDEV;
    }
    if (r < 0) {
        (void)close(fd); /* a directory */
        return r;
    }
    if (*at != root) {
        (void)close(*at); /* likewise */
    }
    *at = fd;
    return 0;
}

/* For kernels without openat2, of which gVisor is one: component by component. */
static int
walk_open(int *ret_fd, int root, const char *path, int flags, mode_t mode)
{
    char name[NAME_MAX + 1];
    const char *slash;
    struct stat st;
    int r = 0, at = root;

    for (; r == 0 && (slash = strchr(path, '/')) != NULL; path = slash + 1) {
        size_t len = (size_t)(slash - path);

        if (len == 0 || len >= sizeof(name) || (len == 2 && memcmp(path, "..", 2) == 0)) {
            r = len >= sizeof(name) ? -ENAMETOOLONG : -EXDEV;
            break;
        }
        memcpy(name, path, len);
        name[len] = '\0';
        r = walk_step(&at, root, name);
    }
    if (r == 0 && strcmp(path, "..") == 0) {
        r = -EXDEV;
    }
    /* gVisor follows a link in spite of O_NOFOLLOW when O_DIRECTORY is there and O_PATH is not (seen in 20221219). */
    if (r == 0 && (flags & O_DIRECTORY) != 0 && (flags & O_NOFOLLOW) != 0) {
        r = walk_step(&at, root, path);
        path = ".";
    }
    if (r == 0) {
        *ret_fd = openat(at, path, flags, mode);
        r = *ret_fd < 0 ? -errno : 0;
    }
    /* As openat2 says it. */
    if (r == -ENOTDIR && fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode)) {
        r = -ELOOP;
    }
    if (at != root) {
        (void)close(at); /* a directory */
    }
    return r;
}

int
workspace_open(int *ret_fd, int root, const char *path, int flags)
{
    /* openat2 takes nothing that has no meaning with O_PATH. */
    int more = (flags & O_PATH) != 0 ? 0 : O_NOCTTY | O_NONBLOCK;
    /* Without O_NOFOLLOW a link in a directory's place is told as what it is; RESOLVE_NO_SYMLINKS stops it. */
    int last = (flags & O_DIRECTORY) != 0 ? 0 : O_NOFOLLOW, last_by_walk = O_NOFOLLOW;
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | more | last | O_CLOEXEC),
        .mode = (flags & O_CREAT) != 0 ? 0644 : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
    };
    static bool is_absent; /* asked once */
    long fd;

    *ret_fd = -1;
    if (sbx_wall_is_off(SBX_WALL_WORKSPACE)) {
        how.flags &= ~(uint64_t)O_NOFOLLOW;
        how.resolve = 0;
        last_by_walk = 0;
    }
    fd = is_absent ? -1 : syscall(SYS_openat2, root, path, &how, sizeof(how));
    is_absent = is_absent || (fd < 0 && errno == ENOSYS);
    if (is_absent) {
        return walk_open(ret_fd, root, path, (int)how.flags | last_by_walk, (mode_t)how.mode);
    }
    *ret_fd = (int)fd;
    return fd < 0 ? -errno : 0;
}

int
workspace_open_file(int *ret_fd, struct stat *ret, int root, const char *path, uint64_t max_size)
{
    _cleanup_(fd_close) int fd = -1;
    int r;

    r = workspace_open(&fd, root, path, O_RDONLY);
    if (r < 0) {
        /* A socket cannot be opened, a link may not be followed. */
        return r == -ENXIO || r == -ELOOP ? WORKSPACE_E_KIND : r;
    }
    if (fstat(fd, ret) < 0) {
        return -errno;
    }
    /* A second name may be one the payload had no right to read under the first. */
    if ((!S_ISREG(ret->st_mode) || ret->st_nlink != 1) && !sbx_wall_is_off(SBX_WALL_WORKSPACE)) {
        return WORKSPACE_E_KIND;
    }
    if ((uint64_t)ret->st_size > max_size) {
        return WORKSPACE_E_SIZE;
    }

    *ret_fd = fd;
    fd = -1;
    return 0;
}

static int
write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int
workspace_make_parents(int root, const char *path)
{
    char part[PATH_MAX];
    const char *slash;

    for (slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        _cleanup_(fd_close) int parent = -1;
        size_t len = (size_t)(slash - path);
        char *name;
        int r;

        if (len >= sizeof(part)) {
            return -ENAMETOOLONG;
        }
        memcpy(part, path, len);
        part[len] = '\0';
        name = strrchr(part, '/');
        if (name == NULL) {
            r = mkdirat(root, part, 0755) < 0 ? -errno : 0;
        } else {
            *name = '\0';
            r = workspace_open(&parent, root, part, O_RDONLY | O_DIRECTORY);
            if (r == 0 && mkdirat(parent, name + 1, 0755) < 0) {
                r = -errno;
            }
        }
        if (r < 0 && r != -EEXIST) {
            return r;
        }
    }
    return 0;
}

int
workspace_create(int root, const char *path, const void *data, size_t len)
{
    _cleanup_(fd_close) int fd = -1;
    int r;

    r = workspace_make_parents(root, path);
    if (r < 0) {
        return r;
    }
    r = workspace_open(&fd, root, path, O_WRONLY | O_CREAT | O_EXCL);
    return r < 0 ? r : write_all(fd, data, len);
}

int
workspace_unlink(int root, const char *name)
{
    return unlinkat(root, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int
workspace_replace(int root, const char *name, const void *data, size_t len)
{
    int r = workspace_create(root, name, data, len);

    if (r != -EEXIST) {
        return r;
    }
    r = workspace_unlink(root, name);
    return r < 0 ? r : workspace_create(root, name, data, len);
}

int
workspace_read(struct sbx_buf *buf, int root, const char *name, uint64_t max_size)
{
    _cleanup_(fd_close) int fd = -1;
    struct stat st;
    int r;

    r = workspace_open_file(&fd, &st, root, name, max_size);
    if (r) {
        return r;
    }
    for (;;) {
        char chunk[16384];
        ssize_t n = read(fd, chunk, sizeof(chunk));

        if (n <= 0) {
            return n < 0 ? -errno : 0;
        }
        if (buf->len + (size_t)n > max_size) {
            return WORKSPACE_E_SIZE;
        }
        sbx_buf_append(buf, chunk, (size_t)n);
        if (buf->failed) {
            return -ENOMEM;
        }
    }
}

/* Empties one directory; what is a directory itself moves up to the root, so that depth costs nothing. */
static int
clear_dir(int root, int dir, unsigned *counter)
{
    struct dirent *entry;
    DIR *stream = fdopendir(dir);
    char name[32];
    int r = 0;

    if (stream == NULL) {
        r = -errno;
        (void)close(dir); /* only read */
        return r;
    }
    while (r == 0 && (entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            unlinkat(dir, entry->d_name, 0) == 0) {
            continue;
        }
        /* The payload may have shut itself out; moving a directory writes its "..". */
        if (errno != EISDIR || fchmodat(dir, entry->d_name, 0700, 0) < 0) {
            r = -errno;
            break;
        }
        do {
            (void)snprintf(name, sizeof(name), ".clear-%u", (*counter)++); /* fits */
            r = syscall(SYS_renameat2, dir, entry->d_name, root, name, 1 /* RENAME_NOREPLACE */) < 0 ? -errno
                                                                                                     : 0;
        } while (r == -EEXIST);
    }
    (void)closedir(stream); /* only read */
    return r;
}

static int
clear_child(int root, const char *name, unsigned *counter)
{
    int fd, r;

    if (unlinkat(root, name, 0) == 0) {
        return 0;
    }
    if (fchmodat(root, name, 0700, 0) < 0) {
        return -errno;
    }
    r = workspace_open(&fd, root, name, O_RDONLY | O_DIRECTORY);
    if (r == 0) {
        r = clear_dir(root, fd, counter);
    }
    if (r == 0 && unlinkat(root, name, AT_REMOVEDIR) < 0) {
        r = -errno;
    }
    return r;
}

int
workspace_clear(int root)
{
    unsigned counter = 0, turns;

    /* Each turn takes one entry off the root; new ones come only from directories that existed. */
    for (turns = 0; turns < 1000000; turns++) {
        struct dirent *entry;
        DIR *stream;
        int fd, r = 0;

        r = workspace_open(&fd, root, ".", O_RDONLY | O_DIRECTORY);
        if (r < 0) {
            return r;
        }
        stream = fdopendir(fd);
        if (stream == NULL) {
            r = -errno;
            (void)close(fd); /* only read */
            return r;
        }
        do {
            entry = readdir(stream);
        } while (entry != NULL && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
        r = entry == NULL ? 1 : clear_child(root, entry->d_name, &counter);
        (void)closedir(stream); /* only read */
        if (r) {
            return r < 0 ? r : 0;
        }
    }
    return -EBUSY;
}
