#include "session-agent/slot.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "session-agent/confine.h"
#include "session-agent/last_word.h"
#include "session-agent/sender.h"
#include "session-agent/slot_work.h"

#define FORKED_MS 2000  /* it was asked for before this agent was */
#define STARTED_MS 8000 /* an interpreter's start on a machine that has much to do */
#define DEATH_MS 1000

enum slot_state { SLOT_NONE, SLOT_WAITING, SLOT_READY };

/* The handles of one that is waited for. */
struct slot_wait {
    struct slot *slot; /* NULL: no longer */
    uv_poll_t poll;
    uv_timer_t timer;
    unsigned n_handles;
};

struct slot {
    struct slot_spec spec;
    enum slot_state state;
    bool is_forked;
    bool is_only_forked; /* no other is started in its place */
    char runtime[33];
    struct strings argv, env; /* as it was started, or would have been */
    struct payload payload;   /* pid 0: not known yet */
    struct init_watch watch;
    int fd; /* -1: none */
    bool is_early;
    int early[SLOT_N_PIPES][2]; /* what it was started with, -1: taken or not there */
    int given[SLOT_N_PIPES];    /* the ends that are the payload's, by number; -1: not asked for */
    struct slot_wait *wait;
    slot_ready_fn ready; /* NULL: nobody waits */
    void *arg;
};

static void slot_fail(struct slot *slot);

static void
wait_on_closed(uv_handle_t *handle)
{
    struct slot_wait *wait = handle->data;

    if (--wait->n_handles == 0) {
        free(wait);
    }
}

static void
wait_end(struct slot *slot)
{
    struct slot_wait *wait = steal(&slot->wait);

    if (wait != NULL) {
        wait->slot = NULL;
        uv_close((uv_handle_t *)&wait->timer, wait_on_closed);
        uv_close((uv_handle_t *)&wait->poll, wait_on_closed);
    }
}

static void
slot_tell(struct slot *slot, const char *origin)
{
    slot_ready_fn ready = steal(&slot->ready);

    if (ready != NULL) {
        ready(slot->arg, origin);
    }
}

static void
status_close(struct slot *slot)
{
    if (slot->payload.status_fd >= 0) {
        (void)close(slot->payload.status_fd); /* only ever read */
        slot->payload.status_fd = -1;
    }
}

/* Until it is dead, and reaped: none of what it used is the next one's. */
static void
slot_kill(struct slot *slot)
{
    struct pollfd end = { .fd = slot->fd };
    uint64_t late = uv_hrtime() + DEATH_MS * 1000000ull;
    pid_t pid = slot->payload.pid;

    if (slot->watch.pid == 0) {
        return;
    }
    init_watch_drop(slot->spec.init, &slot->watch);
    (void)kill(pid, SIGKILL); /* not reaped, so the number is its own */
    /* Its end of the socket is closed on its last way; who does not come so far is reaped later. */
    while (waitpid(pid, NULL, WNOHANG) == 0 && uv_hrtime() < late) {
        (void)poll(&end, 1, 1); /* the look above tells */
    }
}

static void
pair_close(int pair[2])
{
    for (int i = 0; i < 2; i++) {
        if (pair[i] >= 0) {
            (void)close(pair[i]); /* never used */
            pair[i] = -1;
        }
    }
}

static void
slot_clear(struct slot *slot)
{
    wait_end(slot);
    if (slot->fd >= 0 && slot->is_forked && slot->payload.pid == 0) {
        init_kill_all(slot->spec.init); /* its number was never told, and there is nothing else */
    }
    if (slot->fd >= 0) {
        slot_kill(slot);
        (void)close(slot->fd); /* a socket */
        slot->fd = -1;
    }
    status_close(slot);
    for (int i = 0; i < SLOT_N_PIPES; i++) {
        pair_close(slot->early[i]);
        slot->given[i] = -1;
    }
    slot->payload = (struct payload){ .status_fd = -1, .word_fd = -1 };
    slot->state = SLOT_NONE;
    slot->is_forked = false;
    strings_deinit(&slot->argv);
    strings_deinit(&slot->env);
}

static void
slot_on_exit(void *arg, int wait_status _unused_, const struct init_usage *usage _unused_)
{
    struct slot *slot = arg;

    if (slot->state == SLOT_WAITING) {
        slot_fail(slot);
    } else {
        slot_clear(slot);
    }
}

static void
slot_own(struct slot *slot, pid_t pid)
{
    slot->payload.pid = pid;
    slot->watch = (struct init_watch){ .pid = pid, .on_exit = slot_on_exit, .arg = slot };
    init_watch_add(slot->spec.init, &slot->watch);
}

static bool
is_of(const struct ucred *who, const struct identity *identity)
{
    return who->pid > 1 && (!identity->change || (who->uid == identity->uid && who->gid == identity->gid));
}

/* -EAGAIN: nothing yet. */
static int
ready_read(struct slot *slot)
{
    struct ucred who;
    char bytes[2];
    ssize_t n = sender_receive(slot->fd, bytes, sizeof(bytes), &who);

    if (n < 0) {
        return (int)n;
    }
    if (n != 1 || bytes[0] != 'R') {
        return -EPROTO;
    }
    if (slot->payload.pid == 0) {
        if (!is_of(&who, &slot->spec.identity)) {
            return -EPROTO;
        }
        slot_own(slot, who.pid);
    }
    return 0;
}

static void
wait_on_readable(uv_poll_t *poll, int status, int events _unused_)
{
    struct slot_wait *wait = poll->data;
    struct slot *slot = wait->slot;
    int r = slot == NULL ? -EAGAIN : status < 0 ? status : ready_read(slot);

    if (r == -EAGAIN) {
        return;
    }
    if (r < 0) {
        slot_fail(slot);
        return;
    }
    wait_end(slot);
    status_close(slot);
    slot->state = SLOT_READY;
    slot_tell(slot, slot->is_forked ? "forked" : "started");
}

static void
wait_on_late(uv_timer_t *timer)
{
    const struct slot_wait *wait = timer->data;

    if (wait->slot != NULL) {
        slot_fail(wait->slot);
    }
}

static int
slot_wait(struct slot *slot, uint64_t ms)
{
    struct slot_wait *wait = calloc(1, sizeof(*wait));
    int r = -ENOMEM;

    if (wait != NULL) {
        wait->slot = slot;
        wait->poll.data = wait->timer.data = wait;
        r = uv_poll_init(slot->spec.loop, &wait->poll, slot->fd);
    }
    if (r < 0) {
        free(wait);
        return r;
    }
    (void)uv_timer_init(slot->spec.loop, &wait->timer); /* always 0 */
    wait->n_handles = 2;
    slot->wait = wait;
    slot->state = SLOT_WAITING;
    uv_update_time(slot->spec.loop);
    (void)uv_timer_start(&wait->timer, wait_on_late, ms, 0); /* cannot fail: callback set */
    return uv_poll_start(&wait->poll, UV_READABLE, wait_on_readable);
}

static int
pipe_make(enum slot_pipe which, int fds[2])
{
    int r =
        which == SLOT_TALK ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) : pipe2(fds, O_CLOEXEC);

    return r < 0 ? -errno : 0;
}

/* Which of a pair is the payload's. */
static int
theirs_of(enum slot_pipe which)
{
    return which == SLOT_STEP_IN ? 0 : 1;
}

/* Made as the payload: it opens the output of a context once more, by /proc. */
static int
early_open(struct slot *slot)
{
    int r = identity_enter(&slot->spec.identity);

    if (r < 0) {
        return r;
    }
    for (int i = 0; i < SLOT_N_PIPES && r == 0; i++) {
        if (i >= 3 || slot->spec.is_piped[i]) {
            r = pipe_make((enum slot_pipe)i, slot->early[i]);
        }
    }
    identity_leave(&slot->spec.identity);
    return r;
}

static int
spawn(struct slot *slot, int theirs)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct payload_spec payload = {
        .argv = slot->argv.items,
        .env = slot->env.items,
        .cwd = slot->spec.cwd,
        .stdio = { null, null, null },
        .has_control = true,
        .control = theirs,
        .has_more = slot->is_early,
        .more = { slot->early[SLOT_OUT][1], slot->early[SLOT_ERR][1] },
        .identity = slot->spec.identity,
        .filter = slot->spec.filter,
        .is_slot = true,
    };
    int r;

    for (int i = 0; i < 3 && slot->is_early; i++) {
        payload.stdio[i] =
            slot->spec.is_piped[i] ? slot->early[i][theirs_of((enum slot_pipe)i)] : slot->spec.stdio[i];
    }
    r = null < 0 ? -errno : payload_spawn(&slot->payload, &payload);

    if (null >= 0) {
        (void)close(null); /* the slot's */
    }
    return r;
}

static int
slot_begin_started(struct slot *slot)
{
    int pair[2] = { -1, -1 }, r;

    if (slot->is_early) {
        r = early_open(slot);
    } else {
        r = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
    }
    if (r < 0) {
        return r;
    }
    slot->fd = slot->is_early ? fcntl(slot->early[SLOT_TALK][0], F_DUPFD_CLOEXEC, 0) : pair[0];
    r = slot->fd < 0 ? -errno : spawn(slot, slot->is_early ? slot->early[SLOT_TALK][1] : pair[1]);
    if (pair[1] >= 0) {
        (void)close(pair[1]); /* the slot's */
    }
    if (r < 0) {
        return r;
    }
    slot_own(slot, slot->payload.pid);
    return slot_wait(slot, STARTED_MS);
}

static int
slot_begin_forked(struct slot *slot)
{
    int r;

    slot->is_forked = true;
    slot->fd = slot->spec.forked;
    slot->spec.forked = -1;
    r = last_word_expect(slot->fd); /* its first is told by the same credentials */
    return r < 0 ? r : slot_wait(slot, FORKED_MS);
}

/* Without the one outside there may still be one of our own. */
static void
slot_fail(struct slot *slot)
{
    struct strings argv = slot->argv, env = slot->env;
    bool was_forked = slot->is_forked && !slot->is_only_forked;

    slot->argv = slot->env = (struct strings){ 0 };
    slot_clear(slot);
    if (was_forked) {
        slot->argv = argv;
        slot->env = env;
        if (slot_begin_started(slot) == 0) {
            return;
        }
        slot_clear(slot);
    } else {
        strings_deinit(&argv);
        strings_deinit(&env);
    }
    slot_tell(slot, NULL);
}

/* The environment that every payload has; what is the tenant's comes with the work. */
static int
texts_make(struct slot *slot, const struct runtime_entry *runtime)
{
    struct session nobody = { 0 };
    const struct environ_spec texts = {
        .session = &nobody, .runtime = runtime, .opt_dir = slot->spec.opt_dir, .source_path = ""
    };
    int r;

    (void)snprintf(nobody.places.workspace, sizeof(nobody.places.workspace), "%s", slot->spec.cwd); /* fits */
    (void)snprintf(nobody.places.tmp, sizeof(nobody.places.tmp), "/tmp"); /* likewise */
    r = environ_slot(&slot->argv, &texts);
    return r < 0 ? r : environ_env(&slot->env, &texts);
}

static int
slot_begin(struct slot *slot, const struct runtime_entry *runtime)
{
    int r;

    (void)snprintf(slot->runtime, sizeof(slot->runtime), "%s", runtime->name); /* its length was checked */
    slot->is_early = runtime->slot_is_early;
    r = texts_make(slot, runtime);
    if (r == 0 && slot->spec.forked >= 0) {
        r = slot_begin_forked(slot);
    } else if (r == 0) {
        r = slot_begin_started(slot);
    }
    if (r < 0) {
        slot_clear(slot);
    }
    return r;
}

int
slot_prepare(struct slot *slot, const struct slot_wish *wish)
{
    int r;

    if (slot->state != SLOT_NONE || slot->ready != NULL) {
        return SLOT_E_BUSY;
    }
    if (wish->runtime->slot == NULL) {
        return SLOT_E_NONE;
    }
    if (wish->is_only_forked && slot->spec.forked < 0) {
        return SLOT_E_UNFORKED;
    }
    r = slot_begin(slot, wish->runtime);
    if (r == 0) {
        slot->is_only_forked = wish->is_only_forked;
        slot->ready = wish->ready;
        slot->arg = wish->arg;
    }
    return r;
}

/* It has said no more than that it is ready, and has not left. */
static bool
is_quiet(const struct slot *slot)
{
    char byte;

    return recv(slot->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

static bool
is_for(const struct slot *slot, const char *runtime)
{
    return slot != NULL && slot->state == SLOT_READY && runtime != NULL &&
           strcmp(runtime, slot->runtime) == 0;
}

int
slot_pipe(struct slot *slot, const char *runtime, enum slot_pipe which, int fds[2])
{
    if (!is_for(slot, runtime) || slot->early[which][0] < 0) {
        return pipe_make(which, fds);
    }
    for (int i = 0; i < 2; i++) {
        fds[i] = slot->early[which][i];
        slot->early[which][i] = -1;
    }
    slot->given[which] = fds[theirs_of(which)];
    return 0;
}

/* What it has is what the work is to have. */
static bool
early_fits(const struct slot *slot, const struct payload_spec *payload)
{
    if (payload->has_control) {
        return slot->given[SLOT_TALK] == payload->control && slot->given[SLOT_OUT] == payload->stdio[1] &&
               slot->given[SLOT_ERR] == payload->stdio[2];
    }
    for (int i = 0; i < 3; i++) {
        if (payload->stdio[i] != (slot->spec.is_piped[i] ? slot->given[i] : slot->spec.stdio[i])) {
            return false;
        }
    }
    return true;
}

/* A frame, as those of the conversation that it may become. */
static bool
early_send(const struct slot *slot, struct sbx_buf *text)
{
    unsigned char head[4] = { (unsigned char)text->len, (unsigned char)(text->len >> 8),
                              (unsigned char)(text->len >> 16), (unsigned char)(text->len >> 24) };
    struct iovec iov[2] = { { .iov_base = head, .iov_len = sizeof(head) },
                            { .iov_base = text->data, .iov_len = text->len } };
    struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };

    return sendmsg(slot->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)(sizeof(head) + text->len);
}

static bool
work_send(const struct slot *slot, const struct payload_spec *payload, struct sbx_buf *text)
{
    const int fds[] = { payload->stdio[0], payload->stdio[1], payload->stdio[2], payload->control };
    size_t size = sizeof(int) * (payload->has_control ? 4 : 3);
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(fds))];
    } control = { 0 };
    struct iovec iov = { .iov_base = text->data, .iov_len = text->len };
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(size)
    };
    struct cmsghdr *cmsg = &control.align;

    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(cmsg), fds, size);
    return sendmsg(slot->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)text->len;
}

/*
 * Forked ones and Node. No other: a socket of datagrams that wants to know who they are from gets a name from the kernel when it
 * sends one, and of a socket that was made in here a program could list that.
 */
static bool
says_word(const struct slot *slot, const struct payload_spec *work)
{
    return !work->has_control && (slot->is_forked || slot->is_early);
}

static bool
slot_hand_over(struct slot *slot, const char *runtime, const struct payload_spec *work)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(SLOT_WORK_MAX);
    const struct slot_work_spec document = { .payload = work, .env = &slot->env, .skip = slot->argv.n - 1 };
    const struct confine_spec limits = {
        .identity = work->identity,
        .cwd = work->cwd,
        .processes = work->processes,
    };
    bool is_sent;

    if (!is_for(slot, runtime) || (slot->is_early && !early_fits(slot, work))) {
        return false;
    }
    is_sent = slot_work_write(&text, &document) && is_quiet(slot) &&
              confine_slot(slot->payload.pid, &limits) &&
              (slot->is_forked || !says_word(slot, work) || last_word_expect(slot->fd) == 0) &&
              (slot->is_early ? early_send(slot, &text) : work_send(slot, work, &text));
    if (text.data != NULL) {
        explicit_bzero(text.data, text.len);
    }
    return is_sent;
}

int
slot_start(struct slot *slot, const char *runtime, const struct payload_spec *work, struct payload *ret)
{
    if (slot != NULL && slot_hand_over(slot, runtime, work)) {
        *ret = slot->payload;
        init_watch_drop(slot->spec.init, &slot->watch);
        if (says_word(slot, work)) {
            ret->word_fd = slot->fd;
            slot->fd = -1;
        }
        slot_clear(slot);
        return 0;
    }
    slot_drop(slot);
    return payload_spawn(ret, work);
}

void
slot_drop(struct slot *slot)
{
    if (slot == NULL) {
        return;
    }
    slot_clear(slot);
    slot_tell(slot, NULL);
    if (slot->spec.forked >= 0) {
        init_kill_all(slot->spec.init); /* nobody asked who it is, and there is nothing else */
        (void)close(slot->spec.forked); /* a socket */
        slot->spec.forked = -1;
    }
}

int
slot_new(struct slot **ret, const struct slot_spec *spec)
{
    struct slot *slot = calloc(1, sizeof(*slot));

    if (slot == NULL) {
        return -ENOMEM;
    }
    slot->spec = *spec;
    slot->fd = -1;
    memset(slot->early, -1, sizeof(slot->early));
    memset(slot->given, -1, sizeof(slot->given));
    slot->payload.status_fd = slot->payload.word_fd = -1;
    *ret = slot;
    return 0;
}

struct slot *
slot_free(struct slot *slot)
{
    if (slot != NULL) {
        slot->ready = NULL;
        slot_drop(slot);
        free(slot);
    }
    return NULL;
}
