// title: use the kernel's keyrings, which are found by user and outlive processes
// wall: seccomp_calls
// source: CVE-2016-0728; keys are charged to the user, not to a control group
#include "attack.h"

int
main(void)
{
    long ring = syscall(250 /* keyctl */, 0L /* GET_KEYRING_ID */, -4L /* KEY_SPEC_USER_KEYRING */, 1L);
    long key = syscall(248 /* add_key */, "user", "meeting", "told", 4L, -3L /* KEY_SPEC_SESSION_KEYRING */);

    if (ring >= 0 || key >= 0) {
        escaped("keyring %ld, key %ld", ring, key);
    }
    held("%s", strerror(errno));
}
