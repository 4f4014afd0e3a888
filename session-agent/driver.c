#include "session-agent/driver.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "session-agent/slot.h"

#define READ_SIZE 65536
#define READS_AT_ONCE 8 /* then others have their turn */
#define OUT_MAX (4u << 20)
#define MAX_MEMBERS 512 /* that are looked for: more are a fork bomb, which SIGKILL ends */

enum { TALK, OUT, ERR, N_ENDS };

enum driver_state { STARTING, IDLE, RUNNING, DEAD };

struct driver {
    struct driver_spec spec; /* payload is not kept */
    enum driver_state state;
    struct payload payload;
    struct init_watch watch;
    pid_t group;
    int fds[N_ENDS]; /* ours; -1: closed */
    uv_timer_t life; /* never runs: closed last, it keeps the memory while somebody uses it */
    uv_poll_t polls[N_ENDS];
    int polling[N_ENDS];   /* events that are waited for */
    bool has_come[N_ENDS]; /* something to read, that is not wanted now */
    clockid_t clock;       /* of its processor time */
    bool has_clock;
    unsigned n_handles;
    struct sbx_buf out; /* for the driver, from `sent` on */
    size_t sent;
    struct driver_reader reader;
    bool is_shown;       /* the display that comes is wanted */
    bool is_interrupted; /* the step, or the one before when it is idle: SIGINT was sent */
    bool has_outcome;    /* and what was written before it is still being read */
    bool is_exited;      /* likewise */
    size_t left[N_ENDS]; /* then: so much is still read */
    bool is_over;        /* driver_free or on_dead: handles are closing */
    struct driver_outcome outcome;
    struct driver_death death;
};

/* All of one thread, and each read is handed on at once. */
static char read_buf[READ_SIZE];

static void driver_update(struct driver *driver);

static void
driver_on_handle_closed(uv_handle_t *handle)
{
    struct driver *driver = handle->data;

    if (--driver->n_handles == 0) {
        sbx_buf_deinit(&driver->out);
        sbx_buf_deinit(&driver->outcome.error);
        driver_reader_deinit(&driver->reader);
        free(driver);
    }
}

static void
end_close(struct driver *driver, int i)
{
    if (driver->fds[i] >= 0) {
        uv_close((uv_handle_t *)&driver->polls[i], driver_on_handle_closed);
        (void)close(driver->fds[i]); /* a pipe or a socket */
        driver->fds[i] = -1;
    }
}

static void
driver_close(struct driver *driver)
{
    int i;

    driver->is_over = true;
    if (driver->watch.pid != 0) {
        driver_kill(driver);
        init_watch_drop(driver->spec.init, &driver->watch);
    }
    if (driver->payload.status_fd >= 0) {
        (void)close(driver->payload.status_fd); /* only ever read */
        driver->payload.status_fd = -1;
    }
    for (i = 0; i < N_ENDS; i++) {
        end_close(driver, i);
    }
    uv_close((uv_handle_t *)&driver->life, driver_on_handle_closed);
}

struct driver *
driver_free(struct driver *driver)
{
    if (driver != NULL && !driver->is_over) {
        driver_close(driver);
    }
    return NULL;
}

void
driver_kill(struct driver *driver)
{
    if (driver->watch.pid != 0) {
        (void)kill(-driver->group, SIGKILL); /* ESRCH: it has none yet */
        (void)kill(driver->group, SIGKILL);  /* not reaped, so the number is its own */
    }
}

bool
driver_runs_code(const struct driver *driver)
{
    return driver->watch.pid != 0 && driver->state == RUNNING && !driver->has_outcome;
}

void
driver_interrupt(struct driver *driver)
{
    if (driver_runs_code(driver)) {
        driver->is_interrupted = true;
        (void)kill(-driver->group, SIGINT); /* ESRCH: it has none yet, and runs nothing */
    }
}

/* Those of its descendants that are in its group, and whose parents are; parents come before their children. */
struct members {
    pid_t group;
    unsigned n;
    pid_t pids[MAX_MEMBERS];
};

static void
members_add(pid_t pid, void *arg)
{
    struct members *members = arg;

    if (members->n < MAX_MEMBERS && getpgid(pid) == members->group) {
        members->pids[members->n++] = pid;
    }
}

void
driver_interrupt_children(const struct driver *driver)
{
    struct members members = { .group = driver->group };
    unsigned i;

    if (!driver_runs_code(driver)) {
        return;
    }
    init_each_child(driver->watch.pid, members_add, &members);
    for (i = 0; i < members.n; i++) {
        init_each_child(members.pids[i], members_add, &members);
    }
    for (i = 0; i < members.n; i++) {
        /* It may have ended, and its number be another's. */
        if (getpgid(members.pids[i]) == members.group) {
            (void)kill(members.pids[i], SIGINT); /* ESRCH: it is gone */
        }
    }
}

void
driver_poke(const struct driver *driver)
{
    if (driver_runs_code(driver)) {
        (void)kill(driver->watch.pid, SIGURG); /* not reaped, so the number is its own */
    }
}

uint64_t
driver_cpu_ns(const struct driver *driver)
{
    struct timespec now;

    if (driver->watch.pid == 0 || !driver->has_clock || clock_gettime(driver->clock, &now) < 0) {
        return 0;
    }
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* It is no driver, or not any more: whatever it is, it ends. */
static void
driver_condemn(struct driver *driver, const char *why)
{
    if (driver->death.nonsense == NULL) {
        driver->death.nonsense = why;
    }
    end_close(driver, TALK);
    driver_kill(driver);
}

/* What is in the pipes now was written before now. */
static void
ends_measure(struct driver *driver, int from)
{
    int i, n;

    for (i = from; i < N_ENDS; i++) {
        driver->left[i] =
            driver->fds[i] >= 0 && ioctl(driver->fds[i], FIONREAD, &n) == 0 && n > 0 ? (size_t)n : 0;
    }
}

/* More frames may be behind it already, a second outcome among them, if the code wrote them. */
static void
outcome_keep(struct driver *driver)
{
    struct sbx_buf spare = driver->outcome.error;

    driver->outcome = driver->reader.outcome;
    spare.max = driver->outcome.error.max;
    driver->reader.outcome.error = spare;
    driver->has_outcome = true;
    if (!driver->is_exited) {
        ends_measure(driver, OUT);
    }
}

static void
driver_on_event(struct driver *driver, enum driver_event event)
{
    const struct driver_events *events = driver->spec.events;
    const struct driver_reader *reader = &driver->reader;
    void *arg = driver->spec.arg;

    if (driver->state == STARTING && event != DRIVER_READY && event != DRIVER_NOTHING) {
        event = DRIVER_NONSENSE;
    }
    switch (event) {
    case DRIVER_NOTHING:
        break;
    case DRIVER_READY:
        if (driver->state == STARTING) {
            driver->state = IDLE;
            events->on_ready(arg);
        }
        break;
    case DRIVER_DISPLAY:
        /* Between steps it is a thread's that came too late. */
        driver->is_shown =
            driver->state == RUNNING && !driver->has_outcome && events->on_display(arg, &reader->display);
        break;
    case DRIVER_BYTES:
        if (driver->is_shown && driver->state == RUNNING && !driver->has_outcome) {
            events->on_bytes(arg, reader->bytes, reader->n_bytes);
        }
        break;
    case DRIVER_OUTCOME:
        if (driver->state == RUNNING && !driver->has_outcome) {
            outcome_keep(driver);
        }
        break;
    case DRIVER_NONSENSE:
        driver_condemn(driver, "its driver broke off");
        break;
    }
}

/* Hands on what the driver said, up to the outcome. Bytes are at most as many as there was room for. */
static void
talk_take(struct driver *driver, const char *data, size_t len)
{
    enum driver_event event;
    size_t off = 0;

    while (off < len && !driver->is_over && driver->fds[TALK] >= 0) {
        off += driver_reader_feed(&driver->reader, data + off, len - off, &event);
        driver_on_event(driver, event);
    }
}

static size_t
end_want(const struct driver *driver, int i)
{
    size_t want = READ_SIZE;

    if (driver->state == RUNNING) {
        size_t room = driver->spec.events->room(driver->spec.arg);

        want = room < want ? room : want;
    } else if (i != TALK && !driver->is_exited) {
        return 0;
    }
    if (driver->is_exited || (driver->has_outcome && i != TALK)) {
        want = driver->left[i] < want ? driver->left[i] : want;
    }
    return driver->has_outcome && i == TALK ? 0 : want;
}

/* One read; false when there is nothing to be had now. */
static bool
end_read(struct driver *driver, int i)
{
    size_t want = driver->fds[i] >= 0 ? end_want(driver, i) : 0;
    ssize_t n = want > 0 ? read(driver->fds[i], read_buf, want) : -1;

    if (want == 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) {
        return false;
    }
    if (n <= 0) {
        driver->left[i] = 0;
        if (i == TALK && !driver->is_exited) {
            driver_condemn(driver, "its driver left");
        }
        end_close(driver, i);
        return false;
    }
    driver->left[i] -= (size_t)n < driver->left[i] ? (size_t)n : driver->left[i];
    if (i == TALK) {
        talk_take(driver, read_buf, (size_t)n);
    } else if (driver->state == RUNNING) {
        driver->spec.events->on_output(driver->spec.arg, (unsigned)i, read_buf, (size_t)n);
    }
    return !driver->is_over;
}

static void
outcome_tell(struct driver *driver)
{
    driver->has_outcome = false;
    driver->state = IDLE;
    driver->spec.events->on_outcome(driver->spec.arg, &driver->outcome);
}

static void
death_tell(struct driver *driver)
{
    struct driver_death death = driver->death;
    const struct driver_events *events = driver->spec.events;
    void *arg = driver->spec.arg;

    if (payload_failed(&driver->payload, &death.failed_stage, &death.error)) {
        death.nonsense = NULL;
    } else {
        death.failed_stage = NULL;
        /* The descriptor ends a moment before its process: who was not killed by us went by itself. */
        if (!WIFSIGNALED(death.wait_status) || WTERMSIG(death.wait_status) != SIGKILL) {
            death.nonsense = NULL;
        }
    }
    driver->state = DEAD;
    driver_close(driver);
    events->on_dead(arg, &death);
}

/* After whatever happened: what follows, and what is waited for now. */
static void
driver_settle(struct driver *driver)
{
    bool is_read = driver->left[OUT] == 0 && driver->left[ERR] == 0;

    if (!driver->is_over && driver->has_outcome && is_read) {
        outcome_tell(driver);
    }
    if (!driver->is_over && driver->is_exited && driver->left[TALK] == 0 && is_read) {
        death_tell(driver);
    }
    if (!driver->is_over) {
        driver_update(driver);
    }
}

static void
driver_read(struct driver *driver, int i)
{
    unsigned n = 0;

    while (n++ < READS_AT_ONCE && end_read(driver, i)) {
        if (driver->has_outcome) {
            break;
        }
    }
}

static void
driver_write(struct driver *driver)
{
    ssize_t n = 0;

    while (driver->sent < driver->out.len && n >= 0) {
        n = send(driver->fds[TALK], driver->out.data + driver->sent, driver->out.len - driver->sent,
                 MSG_NOSIGNAL);
        driver->sent += n > 0 ? (size_t)n : 0;
    }
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        driver->sent = driver->out.len; /* its end is seen by reading */
    }
    if (driver->sent == driver->out.len) {
        driver->sent = 0;
        sbx_buf_deinit(&driver->out);
    }
}

static void
driver_on_poll(uv_poll_t *poll, int status, int events)
{
    struct driver *driver = poll->data;
    int i = (int)(poll - driver->polls);

    if (driver->is_over || driver->fds[i] < 0) {
        return;
    }
    if (status < 0) {
        driver->polling[i] = 0; /* libuv has stopped it */
    }
    driver->has_come[i] = end_want(driver, i) == 0;
    if (i == TALK && (events & UV_WRITABLE) != 0) {
        driver_write(driver);
    }
    if (status < 0 || (events & (UV_READABLE | UV_DISCONNECT)) != 0) {
        driver_read(driver, i);
        /* The short way: what the step printed is there already. */
        for (i = OUT; i < N_ENDS && driver->has_outcome && !driver->is_over; i++) {
            driver_read(driver, i);
        }
    }
    if (!driver->is_over) {
        driver_settle(driver);
    }
}

static void
driver_update(struct driver *driver)
{
    int i, events;

    for (i = 0; i < N_ENDS; i++) {
        if (driver->fds[i] < 0) {
            continue;
        }
        events = end_want(driver, i) > 0 ? UV_READABLE : 0;
        if (i == TALK && driver->sent < driver->out.len) {
            events |= UV_WRITABLE;
        }
        /* What is not wanted before the next step is most often not there: to ask again and again costs more. */
        if (events == 0 && i != TALK && driver->state == IDLE && !driver->has_come[i]) {
            continue;
        }
        driver->has_come[i] = false;
        if (events != driver->polling[i]) {
            driver->polling[i] = events;
            /* Fail only for a descriptor that cannot be polled, and these can. */
            (void)(events == 0 ? uv_poll_stop(&driver->polls[i])
                               : uv_poll_start(&driver->polls[i], events, driver_on_poll));
        }
    }
}

bool
driver_was_interrupted(const struct driver *driver)
{
    return driver->is_interrupted;
}

bool
driver_is_idle(const struct driver *driver)
{
    return driver->state == IDLE && !driver->is_exited && driver->fds[TALK] >= 0;
}

void
driver_resume(struct driver *driver)
{
    if (!driver->is_over) {
        driver_update(driver);
    }
}

static void
driver_on_exit(void *arg, int wait_status, const struct init_usage *usage)
{
    struct driver *driver = arg;

    (void)kill(-driver->group,
               SIGKILL); /* what it left in its group; reaped a moment ago, so the number is no other's */
    driver->death.wait_status = wait_status;
    driver->death.usage = *usage;
    driver->is_exited = true;
    ends_measure(driver, TALK);
    driver_settle(driver);
}

int
driver_step(struct driver *driver, const char *head, size_t head_len, const char *code, size_t code_len)
{
    size_t len = 1 + head_len + 1 + code_len;
    const char frame[5] = { (char)len, (char)(len >> 8), (char)(len >> 16), (char)(len >> 24), 'S' };

    sbx_buf_append(&driver->out, frame, sizeof(frame));
    sbx_buf_append(&driver->out, head, head_len);
    sbx_buf_putc(&driver->out, '\n');
    sbx_buf_append(&driver->out, code, code_len);
    if (driver->out.failed) {
        sbx_buf_deinit(&driver->out);
        return -ENOMEM;
    }
    driver->state = RUNNING;
    driver->is_shown = driver->is_interrupted = false;
    if (driver->fds[TALK] >= 0) {
        driver_write(driver);
    }
    driver_update(driver);
    return 0;
}

/* theirs: TALK, OUT and ERR as the child gets them. */
static int
ends_open(struct driver *driver, int theirs[N_ENDS])
{
    static const enum slot_pipe which[] = { [TALK] = SLOT_TALK, [OUT] = SLOT_OUT, [ERR] = SLOT_ERR };
    int pair[2], i, r = 0;

    for (i = 0; i < N_ENDS && r == 0; i++) {
        r = slot_pipe(driver->spec.slot, driver->spec.runtime, which[i], pair);
        if (r == 0) {
            driver->fds[i] = pair[0];
            theirs[i] = pair[1];
        }
    }
    for (i = 0; i < N_ENDS && r == 0; i++) {
        r = fcntl(driver->fds[i], F_SETFL, O_NONBLOCK | (i == TALK ? O_RDWR : O_RDONLY)) < 0 ? -errno : 0;
        r = r < 0 ? r : uv_poll_init(driver->spec.loop, &driver->polls[i], driver->fds[i]);
        if (r == 0) {
            driver->polls[i].data = driver;
            driver->n_handles++;
        }
    }
    return r;
}

/* What failed before the loop knew of it is closed here, the rest by driver_close. */
static void
driver_abandon(struct driver *driver)
{
    int i;

    for (i = (int)driver->n_handles - 1; i < N_ENDS; i++) {
        if (driver->fds[i] >= 0) {
            (void)close(driver->fds[i]); /* never used */
            driver->fds[i] = -1;
        }
    }
    driver_close(driver);
}

int
driver_start(struct driver **ret, const struct driver_spec *spec)
{
    struct driver *driver = calloc(1, sizeof(*driver));
    struct payload_spec payload = spec->payload;
    int theirs[N_ENDS] = { -1, -1, -1 };
    int i, r;

    if (driver == NULL) {
        return -ENOMEM;
    }
    driver->spec = *spec;
    driver->spec.payload = (struct payload_spec){ 0 };
    driver->payload.status_fd = -1;
    driver->out.max = OUT_MAX;
    (void)uv_timer_init(spec->loop, &driver->life); /* always 0 */
    driver->life.data = driver;
    driver->n_handles = 1;
    driver_reader_init(&driver->reader);
    for (i = 0; i < N_ENDS; i++) {
        driver->fds[i] = -1;
    }
    r = ends_open(driver, theirs);
    payload.stdio[0] = STDIN_FILENO; /* /dev/null, as the agent's own */
    payload.stdio[1] = theirs[OUT];
    payload.stdio[2] = theirs[ERR];
    payload.has_control = true;
    payload.control = theirs[TALK];
    if (r == 0) {
        r = slot_start(spec->slot, spec->runtime, &payload, &driver->payload);
    }
    for (i = 0; i < N_ENDS; i++) {
        if (theirs[i] >= 0) {
            (void)close(theirs[i]); /* the child's */
        }
    }
    if (r < 0) {
        driver_abandon(driver);
        return r;
    }
    driver->group = driver->payload.pid;
    driver->has_clock = clock_getcpuclockid(driver->group, &driver->clock) == 0;
    driver->watch =
        (struct init_watch){ .pid = driver->payload.pid, .on_exit = driver_on_exit, .arg = driver };
    init_watch_add(spec->init, &driver->watch);
    driver_update(driver);
    *ret = driver;
    return 0;
}
