// title: clone3, whose flags lie in memory where no filter reads them
// wall: seccomp_clone
// source: clone3(2)
#include "attack.h"

#include <sched.h>
#include <sys/wait.h>

int
main(void)
{
    static const uint64_t kinds[] = { CLONE_NEWUSER, CLONE_NEWUSER | CLONE_NEWNET, CLONE_NEWUSER | 0x80,
                                      1ull << 33 /* CLONE_INTO_CGROUP */ };

    for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        uint64_t args[11] = { kinds[i], 0, 0, 0, 17 };
        long pid = syscall(SYS_clone3, args, sizeof(args));

        if (pid == 0) {
            _exit(0);
        }
        if (pid > 0) {
            waitpid((pid_t)pid, NULL, 0);
            escaped("flags %#llx", (unsigned long long)kinds[i]);
        }
    }
    /* A size beyond what the kernel knows is told apart only where the call is there at all. */
    if (syscall(SYS_clone3, (void *)1, 64) < 0 && errno == EFAULT) {
        escaped("the call is there");
    }
    held("%s", strerror(errno));
}
