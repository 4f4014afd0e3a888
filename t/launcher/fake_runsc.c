/*
 * A runsc that is broken in the way that the last line of its own file says; a test appends "\n<way>".
 *
 *   hang exit garbage long    what it answers to --version
 *   noflags                   it is one, but knows none of the flags that must be
 *   hang-run exit-run         what `run` does
 *   later UID                 `run` is well for the sandbox whose root is that host id, and hangs for all others
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char way[64];

static void
way_read(void)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    char *line;

    if (fd < 0 || lseek(fd, -(off_t)(sizeof(way) - 1), SEEK_END) < 0 || read(fd, way, sizeof(way) - 1) <= 0) {
        _exit(90);
    }
    close(fd);
    for (size_t i = 0; i < sizeof(way) - 1; i++) {
        way[i] = way[i] == '\0' ? '.' : way[i];
    }
    line = strrchr(way, '\n');
    memmove(way, line == NULL ? "" : line + 1, line == NULL ? 1 : strlen(line));
}

static int
is(const char *what)
{
    return strcmp(way, what) == 0;
}

static void
hang(void)
{
    for (;;) {
        pause();
    }
}

static void
version(void)
{
    if (is("hang")) {
        hang();
    } else if (is("garbage")) {
        puts("runsc\0version\x1b[2J 1.0");
    } else if (is("long")) {
        printf("runsc version %0200d\n", 1);
    } else if (!is("exit")) {
        puts("runsc version 0.0~fake\nspec: 1.0.2");
    }
}

static void
flags(void)
{
    static const char *const known[] = {
        "root", "network", "ignore-cgroups", "file-access", "file-access-mounts", "platform"
    };

    for (size_t i = is("noflags") ? sizeof(known) / sizeof(known[0]) - 1 : 0;
         i < sizeof(known) / sizeof(known[0]); i++) {
        printf("  -%s string\n    \ta flag\n", known[i]);
    }
}

static void
run(void)
{
    char map[128] = "";
    int fd;

    if (is("exit-run")) {
        fputs("fake: I do not like this host\n", stderr);
        exit(3);
    }
    if (strncmp(way, "later ", 6) == 0) {
        fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && read(fd, map, sizeof(map) - 1) > 0 &&
            strtoul(map + strspn(map, " 0"), NULL, 10) == strtoul(way + 6, NULL, 10)) {
            (void)!write(0, "\n", 1);
        }
    }
    hang();
}

int
main(int argc, char **argv)
{
    way_read();
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        version();
    } else if (argc == 2 && strcmp(argv[1], "flags") == 0) {
        flags();
    } else {
        run();
    }
    return 0;
}
