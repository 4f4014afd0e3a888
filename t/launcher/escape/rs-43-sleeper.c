// title: sleep for ever without a signal that would wake it, using no processor at all
// wall: time
// gvisor: time
// limits: wall_ms=3000
// expect: limit time
#include "attack.h"
#include <signal.h>

int
main(void)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    sleep(7);
    escaped("seven seconds of three");
}
