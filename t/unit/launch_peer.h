/*
 * The test's own end of launcher/wire.h, and the loop it shares with the code
 * under test: whenever the peer waits, the loop turns.
 */
#pragma once

#include <assert.h>
#include <dirent.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <uv.h>

#include "executor/runtime/launch_message.h"
#include "t/unit/tap.h"

enum { PATIENCE_MS = 5000 };

static uv_loop_t loop;
static char peer_dir[32];
static char socket_path[64];
static int listener = -1;
static int peer = -1;

/* One turn that waits for at most a millisecond: UV_RUN_ONCE would wait on after a timer has fired. */
static void
loop_turn(void)
{
    struct pollfd pollfd = { .fd = uv_backend_fd(&loop), .events = POLLIN };

    uv_run(&loop, UV_RUN_NOWAIT);
    (void)poll(&pollfd, 1, 1);
}

/* Turns the loop until *counter is at least `wanted`; false after PATIENCE_MS. */
static bool
turn_until(const unsigned *counter, unsigned wanted)
{
    uint64_t end = uv_hrtime() + (uint64_t)PATIENCE_MS * 1000000;

    while (*counter < wanted && uv_hrtime() < end) {
        loop_turn();
    }
    uv_run(&loop, UV_RUN_NOWAIT);
    return *counter >= wanted;
}

static void
turn_for(uint64_t ms)
{
    uint64_t end = uv_hrtime() + ms * 1000000;

    while (uv_hrtime() < end) {
        loop_turn();
    }
}

static void
peer_listen(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    (void)unlink(socket_path);
    memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
    listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert(listener >= 0);
    assert(bind(listener, (const struct sockaddr *)&address, sizeof(address)) == 0);
    assert(listen(listener, 8) == 0);
}

/* While the peer waits the client's loop turns. */
static bool
peer_wait(int fd)
{
    struct pollfd pollfd = { .fd = fd, .events = POLLIN };
    uint64_t end = uv_hrtime() + (uint64_t)PATIENCE_MS * 1000000;

    while (poll(&pollfd, 1, 1) == 0) {
        uv_run(&loop, UV_RUN_NOWAIT);
        if (uv_hrtime() > end) {
            return false;
        }
    }
    return true;
}

static void
peer_accept(void)
{
    assert(peer_wait(listener));
    peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert(peer >= 0);
}

static void
peer_hangup(void)
{
    close(peer);
    peer = -1;
}

static struct launch_head
peer_receive(union launch_message *message)
{
    ssize_t n;

    if (!peer_wait(peer)) {
        return (struct launch_head){ 0 };
    }
    n = recv(peer, message, sizeof(*message), MSG_DONTWAIT);
    return n > 0 ? message->head : (struct launch_head){ 0 };
}

static const int *peer_fds; /* to send instead of copies of the listener */

static void
peer_send_fds(const void *message, size_t len, unsigned n_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 16)];
    } control = { 0 };
    char copy[sizeof(union launch_message) + 64] = { 0 };
    struct iovec iov = { .iov_base = copy, .iov_len = len };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    memcpy(copy, message, len < sizeof(union launch_message) ? len : sizeof(union launch_message));
    if (n_fds > 0) {
        struct cmsghdr *cmsg = &control.align;
        int fds[16];

        for (unsigned i = 0; i < n_fds; i++) {
            fds[i] = peer_fds != NULL ? peer_fds[i] : listener;
        }
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * n_fds);
    }
    (void)sendmsg(peer, &msg, MSG_NOSIGNAL); /* a client that hung up is what some tests want */
}

static void
peer_send(union launch_message *message, uint16_t type, size_t size, unsigned n_fds)
{
    message->head.type = type;
    message->head.size = (uint16_t)size;
    peer_send_fds(message, size, n_fds);
}

/* An answer to LAUNCH_WALLS by which everything holds. */
static struct launch_walls
peer_walls(void)
{
    struct launch_walls walls = { .n_walls = SBX_N_WALLS, .tiers = 1u << SBX_ISOLATION_PROCESS };

    for (unsigned i = 0; i < SBX_N_WALLS; i++) {
        walls.wall[i].state = SBX_WALL_ENFORCED;
    }
    return walls;
}

/* Takes the question for the walls and leaves the answer to the caller. */
static void
peer_asked_for_walls(union launch_message *message)
{
    struct launch_head head = peer_receive(message);

    assert(head.type == LAUNCH_WALLS && head.size == sizeof(head) && head.sandbox == 0);
    message->walls = peer_walls();
    message->head = head;
}

static void
peer_greet_only(void)
{
    union launch_message message = { 0 };
    struct launch_head head = peer_receive(&message);

    assert(head.type == LAUNCH_HELLO && head.size == sizeof(struct launch_hello));
    assert(message.hello.version == LAUNCH_WIRE_VERSION);
    peer_send(&message, LAUNCH_HELLO, sizeof(message.hello), 0);
}

static void
peer_greet(void)
{
    union launch_message message = { 0 };

    peer_greet_only();
    peer_asked_for_walls(&message);
    peer_send(&message, LAUNCH_WALLS, sizeof(message.walls), 0);
}

static unsigned
n_open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(dir) != NULL) {
        n++;
    }
    closedir(dir);
    return n;
}

static void
loop_settle(void)
{
    while (uv_run(&loop, UV_RUN_NOWAIT) != 0) {
    }
}

static void
peer_init(void)
{
    memcpy(peer_dir, "/tmp/launch_peer.XXXXXX", sizeof("/tmp/launch_peer.XXXXXX"));
    if (mkdtemp(peer_dir) == NULL) {
        BAIL_OUT("no directory");
    }
    (void)snprintf(socket_path, sizeof(socket_path), "%s/socket", peer_dir);
    uv_loop_init(&loop);
    peer_listen();
}

static void
peer_deinit(void)
{
    close(listener);
    (void)unlink(socket_path);
    (void)rmdir(peer_dir);
}
