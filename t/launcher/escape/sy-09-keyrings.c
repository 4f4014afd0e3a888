// title: keep and pass secrets in keyrings, which are not namespaced
// wall: seccomp_calls
// source: CVE-2016-0728; keyrings(7)
#include "attack.h"

int
main(void)
{
    long key = syscall(SYS_add_key, "user", "left", "x", 1, -2 /* process keyring */);

    if (key >= 0) {
        escaped("key %ld", key);
    }
    if (syscall(SYS_keyctl, 0 /* GET_KEYRING_ID */, -3, 1) >= 0 ||
        syscall(SYS_keyctl, 1 /* JOIN_SESSION_KEYRING */, "x") >= 0) {
        escaped("a keyring");
    }
    if (syscall(SYS_request_key, "user", "left", NULL, 0) >= 0 || errno == ENOKEY) {
        escaped("keys are looked for");
    }
    held("%s", strerror(errno));
}
