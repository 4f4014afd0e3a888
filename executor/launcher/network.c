#include "executor/launcher/network.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "executor/launcher/network_maker.h"
#include "executor/launcher/server.h"

#define TEXT_MAX 16384

static struct network ready[SETTINGS_SPARE_NETWORKS_MAX];
static unsigned n_ready, n_asked, n_wanted;
static int proc_fd = -1, epoll_fd = -1, maker_fd = -1, own_ns = -1;
static pid_t maker = -1;

/*
 * What tells whether anybody was in it; netstat besides moves only with a packet, which lo counts. The cheapest and most
 * telling come first. A kernel without IPv6 counts nothing of it.
 */
static const char *const counters[] = { "self/net/sockstat", "self/net/dev", "self/net/snmp",
                                        "self/net/snmp6" };
#define SOCKSTAT 0
#define SNMP6 3

/* What a new one shows: all show the same. */
static char as_new[SBX_COUNT(counters)][TEXT_MAX];
static size_t as_new_len[SBX_COUNT(counters)]; /* 0: none was seen yet */

static void
network_close(struct network *network)
{
    if (network->ns >= 0) {
        close(network->ns);
    }
    *network = (struct network)NETWORK_NULL;
}

/* Of the network that the caller is in. 0: it cannot be read, or is longer than any that is known. */
static size_t
counter_read(size_t i, char *ret)
{
    int fd = openat(proc_fd, counters[i], O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, ret, TEXT_MAX);
    const char *end;

    if (fd < 0 && errno == ENOENT && i == SNMP6) {
        return 1; /* of nothing */
    }
    if (fd >= 0) {
        close(fd);
    }
    if (n <= 0 || n == TEXT_MAX) {
        return 0;
    }
    /* The first line is about this network alone: how many sockets of all families there are. */
    end = i == SOCKSTAT ? memchr(ret, '\n', (size_t)n) : NULL;
    return end != NULL ? (size_t)(end - ret) : (size_t)n;
}

static bool
counters_as_new(void)
{
    static char text[TEXT_MAX];

    for (size_t i = 0; i < SBX_COUNT(counters); i++) {
        size_t len = counter_read(i, text);

        if (len == 0 || len != as_new_len[i] || memcmp(text, as_new[i], len) != 0) {
            return false;
        }
    }
    return true;
}

static bool
counters_learn(void)
{
    static const char nobody[] = "sockets: used 0";

    for (size_t i = 0; i < SBX_COUNT(counters); i++) {
        as_new_len[i] = counter_read(i, as_new[i]);
        if (as_new_len[i] == 0) {
            return false;
        }
    }
    return as_new_len[SOCKSTAT] == sizeof(nobody) - 1 &&
           memcmp(as_new[SOCKSTAT], nobody, sizeof(nobody) - 1) == 0;
}

/* False also when it cannot be looked at. */
_must_check_ static bool
network_look(const struct network *network, bool (*look)(void))
{
    bool is_good;

    if (network_enter(network) < 0) {
        return false;
    }
    is_good = look();
    return network_leave() == 0 && is_good;
}

/* Without the maker sandboxes make their own, which is as safe and slower. */
static void
maker_end(const char *why, int error)
{
    if (why != NULL) {
        journal(JOURNAL_WARN, "networks.ended", JOURNAL_STR("reason", why), JOURNAL_INT("error", error));
    }
    if (maker_fd >= 0) {
        server_unwatch(epoll_fd, maker_fd);
        close(maker_fd);
        maker_fd = -1;
    }
    if (maker > 0) {
        kill(maker, SIGKILL); /* not yet waited for, so nobody else's number */
        while (waitpid(maker, NULL, 0) < 0 && errno == EINTR) {
        }
        maker = -1;
    }
    n_asked = 0;
}

/* A byte for each that is wanted. */
static void
ask(void)
{
    while (maker_fd >= 0 && n_ready + n_asked < n_wanted) {
        if (send(maker_fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) {
            maker_end("asking", errno);
            return;
        }
        n_asked++;
    }
}

void
networks_start(const struct networks_spec *spec)
{
    int fds[2];

    n_wanted = spec->spare;
    if (n_wanted == 0) {
        return;
    }
    epoll_fd = spec->epoll_fd;
    proc_fd = spec->proc_fd;
    own_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (own_ns < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
        maker_end("starting", errno);
        return;
    }
    maker_fd = fds[0];
    maker = fork();
    if (maker == 0) {
        network_maker_run(fds[1], spec);
    }
    close(fds[1]);
    if (maker < 0 || server_watch(epoll_fd, maker_fd, SERVER_NETWORK, 0) < 0) {
        maker_end("starting", errno);
        return;
    }
    ask();
}

/* False when there was none. */
_must_check_ static bool
made_receive(struct network *ret, struct network_made *made)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr first;
    } control = { 0 };
    struct iovec iov = { made, sizeof(*made) };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof(control.bytes) };
    ssize_t n = recvmsg(maker_fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    const struct cmsghdr *head = CMSG_FIRSTHDR(&msg);

    if (n < 0 && errno == EAGAIN) {
        made->error = EAGAIN;
        return false;
    }
    if (n != (ssize_t)sizeof(*made)) {
        made->error = EPIPE;
        return false;
    }
    if (head == NULL || head->cmsg_type != SCM_RIGHTS || head->cmsg_len != CMSG_LEN(sizeof(int))) {
        made->error = made->error != 0 ? made->error : EBADMSG;
        return false;
    }
    memcpy(&ret->ns, CMSG_DATA(head), sizeof(ret->ns));
    return true;
}

void
networks_on_made(void)
{
    struct network network = NETWORK_NULL;
    struct network_made made = { 0 };

    if (maker_fd < 0) {
        return;
    }
    if (!made_receive(&network, &made)) {
        if (made.error != EAGAIN) {
            maker_end(made.stage[0] != '\0' ? made.stage : "gone", made.error);
        }
        return;
    }
    n_asked -= n_asked > 0;
    if (as_new_len[0] == 0 && !network_look(&network, counters_learn)) {
        as_new_len[0] = 0;
        network_close(&network);
        maker_end("its counters cannot be read", EBADMSG);
        return;
    }
    network_give(&network);
    ask();
}

void
networks_stop(void)
{
    n_wanted = 0;
    maker_end(NULL, 0);
    while (n_ready > 0) {
        network_close(&ready[--n_ready]);
    }
    if (own_ns >= 0) {
        close(own_ns);
        own_ns = -1;
    }
}

_must_check_ bool
network_take(struct network *ret)
{
    bool is_there = n_ready > 0;

    if (is_there) {
        *ret = ready[--n_ready]; /* the last used is the warmest */
        ready[n_ready] = (struct network)NETWORK_NULL;
    }
    ask();
    return is_there;
}

void
network_give(struct network *network)
{
    if (network->ns >= 0 && n_wanted > 0 && n_ready < SETTINGS_SPARE_NETWORKS_MAX &&
        network_look(network, counters_as_new)) {
        ready[n_ready++] = *network;
        *network = (struct network)NETWORK_NULL;
    }
    network_close(network);
}

_must_check_ int
network_enter(const struct network *network)
{
    return setns(network->ns, CLONE_NEWNET) < 0 ? -errno : 0;
}

_must_check_ int
network_leave(void)
{
    return setns(own_ns, CLONE_NEWNET) < 0 ? -errno : 0;
}
