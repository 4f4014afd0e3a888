// title: keep capabilities over a change of user, and lift the rules for user 0, by securebits
// wall: seccomp_arguments
// gvisor: seccomp_arguments
// source: capabilities(7)
#include "attack.h"

#include <sys/prctl.h>

int
main(void)
{
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0) {
        escaped("capabilities are kept over a change of user");
    }
    if (prctl(PR_SET_SECUREBITS, 0x10, 0, 0, 0) == 0) {
        escaped("securebits");
    }
    held("%s", strerror(errno));
}
