#include "session-agent/process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/sbx_buf.h"
#include "lib/sbx_time.h"
#include "session-agent/slot.h"

#define READ_SIZE 16384
#define READS_AT_ONCE 8 /* then others have their turn */
#define GRACE_MS 2000   /* from SIGTERM to SIGKILL */
/* What children in the background still say after the command's end. */
#define DRAIN_MS 200
#define INPUT_MAX (1u << 20) /* far more than whoever writes it has of a window */
#define END_OF_FILE "\x04" /* of a terminal with its usual settings, and to line editors, which have others */

enum { IN, OUT, ERR, N_ENDS };

struct process {
    struct process_spec spec;
    struct payload payload;
    struct init_watch watch;
    uv_timer_t timer; /* the deadline, the grace, the draining */
    uv_poll_t polls[N_ENDS];
    int fds[N_ENDS]; /* ours; -1: closed. A terminal's IN is a duplicate of OUT */
    bool is_polling[N_ENDS];
    unsigned n_handles;
    struct sbx_buf input;
    bool input_ended;
    bool is_exited, is_last, is_abandoned, is_closing;
    size_t left[N_ENDS]; /* is_last: so much is still read */
    uint64_t started_ns;
    struct process_end end;
};

static void process_settle(struct process *process);
static void end_update(struct process *process, int i);
static void process_kill(struct process *process);

static void
process_on_handle_closed(uv_handle_t *handle)
{
    struct process *process = handle->data;

    if (--process->n_handles > 0) {
        return;
    }
    if (process->spec.events == NULL) {
        process_free(process); /* never started, nobody knows it */
    } else {
        process->spec.events->on_end(process->spec.arg, &process->end);
    }
}

static void
end_close(struct process *process, int i)
{
    if (process->fds[i] >= 0) {
        uv_close((uv_handle_t *)&process->polls[i], process_on_handle_closed);
        (void)close(process->fds[i]); /* a pipe or a terminal */
        process->fds[i] = -1;
    }
}

static bool
is_over(ssize_t n)
{
    return n == 0 ||
           (n < 0 && errno != EAGAIN && errno != EINTR); /* EIO: nobody has the terminal open any more */
}

static size_t
output_want(const struct process *process, int i)
{
    size_t room = process->spec.events->room(process->spec.arg);

    room = room < READ_SIZE ? room : READ_SIZE;
    return process->is_last && process->left[i] < room ? process->left[i] : room;
}

static void
output_read(struct process *process, int i)
{
    char bytes[READ_SIZE];
    ssize_t n = 1;

    for (int turn = 0; turn < READS_AT_ONCE && n > 0; turn++) {
        size_t want = output_want(process, i);

        if (want == 0) {
            break;
        }
        n = read(process->fds[i], bytes, want);
        if (n > 0) {
            process->left[i] -= process->is_last ? (size_t)n : 0;
            process->spec.events->on_output(process->spec.arg, (unsigned)i, bytes, (size_t)n);
        }
    }
    if (is_over(n) || (process->is_last && process->left[i] == 0)) {
        end_close(process, i);
        process_settle(process);
    } else {
        end_update(process, i);
    }
}

static void
input_write(struct process *process)
{
    size_t taken = 0;
    ssize_t n = 0;

    while (taken < process->input.len &&
           (n = write(process->fds[IN], process->input.data + taken, process->input.len - taken)) > 0) {
        taken += (size_t)n;
    }
    if (n < 0 && errno != EAGAIN && errno != EINTR) { /* nobody reads: as good as taken */
        taken = process->input.len;
        end_close(process, IN);
    }
    sbx_buf_consume(&process->input, taken);
    if (taken > 0) {
        process->spec.events->on_input_taken(process->spec.arg, taken);
    }
    end_update(process, IN);
}

static void
end_on_poll(uv_poll_t *poll, int status, int events)
{
    struct process *process = poll->data;
    int i = (int)(poll - process->polls);

    (void)status; /* what is wrong, read and write tell */
    (void)events; /* one kind each */
    if (i == IN) {
        input_write(process);
    } else {
        output_read(process, i);
    }
}

/* Nobody reads our end of a terminal's input as an end: the line discipline has a character for it. */
static void
input_finish(struct process *process)
{
    if (!process->spec.has_terminal) {
        end_close(process, IN);
    } else if (process->input_ended) {
        process->input_ended = false;
        sbx_buf_append(&process->input, END_OF_FILE, 1);
    }
}

static void
end_update(struct process *process, int i)
{
    bool want;

    if (i == IN && process->input_ended && process->input.len == 0 && process->fds[IN] >= 0) {
        input_finish(process);
    }
    if (process->fds[i] < 0) {
        return;
    }
    want = i == IN ? process->input.len > 0 : output_want(process, i) > 0;
    if (want == process->is_polling[i]) {
        return;
    }
    process->is_polling[i] = want;
    if (!want) {
        (void)uv_poll_stop(&process->polls[i]); /* always 0 */
    } else if (uv_poll_start(&process->polls[i], i == IN ? UV_WRITABLE : UV_READABLE, end_on_poll) < 0) {
        process_kill(process);
    }
}

/* The last of a command whose output is over, or drained. */
static void
process_settle(struct process *process)
{
    struct process_end *end = &process->end;

    if (!process->is_exited || process->is_closing || process->fds[OUT] >= 0 || process->fds[ERR] >= 0) {
        return;
    }
    process->is_closing = true;
    end_close(process, IN);
    if (!payload_failed(&process->payload, &end->failed_stage, &end->error)) {
        end->failed_stage = NULL;
    }
    uv_close((uv_handle_t *)&process->timer, process_on_handle_closed);
}

/* Nobody waits for the rest. */
static void
process_cut(struct process *process)
{
    end_close(process, OUT);
    end_close(process, ERR);
    process_settle(process);
}

static void
process_on_drained(uv_timer_t *timer)
{
    struct process *process = timer->data;

    process->is_last = true;
    for (int i = OUT; i < N_ENDS; i++) {
        int n = 0;

        if (process->fds[i] < 0) {
            continue;
        }
        process->left[i] = ioctl(process->fds[i], FIONREAD, &n) == 0 && n > 0 ? (size_t)n : 0;
        if (process->left[i] == 0) {
            end_close(process, i);
        } else {
            end_update(process, i);
        }
    }
    process_settle(process);
}

static void
process_on_exit(void *arg, int wait_status, const struct init_usage *usage)
{
    struct process *process = arg;
    struct process_end *end = &process->end;

    process->is_exited = true;
    end->wait_status = wait_status;
    end->usage = *usage;
    end->wall_ms = (sbx_now_mono_ns() - process->started_ns) / 1000000;
    end_close(process, IN);
    if (process->is_abandoned || (process->fds[OUT] < 0 && process->fds[ERR] < 0)) {
        process_cut(process);
        return;
    }
    (void)uv_timer_start(&process->timer, process_on_drained, DRAIN_MS, 0); /* cannot fail: callback set */
}

static void
process_on_grace(uv_timer_t *timer)
{
    process_kill(timer->data);
}

static void
process_on_deadline(uv_timer_t *timer)
{
    struct process *process = timer->data;

    process->end.timed_out = true;
    process_signal(process, SIGTERM);
    process_signal(process, SIGCONT); /* or one that is stopped would not hear of it */
    (void)uv_timer_start(timer, process_on_grace, GRACE_MS, 0); /* cannot fail: callback set */
}

/* 0 when there is none, or nobody can tell. */
static pid_t
foreground(const struct process *process)
{
    pid_t group = 0;

    if (!process->spec.has_terminal || process->fds[OUT] < 0 ||
        ioctl(process->fds[OUT], TIOCGPGRP, &group) < 0) {
        return 0;
    }
    return group > 1 ? group : 0;
}

void
process_signal(struct process *process, int number)
{
    bool is_key = number == SIGINT || number == SIGQUIT || number == SIGTSTP || number == SIGWINCH;
    pid_t group = is_key ? foreground(process) : 0;

    if (number == SIGKILL) {
        process_kill(process);
        return;
    }
    /* Once it is reaped its number may be somebody else's. */
    if (process->is_exited || kill(group > 0 ? -group : -process->payload.pid, number) == 0) {
        return;
    }
    (void)kill(process->payload.pid, number); /* just forked, it has no group yet */
}

/* With the group the foreground of its terminal. */
static void
process_kill(struct process *process)
{
    pid_t group = process->is_exited ? 0 : foreground(process);

    if (process->is_exited) {
        return;
    }
    if (group > 0 && group != process->payload.pid) {
        (void)kill(-group, SIGKILL); /* ESRCH: gone meanwhile */
    }
    (void)kill(process->payload.pid, SIGKILL);  /* unreaped, so the number is still its own */
    (void)kill(-process->payload.pid, SIGKILL); /* ESRCH: it has no group yet */
}

void
process_abandon(struct process *process)
{
    process->is_abandoned = true;
    if (process->is_exited) {
        process_cut(process);
    } else {
        process_kill(process);
    }
}

void
process_resize(struct process *process, struct terminal_size size)
{
    if (process->spec.has_terminal && process->fds[OUT] >= 0) {
        (void)!terminal_resize(process->fds[OUT], size); /* of a terminal that is going away */
    }
}

bool
process_input(struct process *process, const char *data, size_t len)
{
    if (process->fds[IN] < 0) {
        return false;
    }
    sbx_buf_append(&process->input, data, len);
    end_update(process, IN);
    return !process->input.failed;
}

void
process_input_end(struct process *process)
{
    process->input_ended = true;
    end_update(process, IN);
}

void
process_resume(struct process *process)
{
    end_update(process, OUT);
    end_update(process, ERR);
}

pid_t
process_pid(const struct process *process)
{
    return process->payload.pid;
}

struct process *
process_free(struct process *process)
{
    if (process != NULL) {
        sbx_buf_deinit(&process->input);
        free(process);
    }
    return NULL;
}

/* `ours` of the pair does not block and dies at exec, `theirs` is for the command. */
_must_check_ static int
pipe_open(int *ret_ours, int *ret_theirs, int i)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0) {
        return -errno;
    }
    *ret_ours = fds[i == IN];
    *ret_theirs = fds[i != IN];
    return fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

_must_check_ static int
pipes_open(struct process *process, int theirs[N_ENDS])
{
    int r = 0;

    for (int i = 0; i < N_ENDS && r == 0; i++) {
        if (i == IN && !process->spec.has_stdin) {
            theirs[IN] = open("/dev/null", O_RDONLY | O_CLOEXEC);
            r = theirs[IN] < 0 ? -errno : 0;
        } else {
            r = pipe_open(&process->fds[i], &theirs[i], i);
        }
    }
    return r;
}

_must_check_ static int
terminal_attach(struct process *process, int theirs[N_ENDS])
{
    struct terminal terminal = TERMINAL_NULL;
    int r = terminal_open(&terminal, process->spec.terminals, process->spec.size);

    if (r < 0) {
        return r;
    }
    theirs[IN] = terminal.slave;
    process->fds[OUT] = terminal.master;
    /* A loop polls a descriptor once. */
    process->fds[IN] = fcntl(terminal.master, F_DUPFD_CLOEXEC, 0);
    return process->fds[IN] < 0 ? -errno : 0;
}

_must_check_ static int
process_spawn(struct process *process)
{
    struct payload_spec spec = process->spec.payload;
    int theirs[N_ENDS] = { -1, -1, -1 };
    int r = process->spec.has_terminal ? terminal_attach(process, theirs) : pipes_open(process, theirs);

    if (r == 0) {
        spec.has_terminal = process->spec.has_terminal;
        for (int i = 0; i < N_ENDS; i++) {
            spec.stdio[i] = theirs[spec.has_terminal ? IN : i];
        }
        r = slot_start(process->spec.slot, NULL, &spec, &process->payload);
    }
    for (int i = 0; i < N_ENDS; i++) {
        if (theirs[i] >= 0) {
            (void)close(theirs[i]); /* the command has its own */
        }
    }
    return r;
}

/* The handles that exist must be closed by the loop before the memory goes; the rest is closed here. */
static int
process_drop(struct process *process, int r)
{
    process->spec.events = NULL;
    for (int i = 0; i < N_ENDS; i++) {
        if (process->fds[i] >= 0) {
            (void)close(process->fds[i]); /* never polled */
        }
    }
    uv_close((uv_handle_t *)&process->timer, process_on_handle_closed);
    return r;
}

static void
ends_init(struct process *process)
{
    for (int i = 0; i < N_ENDS; i++) {
        process->polls[i].data = process;
        /* epoll takes any pipe or terminal, and these are new. */
        if (process->fds[i] >= 0 &&
            uv_poll_init(process->spec.loop, &process->polls[i], process->fds[i]) == 0) {
            process->n_handles++;
        } else if (process->fds[i] >= 0) {
            (void)close(process->fds[i]); /* as if it had ended */
            process->fds[i] = -1;
        }
    }
}

int
process_start(struct process **ret, const struct process_spec *spec)
{
    struct process *process = calloc(1, sizeof(*process));
    int r;

    if (process == NULL) {
        return -ENOMEM;
    }
    process->spec = *spec;
    process->fds[IN] = process->fds[OUT] = process->fds[ERR] = -1;
    process->input.max = INPUT_MAX;
    (void)uv_timer_init(spec->loop, &process->timer); /* always 0 */
    process->timer.data = process;
    process->n_handles = 1;
    process->started_ns = sbx_now_mono_ns();
    r = process_spawn(process);
    if (r < 0) {
        return process_drop(process, r);
    }
    process->spec.payload = (struct payload_spec){ 0 }; /* borrowed no longer */
    process->watch = (struct init_watch){ process->payload.pid, process_on_exit, process, NULL };
    init_watch_add(spec->init, &process->watch);
    ends_init(process);
    uv_update_time(spec->loop); /* the deadline counts from here, not from when the loop woke up */
    if (spec->timeout_ms > 0) {
        (void)uv_timer_start(&process->timer, process_on_deadline, spec->timeout_ms, 0); /* cannot fail */
    }
    process_resume(process);
    *ret = process;
    return 0;
}
