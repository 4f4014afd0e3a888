// title: unshare every kind of namespace, one by one and with a user namespace first
// wall: seccomp_clone nested_namespaces
// gvisor: seccomp_clone
// source: unshare(2)
#include "attack.h"

#include <sched.h>

static const int kinds[] = { CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,    CLONE_NEWNET,
                             CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP, 0x80 /* CLONE_NEWTIME */ };

int
main(void)
{
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (unshare(kinds[i]) == 0 || unshare(CLONE_NEWUSER | kinds[i]) == 0) {
            escaped("namespace %#x", (unsigned)kinds[i]);
        }
    }
    held("%s", strerror(errno));
}
