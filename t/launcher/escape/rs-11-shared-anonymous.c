// title: shared anonymous memory in many children, which no single process owns
// wall: memory
// gvisor: memory
// limits: memory=64m
// expect: limit memory
#include "attack.h"
#include <sys/mman.h>
#include <sys/wait.h>

int
main(void)
{
    int status = 0;

    for (int i = 0; i < 8; i++) {
        char *part = mmap(NULL, 32u << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        if (part == MAP_FAILED) {
            held("mmap: %s", strerror(errno));
        }
        if (fork() == 0) {
            memset(part, 1, 32u << 20);
            _exit(0);
        }
        if (wait(&status) < 0 || status != 0) {
            held("child %d ended with %d", i, status);
        }
    }
    escaped("256 MiB of shared memory");
}
