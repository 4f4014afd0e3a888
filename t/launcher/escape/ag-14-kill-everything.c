// title: kill everything that can be named, stop the rest, then see whether steps still end and nothing hangs
// wall: sweep
// gvisor: sweep
// steps: 2
#include "attack.h"
#include <signal.h>
#include <sys/wait.h>

int
main(int argc, char **argv)
{
    int others = 0;

    if (argc > 1 && strcmp(argv[1], "again") == 0) {
        /* Who may not be signalled is there all the same. */
        for (pid_t pid = 2; pid < 400; pid++) {
            others += pid != getpid() && (kill(pid, 0) == 0 || errno == EPERM);
        }
        if (others > 0) {
            escaped("%d processes of the first step are left", others);
        }
        held("the agent serves on");
    }
    kill(1, SIGKILL);
    kill(1, SIGSTOP);
    kill(0, SIGCONT);
    for (int i = 0; i < 4; i++) {
        if (fork() == 0) {
            setsid();
            if (vfork() == 0) {
                for (;;) {
                    pause();
                }
            }
        }
    }
    usleep(50000);
    raise(SIGKILL);
    return 0;
}
