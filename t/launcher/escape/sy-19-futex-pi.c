// title: priority-inheriting futexes, and a requeue onto one: Towelroot's way in
// wall: seccomp_arguments
// gvisor: seccomp_arguments
// source: CVE-2014-3153, CVE-2021-3347
#include "attack.h"

int
main(void)
{
    static uint32_t a, b;
    static const struct {
        const char *name;
        uint64_t op;
    } ops[] = { { "FUTEX_LOCK_PI", 6 },
                { "FUTEX_TRYLOCK_PI", 8 },
                { "FUTEX_LOCK_PI with private flag", 6 | 128 },
                { "FUTEX_LOCK_PI2", 13 },
                { "FUTEX_LOCK_PI with garbage above", 6 | 0xffffffff00000000ull },
                { "FUTEX_CMP_REQUEUE_PI", 12 } };

    for (unsigned i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
        a = b = 0;
        if (syscall(SYS_futex, &a, ops[i].op, 1, NULL, &b, 0) >= 0) {
            escaped("%s", ops[i].name);
        }
    }
    held("%s", strerror(errno));
}
