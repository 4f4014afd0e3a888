#include "sbx_host.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

enum rule { AT_LEAST, AT_MOST, NO_PIPE };

/* Each closes a way to the kernel or to other users that the walls close too: a second line, for the whole host. */
static const struct {
    const char *name; /* of sysctl */
    enum rule rule;
    long wanted;
    const char *why;
} settings[] = {
    { "kernel.core_pattern", NO_PIPE, 0, "a pipe runs a program as root for each crash" },
    { "kernel.unprivileged_bpf_disabled", AT_LEAST, 1, "bpf is a way into the kernel" },
    { "kernel.io_uring_disabled", AT_LEAST, 1, "io_uring is a way into the kernel" },
    { "kernel.kptr_restrict", AT_LEAST, 1, "kernel addresses help exploits" },
    { "kernel.dmesg_restrict", AT_LEAST, 1, "the kernel's log tells of everybody" },
    { "kernel.perf_event_paranoid", AT_LEAST, 2, "perf is a way into the kernel" },
    { "vm.unprivileged_userfaultfd", AT_MOST, 0, "it widens the kernel's races" },
    { "dev.tty.legacy_tiocsti", AT_MOST, 0, "it types into other people's terminals" },
    { "kernel.yama.ptrace_scope", AT_LEAST, 1, "a process of a user can read all others of that user" },
    { "fs.protected_hardlinks", AT_LEAST, 1, "hard links to files of others" },
    { "fs.protected_symlinks", AT_LEAST, 1, "symbolic links planted in /tmp" },
    { "fs.protected_fifos", AT_LEAST, 1, "fifos planted in /tmp" },
    { "fs.protected_regular", AT_LEAST, 1, "files planted in /tmp" },
    { "fs.suid_dumpable", AT_MOST, 0, "memory of privileged programs in core files" },
    /* As systemd sets it at boot: the kernel's own choice is a few millions, shared by all. */
    { "fs.file-max", AT_LEAST, LONG_MAX, "a few sandboxes open as many files as all may" },
};

/* The first line; false when there is none. */
static bool
line_read(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

    if (fd >= 0) {
        close(fd);
    }
    if (n < 0) {
        return false;
    }
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return true;
}

void
sbx_host_add(struct sbx_host_report *report, const char *name, const char *value, const char *remedy)
{
    struct sbx_host_advice *advice;

    if (report->n_advice == SBX_HOST_MAX_ADVICE) {
        return;
    }
    advice = &report->advice[report->n_advice++];
    *advice = (struct sbx_host_advice){ .name = name, .fine = remedy == NULL || *remedy == '\0' };
    (void)snprintf(advice->value, sizeof(advice->value), "%s", value); /* a cut value is a value */
    if (!advice->fine) {
        (void)snprintf(advice->remedy, sizeof(advice->remedy), "%s", remedy); /* ours: fits */
    }
}

static void
setting_look(struct sbx_host_report *report, const char *root, size_t i)
{
    char path[256], value[SBX_HOST_VALUE_LEN], remedy[SBX_HOST_VALUE_LEN];
    char *end, *name;
    long number;
    bool fine;

    (void)snprintf(path, sizeof(path), "%s/proc/sys/%s", root, settings[i].name); /* `root` is short */
    name = path + strlen(path) - strlen(settings[i].name);
    for (; *name != '\0'; name++) {
        *name = *name == '.' ? '/' : *name;
    }
    if (!line_read(path, value, sizeof(value))) {
        return; /* a kernel built without it has nothing to be set */
    }
    if (settings[i].rule == NO_PIPE) {
        fine = value[0] != '|';
        (void)snprintf(remedy, sizeof(remedy), "sysctl -w %s=core: %s", settings[i].name, settings[i].why);
    } else {
        number = strtol(value, &end, 10);
        fine = end != value &&
               (settings[i].rule == AT_LEAST ? number >= settings[i].wanted : number <= settings[i].wanted);
        (void)snprintf(remedy, sizeof(remedy), "sysctl -w %s=%ld: %s", settings[i].name, settings[i].wanted,
                       settings[i].why);
    }
    sbx_host_add(report, settings[i].name, value, fine ? NULL : remedy);
}

static void
swap_look(struct sbx_host_report *report, const char *root)
{
    bool accounted = report->walls[SBX_WALL_MEMORY].state == SBX_WALL_ENFORCED;
    char path[256], text[1024];
    bool on;
    int fd;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "%s/proc/swaps", root); /* `root` is short */
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0) {
        close(fd);
    }
    if (n < 0) {
        return;
    }
    text[n] = '\0';
    on = strchr(text, '\n') != NULL && strchr(text, '\n')[1] != '\0'; /* below the heading */
    sbx_host_add(report, "swap", on ? "on" : "off",
                 on && !accounted
                     ? "swapoff -a, or swapaccount=1 on the kernel's command line: what is swapped "
                       "is not counted, and stays on the disk"
                     : NULL);
}

static void
cpu_look(struct sbx_host_report *report, const char *root)
{
    char path[384], value[SBX_HOST_VALUE_LEN], names[SBX_HOST_VALUE_LEN] = "";
    struct dirent *entry;
    size_t len = 0;
    DIR *dir;

    (void)snprintf(path, sizeof(path), "%s/sys/devices/system/cpu/smt/active", root); /* `root` is short */
    if (line_read(path, value, sizeof(value))) {
        sbx_host_add(report, "smt", strcmp(value, "1") == 0 ? "on" : "off",
                     strcmp(value, "1") == 0
                         ? "echo off > /sys/devices/system/cpu/smt/control: threads of one "
                           "core can watch each other"
                         : NULL);
    }
    (void)snprintf(path, sizeof(path), "%s/sys/devices/system/cpu/vulnerabilities", root); /* as above */
    dir = opendir(path);
    if (dir == NULL) {
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        (void)snprintf(path, sizeof(path), "%s/sys/devices/system/cpu/vulnerabilities/%.80s", root,
                       entry->d_name); /* names of the kernel */
        if (entry->d_name[0] != '.' && line_read(path, value, sizeof(value)) &&
            strncmp(value, "Vulnerable", 10) == 0 && len + strlen(entry->d_name) + 3 < sizeof(names)) {
            len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%.80s", len > 0 ? ", " : "",
                                    entry->d_name);
        }
    }
    closedir(dir);
    sbx_host_add(report, "cpu", len > 0 ? names : "no open vulnerability",
                 len > 0
                     ? "newer microcode and kernel, no mitigations=off: a program can read what it must not"
                     : NULL);
}

/* "6.1.0-9-amd64": what begins with no such numbers is old, too. */
static bool
release_is_old(const char *release)
{
    char *end;
    unsigned long minor, major = strtoul(release, &end, 10);

    if (end == release || *end != '.') {
        return true;
    }
    minor = strtoul(end + 1, NULL, 10);
    return major < 5 || (major == 5 && minor < 12);
}

/* A sandbox is as well without: it starts its own interpreter. */
static void
zygotes_look(struct sbx_host_report *report)
{
    char names[SBX_HOST_VALUE_LEN - 4], value[SBX_HOST_VALUE_LEN];
    uint64_t missing = 0;

    if (report->unasked != NULL) {
        return;
    }
    for (unsigned i = 0; i < SBX_N_WALLS; i++) {
        if (report->walls[i].state == SBX_WALL_MISSING) {
            missing |= SBX_WALLS_OF_ZYGOTES & SBX_WALL_BIT(i);
        }
    }
    (void)snprintf(value, sizeof(value), "no %s", sbx_walls_text(missing, names, sizeof(names))); /* fits */
    sbx_host_add(report, "zygotes", missing == 0 ? "possible" : value,
                 missing == 0 ? NULL
                              : "put up that wall: until then each sandbox starts an interpreter itself");
}

void
sbx_host_advise(struct sbx_host_report *report, const char *root)
{
    struct utsname names;

    if (uname(&names) == 0) {
        sbx_host_add(report, "kernel", names.release,
                     release_is_old(names.release) ? "Linux 5.12 or later; newest that is supported" : NULL);
    }
    for (size_t i = 0; i < SBX_COUNT(settings); i++) {
        setting_look(report, root, i);
    }
    zygotes_look(report);
    swap_look(report, root);
    cpu_look(report, root);
}
