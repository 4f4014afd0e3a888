// title: dead children that nobody collects: they hold a number and kernel memory each
// wall: pids rlimits
// gvisor: pids rlimits
// limits: processes=16
// expect: limit processes held
#include "attack.h"

int
main(void)
{
    for (int n = 0; n < 200; n++) {
        pid_t pid = fork();

        if (pid < 0) {
            held("fork %d: %s", n, strerror(errno));
        }
        if (pid == 0) {
            _exit(0);
        }
    }
    escaped("200 dead ones uncollected");
}
