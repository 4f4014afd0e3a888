// title: let the kernel merge equal pages of two sandboxes: the first write to a merged one is slow, which tells what the other holds
// wall: seccomp_arguments
// gvisor: seccomp_arguments
// source: madvise(2), MADV_MERGEABLE; "Memory deduplication as a threat to the guest OS" (2011)
#include "attack.h"

#include <sys/mman.h>

int
main(void)
{
    void *pages = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    memset(pages, 7, 65536);
    if (madvise(pages, 65536, MADV_MERGEABLE) == 0) {
        escaped("pages may be merged");
    }
    held("%s", strerror(errno));
}
