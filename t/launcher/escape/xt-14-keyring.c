// title: leave a key for another sandbox in the user's keyrings
// wall: seccomp uid
// parties: 2
// tier: process
// without: gVisor knows session keyrings only, each of one container
// source: keyrings are found by user id, not by namespace of the process
#include "attack.h"

int
main(int argc, char **argv)
{
    long key;

    if (argc > 1 && strcmp(argv[1], "victim") == 0) {
        key = syscall(248 /* add_key */, "user", "meeting", "told", 4L, -4L /* KEY_SPEC_USER_KEYRING */);
        printf("READY %ld\n", key);
        fflush(stdout);
        sleep(6);
        held("waited");
    }
    key = syscall(250 /* keyctl */, 10L /* SEARCH */, -4L, "user", "meeting", 0L);
    if (key >= 0) {
        escaped("found the other's key %ld", key);
    }
    if (argc > 2 && atol(argv[2]) < 0) {
        held("no key can be added nor searched: %s", strerror(errno));
    }
    held("not found: %s", strerror(errno));
}
