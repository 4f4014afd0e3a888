// title: look for the memory of an earlier tenant in fresh pages, pipes, files and sockets of one's own
// wall: uid
// parties: later
// limits: memory=256m
#include "attack.h"
#include <sys/mman.h>

#define MARK 0x5ec2e7deadbeef01ull
#define SIZE (96u << 20)

int
main(int argc, char **argv)
{
    uint64_t *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    static uint64_t page[512];
    int fd;

    if (at == MAP_FAILED) {
        held("mmap: %s", strerror(errno));
    }
    if (argc > 1 && strcmp(argv[1], "victim") == 0) {
        for (size_t i = 0; i < SIZE / 8; i++) {
            at[i] = MARK;
        }
        printf("READY\n");
        fflush(stdout);
        return 0;
    }
    for (size_t i = 0; i < SIZE / 8; i++) {
        if (at[i] != 0) {
            escaped("a fresh page holds %llx", (unsigned long long)at[i]);
        }
    }
    fd = open("/tmp/hole", O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, 4 << 20) < 0) {
        held("no file: %s", strerror(errno));
    }
    while (read(fd, page, sizeof(page)) == (ssize_t)sizeof(page)) {
        for (size_t i = 0; i < 512; i++) {
            if (page[i] != 0) {
                escaped("a hole holds %llx", (unsigned long long)page[i]);
            }
        }
    }
    held("all zero");
}
