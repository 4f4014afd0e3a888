#include "executor/launcher/template.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/sbx_wall.h"

#define COPY_MAX_FILES 2048
#define COPY_MAX_BYTES (32u << 20)
#define COPY_MAX_DEPTH 6

#define MASKS_MAX 96
#define MASK_NAME_LEN 32

/*
 * What stays of the top of /proc. The rest tells of the host or its kernel (locks: of everybody's files) or reaches
 * it (pressure: by anyone); what a later kernel or a module adds is covered too. node reads cpuinfo, stat and
 * meminfo, libselinux in every ls and cp filesystems. What root alone may open needs no cover: no id of a sandbox is root,
 * nor has a capability there any power over root's files. Each cover costs its making and its end.
 */
static const char *const kept_names[] = { "cpuinfo",     "filesystems", "loadavg", "meminfo", "mounts",
                                          "net",         "self",        "stat",    "sys",     "sysvipc",
                                          "thread-self", "uptime",      "version" };

static char mask_names[MASKS_MAX][MASK_NAME_LEN];
static struct template_mask masks[MASKS_MAX + 1];

_must_check_ int
template_fs_new(int *ret_fd, const char *type, const char *const *options, unsigned attributes)
{
    int mnt = -1, r = 0, fs = fsopen(type, FSOPEN_CLOEXEC);

    if (fs < 0) {
        return -errno;
    }
    for (; *options != NULL && r == 0; options += 2) {
        r = fsconfig(fs, FSCONFIG_SET_STRING, options[0], options[1], 0) < 0 ? -errno : 0;
    }
    if (r == 0 && (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 ||
                   (mnt = fsmount(fs, FSMOUNT_CLOEXEC, attributes)) < 0)) {
        r = -errno;
    }
    close(fs);
    if (r == 0) {
        *ret_fd = mnt;
    }
    return r;
}

static bool
is_kept(const char *name)
{
    for (size_t i = 0; i < SBX_COUNT(kept_names); i++) {
        if (strcmp(name, kept_names[i]) == 0) {
            return true;
        }
    }
    return name[0] == '.' || (name[0] >= '0' && name[0] <= '9');
}

static bool
is_roots(const struct stat *st)
{
    return S_ISREG(st->st_mode) && st->st_uid == 0 && st->st_gid == 0 && (st->st_mode & S_IRWXO) == 0;
}

_must_check_ static int
mask_add(size_t *n, int proc, const char *name)
{
    struct stat st;

    if (fstatat(proc, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return -errno;
    }
    if (is_roots(&st)) {
        return 0;
    }
    if (*n == MASKS_MAX || strlen(name) >= MASK_NAME_LEN) {
        return -E2BIG;
    }
    memcpy(mask_names[*n], name, strlen(name) + 1);
    masks[*n] = (struct template_mask){ mask_names[*n], S_ISDIR(st.st_mode) };
    ++*n;
    return 0;
}

_must_check_ int
template_masks_probe(int proc)
{
    int fd = openat(proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    size_t n = 0;

    if (dir == NULL) {
        r = -errno;
        if (fd >= 0) {
            close(fd);
        }
        return r;
    }
    while (r == 0 && (entry = readdir(dir)) != NULL) {
        if (!is_kept(entry->d_name)) {
            r = mask_add(&n, proc, entry->d_name);
        }
    }
    closedir(dir);
    masks[r < 0 ? 0 : n] = (struct template_mask){ 0 };
    return r;
}

const struct template_mask *
template_masks(void)
{
    return masks;
}

_must_check_ static int
write_file(int dir, const char *name, const char *text)
{
    size_t len = strlen(text);
    int r = 0, fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);

    if (fd < 0) {
        return -errno;
    }
    if (write(fd, text, len) != (ssize_t)len) {
        r = -EIO;
    }
    close(fd);
    return r;
}

struct budget {
    unsigned files;
    uint64_t bytes;
};

_must_check_ static int
copy_file(int from_dir, int to_dir, const char *name, mode_t mode, struct budget *budget)
{
    char chunk[16384];
    ssize_t n = -1;
    int r = 0, to = -1,
        from = openat(from_dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

    if (from < 0) {
        return -errno;
    }
    to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444 | (mode & 0111));
    if (to < 0) {
        r = -errno;
    }
    while (r == 0 && (n = read(from, chunk, sizeof(chunk))) > 0) {
        budget->bytes += (uint64_t)n;
        if (budget->bytes > COPY_MAX_BYTES) {
            r = -EFBIG;
        } else if (write(to, chunk, (size_t)n) != n) {
            r = -EIO;
        }
    }
    if (r == 0 && n < 0) {
        r = -errno;
    }
    close(from);
    if (to >= 0) {
        close(to);
    }
    return r;
}

_must_check_ static int
copy_link(int from_dir, int to_dir, const char *name)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(from_dir, name, target, sizeof(target) - 1);

    if (n < 0) {
        return -errno;
    }
    target[n] = '\0';
    return symlinkat(target, to_dir, name) < 0 ? -errno : 0;
}

_must_check_ static int copy_dir(int from_dir, int to_dir, const char *name, struct budget *budget,
                                 int depth);

_must_check_ static int
copy_entry(int from_dir, int to_dir, const char *name, struct budget *budget, int depth)
{
    struct stat st;

    if (++budget->files > COPY_MAX_FILES) {
        return -EFBIG;
    }
    if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return -errno;
    }
    switch (st.st_mode & S_IFMT) {
    case S_IFREG:
        return copy_file(from_dir, to_dir, name, st.st_mode, budget);
    case S_IFLNK:
        return copy_link(from_dir, to_dir, name);
    case S_IFDIR:
        return depth < COPY_MAX_DEPTH ? copy_dir(from_dir, to_dir, name, budget, depth + 1) : -ELOOP;
    default:
        return 0; /* devices and sockets have no business here */
    }
}

/* The directory `name` of from_dir into to_dir, where it may exist. */
_must_check_ static int
copy_dir(int from_dir, int to_dir, const char *name, struct budget *budget, int depth)
{
    struct dirent *entry;
    DIR *dir;
    int r = 0, to, from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (from < 0) {
        return -errno;
    }
    dir = fdopendir(from);
    if (dir == NULL || (mkdirat(to_dir, name, 0755) < 0 && errno != EEXIST)) {
        r = -errno;
    }
    to = r < 0 ? -1 : openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (r == 0 && to < 0) {
        r = -errno;
    }
    while (r == 0 && dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            r = copy_entry(from, to, entry->d_name, budget, depth);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    } else {
        close(from);
    }
    if (to >= 0) {
        close(to);
    }
    return r;
}

_must_check_ static int
dirs_make(int root)
{
    static const char *const dirs[] = { "usr",         "etc", "proc", "dev",  "tmp", "workspace",      "run",
                                        "run/sandbox", "opt", "root", "home", "var", TEMPLATE_MASK_DIR };
    static const struct {
        const char *target, *name;
    } links[] = { { "usr/bin", "bin" },
                  { "usr/sbin", "sbin" },
                  { "usr/lib", "lib" },
                  { "usr/lib64", "lib64" },
                  { "../tmp", "var/tmp" },
                  /* There it is only within a gVisor that needs it (session-agent/preload). */
                  { "../" TEMPLATE_AGENT_DIR "/ld.so.preload", "etc/ld.so.preload" } };

    for (size_t i = 0; i < SBX_COUNT(dirs); i++) {
        if (mkdirat(root, dirs[i], sbx_wall_is_off(SBX_WALL_READ_ONLY_ROOT) ? 0777 : 0755) < 0) {
            return -errno;
        }
    }
    for (size_t i = 0; i < SBX_COUNT(links); i++) {
        if (symlinkat(links[i].target, root, links[i].name) < 0) {
            return -errno;
        }
    }
    /* The boot's id would tell one host from another; a nil one is still of the form that programs parse. */
    return write_file(root, TEMPLATE_MASK_FILE, "") < 0
               ? -EIO
               : write_file(root, TEMPLATE_MASK_BOOT_ID, "00000000-0000-0000-0000-000000000000\n");
}

/* Copied, not bound: fewer mounts to clone for each sandbox, and no host path in its mount table. */
_must_check_ static int
etc_fill(int root, int source)
{
    static const struct {
        const char *name, *text;
    } files[] = {
        { "etc/passwd", "root:x:0:0:root:/workspace:/usr/sbin/nologin\n"
                        "sandbox:x:1000:1000:sandbox:/workspace:/bin/bash\n"
                        "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n" },
        { "etc/group", "root:x:0:\nsandbox:x:1000:\nnogroup:x:65534:\n" },
        { "etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost\n" },
        { "etc/hostname", "sandbox\n" },
        { "etc/resolv.conf", "" },
        { "etc/nsswitch.conf",
          "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n" },
    };
    static const char *const dirs[] = { "etc/ssl", "etc/ssl/certs" };
    /* Nothing secret is among them: OpenSSL's defaults and the public certificates, names of ports. */
    static const char *const copied[] = { "etc/ld.so.cache",
                                          "etc/alternatives",
                                          "etc/mime.types",
                                          "etc/services",
                                          "etc/protocols",
                                          "etc/ssl/openssl.cnf",
                                          "etc/ssl/certs/ca-certificates.crt" };
    struct budget budget = { 0 };

    for (size_t i = 0; i < SBX_COUNT(files); i++) {
        int r = write_file(root, files[i].name, files[i].text);

        if (r < 0) {
            return r;
        }
    }
    for (size_t i = 0; i < SBX_COUNT(dirs); i++) {
        if (mkdirat(root, dirs[i], 0755) < 0) {
            return -errno;
        }
    }
    for (size_t i = 0; i < SBX_COUNT(copied); i++) {
        int r = copy_entry(source, root, copied[i], &budget, 0);

        if (r < 0 && r != -ENOENT) { /* an image may lack each of them */
            return r;
        }
    }
    return 0;
}

_must_check_ static int
dev_nodes(int dev)
{
    static const struct {
        const char *name;
        unsigned minor;
    } nodes[] = { { "null", 3 },   { "zero", 5 },    { "full", 7 },
                  { "random", 8 }, { "urandom", 9 }, { "kmsg", 11 } };
    static const struct {
        const char *target, *name;
    } links[] = { { "/proc/self/fd", "fd" },
                  { "/proc/self/fd/0", "stdin" },
                  { "/proc/self/fd/1", "stdout" },
                  { "/proc/self/fd/2", "stderr" } };
    size_t n_nodes = SBX_COUNT(nodes) - !sbx_wall_is_off(SBX_WALL_DEVICES);

    for (size_t i = 0; i < n_nodes; i++) {
        if (mknodat(dev, nodes[i].name, S_IFCHR, makedev(1, nodes[i].minor)) < 0 ||
            fchmodat(dev, nodes[i].name, 0666, 0) < 0) {
            return -errno;
        }
    }
    for (size_t i = 0; i < SBX_COUNT(links); i++) {
        if (symlinkat(links[i].target, dev, links[i].name) < 0) {
            return -errno;
        }
    }
    if (sbx_wall_is_off(SBX_WALL_DEVICES) && mkdirat(dev, "pts", 0755) < 0) {
        return -errno;
    }
    return mkdirat(dev, "shm", 0755) < 0 ? -errno : 0;
}

/* In the root's dev/ for overlays, and on top of it, as a mount that may hold devices, for clones of the tree. */
_must_check_ static int
dev_fill(int root)
{
    static const char *const options[] = { "size", "64k", "nr_inodes", "64", "mode", "0755", NULL };
    struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY };
    int mount = -1, r, dev = openat(root, "dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dev < 0) {
        return -errno;
    }
    r = dev_nodes(dev);
    close(dev);
    if (r == 0) {
        r = template_fs_new(&mount, "tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    }
    if (r == 0) {
        r = dev_nodes(mount);
    }
    if (r == 0 && (mount_setattr(mount, "", AT_EMPTY_PATH, &read_only, sizeof(read_only)) < 0 ||
                   move_mount(mount, "", root, "dev", MOVE_MOUNT_F_EMPTY_PATH) < 0)) {
        r = -errno;
    }
    if (mount >= 0) {
        close(mount);
    }
    return r;
}

_must_check_ static int
bind_read_only(int root, int source, const char *name)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
                               .propagation = MS_PRIVATE };
    int r = 0, fd = open_tree(source, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

    if (fd < 0) {
        return -errno;
    }
    if (mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0 ||
        move_mount(fd, "", root, name, MOVE_MOUNT_F_EMPTY_PATH) < 0) {
        r = -errno;
    }
    close(fd);
    return r;
}

/* As TEMPLATE_HIDE_DIR does it for overlays. */
_must_check_ static int
usr_hide(int root)
{
    static const char *const hidden[] = { "usr/etc", "usr/local/etc" };
    int r = 0;

    for (size_t i = 0; i < SBX_COUNT(hidden) && r == 0; i++) {
        int fd = open_tree(root, TEMPLATE_MASK_DIR, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

        if (fd < 0) {
            return -errno;
        }
        if (move_mount(fd, "", root, hidden[i], MOVE_MOUNT_F_EMPTY_PATH) < 0 && errno != ENOENT) {
            r = -errno;
        }
        close(fd);
    }
    return r;
}

/* Read-only also without the wall: a program of the tests may look, not touch. */
_must_check_ static int
host_bind(int root, int source)
{
    static const char *const dirs[] = { "etc", "var", "root", "home", "sys" };
    int r = mkdirat(root, "sys", 0755) < 0 ? -errno : 0;

    for (size_t i = 0; i < SBX_COUNT(dirs) && r == 0; i++) {
        r = bind_read_only(root, source, dirs[i]);
    }
    return r;
}

/* The drivers and the registry, as /opt/sandbox. */
_must_check_ static int
opt_fill(int root, const char *opt_dir)
{
    struct budget budget = { 0 };
    int r, to, from = open(opt_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (from < 0) {
        return -errno;
    }
    to = mkdirat(root, "opt/sandbox", 0755) < 0
             ? -1
             : openat(root, "opt/sandbox", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (to < 0) {
        r = -errno;
    } else {
        r = copy_entry(from, to, "runtimes.json", &budget, 0);
        if (r == 0) {
            r = copy_entry(from, to, "drivers", &budget, 0);
        }
        if (r == 0 && mkdirat(root, TEMPLATE_AGENT_DIR, 0755) < 0) {
            r = -errno;
        }
        close(to);
    }
    close(from);
    return r;
}

_must_check_ int
template_build(int root, const struct settings *settings, const struct settings_template *template,
               const char **ret_stage)
{
    int r, source = open(template->root, O_PATH | O_DIRECTORY | O_CLOEXEC);

    *ret_stage = "template root";
    if (source < 0) {
        return -errno;
    }
    r = dirs_make(root);
    if (r == 0) {
        *ret_stage = "template etc";
        r = etc_fill(root, source);
    }
    if (r == 0) {
        *ret_stage = "template usr";
        r = bind_read_only(root, source, "usr");
        if (r == 0 && strcmp(template->root, "/") == 0) {
            r = usr_hide(root);
        }
    }
    if (r == 0) {
        *ret_stage = "template dev";
        r = dev_fill(root);
    }
    if (r == 0) {
        *ret_stage = "template opt_dir";
        r = opt_fill(root, settings->opt_dir);
    }
    if (r == 0 && sbx_wall_is_off(SBX_WALL_OWN_ROOT)) {
        r = host_bind(root, source);
    }
    close(source);
    return r;
}
