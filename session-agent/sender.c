#include "session-agent/sender.h"

#include <string.h>

ssize_t
sender_receive(int fd, void *bytes, size_t size, struct ucred *ret)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct iovec iov = { .iov_base = bytes, .iov_len = size };
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    const struct cmsghdr *cmsg = n < 0 ? NULL : CMSG_FIRSTHDR(&message);

    *ret = (struct ucred){ 0 };
    if (cmsg != NULL && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_CREDENTIALS &&
        cmsg->cmsg_len == CMSG_LEN(sizeof(*ret))) {
        memcpy(ret, CMSG_DATA(cmsg), sizeof(*ret));
    }
    return n < 0 ? (errno == EINTR ? -EAGAIN : -errno) : n;
}
