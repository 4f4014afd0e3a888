// title: raise ambient capabilities, which survive execve
// wall: capabilities seccomp_arguments
// source: prctl(2), PR_CAP_AMBIENT
#include "attack.h"

#include <sys/prctl.h>

int
main(void)
{
    for (unsigned long cap = 0; cap < 41; cap++) {
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) == 0 ||
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1) {
            escaped("capability %lu", cap);
        }
    }
    held("%s", strerror(errno));
}
