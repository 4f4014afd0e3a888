#include "executor/launcher/mounts_gvisor.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "executor/launcher/bundle.h"
#include "executor/launcher/mounts.h"
#include "executor/launcher/runsc.h"
#include "executor/launcher/template.h"

#define BUNDLE_MAX 16384
/* runsc makes one for the gofer and one for the sentry. */
#define USER_NAMESPACES "2"
/* In a tmpfs of its own, "bin" of every outer root, and "inside0", "inside1" ([inet]): BUNDLE_AGENT_DIR inside. */
#define SHARED "g/shared"

_must_check_ static int
copy_file(int dir, const char *name, int from, mode_t mode)
{
    struct stat st;
    off_t offset = 0;
    int r = 0, to;

    if (fstat(from, &st) < 0) {
        return -EIO;
    }
    to = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (to < 0) {
        return -errno;
    }
    while (r == 0 && offset < st.st_size) {
        if (sendfile(to, from, &offset, (size_t)(st.st_size - offset)) <= 0) {
            r = -EIO;
        }
    }
    close(to);
    return r;
}

_must_check_ static int
write_bundle(int dir, const char *name, const struct settings *settings _unused_,
             const struct settings_template *template)
{
    const char *const args[] = { "/" BUNDLE_AGENT_DIR "/" BUNDLE_AGENT, "--nested",
#ifdef SANDBOX_MUTANT
                                 "--walls-off", settings->walls_off,
#endif
                                 NULL };
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(BUNDLE_MAX);
    int r = 0, fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);

    if (fd < 0) {
        return -errno;
    }
    bundle_write(&text, args, template->workspace_exec);
    if (text.failed || write(fd, text.data, text.len) != (ssize_t)text.len) {
        r = -EIO;
    }
    close(fd);
    return r;
}

/* The same files for all templates, so that they are in memory once. */
_must_check_ static int
shared_make(int root, const struct mounts_gvisor_files *files)
{
    static const char *const options[] = { "size", "512m", "nr_inodes", "16", "mode", "0755", NULL };
    char name[40];
    int fd = -1, r = template_fs_new(&fd, "tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);

    if (r < 0) {
        return r;
    }
    r = mkdirat(fd, "bin", 0755) < 0 ? -errno : copy_file(fd, "bin/runsc", files->runsc_fd, 0555);
    for (int inet = 0; inet < 2 && r == 0; inet++) {
        (void)snprintf(name, sizeof(name), "inside%d", inet); /* fits, as those below */
        r = mkdirat(fd, name, 0755) < 0 ? -errno : 0;
        if (r == 0 && files->filter_fd[inet] >= 0) {
            (void)snprintf(name, sizeof(name), "inside%d/" BUNDLE_AGENT, inet);
            r = copy_file(fd, name, files->agent_fd, 0555);
            (void)snprintf(name, sizeof(name), "inside%d/" BUNDLE_FILTER, inet);
            r = r < 0 ? r : copy_file(fd, name, files->filter_fd[inet], 0444);
        }
    }
    if (r == 0) {
        r = mounts_restrict(fd, MOUNT_ATTR_RDONLY);
    }
    if (r == 0 &&
        (mkdirat(root, SHARED, 0755) < 0 || move_mount(fd, "", root, SHARED, MOVE_MOUNT_F_EMPTY_PATH) < 0)) {
        r = -errno;
    }
    close(fd);
    return r;
}

/* `from` of the launcher's tree once more at `to`, with what is mounted below it. */
_must_check_ static int
graft(int root, const char *from, const char *to, uint64_t cleared)
{
    struct mount_attr attr = { .attr_clr = cleared };
    int r = 0, fd = open_tree(root, from, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

    if (fd < 0) {
        return -errno;
    }
    if ((cleared != 0 && mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) ||
        move_mount(fd, "", root, to, MOVE_MOUNT_F_EMPTY_PATH) < 0) {
        r = -errno;
    }
    close(fd);
    return r;
}

_must_check_ static int
outer_fill(int root, const char *name, bool inet)
{
    const struct {
        const char *from, *to;
        bool is_of_template;
        uint64_t cleared;
    } grafts[] = {
        { SHARED "/bin", "bin", false, 0 },
        /* runsc remounts it read-only with no other flag, which is forbidden when that takes a locked one away. */
        { "", "bundle/rootfs", true, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV },
        { "/dev", "dev", true, 0 },
        { inet ? SHARED "/inside1" : SHARED "/inside0", "bundle/rootfs/" BUNDLE_AGENT_DIR, false, 0 },
    };
    char from[LAUNCH_TEMPLATE_LEN + 16], to[LAUNCH_TEMPLATE_LEN + 64];
    int r = 0;

    for (size_t i = 0; i < SBX_COUNT(grafts) && r == 0; i++) {
        (void)snprintf(from, sizeof(from), "t/%s%s", name, grafts[i].from); /* both sized for it */
        (void)snprintf(to, sizeof(to), "g/t/%s/%s", name, grafts[i].to);
        r = graft(root, grafts[i].is_of_template ? from : grafts[i].from, to, grafts[i].cleared);
    }
    return r;
}

_must_check_ static int
outer_make(int root, const struct settings *settings, const struct settings_template *template)
{
    static const char *const options[] = { "size", "64k", "nr_inodes", "32", "mode", "0755", NULL };
    static const char *const dirs[] = {
        "bin", "bundle", "bundle/rootfs", "dev", "proc", "tmp", "run", "disk"
    };
    char path[LAUNCH_TEMPLATE_LEN + 8];
    int fd = -1, r = template_fs_new(&fd, "tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);

    for (size_t i = 0; i < SBX_COUNT(dirs) && r == 0; i++) {
        r = mkdirat(fd, dirs[i], 0755) < 0 ? -errno : 0;
    }
    if (r == 0) {
        r = write_bundle(fd, "bundle/config.json", settings, template);
    }
    if (r == 0) {
        r = mounts_restrict(fd, MOUNT_ATTR_RDONLY);
    }
    if (r == 0) {
        (void)snprintf(path, sizeof(path), "g/t/%s", template->name); /* sized for it */
        r = mkdirat(root, path, 0755) < 0 || move_mount(fd, "", root, path, MOVE_MOUNT_F_EMPTY_PATH) < 0
                ? -errno
                : outer_fill(root, template->name, template->inet);
    }
    if (fd >= 0) {
        close(fd);
    }
    return r;
}

_must_check_ int
mounts_gvisor_prepare(int root, const struct settings *settings, const struct mounts_gvisor_files *files,
                      const char **ret_stage)
{
    int r;

    *ret_stage = "gvisor files";
    r = shared_make(root, files);
    if (r == 0 && mkdirat(root, "g/t", 0755) < 0) {
        r = -errno;
    }
    *ret_stage = "gvisor root";
    for (unsigned i = 0; i < settings->n_templates && r == 0; i++) {
        r = outer_make(root, settings, &settings->templates[i]);
    }
    return r;
}

/*
 * Whole and unmasked, unlike a payload's: runsc mounts one of its own, which the kernel permits only where one is
 * fully visible. All it shows is runsc.
 */
_must_check_ static int
proc_attach(void)
{
    static const char *const options[] = { NULL };
    int fd = -1,
        r = template_fs_new(&fd, "proc", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);

    if (r < 0) {
        return r;
    }
    r = mounts_user_namespaces(fd, USER_NAMESPACES);
    if (r == 0) {
        r = mounts_attach(fd, "proc");
    }
    close(fd);
    return r;
}

/* runsc's state: a file and a socket. */
_must_check_ static int
run_attach(void)
{
    static const char *const options[] = { "size", "1m", "nr_inodes", "64", "mode", "0700", NULL };
    int fd = -1,
        r = template_fs_new(&fd, "tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);

    if (r == 0) {
        r = mounts_attach(fd, "run");
        close(fd);
    }
    return r;
}

_must_check_ int
mounts_gvisor_apply(const char *template_name, int disk_fd, const char **ret_stage)
{
    char path[sizeof("/g/t/") + LAUNCH_TEMPLATE_LEN];
    int root = -1, r;

    *ret_stage = "mount root";
    (void)snprintf(path, sizeof(path), "/g/t/%s", template_name); /* sized for it */
    r = mounts_clone(&root, path, AT_RECURSIVE);
    if (r == 0) {
        r = mounts_attach(root, TEMPLATE_NEW_ROOT);
    }
    if (r == 0 && fchdir(root) < 0) {
        r = -errno;
    }
    if (r == 0) {
        *ret_stage = "mount workspace";
        r = mounts_attach(disk_fd, "disk");
    }
    if (r == 0) {
        *ret_stage = "mount /proc";
        r = proc_attach();
    }
    if (r == 0) {
        *ret_stage = "mount /run";
        r = run_attach();
    }
    if (root >= 0) {
        close(root);
    }
    if (r == 0) {
        *ret_stage = "pivot_root";
        r = mounts_root_enter();
    }
    return r;
}
