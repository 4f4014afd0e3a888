#include "session-agent/preload/huge.h"

#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/sbx_base.h"

#define EXPORT __attribute__((visibility("default")))
#define PAGE 4096ul
#define HUGE (2ul << 20)
#define ARENA (1ul << 20) /* what CPython's allocator takes at a time since 3.10 */
#define MAX_CHUNKS 128
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* 6.1 */
#endif

static uintptr_t heap_start, heap_end;
static uintptr_t chunks[MAX_CHUNKS];
static unsigned n_chunks;
static uintptr_t half; /* of the last chunk, not handed out yet; 0: none */
static bool is_over;

static uintptr_t
round_up(uintptr_t address)
{
    return (address + HUGE - 1) & ~(HUGE - 1);
}

/* Where the heap of the C library will begin: it has hardly any yet. */
__attribute__((constructor)) static void
heap_align(void)
{
    uintptr_t now = (uintptr_t)sbrk(0);

    heap_start = sbrk((intptr_t)(round_up(now) - now)) == (void *)-1 ? now : round_up(now);
}

/* 0: no memory. */
static uintptr_t
chunk_new(void)
{
    uintptr_t start, chunk;
    long r = n_chunks < MAX_CHUNKS ? syscall(SYS_mmap, NULL, 2 * HUGE, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                                   : -1;

    if (r == -1) {
        return 0;
    }
    start = (uintptr_t)r;
    chunk = round_up(start);
    if (chunk > start) {
        (void)syscall(SYS_munmap, start, chunk - start);
    }
    if (chunk < start + HUGE) {
        (void)syscall(SYS_munmap, chunk + HUGE, start + HUGE - chunk);
    }
    chunks[n_chunks++] = chunk;
    return chunk;
}

/* The interpreter's allocator calls it by this name; the C library does not. */
EXPORT void *
mmap64(void *address, size_t len, int prot, int flags, int fd, off64_t offset)
{
    uintptr_t arena = 0;

    if (!is_over && address == NULL && len == ARENA && prot == (PROT_READ | PROT_WRITE) &&
        flags == (MAP_PRIVATE | MAP_ANONYMOUS)) {
        arena = half != 0 ? half : chunk_new();
        half = half != 0 || arena == 0 ? 0 : arena + ARENA;
    }
    return arena != 0 ? (void *)arena : (void *)syscall(SYS_mmap, address, len, prot, flags, fd, offset);
}

/*
 * The program's own code and constants: a copy takes their place, which has entries of its own kind, and a fork copies
 * them. Of a file they would be mapped anew by a fault for each 64 KiB. Constants become executable by that.
 */
static void
text_replace(uintptr_t start, uintptr_t end)
{
    uintptr_t chunk;

    for (start = round_up(start); start + HUGE <= end && (chunk = chunk_new()) != 0; start += HUGE) {
        n_chunks--; /* it goes away */
        memcpy((void *)chunk, (const void *)start, HUGE);
        if (madvise((void *)chunk, HUGE, MADV_COLLAPSE) < 0 ||
            mprotect((void *)chunk, HUGE, PROT_READ | PROT_EXEC) < 0 ||
            syscall(SYS_mremap, chunk, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, start) == -1) {
            (void)munmap((void *)chunk, HUGE);
            return;
        }
    }
}

/* The first object is the program; what of it may not be written is one piece. */
static int
text_find(struct dl_phdr_info *info, size_t size _unused_, void *arg _unused_)
{
    uintptr_t start = 0, end = 0;

    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t at = info->dlpi_addr + header->p_vaddr;

        if (header->p_type != PT_LOAD || (header->p_flags & PF_W)) {
            continue;
        }
        at &= ~(uintptr_t)(header->p_align - 1);
        start = start == 0 ? at : start;
        if (end != 0 && at > ((end + PAGE - 1) & ~(PAGE - 1))) {
            break; /* a hole */
        }
        end = info->dlpi_addr + header->p_vaddr + header->p_memsz;
    }
    text_replace(start, end & ~(PAGE - 1));
    return 1;
}

void
huge_collapse(void)
{
    uintptr_t now = (uintptr_t)sbrk(0);

    is_over = true;
    heap_end = now;
    if (now > heap_start && sbrk((intptr_t)(round_up(now) - now)) != (void *)-1) {
        heap_end = round_up(now);
        (void)madvise((void *)heap_start, heap_end - heap_start, MADV_COLLAPSE);
    }
    for (unsigned i = 0; i < n_chunks; i++) {
        (void)madvise((void *)chunks[i], HUGE, MADV_COLLAPSE); /* or what is left of it */
    }
    (void)dl_iterate_phdr(text_find, NULL);
}

void
huge_each(void (*with)(uintptr_t start, uintptr_t end))
{
    with(heap_start, heap_end & ~(PAGE - 1));
    for (unsigned i = 0; i < n_chunks; i++) {
        with(chunks[i], chunks[i] + HUGE);
    }
}
