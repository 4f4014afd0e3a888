// title: write to a file of /usr through its page cache: splice into a pipe, then over it
// wall: seccomp_calls
// source: CVE-2022-0847 (Dirty Pipe); its sisters of 2026 begin with vmsplice and splice, too
#include "attack.h"

#include <sys/mman.h>
#include <sys/uio.h>

int
main(void)
{
    int fds[2], file = open("/usr/bin/env", O_RDONLY);
    char before[8], after[8], junk[4096];
    off_t at = 1;
    struct iovec page = { mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0), 4096 };

    if (pipe(fds) < 0 || pread(file, before, 8, 0) != 8) {
        held("%s", strerror(errno));
    }
    for (int i = 0; i < 16; i++) {
        (void)!write(fds[1], junk, 4096);
    }
    for (int i = 0; i < 16; i++) {
        (void)!read(fds[0], junk, 4096);
    }
    if (splice(file, &at, fds[1], NULL, 1, 0) == 1 && write(fds[1], "", 0) == 0 &&
        pread(file, after, 8, 0) == 8 && memcmp(before, after, 8) != 0) {
        escaped("the page cache is changed");
    }
    /* Nothing is written over: that pages of the file get into the pipe by reference is what the attack needs. */
    if (vmsplice(fds[1], &page, 1, 8 /* SPLICE_F_GIFT */) > 0) {
        escaped("vmsplice gives pages of the file to a pipe");
    }
    held("%s", strerror(errno));
}
