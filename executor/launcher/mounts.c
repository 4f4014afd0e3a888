/* What happens to mounts for one sandbox: in the launcher (the disk) and in the child. */
#include "executor/launcher/mounts.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "executor/launcher/template.h"
#include "lib/sbx_wall.h"

#define DISK_INODES "32768"
#define DISK_SLACK 65536u
/* Without the wall: enough that a program of the tests meets no end of it. */
#define DISK_SIZE_NO_WALL (512ull << 20)
#define DISK_INODES_NO_WALL "262144"

struct disk_size {
    char text[24]; /* 20 digits at most */
};

static struct disk_size
disk_size(uint64_t bytes)
{
    struct disk_size size;

    if (sbx_wall_is_off(SBX_WALL_DISK)) {
        bytes = DISK_SIZE_NO_WALL;
    }
    (void)snprintf(size.text, sizeof(size.text), "%llu", (unsigned long long)bytes + DISK_SLACK); /* fits */
    return size;
}

_must_check_ int
mounts_disk_new(int *ret_fd, uid_t uid, uint64_t bytes)
{
    static const struct {
        const char *name;
        mode_t mode;
    } dirs[] = { { "workspace", 0755 }, { "tmp", 01777 }, { "shm", 01777 }, { "run", 0755 } };
    const struct disk_size size = disk_size(bytes);
    const char *const options[] = {
        "size", size.text, "nr_inodes", sbx_wall_is_off(SBX_WALL_INODES) ? DISK_INODES_NO_WALL : DISK_INODES,
        "mode", "0755",    NULL
    };
    mode_t extra = sbx_wall_is_off(SBX_WALL_UID) ? 0022 : 0; /* the payload is not the owner then */
    int fd = -1, r = template_fs_new(&fd, "tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);

    for (size_t i = 0; i < SBX_COUNT(dirs) && r == 0; i++) {
        if (mkdirat(fd, dirs[i].name, 0700) < 0 || fchownat(fd, dirs[i].name, uid, uid, 0) < 0 ||
            fchmodat(fd, dirs[i].name, dirs[i].mode | extra, 0) < 0) {
            r = -errno;
        }
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

_must_check_ int
mounts_disk_resize(int disk_fd, uint64_t bytes)
{
    const struct disk_size size = disk_size(bytes);
    int r = 0, fs = fspick(disk_fd, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);

    if (fs < 0) {
        return -errno;
    }
    if (fsconfig(fs, FSCONFIG_SET_STRING, "size", size.text, 0) < 0 ||
        fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0) {
        r = -errno;
    }
    close(fs);
    return r;
}

_must_check_ int
mounts_disk_used(int disk_fd, struct mounts_usage *ret)
{
    struct statfs fs;

    if (fstatfs(disk_fd, &fs) < 0) {
        return -errno;
    }
    ret->bytes = (uint64_t)(fs.f_blocks - fs.f_bfree) * (uint64_t)fs.f_bsize;
    ret->files = (uint64_t)(fs.f_files - fs.f_ffree);
    ret->max_files = (uint64_t)fs.f_files;
    return 0;
}

_must_check_ int
mounts_clone(int *ret_fd, const char *path, unsigned flags)
{
    int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags);

    if (fd < 0) {
        return -errno;
    }
    *ret_fd = fd;
    return 0;
}

_must_check_ int
mounts_attach(int fd, const char *path)
{
    return move_mount(fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

_must_check_ int
mounts_restrict(int fd, uint64_t attributes)
{
    struct mount_attr attr = { .attr_set = attributes };

    return mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

/* `from` shown once more at `to`, with attributes on top of those it has. */
_must_check_ static int
bind(const char *from, const char *to, uint64_t attributes)
{
    int fd = -1, r;

    /* A third of the work where nothing is to be changed before it can be seen. */
    if (attributes == 0) {
        return mount(from, to, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
    }
    r = mounts_clone(&fd, from, 0);
    if (r == 0) {
        r = mounts_restrict(fd, attributes);
    }
    if (r == 0) {
        r = mounts_attach(fd, to);
    }
    if (fd >= 0) {
        close(fd);
    }
    return r;
}

/* One tmpfs, so one size for all of them. It is attached in passing, in the tree that is left behind: a detached mount
 * cannot be cloned before 6.15. */
_must_check_ static int
disk_attach(int disk_fd, bool exec)
{
    uint64_t programs = exec ? 0 : MOUNT_ATTR_NOEXEC;
    const struct {
        const char *from, *to;
        uint64_t attributes;
    } binds[] = {
        { TEMPLATE_DISK_DIR "/workspace", "workspace", programs },
        { TEMPLATE_DISK_DIR "/tmp", "tmp", programs },
        { TEMPLATE_DISK_DIR "/shm", "dev/shm", MOUNT_ATTR_NOEXEC },
        { TEMPLATE_DISK_DIR "/run", "run/sandbox", programs },
    };
    int r = mounts_attach(disk_fd, TEMPLATE_DISK_DIR);

    for (size_t i = 0; i < SBX_COUNT(binds) && r == 0; i++) {
        r = bind(binds[i].from, binds[i].to, binds[i].attributes);
    }
    return r;
}

_must_check_ int
mounts_user_namespaces(int proc, const char *most)
{
    int r = 0, fd = openat(proc, "sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    if (write(fd, most, 1) != 1) {
        r = -errno;
    }
    close(fd);
    return r;
}

/* An instance of the own pid namespace; only its owner may have one. */
_must_check_ static int
proc_new(int *ret_fd)
{
    static const char *const options[] = { "hidepid", "invisible", NULL };

    if (sbx_wall_is_off(SBX_WALL_PID_NAMESPACE)) {
        return mounts_clone(ret_fd, "/proc", 0);
    }
    return template_fs_new(ret_fd, "proc", sbx_wall_is_off(SBX_WALL_HIDEPID) ? options + 2 : options,
                           MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

/* What has been made once is the nearest to make others of: no way there through the overlay. */
_must_check_ static int
cover(const char **mask, const char *path)
{
    int r = bind(*mask, path, 0);

    *mask = r == 0 ? path : *mask;
    return r;
}

/* The working directory is /proc, whose names are looked up a hundred times. */
_must_check_ static int
proc_cover(void)
{
    /* Each number goes up and down with what any sandbox does: two of them could count for each other. */
    static const char *const of_host[] = { "sys/fs/aio-nr", "sys/fs/dentry-state", "sys/fs/file-nr",
                                           "sys/fs/inode-nr", "sys/fs/inode-state" };
    const struct template_mask *masks = template_masks();
    const char *file = "../" TEMPLATE_MASK_FILE, *dir = "../" TEMPLATE_MASK_DIR;
    int r = 0;

    if (!sbx_wall_is_off(SBX_WALL_PROC_READ_ONLY)) {
        r = bind("sys", "sys", MOUNT_ATTR_RDONLY);
    }
    if (r < 0 || sbx_wall_is_off(SBX_WALL_PROC_MASKS)) {
        return r;
    }
    r = bind("../" TEMPLATE_MASK_BOOT_ID, "sys/kernel/random/boot_id", 0);
    r = r == -ENOENT ? 0 : r; /* what a kernel is built without it does not tell */
    for (size_t i = 0; i < SBX_COUNT(of_host) && r == 0; i++) {
        r = cover(&file, of_host[i]);
        r = r == -ENOENT ? 0 : r; /* as above */
    }
    for (size_t i = 0; masks[i].name != NULL && r == 0; i++) {
        r = cover(masks[i].is_dir ? &dir : &file, masks[i].name);
    }
    return r;
}

_must_check_ static int
proc_attach(void)
{
    int fd = -1, r = proc_new(&fd);

    /* No user namespace inside may have children: half of what reaches kernel bugs begins there. */
    if (r == 0 && !sbx_wall_is_off(SBX_WALL_NESTED_NAMESPACES)) {
        r = mounts_user_namespaces(fd, "0");
    }
    if (r == 0) {
        r = mounts_attach(fd, "proc");
    }
    if (r == 0 && fchdir(fd) < 0) {
        r = -errno;
    }
    if (fd >= 0) {
        close(fd);
    }
    r = r < 0 ? r : proc_cover();
    return r < 0 ? r : chdir(TEMPLATE_NEW_ROOT) < 0 ? -errno : 0;
}

/*
 * Mounted nowhere: the agent opens terminals by this descriptor, the payload has no name for any, its own included. A few
 * more than a session has commands, of the 3072 that namespaces have together. Each belongs to the payload: a program may
 * open the one it was given once more, as /dev/stdin.
 */
_must_check_ static int
terminals_new(int *ret_fd)
{
    bool is_open = sbx_wall_is_off(SBX_WALL_DEVICES);
    const char *const options[] = { "mode", "0600", "ptmxmode", is_open ? "0666" : "0600",
                                    "uid",  "1000", "gid",      "1000",
                                    "max",  "35",   NULL };
    int fd = -1, r = template_fs_new(&fd, "devpts", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);

    if (r == 0 && is_open) {
        r = mounts_attach(fd, "dev/pts");
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

/* The old root is stacked on the new one for a moment, and goes with everything below. */
_must_check_ int
mounts_root_enter(void)
{
    char cwd[8];

    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) {
        return -errno;
    }
    /* CVE-2024-21626: a working directory outside of the root is a way out. */
    if (getcwd(cwd, sizeof(cwd)) == NULL || strcmp(cwd, "/") != 0) {
        return -EXDEV;
    }
    return 0;
}

/* Devices may be opened through dev/ alone. */
_must_check_ static int
overlay_attach(const struct overlay *overlay)
{
    int r = mounts_attach(overlay->root, TEMPLATE_NEW_ROOT);

    if (r == 0 && fchdir(overlay->root) < 0) {
        r = -errno;
    }
    if (r == 0) {
        r = bind("dev", "dev", MOUNT_ATTR_NOEXEC);
    }
    if (r == 0) {
        r = mounts_restrict(overlay->root, MOUNT_ATTR_NODEV);
    }
    return r < 0 ? r : mounts_attach(overlay->usr, "usr");
}

_must_check_ static int
template_attach(const char *template_name)
{
    char path[sizeof(TEMPLATE_DIR) + LAUNCH_TEMPLATE_LEN];
    int root = -1, r;

    (void)snprintf(path, sizeof(path), TEMPLATE_DIR "%s", template_name); /* sized for it */
    r = mounts_clone(&root, path, AT_RECURSIVE);
    if (r == 0) {
        r = mounts_attach(root, TEMPLATE_NEW_ROOT);
    }
    if (r == 0 && fchdir(root) < 0) {
        r = -errno;
    }
    if (root >= 0) {
        close(root);
    }
    return r;
}

_must_check_ int
mounts_apply(const struct settings_template *template, const struct overlay *overlay, int disk_fd,
             int *ret_terminals, const char **ret_stage)
{
    int r;

    *ret_stage = "mount root";
    r = overlay->root >= 0 ? overlay_attach(overlay) : template_attach(template->name);
    if (r == 0) {
        *ret_stage = "mount /proc";
        r = proc_attach();
    }
    if (r == 0) {
        *ret_stage = "mount workspace";
        r = disk_attach(disk_fd, template->workspace_exec);
    }
    if (r == 0) {
        *ret_stage = "terminals";
        r = terminals_new(ret_terminals);
    }
    if (r == 0) {
        *ret_stage = "pivot_root";
        r = mounts_root_enter();
    }
    return r;
}

_must_check_ int
mounts_apply_zygote(const struct overlay *overlay, uid_t uid)
{
    char id[16];
    const char *const options[] = { "size", "256k", "nr_inodes", "4", "mode", "0700",
                                    "uid",  id,     "gid",       id,  NULL };
    int fd = -1, r;

    (void)snprintf(id, sizeof(id), "%u", (unsigned)uid); /* ten digits at most */
    r = template_fs_new(&fd, "tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    if (r == 0) {
        r = overlay_attach(overlay);
    }
    if (r == 0) {
        r = mounts_attach(fd, "run/sandbox");
    }
    if (fd >= 0) {
        close(fd);
    }
    return r < 0 ? r : mounts_root_enter();
}
