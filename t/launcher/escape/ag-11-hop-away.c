// title: outlive the step by hopping: each process forks and ends, faster than anybody can list them
// wall: sweep
// gvisor: sweep
// steps: 2
// limits: processes=512
#include "attack.h"
#include <sys/stat.h>

int
main(int argc, char **argv)
{
    struct stat before = { 0 }, after = { 0 };

    if (argc > 1 && strcmp(argv[1], "again") == 0) {
        stat("/workspace/alive", &before);
        usleep(500000);
        stat("/workspace/alive", &after);
        if (before.st_mtim.tv_sec != after.st_mtim.tv_sec ||
            before.st_mtim.tv_nsec != after.st_mtim.tv_nsec) {
            escaped("the first step's process still hops");
        }
        held("it was caught");
    }
    if (fork() != 0) {
        usleep(100000);
        return 0;
    }
    for (int hop = 0; hop < 60000; hop++) {
        pid_t pid = fork();

        if (pid != 0) {
            _exit(0);
        }
        usleep(200); /* on a busy host the dead are collected more slowly than we fork */
        setsid();
        if (hop % 16 == 0) {
            close(open("/workspace/alive", O_WRONLY | O_CREAT | O_TRUNC, 0644));
            utimensat(AT_FDCWD, "/workspace/alive", NULL, 0);
        }
    }
}
