/* Receiving and judging one message from sandbox-launch. */
#include "executor/runtime/launch_message.h"

#include <ctype.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MAX_FDS_SEEN = 8, /* room in the control buffer, so that too many are noticed and closed */
};

static const struct {
    uint16_t request_size;
    uint16_t reply;
} launch_types[] = {
    [LAUNCH_HELLO] = { sizeof(struct launch_hello), LAUNCH_HELLO },
    [LAUNCH_CREATE] = { sizeof(struct launch_create), LAUNCH_CREATED },
    [LAUNCH_ADOPT] = { sizeof(struct launch_adopt), LAUNCH_ADOPTED },
    [LAUNCH_STAT] = { sizeof(struct launch_head), LAUNCH_STATS },
    [LAUNCH_DESTROY] = { sizeof(struct launch_head), LAUNCH_DESTROYED },
    [LAUNCH_SETTLE] = { sizeof(struct launch_head), LAUNCH_STATS },
    [LAUNCH_WALLS] = { sizeof(struct launch_head), LAUNCH_WALLS },
    [LAUNCH_FREEZE] = { sizeof(struct launch_head), LAUNCH_STATS },
    [LAUNCH_THAW] = { sizeof(struct launch_head), LAUNCH_STATS },
    [LAUNCH_HASTEN] = { sizeof(struct launch_head), LAUNCH_HASTENED },
};

size_t
launch_request_size(uint16_t type)
{
    return type < SBX_COUNT(launch_types) ? launch_types[type].request_size : 0;
}

uint16_t
launch_request_reply(uint16_t type)
{
    return type < SBX_COUNT(launch_types) ? launch_types[type].reply : 0;
}

static void
fds_close(int *fds, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
            fds[i] = -1;
        }
    }
}

void
launch_reply_init(struct launch_reply *reply)
{
    memset(reply, 0, sizeof(*reply));
    for (unsigned i = 0; i < LAUNCH_N_FDS; i++) {
        reply->fds[i] = -1;
    }
}

void
launch_reply_deinit(struct launch_reply *reply)
{
    fds_close(reply->fds, LAUNCH_N_FDS);
}

static bool
report_is_sane(const struct launch_report *report)
{
    return report->verdict <= LAUNCH_LIMIT_TIME && report->running <= 1 &&
           (report->verdict_files == 0 ||
            (report->verdict_files == 1 && report->verdict == LAUNCH_LIMIT_DISK));
}

static size_t
message_size(uint16_t type)
{
    switch (type) {
    case LAUNCH_HELLO:
        return sizeof(struct launch_hello);
    case LAUNCH_CREATED:
        return sizeof(struct launch_created);
    case LAUNCH_ADOPTED:
    case LAUNCH_HASTENED:
        return sizeof(struct launch_head);
    case LAUNCH_STATS:
    case LAUNCH_DESTROYED:
    case LAUNCH_ENDED:
        return sizeof(struct launch_report);
    case LAUNCH_WALLS:
        return sizeof(struct launch_walls);
    case LAUNCH_ERROR:
        return sizeof(struct launch_error);
    }
    return 0;
}

/* Ends it, and leaves nothing in it that could do something to a terminal or a log. */
static void
text_tame(char *text, size_t size)
{
    text[size - 1] = '\0';
    for (; *text != '\0'; text++) {
        *text = isprint((unsigned char)*text) ? *text : '?';
    }
}

static bool
walls_are_sane(struct launch_walls *walls)
{
    if (walls->n_walls != SBX_N_WALLS || walls->tiers >> SBX_N_ISOLATIONS != 0 ||
        (walls->tiers & (1u << SBX_ISOLATION_NONE)) != 0 || walls->head.sandbox != 0) {
        return false;
    }
    for (unsigned i = 0; i < SBX_N_WALLS; i++) {
        if (walls->wall[i].state == SBX_WALL_UNTRIED || walls->wall[i].state >= SBX_N_WALL_STATES) {
            return false;
        }
        text_tame(walls->wall[i].why, sizeof(walls->wall[i].why));
    }
    text_tame(walls->cgroup, sizeof(walls->cgroup));
    text_tame(walls->gvisor_version, sizeof(walls->gvisor_version));
    text_tame(walls->gvisor_platform, sizeof(walls->gvisor_platform));
    text_tame(walls->gvisor_why, sizeof(walls->gvisor_why));
    return true;
}

bool
launch_message_check(union launch_message *message, size_t len, unsigned n_fds)
{
    uint16_t type = message->head.type;

    if (len < sizeof(message->head) || message->head.size != len || message_size(type) != len) {
        return false;
    }
    /* Which of the two numbers it must be depends on the request: launch_client compares. */
    if (type == LAUNCH_CREATED ? n_fds != LAUNCH_N_FDS && n_fds != LAUNCH_N_FDS_GVISOR : n_fds != 0) {
        return false;
    }
    if (type == LAUNCH_CREATED && message->head.sandbox == 0) {
        return false;
    }
    if (type == LAUNCH_ERROR) {
        text_tame(message->error.stage, sizeof(message->error.stage));
        return true;
    }
    if (type == LAUNCH_WALLS) {
        return walls_are_sane(&message->walls);
    }
    if (type == LAUNCH_ENDED && message->head.seq != 0) {
        return false;
    }
    return message_size(type) != sizeof(struct launch_report) || report_is_sane(&message->report);
}

/* Moves the descriptors that came along into `fds` (room for MAX_FDS_SEEN) and returns their number. */
static unsigned
message_fds(struct msghdr *msg, int *fds)
{
    unsigned n = 0;

    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        size_t len;

        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        len = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < len && n < MAX_FDS_SEEN; i++) {
            memcpy(&fds[n++], CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
        }
    }
    return n;
}

int
launch_receive(int fd, struct launch_reply *reply)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * MAX_FDS_SEEN)];
    } control;
    struct iovec iov = { .iov_base = &reply->message, .iov_len = sizeof(reply->message) };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    int fds[MAX_FDS_SEEN];
    unsigned n_fds;
    ssize_t n;

    launch_reply_init(reply);
    n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return LAUNCH_RECEIVE_E_AGAIN;
    }
    if (n < 0) {
        return LAUNCH_RECEIVE_E_HANGUP;
    }
    n_fds = message_fds(&msg, fds);
    if (n == 0) { /* the end, or a datagram of nothing, and that can have descriptors */
        fds_close(fds, n_fds);
        return LAUNCH_RECEIVE_E_HANGUP;
    }
    if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
        !launch_message_check(&reply->message, (size_t)n, n_fds)) {
        fds_close(fds, n_fds);
        return LAUNCH_RECEIVE_E_INVALID;
    }
    memcpy(reply->fds, fds, n_fds * sizeof(fds[0]));
    reply->n_fds = n_fds;
    return 0;
}
