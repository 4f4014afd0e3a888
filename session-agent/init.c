#include "session-agent/init.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/sbx_wall.h"

/* A child may fork between two looks at the list; so often we look again. */
#define SWEEP_MS 5
#define SWEEP_TURNS 2000

static uint64_t
timeval_us(const struct timeval *tv)
{
    return (uint64_t)tv->tv_sec * 1000000u + (uint64_t)tv->tv_usec;
}

static void
init_account(struct init *init, const struct rusage *usage, uint64_t *cpu_us)
{
    uint64_t peak = (uint64_t)usage->ru_maxrss * 1024;

    *cpu_us += timeval_us(&usage->ru_utime) + timeval_us(&usage->ru_stime);
    if (peak > init->usage.peak_memory_bytes) {
        init->usage.peak_memory_bytes = peak;
    }
}

void
init_watch_add(struct init *init, struct init_watch *watch)
{
    watch->next = init->watches;
    init->watches = watch;
}

void
init_watch_drop(struct init *init, struct init_watch *watch)
{
    struct init_watch **at;

    for (at = &init->watches; *at != NULL; at = &(*at)->next) {
        if (*at == watch) {
            *at = watch->next;
            break;
        }
    }
    watch->pid = 0;
}

static void
init_tell(struct init *init, pid_t pid, int status, const struct rusage *usage)
{
    const struct init_usage used = {
        .cpu_ms = (timeval_us(&usage->ru_utime) + timeval_us(&usage->ru_stime) + 500) / 1000,
        .peak_memory_bytes = (uint64_t)usage->ru_maxrss * 1024,
    };
    struct init_watch *watch;

    for (watch = init->watches; watch != NULL; watch = watch->next) {
        if (watch->pid == pid) {
            init_watch_drop(init, watch);
            watch->on_exit(watch->arg, status, &used);
            return;
        }
    }
}

/*
 * Reaps what is dead; true when no child is left at all, of whatever kind (__WALL), and so no descendant: an orphan is
 * our child before its parent is reaped.
 */
static bool
init_reap(struct init *init)
{
    struct rusage usage;
    uint64_t cpu_us = 0;
    int status, main_status = 0;
    bool main_ended = false;
    pid_t pid;

    while ((pid = wait4(-1, &status, WNOHANG | __WALL, &usage)) > 0) {
        init_account(init, &usage, &cpu_us);
        if (pid == init->main) {
            init->main = 0;
            main_ended = true;
            main_status = status;
        } else {
            init_tell(init, pid, status, &usage);
        }
    }
    init->usage.cpu_ms += (cpu_us + 500) / 1000;

    if (main_ended) {
        init->on_main_exit(init->arg, main_status);
    }
    return pid < 0 && errno == ECHILD;
}

void
init_each_child(pid_t of, void (*each)(pid_t pid, void *arg), void *arg)
{
    char list[4096], path[64];
    char *p = list;
    ssize_t n;
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)of, (int)of); /* fits */
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return; /* no such list: the process group is all we can reach */
    }
    n = read(fd, list, sizeof(list) - 1);
    (void)close(fd); /* only read */
    list[n > 0 ? n : 0] = '\0';

    for (;;) {
        char *end;
        long pid = strtol(p, &end, 10);

        /* A number cut off by the buffer's end would be somebody else. */
        if (end == p || *end != ' ') {
            return;
        }
        if (pid > 1) {
            each((pid_t)pid, arg);
        }
        p = end;
    }
}

static void
kill_child(pid_t pid, void *arg _unused_)
{
    (void)kill(pid, SIGKILL); /* unreaped, so the number is still ours */
}

void
init_kill_all(const struct init *init)
{
    if (init->is_pid1) {
        (void)kill(-1, SIGKILL); /* ESRCH: nobody left */
        return;
    }
    if (init->main > 0) {
        (void)kill(-init->main, SIGKILL); /* ESRCH: it has no group yet; it is in the list */
    }
    init_each_child(getpid(), kill_child, NULL);
}

static void
init_sweep_turn(struct init *init)
{
    void (*on_swept)(void *arg, bool clean) = init->on_swept;
    bool clean = init_reap(init) || sbx_wall_is_off(SBX_WALL_SWEEP);

    /* To kill all, the kernel looks at each process of the host: not when there is nobody. */
    if (!clean) {
        init_kill_all(init);
        clean = init_reap(init);
    }
    if (clean || ++init->turns > SWEEP_TURNS) {
        init->on_swept = NULL;
        uv_timer_stop(&init->retry);
        on_swept(init->arg, clean);
    }
}

static void
init_on_retry(uv_timer_t *timer)
{
    init_sweep_turn(timer->data);
}

static void
init_on_child(uv_signal_t *signal, int number)
{
    struct init *init = signal->data;

    (void)number; /* SIGCHLD */
    if (init->on_swept != NULL) {
        init_sweep_turn(init);
    } else {
        (void)init_reap(init); /* orphans may remain: the sweep is for them */
    }
}

int
init_start(struct init *init, uv_loop_t *loop)
{
    int r;

    *init = (struct init){ .is_pid1 = getpid() == 1 };
    if (!init->is_pid1 && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) {
        return -errno;
    }
    (void)uv_timer_init(loop, &init->retry); /* always 0 */
    init->retry.data = init;
    r = uv_signal_init(loop, &init->child_signal);
    if (r < 0) {
        return r;
    }
    init->child_signal.data = init;
    uv_unref((uv_handle_t *)&init->child_signal);
    return uv_signal_start(&init->child_signal, init_on_child, SIGCHLD);
}

void
init_watch(struct init *init, pid_t pid, void (*on_main_exit)(void *arg, int wait_status), void *arg)
{
    init->main = pid;
    init->usage = (struct init_usage){ 0 };
    init->on_main_exit = on_main_exit;
    init->arg = arg;
}

void
init_sweep(struct init *init, void (*on_swept)(void *arg, bool clean))
{
    init->turns = 0;
    init->on_swept = on_swept;
    (void)uv_timer_start(&init->retry, init_on_retry, 0, SWEEP_MS); /* cannot fail: callback set */
}

/* What would not die is the launcher's, with all of the sandbox. */
static void
init_on_late_sweep(void *arg _unused_, bool clean _unused_)
{
}

/* As wait4 will tell it, but for children that it has waited for. */
static void
init_account_living(struct init *init, pid_t pid)
{
    struct timespec used;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &used) == 0) {
        init->usage.cpu_ms += (uint64_t)used.tv_sec * 1000u + ((uint64_t)used.tv_nsec + 500000u) / 1000000u;
    }
}

void
init_main_ends(struct init *init)
{
    init_account_living(init, init->main);
    if (!sbx_wall_is_off(SBX_WALL_SWEEP)) {
        init_kill_all(init);
    }
    init->main = 0;
    init->turns = 0;
    init->on_swept = init_on_late_sweep;
    (void)uv_timer_start(&init->retry, init_on_retry, SWEEP_MS, SWEEP_MS); /* cannot fail: callback set */
}
