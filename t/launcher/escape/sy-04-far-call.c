// title: switch to the 32-bit code segment by a far return, and call the kernel from there
// wall: seccomp_arch
// source: x86: selector 0x23
// expect: signal SIGSYS SIGSEGV SIGBUS SIGILL
#include "attack.h"

#include <sys/mman.h>

int
main(void)
{
    /* mov eax, 20 (getpid); int 0x80; then back: push 0x33, push address, lretq is not there in 32 bits: ljmp. */
    unsigned char code[] = { 0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xea, 0, 0, 0, 0, 0x33, 0 };
    unsigned char *low = mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    unsigned char *stack = mmap((void *)0x20000000, 65536, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    /* Where the 32-bit code jumps back to: push rbx; ret to the 64-bit continuation, whose address is in r15. */
    unsigned char back[] = { 0x41, 0xff, 0xe7 /* jmp *%r15 */ };
    uint32_t there = 0x10000100;
    long result;

    memcpy(code + 8, &there, 4);
    memcpy(low, code, sizeof(code));
    memcpy(low + 0x100, back, sizeof(back));
    __asm__ volatile("movq %%rsp, %%r14\n\t"
                     "leaq 1f(%%rip), %%r15\n\t"
                     "movq %[stack], %%rsp\n\t"
                     "pushq $0x23\n\t"
                     "pushq $0x10000000\n\t"
                     "lretq\n\t"
                     "1: movq %%r14, %%rsp\n\t"
                     "movl %%eax, %%eax\n\t"
                     : "=a"(result)
                     : [stack] "b"(stack + 65536 - 64)
                     : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
                       "memory", "cc");
    if (result <= 0 || result > 100000) {
        exit(3);
    }
    escaped("32-bit getpid = %ld", result);
}
