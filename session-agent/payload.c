#include "session-agent/payload.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/sbx_wall.h"
#include "session-agent/confine.h"

#define CONTROL_FD 3
#define STATUS_FD 4
#define MORE_FD 5
#define HIGH_FD 16 /* above all that have a place */

/* Before and behind those of confine.h. */
enum { STAGE_DESCRIPTORS = CONFINE_N_STAGES, STAGE_SESSION, STAGE_TERMINAL, N_STAGES };

static const char *
stage_name(int stage)
{
    static const char *const names[] = { "descriptors", "session", "terminal" };

    return stage < CONFINE_N_STAGES ? confine_stage_name((enum confine_stage)stage)
                                    : names[stage - CONFINE_N_STAGES];
}

struct status {
    int stage;
    int error;
};

/* Nothing else survives: the error pipe moves to STATUS_FD, the rest is closed, now and not at execve. */
static bool
child_descriptors(const struct payload_spec *spec, int status_fd)
{
    int n_more = spec->has_more ? 2 : 0, more[2] = { -1, -1 };
    int control = -1, i;

    /* Out of the way: any may have another's number. */
    status_fd = fcntl(status_fd, F_DUPFD_CLOEXEC, HIGH_FD);
    if (status_fd >= 0 && spec->has_control) {
        control = fcntl(spec->control, F_DUPFD_CLOEXEC, HIGH_FD);
    }
    if (status_fd < 0 || (spec->has_control && control < 0)) {
        return false;
    }
    for (i = 0; i < n_more; i++) {
        more[i] = fcntl(spec->more[i], F_DUPFD_CLOEXEC, HIGH_FD);
        if (more[i] < 0) {
            return false;
        }
    }
    for (i = 0; i < 3; i++) {
        if (dup2(spec->stdio[i], i) < 0) {
            return false;
        }
    }
    for (i = 0; i < n_more; i++) {
        if (dup2(more[i], MORE_FD + i) < 0) {
            return false;
        }
    }
    if (dup3(status_fd, STATUS_FD, O_CLOEXEC) < 0) {
        return false;
    }
    if (spec->has_control ? dup2(control, CONTROL_FD) < 0 : close(CONTROL_FD) < 0 && errno != EBADF) {
        return false;
    }
    /* gVisor refuses ~0u. */
    return sbx_wall_is_off(SBX_WALL_DESCRIPTORS) ||
           syscall(SYS_close_range, MORE_FD + n_more, INT_MAX, 0) == 0;
}

/* Ignored signals survive execve, so SIGPIPE would. */
static void
child_signals(void)
{
    struct sigaction action = { .sa_handler = SIG_DFL };
    sigset_t none;
    int i;

    for (i = 1; i < NSIG; i++) {
        (void)sigaction(i, &action, NULL); /* fails for KILL, STOP and libc's own */
    }
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL); /* cannot fail */
}

/* Everything up to execve; returns the stage that failed, or CONFINE_DONE. */
static int
child_prepare(const struct payload_spec *spec, pid_t parent)
{
    const struct confine_spec drops = {
        .identity = spec->identity,
        .filter = spec->filter,
        .cwd = spec->cwd,
        .terminal = spec->has_terminal ? STDIN_FILENO : -1,
        .processes = spec->processes,
        .parent = parent,
        .is_slot = spec->is_slot,
    };

    if (setsid() < 0) {
        return STAGE_SESSION;
    }
    if (spec->has_terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0) {
        return STAGE_TERMINAL;
    }
    return (int)confine(&drops);
}

/* Returns when there is no such program, or it is none; as a shell does, the last reason that tells anything counts. */
static int
child_exec(const struct payload_spec *spec)
{
    int error = ENOENT;

    if (spec->programs == NULL) {
        execve(spec->argv[0], spec->argv, spec->env);
        return errno;
    }
    for (char *const *program = spec->programs; *program != NULL; program++) {
        execve(*program, spec->argv, spec->env);
        if (errno != ENOENT && errno != ENOTDIR) {
            error = errno;
        }
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) {
            break;
        }
    }
    return error;
}

static void __attribute__((noreturn)) child_run(const struct payload_spec *spec, int status_fd, pid_t parent)
{
    struct status status = { .stage = STAGE_DESCRIPTORS };

    child_signals();
    (void)umask(022); /* cannot fail */
    if (child_descriptors(spec, status_fd)) {
        status_fd = STATUS_FD;
        status.stage = child_prepare(spec, parent);
        if (status.stage == CONFINE_DONE) {
            errno = child_exec(spec);
        }
    }
    status.error = errno;
    (void)!write(status_fd, &status, sizeof(status)); /* nobody else could be told */
    _exit(127);
}

int
payload_spawn(struct payload *ret, const struct payload_spec *spec)
{
    pid_t parent = getpid(), pid;
    sigset_t all, before;
    int fds[2], r;

    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0) {
        return -errno;
    }

    /* A signal in the child must not run the parent's handlers. */
    sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before); /* cannot fail */
    pid = fork();
    r = pid < 0 ? -errno : 0;
    if (pid == 0) {
        child_run(spec, fds[1], parent);
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL); /* cannot fail */

    (void)close(fds[1]); /* the child's */
    if (r < 0) {
        (void)close(fds[0]); /* never used */
        return r;
    }
    *ret = (struct payload){ .pid = pid, .status_fd = fds[0], .word_fd = -1 };
    return 0;
}

bool
payload_failed(struct payload *payload, const char **ret_stage, int *ret_error)
{
    struct status status = { 0 };
    ssize_t n;

    if (payload->status_fd < 0) {
        return false; /* it was a slot */
    }
    n = read(payload->status_fd, &status, sizeof(status));
    (void)close(payload->status_fd); /* only read */
    payload->status_fd = -1;
    if (n != (ssize_t)sizeof(status) || status.stage < 0 || status.stage >= N_STAGES) {
        return false;
    }
    *ret_stage = stage_name(status.stage);
    *ret_error = status.error;
    return true;
}
