// title: see which files of /usr others have read lately, by the pages in memory
// wall: seccomp_calls
// source: cachestat(2), 6.5; CVE-2019-5489 for mincore
#include "attack.h"

#include <sys/mman.h>

int
main(void)
{
    uint64_t range[2] = { 0, 0 }, result[5] = { 0 };
    unsigned char in_core = 0;
    int fd = open("/usr/bin/env", O_RDONLY);
    void *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

    if (syscall(451 /* cachestat */, fd, range, result, 0) == 0) {
        escaped("%llu pages in memory", (unsigned long long)result[0]);
    }
    /* Tells the truth only of files that we could write; of others every page is there. */
    if (mincore(page, 4096, &in_core) == 0 && !(in_core & 1)) {
        escaped("mincore tells");
    }
    /* The kernel's own check came in 6.14; of our own file it tells anyway. */
    fd = open("f", O_CREAT | O_RDWR, 0600);
    if (syscall(451, fd, range, result, 0) == 0) {
        escaped("the call is there");
    }
    held("cachestat: %s", strerror(errno));
}
