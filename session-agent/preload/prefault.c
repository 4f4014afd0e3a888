#include "session-agent/preload/prefault.h"

#include <link.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/sbx_base.h"
#include "session-agent/preload/huge.h"

#define PAGE 4096ul
#define AROUND (16 * PAGE) /* of a file so much is mapped at a fault */
#define MAX_PAGES 1024
#define SECONDS 5 /* for the child; without it a slot only does without */
#define LOOK_EVERY 16

struct pages {
    unsigned n;
    uintptr_t page[MAX_PAGES]; /* | IS_READ */
};

enum { IS_READ = 1 };

static struct pages pages;
static struct pages *noted; /* of parent and child */

static void
touch(uintptr_t entry)
{
    volatile char *at = (volatile char *)(entry & ~(PAGE - 1));
    char byte = *at;

    if (!(entry & IS_READ)) {
        *at = byte; /* nobody else runs here */
    }
}

static long
faults(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_minflt + usage.ru_majflt : 0;
}

/* What takes no fault was there: this process has written to it, or read it, since the fork. */
static void
page_note(uintptr_t entry)
{
    long before = faults();

    touch(entry);
    if (faults() == before && noted->n < MAX_PAGES) {
        noted->page[noted->n++] = entry;
    }
}

/* Of nobody's use any more: given back at once, since the look at it has copied it. */
static void
heap_note(uintptr_t start, uintptr_t end)
{
    for (; start < end; start += PAGE) {
        page_note(start);
        (void)madvise((void *)start, PAGE, MADV_DONTNEED);
    }
}

static void
segment_note(uintptr_t start, uintptr_t end, bool is_written)
{
    if (is_written) {
        for (; start < end; start += PAGE) {
            page_note(start);
        }
        return;
    }
    for (; start < end; start = (start + AROUND) & ~(AROUND - 1)) {
        page_note(start | IS_READ);
    }
}

/* What is written to at the start alone, and not to be written any more: whole pages. */
static uintptr_t
relro_end(const struct dl_phdr_info *info)
{
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];

        if (header->p_type == PT_GNU_RELRO) {
            return (info->dlpi_addr + header->p_vaddr + header->p_memsz) & ~(PAGE - 1);
        }
    }
    return 0;
}

static int
object_note(struct dl_phdr_info *info, size_t size _unused_, void *arg _unused_)
{
    uintptr_t relro = relro_end(info);

    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t start = (info->dlpi_addr + header->p_vaddr) & ~(PAGE - 1);
        uintptr_t end = (info->dlpi_addr + header->p_vaddr + header->p_memsz + PAGE - 1) & ~(PAGE - 1);
        bool is_written = header->p_flags & PF_W;

        if (header->p_type == PT_LOAD && (header->p_flags & PF_R)) {
            segment_note(is_written && relro > start && relro <= end ? relro : start, end, is_written);
        }
    }
    return 0;
}

void
prefault_note(void)
{
    if (pages.n > 0) {
        for (unsigned i = 0; i < pages.n; i++) {
            page_note(pages.page[i]);
        }
        return;
    }
    (void)dl_iterate_phdr(object_note, NULL); /* always 0 */
    huge_each(heap_note);
}

bool
prefault_learn(void)
{
    struct pages *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = -1;
    pid_t pid;

    if (shared == MAP_FAILED) {
        return false;
    }
    noted = shared;
    pid = fork();
    if (pid == 0) {
        (void)alarm(SECONDS);
        return true;
    }
    if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 && shared->n <= MAX_PAGES) {
        memcpy(&pages, shared, sizeof(pages));
    }
    (void)munmap(shared, sizeof(*shared));
    noted = NULL;
    return false;
}

void
prefault_run(int fd)
{
    struct pollfd work = { .fd = fd, .events = POLLIN };
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* the kernel's own pages for it */
    for (unsigned i = 0; i < pages.n; i++) {
        if (i % LOOK_EVERY == 0 && poll(&work, 1, 0) != 0) {
            return;
        }
        touch(pages.page[i]);
    }
}
