// title: a pid namespace inside: processes that the agent cannot count
// wall: seccomp nested_namespaces
// gvisor: seccomp
#include "attack.h"

#include <sched.h>
#include <sys/wait.h>

int
main(void)
{
    int status = 0;
    pid_t pid;

    if (unshare(CLONE_NEWUSER | CLONE_NEWPID) < 0) {
        held("%s", strerror(errno));
    }
    pid = fork();
    if (pid == 0) {
        _exit(getpid() == 1 ? 42 : 0);
    }
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 42) {
        escaped("a pid 1 of its own");
    }
    held("no pid 1");
}
