/*
 * Preloaded into the interpreter of a zygote: pause() does not return there. It serves the launcher, and returns in
 * each slot that it forks into a sandbox; the interpreter has one thread and holds no lock, so it need not be told.
 *
 *   zygote --vfork--> outer: joins the groups, then the namespaces, but stays outside of the pid namespace
 *                     outer --vfork--> inner: the first inside; whoever it forks is pid 1's when it has gone
 *                                      inner --fork--> the slot: confines itself and becomes an interpreter again
 *
 * Only the fork copies memory. Outer and inner use the zygote's, which waits for them, stack included: what they
 * leave in it must mean nothing to it, and the slot has a copy of all frames below which to return.
 * The zygote has no capability: its user owns the user namespace above the sandbox's, and so it has all of them there.
 */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/sbx_wall.h"
#include "lib/sbx_zygote.h"
#include "session-agent/confine.h"
#include "session-agent/last_word_form.h"
#include "session-agent/preload/huge.h"
#include "session-agent/preload/prefault.h"

#define EXPORT __attribute__((visibility("default")))
#define APART __attribute__((noinline)) /* a frame of its own, see above */

#define PAYLOAD_ID 1000
#define SLOT_FD 3
#define HIGH_FD 32
/* Pairs of slots' sockets with work of nobody in them, of a job and of sessions; behind them what that needs (python_slot.py). */
#define SAMPLE_FD 5
#define N_SAMPLES 3
#define WORK_FDS 4
#define WORD_FD 63      /* the last that needs no larger table: a program gets the lowest that are free */
#define MAX_FILTER 4096 /* BPF_MAXINSNS */

/* Of descriptors; where there is none of time, the groups begin there. */
enum { ORDER_SLOT, ORDER_ABOVE, ORDER_FIRST, ORDER_TIME };

struct order {
    struct sbx_zygote_request request;
    int fds[SBX_ZYGOTE_MAX_FDS];
    unsigned n_fds;
};

static struct order order;
static struct sbx_zygote_reply reply; /* outer and inner write here */
static struct sock_filter filter_text[MAX_FILTER];
static struct sock_fprog filter = { .filter = filter_text };
/* Of this process: the first pause() is until it is a slot, the second until its work has come. */
static enum { PHASE_ZYGOTE, PHASE_SLOT, PHASE_WORK } phase;
static bool is_sample; /* this process does the work of nobody */
/* By which a step's last word is said. A program may put something else in its place: the socket is known by its inode. */
static struct {
    pid_t pid; /* 0: no word is said */
    dev_t device;
    ino_t inode;
} word;

static bool
fail(enum sbx_zygote_stage stage)
{
    reply.stage = stage;
    reply.error = errno;
    return false;
}

/* What was checked is what will be loaded: the program is sealed. */
static bool
filter_read(void)
{
    int want = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW, seals = fcntl(SBX_ZYGOTE_FD_FILTER, F_GET_SEALS);
    struct stat st;

    if (seals < 0 || (seals & want) != want || fstat(SBX_ZYGOTE_FD_FILTER, &st) < 0 || st.st_size <= 0 ||
        (size_t)st.st_size > sizeof(filter_text) || (size_t)st.st_size % sizeof(filter_text[0]) != 0 ||
        pread(SBX_ZYGOTE_FD_FILTER, filter_text, (size_t)st.st_size, 0) != (ssize_t)st.st_size) {
        return false;
    }
    filter.len = (unsigned short)((size_t)st.st_size / sizeof(filter_text[0]));
    return close(SBX_ZYGOTE_FD_FILTER) == 0;
}

static void
order_close(void)
{
    for (unsigned i = 0; i < order.n_fds; i++) {
        (void)close(order.fds[i]); /* only used to join by */
    }
    order.n_fds = 0;
}

/* False at the end: the launcher is gone, or speaks another language. */
static bool
order_receive(void)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(order.fds))];
    } control;
    struct iovec iov = { .iov_base = &order.request, .iov_len = sizeof(order.request) };
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    const struct cmsghdr *cmsg;
    ssize_t n;

    do {
        n = recvmsg(SBX_ZYGOTE_FD, &message, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    cmsg = n == (ssize_t)sizeof(order.request) ? CMSG_FIRSTHDR(&message) : NULL;
    if (cmsg == NULL || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || cmsg->cmsg_level != SOL_SOCKET ||
        cmsg->cmsg_type != SCM_RIGHTS) {
        return false;
    }
    order.n_fds = (unsigned)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(order.fds, CMSG_DATA(cmsg), order.n_fds * sizeof(int));
    return order.request.n_groups <= SBX_ZYGOTE_MAX_GROUPS &&
           order.n_fds == ORDER_TIME + (unsigned)(order.request.has_time != 0) + order.request.n_groups;
}

static const int *
order_groups(void)
{
    return order.fds + ORDER_TIME + (order.request.has_time != 0);
}

/*
 * From outside: the user namespace above the sandbox's gives the rights over all that is the sandbox's, its network, which
 * belongs to that one, and the memory of its pid 1 included; whoever is in the sandbox's own has them no more. "0" is
 * whoever writes; whether it may depends on who opened the file. The mount namespace brings its root along.
 */
static bool
sandbox_join(void)
{
    for (unsigned i = 0; i < order.request.n_groups; i++) {
        if (write(order_groups()[i], "0", 1) != 1) {
            return fail(SBX_ZYGOTE_GROUP);
        }
    }
    return (setns(order.fds[ORDER_ABOVE], CLONE_NEWUSER) == 0 &&
            setns(order.fds[ORDER_FIRST], (int)order.request.kinds) == 0) ||
           fail(SBX_ZYGOTE_SPACE);
}

/* The socket is SLOT_FD; of the rest only `keep` and what leads nowhere is left. */
static bool
slot_descriptors(int *keep)
{
    int high = fcntl(*keep, F_DUPFD_CLOEXEC, HIGH_FD);

    if (high < 0 || dup2(order.fds[ORDER_SLOT], SLOT_FD) < 0) {
        return false;
    }
    *keep = high;
    return sbx_wall_is_off(SBX_WALL_DESCRIPTORS) ||
           (syscall(SYS_close_range, SLOT_FD + 1, high - 1, 0) == 0 &&
            syscall(SYS_close_range, high + 1, INT_MAX, 0) == 0);
}

static bool
slot_become(int *launcher)
{
    const struct confine_spec spec = {
        .identity = { .change = true, .uid = PAYLOAD_ID, .gid = PAYLOAD_ID },
        .filter = &filter,
        .cwd = "/workspace",
        .terminal = -1,
        .is_slot = true,
    };
    enum confine_stage stage;

    /* Not before: who shares memory with others may not change what time it is. */
    if (order.request.has_time && setns(order.fds[ORDER_TIME], CLONE_NEWTIME) < 0) {
        return fail(SBX_ZYGOTE_TIME);
    }
    if (setsid() < 0) {
        return fail(SBX_ZYGOTE_SESSION);
    }
    if (!slot_descriptors(launcher)) {
        return fail(SBX_ZYGOTE_DESCRIPTORS);
    }
    (void)umask(022); /* cannot fail */
    stage = confine(&spec);
    if (stage != CONFINE_DONE) {
        (void)fail(SBX_ZYGOTE_CONFINE);
        reply.error |= (int32_t)stage << 16;
        return false;
    }
    /* As a program that was executed: its own /proc is its own. */
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0 || fail(SBX_ZYGOTE_CONFINE);
}

static void
slot_run(void)
{
    int launcher = SBX_ZYGOTE_FD;

    if (!slot_become(&launcher)) {
        (void)send(launcher, &reply, sizeof(reply),
                   MSG_DONTWAIT | MSG_NOSIGNAL); /* the agent waits in vain too */
        _exit(1);
    }
    (void)close(launcher); /* the launcher's */
    memset(&order, 0, sizeof(order));
    phase = PHASE_SLOT;
}

/* Of a child that shares memory: it has left its word in `reply`, or died before. */
static void
child_await(pid_t pid, enum sbx_zygote_stage stage)
{
    int status = 0;

    if (pid < 0) {
        (void)fail(stage);
        return;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (status != 0 && reply.stage == SBX_ZYGOTE_DONE) {
        errno = ECHILD;
        (void)fail(stage);
    }
}

/* True: this is the slot. */
static APART bool
inner_run(void)
{
    pid_t slot = fork();

    if (slot == 0) {
        slot_run();
        return true;
    }
    if (slot < 0) {
        (void)fail(SBX_ZYGOTE_FORK);
    }
    _exit(slot < 0);
}

static APART bool
outer_run(void)
{
    pid_t inner;

    if (!sandbox_join()) {
        _exit(1);
    }
    inner = vfork();
    if (inner == 0) {
        return inner_run();
    }
    child_await(inner, SBX_ZYGOTE_FORK);
    _exit(reply.stage != SBX_ZYGOTE_DONE);
}

static APART bool
order_run(void)
{
    pid_t outer = vfork();

    if (outer == 0) {
        return outer_run();
    }
    child_await(outer, SBX_ZYGOTE_FORK);
    return false;
}

/* Returns in slots alone. */
static void
serve(void)
{
    memset(&reply, 0, sizeof(reply));
    do {
        if (send(SBX_ZYGOTE_FD, &reply, sizeof(reply), MSG_NOSIGNAL) != (ssize_t)sizeof(reply) ||
            !order_receive()) {
            _exit(0);
        }
        reply = (struct sbx_zygote_reply){ .id = order.request.id };
        if (order_run()) {
            return;
        }
        order_close();
    } while (true);
}

/* For a step. No program that is executed has it. */
static void
word_keep(void)
{
    struct stat st;

    if (fcntl(SLOT_FD, F_DUPFD_CLOEXEC, WORD_FD) == WORD_FD && fstat(WORD_FD, &st) == 0) {
        word.device = st.st_dev;
        word.inode = st.st_ino;
        word.pid = getpid();
    }
}

/* By who was given the work, not by its children, which have all that is here. */
static void
word_say(int status)
{
    const unsigned char text[LAST_WORD_SIZE] = { LAST_WORD_MARK, (unsigned char)status };
    struct stat st;

    if (word.pid == getpid() && fstat(WORD_FD, &st) == 0 && st.st_dev == word.device &&
        st.st_ino == word.inode) {
        (void)send(WORD_FD, text, sizeof(text), MSG_DONTWAIT | MSG_NOSIGNAL); /* it is learnt anyway */
    }
}

/* Its first three are put in their places, a session's driver's beside the socket, where the interpreter reads the rest. */
static bool
work_descriptors(void)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(WORK_FDS * sizeof(int))];
    } control;
    char first;
    struct iovec iov = { .iov_base = &first, .iov_len = 1 };
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    const struct cmsghdr *cmsg;
    int fds[WORK_FDS];
    unsigned n;

    if (recvmsg(SLOT_FD, &message, MSG_PEEK) != 1 || (message.msg_flags & MSG_CTRUNC)) {
        return false;
    }
    cmsg = CMSG_FIRSTHDR(&message);
    n = cmsg == NULL || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS
            ? 0
            : (unsigned)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    if (n < 3) {
        return false;
    }
    memcpy(fds, CMSG_DATA(cmsg), n * sizeof(int));
    for (unsigned i = 0; i < n; i++) {
        int number = i < 3 ? (int)i : SLOT_FD + 1;

        if (fds[i] != number && (dup2(fds[i], number) < 0 || close(fds[i]) < 0)) {
            return false;
        }
    }
    if (n == 3) {
        word_keep();
    }
    return true;
}

/* What a slot does in the interpreter's place, which would look at a lot of its memory for it. */
static void
work_await(void)
{
    if (send(SLOT_FD, "R", 1, MSG_NOSIGNAL) != 1) {
        _exit(1);
    }
    prefault_run(SLOT_FD);
    if (!work_descriptors()) {
        _exit(1);
    }
    phase = PHASE_WORK;
}

/* True: this is a child that does the work of nobody, as a slot would, but here. */
static bool
sample_run(void)
{
    for (int fd = SAMPLE_FD; fd < SAMPLE_FD + 2 * N_SAMPLES && fcntl(fd, F_GETFD) >= 0; fd += 2) {
        is_sample = prefault_learn();
        if (is_sample) {
            phase = PHASE_SLOT;
            if (dup2(fd, SLOT_FD) < 0) {
                _exit(1);
            }
            return true;
        }
    }
    (void)syscall(SYS_close_range, SAMPLE_FD, INT_MAX, 0); /* cannot fail */
    return false;
}

/*
 * The interpreter's way out, when it takes nothing apart any more, and the program's os._exit(). What the C library calls
 * itself is not this one.
 */
EXPORT void
_exit(int status)
{
    if (is_sample && phase == PHASE_WORK) {
        prefault_note();
    }
    word_say(status);
    while (true) {
        (void)syscall(SYS_exit_group, status);
    }
}

/* The interpreter's way in: nothing of its own is done before and after it, as it would be around fork(). */
EXPORT int
pause(void)
{
    const char *walls_off _unused_;

    if (phase != PHASE_ZYGOTE) {
        if (phase == PHASE_WORK) {
            return (int)syscall(SYS_pause);
        }
        work_await();
        return 0;
    }
#ifdef SANDBOX_MUTANT
    walls_off = getenv(SBX_ZYGOTE_WALLS_OFF);
    if (walls_off != NULL && !sbx_walls_off_add(walls_off)) {
        _exit(1);
    }
#endif
    /* Nobody in a sandbox looks at whoever is on the way into it. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || !filter_read()) {
        _exit(1);
    }
    huge_collapse();
    if (!sample_run()) {
        serve();
    }
    return 0;
}
