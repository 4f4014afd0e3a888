// title: attach to the agent as a debugger
// wall: seccomp_calls uid capabilities not_dumpable landlock
// source: ptrace(2)
#include "attack.h"

#include <sys/ptrace.h>

int
main(void)
{
    int error;

    if (ptrace(PTRACE_SEIZE, 1, 0, 0) == 0) {
        escaped("seized");
    }
    error = errno;
    if (ptrace(PTRACE_ATTACH, 1, 0, 0) == 0) {
        escaped("attached");
    }
    held("%s, %s", strerror(error), strerror(errno));
}
