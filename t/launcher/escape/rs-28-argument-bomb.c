// title: arguments of six megabytes to execve, after the stack's limit was raised
// wall: rlimits
// limits: memory=256m
#include "attack.h"
#include <sys/resource.h>
#include <sys/wait.h>

static char big[100 << 10];
static char *arguments[64];

int
main(int argc, char **argv)
{
    struct rlimit stack = { RLIM_INFINITY, RLIM_INFINITY };
    int status = 0;
    pid_t pid;

    if (argc > 40) {
        _exit(7);
    }
    if (setrlimit(RLIMIT_STACK, &stack) < 0) {
        getrlimit(RLIMIT_STACK, &stack);
        stack.rlim_cur = stack.rlim_max;
        setrlimit(RLIMIT_STACK, &stack);
    }
    memset(big, 'x', sizeof(big) - 1);
    arguments[0] = argv[0];
    for (int i = 1; i < 50; i++) {
        arguments[i] = big;
    }
    pid = fork();
    if (pid == 0) {
        execv("/proc/self/exe", arguments);
        _exit(1);
    }
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 7) {
        escaped("4.9 MB of arguments passed");
    }
    held("execve fails");
}
