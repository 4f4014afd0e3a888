// title: restart the machine, or its like: the end of the pid namespace
// wall: seccomp nested_namespaces
// source: reboot(2): in a pid namespace it ends that
#include "attack.h"

#include <sched.h>
#include <signal.h>
#include <sys/reboot.h>
#include <sys/wait.h>

int
main(void)
{
    int status = 0;
    pid_t pid;

    /* Turning Ctrl-Alt-Del off is all that is asked of the machine. */
    if (reboot(RB_DISABLE_CAD) == 0 || errno == EINVAL) {
        escaped("reboot: %s", strerror(errno));
    }
    if (unshare(CLONE_NEWUSER | CLONE_NEWPID) < 0) {
        held("%s", strerror(errno));
    }
    pid = fork();
    if (pid == 0) {
        reboot(RB_AUTOBOOT);
        _exit(3);
    }
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) {
        escaped("ended a pid namespace by signal %d", WTERMSIG(status));
    }
    held("exit %d", status);
}
