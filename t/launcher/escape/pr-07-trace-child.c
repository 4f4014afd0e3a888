// title: trace a child of one's own: the interface by itself, which rewrites system calls behind a filter's back
// wall: seccomp_calls
// gvisor: seccomp_calls
// source: seccomp(2): before 4.8 a tracer went around the filter
#include "attack.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

int
main(void)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) == 0) {
            raise(SIGSTOP);
            _exit(7);
        }
        _exit(0);
    }
    waitpid(pid, &status, 0);
    if (WIFSTOPPED(status)) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        escaped("a child under trace");
    }
    held("refused to the child");
}
