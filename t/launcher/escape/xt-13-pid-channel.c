// title: count another sandbox's forks by the numbers that one's own processes get
// wall: pid_namespace
// parties: 2
#include "attack.h"
#include <sys/wait.h>

static pid_t
next_pid(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    return pid;
}

int
main(int argc, char **argv)
{
    pid_t before, after;

    if (argc > 1 && strcmp(argv[1], "victim") == 0) {
        printf("READY\n");
        fflush(stdout);
        for (int i = 0; i < 3000; i++) {
            next_pid();
            usleep(1000);
        }
        held("forked");
    }
    before = next_pid();
    usleep(500000);
    after = next_pid();
    if (after != before + 1) {
        escaped("%d numbers were given to others", after - before - 1);
    }
    held("the next number is ours");
}
