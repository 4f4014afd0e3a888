// title: take the huge pages that the host keeps for others: no control group of memory counts them
// wall: seccomp_arguments
// gvisor: seccomp_arguments
// source: mmap(2), memfd_create(2), memcg_hugetlb_accounting of cgroups(7)
#include "attack.h"

#include <sys/mman.h>

int
main(void)
{
    void *page;

    for (unsigned size = 0; size < 2; size++) {
        int fd = memfd_create("huge", MFD_HUGETLB | (size ? 21u << 26 /* of 2 MiB */ : 0));

        if (fd >= 0) {
            escaped("a file of huge pages");
        }
    }
    page = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    if (page != MAP_FAILED) {
        escaped("a huge page");
    }
    held("%s", strerror(errno));
}
