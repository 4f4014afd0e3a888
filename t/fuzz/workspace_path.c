/*
 * Paths in a workspace of links and pipes. The walk by components, for kernels without openat2, reaches what
 * openat2 reaches and nothing else, and neither leads out.
 */
#include "session-agent/workspace.c"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/tmp/fuzz-workspace.XXXXXX";

static void
tree_remove(void)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || workspace_clear(fd) != 0 || rmdir(dir) < 0) {
        (void)fprintf(stderr, "%s is left\n", dir);
    }
}

static int
tree_make(void)
{
    int fd;

    if (mkdtemp(dir) == NULL || atexit(tree_remove) != 0 ||
        (fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 || mkdirat(fd, "w", 0700) < 0 ||
        mkdirat(fd, "w/a", 0700) < 0 || mkdirat(fd, "w/a/b", 0700) < 0 ||
        mknodat(fd, "secret", S_IFREG | 0600, 0) < 0 || mknodat(fd, "w/f", S_IFREG | 0600, 0) < 0 ||
        mknodat(fd, "w/a/b/c", S_IFREG | 0600, 0) < 0 || mkfifoat(fd, "w/a/p", 0600) < 0 ||
        symlinkat("..", fd, "w/up") < 0 || symlinkat("/etc", fd, "w/etc") < 0 ||
        symlinkat("a/b", fd, "w/in") < 0 || symlinkat("../secret", fd, "w/a/s") < 0 ||
        symlinkat("f", fd, "w/l") < 0) {
        abort();
    }
    return openat(fd, "w", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void
check_inside(int root, int fd)
{
    char top[64], path[4096];
    ssize_t n, m;

    (void)snprintf(top, sizeof(top), "/proc/self/fd/%d", root);
    n = readlink(top, path, sizeof(path));
    assert(n > 0);
    {
        char below[4096];

        (void)snprintf(top, sizeof(top), "/proc/self/fd/%d", fd);
        m = readlink(top, below, sizeof(below));
        assert(m >= n && memcmp(below, path, (size_t)n) == 0 && (m == n || below[n] == '/'));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int root = -1;
    const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    char path[1024];
    struct stat a, b;
    int by_kernel = -1, by_walk = -1, r, q;

    if (root < 0) {
        root = tree_make();
    }
    if (size >= sizeof(path)) {
        return 0;
    }
    memcpy(path, data, size);
    path[size] = '\0';
    r = workspace_open(&by_kernel, root, path, O_RDONLY);
    q = walk_open(&by_walk, root, path, flags, 0);
    if (q == 0) {
        check_inside(root, by_walk);
    }
    /* The walk refuses every "..", empty component and long path: it may do less, never more. */
    assert(q != 0 || r == 0);
    if (r == 0 && q == 0) {
        assert(fstat(by_kernel, &a) == 0 && fstat(by_walk, &b) == 0);
        assert(a.st_dev == b.st_dev && a.st_ino == b.st_ino);
    }
    if (r == 0) {
        check_inside(root, by_kernel);
        close(by_kernel);
    }
    if (q == 0) {
        close(by_walk);
    }
    return 0;
}
