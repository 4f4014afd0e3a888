/* Where the hierarchies are mounted and where the launcher is in them. */
#include "executor/launcher/cgroup.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define TABLE_MAX (1u << 20)

static char table[TABLE_MAX];

/* The whole of a /proc file that may change between reads: one big read at a time, as the kernel serves it.
 */
_must_check_ static int
table_read(const char *path)
{
    size_t len = 0;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    do {
        n = read(fd, table + len, sizeof(table) - 1 - len);
        len += n > 0 ? (size_t)n : 0;
    } while (n > 0 && len < sizeof(table) - 1);
    close(fd);
    if (n < 0) {
        return -EIO;
    }
    table[len] = '\0';
    return 0;
}

/* True when comma-separated `list` has `word`. */
static bool
list_has(const char *list, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, len) == 0 && (at[len] == ',' || at[len] == '\0')) {
            return true;
        }
    }
    return false;
}

static void
unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; from++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] != '\0' && from[3] != '\0') {
            *to++ = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 3;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

/* Finds the mount; `ret_root` is the part of the hierarchy that it shows. */
_must_check_ static int
mount_find(const char *controller, char *ret_mount, char *ret_root)
{
    char fstype[32], options[512];
    const char *tail;
    int r = table_read("/proc/self/mountinfo");

    if (r < 0) {
        return r;
    }
    for (char *line = table, *next; line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        tail = strstr(line, " - ");
        if (tail == NULL || sscanf(tail, " - %31s %*s %511s", fstype, options) != 2 ||
            sscanf(line, "%*d %*d %*s %1023s %1023s", ret_root, ret_mount) != 2) {
            continue;
        }
        if (controller == NULL ? strcmp(fstype, "cgroup2") == 0
                               : strcmp(fstype, "cgroup") == 0 && list_has(options, controller)) {
            unescape(ret_root);
            unescape(ret_mount);
            return 0;
        }
    }
    return CGROUP_E_ABSENT;
}

_must_check_ static int
own_find(const char *controller, char *ret)
{
    char *names, *path;
    int r = table_read("/proc/self/cgroup");

    if (r < 0) {
        return r;
    }
    for (char *line = table, *next; line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        names = strchr(line, ':');
        path = names != NULL ? strchr(names + 1, ':') : NULL;
        if (path == NULL || strlen(path) >= SETTINGS_PATH_LEN) {
            continue;
        }
        *path++ = '\0';
        if (controller == NULL ? names[1] == '\0' : list_has(names + 1, controller)) {
            memcpy(ret, path, strlen(path) + 1);
            return 0;
        }
    }
    return CGROUP_E_ABSENT;
}

_must_check_ int
cgroup_own_path(const char *controller, char *ret_mount, char *ret_path)
{
    char root[SETTINGS_PATH_LEN], own[SETTINGS_PATH_LEN];
    const char *shown = own;
    size_t len;
    int n, r = mount_find(controller, ret_mount, root);

    if (r != 0) {
        return r == CGROUP_E_ABSENT ? CGROUP_E_ABSENT : r;
    }
    r = own_find(controller, own);
    if (r != 0) {
        return r == CGROUP_E_ABSENT ? CGROUP_E_ABSENT : r;
    }
    /* In a container the mount shows only a part, and our path is told from the true root. */
    len = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (len > 0) {
        shown = strncmp(own, root, len) == 0 && (own[len] == '/' || own[len] == '\0') ? own + len : "";
    }
    if (strstr(shown, "/..") != NULL) {
        shown = "";
    }
    n = snprintf(ret_path, CGROUP_PATH_LEN, "%s%s", ret_mount, strcmp(shown, "/") == 0 ? "" : shown);
    return n > 0 && n < CGROUP_PATH_LEN ? 0 : -ENAMETOOLONG;
}
