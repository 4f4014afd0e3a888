#include "executor/launcher/passing.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    char bytes[CMSG_SPACE(PASSING_MAX_FDS * sizeof(int))];
    struct cmsghdr first;
};

_must_check_ int
passing_send(int socket, const void *data, size_t len, const int *fds, unsigned n_fds)
{
    union control control = { 0 };
    struct iovec iov = { (void *)(uintptr_t)data, len };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t n;

    assert(n_fds <= PASSING_MAX_FDS);
    if (n_fds > 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        control.first.cmsg_level = SOL_SOCKET;
        control.first.cmsg_type = SCM_RIGHTS;
        control.first.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(&control.first), fds, n_fds * sizeof(int));
    }
    n = sendmsg(socket, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    return n == (ssize_t)len ? 0 : n < 0 ? -errno : -EMSGSIZE;
}

/* How many there are, all of them in fds[]; there is one header at most, since the kernel makes one. */
static unsigned
control_read(struct msghdr *msg, int *fds)
{
    const struct cmsghdr *head = CMSG_FIRSTHDR(msg);
    unsigned n = 0;

    if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS) {
        n = (unsigned)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(head), n * sizeof(int));
    }
    return n;
}

_must_check_ int
passing_receive(int socket, void *data, size_t len, int *fds, unsigned max_fds, unsigned *ret_n, int flags)
{
    union control control;
    int all[PASSING_MAX_FDS];
    struct iovec iov = { data, len };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof(control.bytes) };
    unsigned n_fds;
    ssize_t n;

    do {
        n = recvmsg(socket, &msg, flags | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == EAGAIN ? -EAGAIN : -EPIPE;
    }
    n_fds = control_read(&msg, all);
    if (n != (ssize_t)len || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || n_fds > max_fds) {
        while (n_fds > 0) {
            close(all[--n_fds]);
        }
        return n == 0 ? -EPIPE : -EBADMSG;
    }
    if (n_fds > 0) {
        memcpy(fds, all, n_fds * sizeof(int));
    }
    *ret_n = n_fds;
    return 0;
}
