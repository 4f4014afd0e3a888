/* Attempts at walls of the file system. */
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "executor/launcher/host_trial.h"
#include "executor/launcher/mounts.h"
#include "executor/launcher/overlay.h"
#include "executor/launcher/template.h"

#define TRIAL_DISK 65536
#define PAYLOAD_ID 1000

static const char dev_names[][8] = { "null", "zero", "full", "random", "urandom" };
static const unsigned dev_minors[] = { 3, 5, 7, 8, 9 };

/* Where a trial mounts: the one directory of the host that is surely there. */
#define PLACE "/proc"

_must_check_ static int
bind_read_only(const char *from, const char *to)
{
    int r, fd = open_tree(AT_FDCWD, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    r = mounts_restrict(fd, MOUNT_ATTR_RDONLY);
    r = r < 0 ? r : mounts_attach(fd, to);
    close(fd);
    return r;
}

_must_check_ static int
proc_mount(struct host_trial *trial, const char *option)
{
    const char *const options[] = { option, "invisible", NULL };
    static const char *const none[] = { NULL };
    int r, fd = -1;

    trial->why = "mount of /proc";
    r = template_fs_new(&fd, "proc", option != NULL ? options : none,
                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (r == 0) {
        r = mounts_attach(fd, PLACE);
        close(fd);
    }
    return r;
}

_must_check_ static int
tmpfs_mount(struct host_trial *trial, int *ret_fd)
{
    static const char *const options[] = { "size", "1m", "nr_inodes", "64", NULL };
    int r;

    trial->why = "mount of a tmpfs";
    r = template_fs_new(ret_fd, "tmpfs", options, MOUNT_ATTR_NOSUID);
    return r < 0 ? r : mounts_attach(*ret_fd, PLACE);
}

int
host_try_nested(struct host_trial *trial)
{
    int fd, r = proc_mount(trial, NULL);

    if (r < 0) {
        return r;
    }
    trial->why = "max_user_namespaces";
    fd = open(PLACE "/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1) {
        return -errno;
    }
    if (unshare(CLONE_NEWUSER) == 0) {
        trial->why = "it was put up and does not hold";
        return -EIO;
    }
    return errno == ENOSPC ? 0 : -errno;
}

int
host_try_own_root(struct host_trial *trial)
{
    char cwd[8];
    struct stat st;
    int root = -1, r = tmpfs_mount(trial, &root);

    if (r < 0) {
        return r;
    }
    trial->why = "pivot_root";
    if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
        chdir("/") < 0) {
        return -errno;
    }
    trial->why = "the host's files are still there";
    if (getcwd(cwd, sizeof(cwd)) == NULL || strcmp(cwd, "/") != 0 || stat("/usr", &st) == 0) {
        return -EXDEV;
    }
    return errno == ENOENT ? 0 : -errno;
}

int
host_try_read_only_root(struct host_trial *trial)
{
    int root = -1, r = tmpfs_mount(trial, &root);

    if (r < 0) {
        return r;
    }
    trial->why = "mount_setattr";
    r = mounts_restrict(root, MOUNT_ATTR_RDONLY);
    if (r < 0) {
        return r;
    }
    trial->why = "writing";
    return host_trial_must_refuse(trial, PLACE "/x", O_WRONLY | O_CREAT, EROFS);
}

/* What the launcher keeps of a template: a directory of a file system of its own, and usr/ mounted into it. */
_must_check_ static int
inodes_template(const char *root)
{
    char usr[PATH_MAX];
    int n = snprintf(usr, sizeof(usr), "%s/usr", root);

    return n < 0 || (size_t)n >= sizeof(usr) ? -ENAMETOOLONG : bind_read_only(usr, PLACE "/t/usr");
}

/* As a program that signals through a lock would hold it: -EWOULDBLOCK when somebody else does. */
_must_check_ static int
inodes_lock(int *ret_fd, int mount, const char *path)
{
    *ret_fd = openat(mount, path, O_RDONLY | O_CLOEXEC);
    return *ret_fd < 0 || flock(*ret_fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

/* Two sandboxes' overlays: what is locked through one must be free through the other. */
_must_check_ static int
inodes_differ(struct host_trial *trial, const char *above, const char *below, const char *path)
{
    int fd[2], r = 0;

    for (int i = 0; i < 2 && r == 0; i++) {
        trial->why = "overlay";
        r = overlay_layer_new(&fd[i], above, below, MOUNT_ATTR_NODEV);
        if (r == 0) {
            int held; /* until this process ends */

            trial->why = "inodes of an overlay";
            r = inodes_lock(&held, fd[i], path);
        }
    }
    return r;
}

int
host_try_inodes_own(struct host_trial *trial)
{
    const struct settings *settings = trial->settings;
    int tmpfs = -1, r;

    trial->why = "own_inodes = no in the configuration";
    if (!settings->own_inodes) {
        return -EOPNOTSUPP;
    }
    /* Before anything is mounted: what is still shared with the host would be mounted there, too. */
    trial->why = "a mount namespace";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        return -errno;
    }
    r = tmpfs_mount(trial, &tmpfs);
    if (r < 0) {
        return r;
    }
    if (mkdirat(tmpfs, "empty", 0755) < 0 || mkdirat(tmpfs, "t", 0755) < 0 ||
        mkdirat(tmpfs, "t/usr", 0755) < 0 || mknodat(tmpfs, "t/file", S_IFREG | 0444, 0) < 0) {
        return -errno;
    }
    r = inodes_differ(trial, PLACE "/empty", PLACE "/t", "file");
    for (unsigned i = 0; r == 0 && (i == 0 || i < settings->n_templates); i++) {
        trial->why = "usr of a template";
        r = inodes_template(settings->n_templates > 0 ? settings->templates[i].root : "/");
        if (r == 0) {
            r = inodes_differ(trial, PLACE "/empty", PLACE "/t/usr", ".");
        }
    }
    return r;
}

int
host_try_devices(struct host_trial *trial)
{
    char from[32], to[32];
    struct stat st;
    int fd = -1, r = tmpfs_mount(trial, &fd);

    for (size_t i = 0; i < SBX_COUNT(dev_minors) && r == 0; i++) {
        (void)snprintf(from, sizeof(from), "/dev/%s", dev_names[i]); /* names of ours */
        (void)snprintf(to, sizeof(to), PLACE "/%s", dev_names[i]);   /* as above */
        trial->why = dev_names[i];
        if (stat(from, &st) < 0) {
            return -errno;
        }
        if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, dev_minors[i])) {
            return -ENODEV;
        }
        if (mknod(to, S_IFREG | 0600, 0) < 0) {
            return -errno;
        }
        r = bind_read_only(from, to);
    }
    if (r == 0) {
        trial->why = "use of a node that was bound";
        fd = open(PLACE "/null", O_WRONLY | O_CLOEXEC);
        r = fd < 0 || write(fd, "x", 1) != 1 ? -errno : 0;
    }
    return r;
}

int
host_try_proc_read_only(struct host_trial *trial)
{
    int r = proc_mount(trial, NULL);

    if (r == 0) {
        trial->why = "bind of /proc/sys";
        r = bind_read_only(PLACE "/sys", PLACE "/sys");
    }
    return r < 0 ? r : host_trial_must_refuse(trial, PLACE "/sys/user/max_user_namespaces", O_WRONLY, EROFS);
}

int
host_try_masks(struct host_trial *trial)
{
    char byte;
    int fd, memory = -1, r = proc_mount(trial, NULL);

    if (r == 0) {
        /* Any empty file will do: that of a tmpfs, mounted where nobody needs it now. */
        static const char *const options[] = { "size", "4k", NULL };

        trial->why = "mask of /proc/cmdline";
        r = template_fs_new(&memory, "tmpfs", options, MOUNT_ATTR_NOSUID);
        r = r == 0 ? mounts_attach(memory, PLACE "/sys") : r;
    }
    if (r < 0) {
        return r;
    }
    if (mknod(PLACE "/sys/empty", S_IFREG | 0444, 0) < 0) {
        return -errno;
    }
    r = bind_read_only(PLACE "/sys/empty", PLACE "/cmdline");
    if (r < 0) {
        return r;
    }
    fd = open(PLACE "/cmdline", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    return read(fd, &byte, 1) == 0 ? 0 : -EIO;
}

/* As the payload's user: pid 1, which is another user's, must not be there. */
static void
act_look_at_init(const void *arg)
{
    struct stat st;

    (void)arg; /* nothing to be told */
    if (syscall(SYS_setresgid, PAYLOAD_ID, PAYLOAD_ID, PAYLOAD_ID) < 0 ||
        syscall(SYS_setresuid, PAYLOAD_ID, PAYLOAD_ID, PAYLOAD_ID) < 0) {
        _exit(2);
    }
    _exit(stat(PLACE "/1", &st) < 0 && errno == ENOENT ? 0 : 1);
}

int
host_try_hidepid(struct host_trial *trial)
{
    int r = proc_mount(trial, "hidepid");

    trial->why = r < 0 ? "hidepid=invisible" : "a process of another user is in sight";
    return r < 0 ? r : host_trial_grandchild(act_look_at_init, NULL) == 0 ? 0 : -EIO;
}

/* As the agent opens files: neither a link nor a way out leads anywhere. */
int
host_try_workspace(struct host_trial *trial)
{
    struct open_how how = { .flags = O_RDONLY | O_CLOEXEC,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
    int dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    long fd = syscall(SYS_openat2, dir, "proc", &how, sizeof(how));

    trial->why = "openat2";
    if (dir < 0 || fd < 0) {
        return -errno;
    }
    if (syscall(SYS_openat2, fd, "../etc", &how, sizeof(how)) >= 0 || errno != EXDEV ||
        syscall(SYS_openat2, fd, "self", &how, sizeof(how)) >= 0 || errno != ELOOP) {
        trial->why = "a path that leads away is followed";
        return -EIO;
    }
    return 0;
}

int
host_try_disk(struct host_trial *trial)
{
    static const char zeroes[4096];
    unsigned written = 0;
    int fd, disk = -1, r;

    trial->why = "a tmpfs with a size";
    r = mounts_disk_new(&disk, getuid(), 16ull * TRIAL_DISK);
    if (r == 0) {
        r = mounts_disk_resize(disk, TRIAL_DISK);
    }
    if (r < 0) {
        return r;
    }
    fd = openat(disk, "x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -errno;
    }
    while (written < 4 * TRIAL_DISK && write(fd, zeroes, sizeof(zeroes)) == (ssize_t)sizeof(zeroes)) {
        written += (unsigned)sizeof(zeroes);
    }
    trial->why = "the size of a tmpfs";
    return written < 4 * TRIAL_DISK ? 0 : -EIO;
}

int
host_try_inodes(struct host_trial *trial)
{
    static const char *const options[] = { "size", "1m", "nr_inodes", "8", NULL };
    char name[16];
    int fd = -1, r;

    trial->why = "a tmpfs with nr_inodes";
    r = template_fs_new(&fd, "tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    for (unsigned i = 0; i < 16 && r == 0; i++) {
        (void)snprintf(name, sizeof(name), "f%u", i); /* two digits */
        if (mknodat(fd, name, S_IFREG | 0600, 0) < 0) {
            return errno == ENOSPC ? 0 : -errno;
        }
    }
    trial->why = "the number of files of a tmpfs";
    return r < 0 ? r : -EIO;
}
