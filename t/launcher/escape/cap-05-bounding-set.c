// title: find the bounding set not empty, so that a program with file capabilities could get them
// wall: capabilities
// gvisor: capabilities
// source: capabilities(7)
#include "attack.h"

#include <sys/prctl.h>

int
main(void)
{
    for (unsigned long cap = 0; cap < 64; cap++) {
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1) {
            escaped("capability %lu may be had", cap);
        }
    }
    held("nothing may be had");
}
