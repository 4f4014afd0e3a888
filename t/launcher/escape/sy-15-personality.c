// title: turn off address randomisation, or read-implies-exec on, by personality
// wall: seccomp_arguments
// source: personality(2)
#include "attack.h"

#include <sys/personality.h>

int
main(void)
{
    static const unsigned long wanted[] = { ADDR_NO_RANDOMIZE, READ_IMPLIES_EXEC,
                                            MMAP_PAGE_ZERO,    UNAME26,
                                            PER_LINUX32,       0xdeadbeef00000000ul | ADDR_NO_RANDOMIZE };

    for (unsigned i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
        if (syscall(SYS_personality, wanted[i]) >= 0) {
            escaped("personality %#lx", wanted[i]);
        }
    }
    held("%s", strerror(errno));
}
