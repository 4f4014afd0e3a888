// title: give pages of memory to a pipe and keep them: vmsplice with SPLICE_F_GIFT
// wall: seccomp_calls
// source: CVE-2020-29374
#include "attack.h"

#include <sys/mman.h>
#include <sys/uio.h>

int
main(void)
{
    int fds[2];
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct iovec range = { page, 4096 };

    *page = 1;
    if (pipe(fds) == 0 && vmsplice(fds[1], &range, 1, 8) > 0) {
        escaped("a page in a pipe");
    }
    held("%s", strerror(errno));
}
