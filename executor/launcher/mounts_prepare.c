/* The launcher's own tree: made once, entered once, never left. */
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "executor/launcher/mounts.h"
#include "executor/launcher/mounts_gvisor.h"
#include "executor/launcher/template.h"
#include "lib/sbx_wall.h"

_must_check_ static int
attach_at(int fd, int dir, const char *name)
{
    return move_mount(fd, "", dir, name, MOVE_MOUNT_F_EMPTY_PATH) < 0 ? -errno : 0;
}

_must_check_ static int
skeleton_make(int root)
{
    static const char *const dirs[] = { "t", "g", "new", "disk", "proc", "empty", "hide", "hide/local" };
    static const char *const hidden[] = { "hide/etc", "hide/local/etc" };

    for (size_t i = 0; i < SBX_COUNT(dirs); i++) {
        if (mkdirat(root, dirs[i], 0755) < 0) {
            return -errno;
        }
    }
    for (size_t i = 0; i < SBX_COUNT(hidden); i++) {
        if (mknodat(root, hidden[i], S_IFCHR, makedev(0, 0)) < 0) {
            return -errno;
        }
    }
    return 0;
}

/* The launcher's pid namespace; a whole /proc must be in sight for a child to be given one of its own. */
_must_check_ static int
proc_make(int root)
{
    static const char *const options[] = { NULL };
    int fd = -1,
        r = template_fs_new(&fd, "proc", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);

    if (r < 0) {
        return r;
    }
    r = template_masks_probe(fd);
    if (r == 0) {
        r = attach_at(fd, root, "proc");
    }
    close(fd);
    return r;
}

_must_check_ static int
template_make(int root, const struct settings *settings, const struct settings_template *template,
              const char **ret_stage)
{
    static const char *const options[] = { "size", "64m", "nr_inodes", "8192", "mode", "0755", NULL };
    char path[LAUNCH_TEMPLATE_LEN + 4];
    int fd = -1, r = template_fs_new(&fd, "tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);

    if (r < 0) {
        return r;
    }
    (void)snprintf(path, sizeof(path), "t/%s", template->name); /* sized for it */
    r = mkdirat(root, path, 0755) < 0 ? -errno : attach_at(fd, root, path);
    if (r == 0) {
        r = template_build(fd, settings, template, ret_stage);
    }
    if (r == 0 && !sbx_wall_is_off(SBX_WALL_READ_ONLY_ROOT)) {
        r = mounts_restrict(fd, MOUNT_ATTR_RDONLY);
    }
    close(fd);
    return r;
}

_must_check_ static int
tree_make(int root, const struct settings *settings, const struct mounts_gvisor_files *gvisor,
          const char **ret_stage)
{
    int r = skeleton_make(root);

    if (r == 0) {
        *ret_stage = "own /proc";
        r = proc_make(root);
    }
    for (unsigned i = 0; i < settings->n_templates && r == 0; i++) {
        r = template_make(root, settings, &settings->templates[i], ret_stage);
    }
    if (r == 0 && gvisor != NULL) {
        r = mounts_gvisor_prepare(root, settings, gvisor, ret_stage);
    }
    if (r == 0) {
        r = mounts_restrict(root, MOUNT_ATTR_RDONLY);
    }
    return r;
}

_must_check_ static int
tree_enter(int root)
{
    if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
        chdir("/") < 0) {
        return -errno;
    }
    return 0;
}

_must_check_ int
mounts_prepare(const struct settings *settings, const struct mounts_gvisor_files *gvisor,
               const char **ret_stage)
{
    static const char *const options[] = { "size", "1m", "nr_inodes", "256", "mode", "0755", NULL };
    mode_t mask = umask(0);
    int root = -1, r;

    *ret_stage = "own mount namespace";
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        r = -errno;
        umask(mask);
        return r;
    }
    *ret_stage = "own root";
    r = template_fs_new(&root, "tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    if (r == 0) {
        r = attach_at(root, AT_FDCWD, settings->state_dir);
    }
    if (r == 0) {
        r = tree_make(root, settings, gvisor, ret_stage);
    }
    if (r == 0) {
        *ret_stage = "own pivot_root";
        r = tree_enter(root);
    }
    if (r == 0) {
        *ret_stage = "own inodes (overlay; own_inodes = no does without)";
        r = overlay_probe(settings);
    }
    if (root >= 0) {
        close(root);
    }
    umask(mask);
    return r;
}

_must_check_ int
mounts_leave_templates(const struct settings *settings)
{
    static const char *const dirs[] = { "/t/", "/g/t/" };
    char path[sizeof("/g/t/") + LAUNCH_TEMPLATE_LEN];

    if (unshare(CLONE_NEWNS) < 0) {
        return -errno;
    }
    for (unsigned i = 0; i < settings->n_templates * SBX_COUNT(dirs); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", dirs[i % SBX_COUNT(dirs)],
                       settings->templates[i / SBX_COUNT(dirs)].name); /* sized for it */
        if (umount2(path, MNT_DETACH) < 0 && errno != EINVAL && errno != ENOENT) {
            return -errno; /* without the gVisor tier there are fewer */
        }
    }
    return 0;
}

_must_check_ int
mounts_favor_dynmods(void)
{
    int mnt = -1, r = 0, fs = fsopen("cgroup", FSOPEN_CLOEXEC);

    if (fs < 0) {
        return -errno;
    }
    if (fsconfig(fs, FSCONFIG_SET_FLAG, "none", NULL, 0) < 0 ||
        fsconfig(fs, FSCONFIG_SET_STRING, "name", "sbx_favordyn", 0) < 0 ||
        fsconfig(fs, FSCONFIG_SET_FLAG, "favordynmods", NULL, 0) < 0 ||
        fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 ||
        (mnt = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)) < 0) {
        r = -errno;
    }
    close(fs);
    if (mnt >= 0) {
        close(mnt); /* the last reference: mounted nowhere, so gone */
    }
    return r;
}
