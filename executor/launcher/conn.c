#include "executor/launcher/conn.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "executor/launcher/passing.h"
#include "executor/launcher/sandbox.h"
#include "executor/launcher/server.h"
#include "executor/launcher/wire_decode.h"

/* Room for the end of every sandbox at once while the executor is stopped for a while. */
#define SEND_BUFFER (8 << 20)
#define REQUESTS_A_TURN 16

enum conn_state { CONN_CLOSED, CONN_NEW, CONN_READY };

struct conn {
    enum conn_state state;
    int fd;
    int epoll_fd;
    uint64_t id;
    uint64_t last_seq;
    uint32_t max_sandboxes;
    bool doomed;
};

static struct conn conns[CONN_MAX];
static uint64_t n_opened;
static const struct launch_walls *host_walls;

void
conns_set_walls(const struct launch_walls *walls)
{
    host_walls = walls;
}

struct conn *
conn_open(int fd, int epoll_fd, uint32_t max_sandboxes)
{
    const int size = SEND_BUFFER;

    for (unsigned i = 0; i < CONN_MAX; i++) {
        struct conn *conn = &conns[i];

        if (conn->state != CONN_CLOSED) {
            continue;
        }
        *conn = (struct conn){ .state = CONN_NEW,
                               .fd = fd,
                               .epoll_fd = epoll_fd,
                               .id = ++n_opened * CONN_MAX + i,
                               .max_sandboxes = max_sandboxes };
        if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0) {
            journal(JOURNAL_WARN, "client.buffer", JOURNAL_INT("error", errno));
        }
        if (server_watch(epoll_fd, fd, SERVER_CONN, conn->id) < 0) {
            conn->state = CONN_CLOSED;
            break;
        }
        return conn;
    }
    close(fd);
    return NULL;
}

static void
conn_close(struct conn *conn)
{
    journal(JOURNAL_INFO, "client.closed", JOURNAL_INT("client", conn->id));
    sandboxes_orphan(conn);
    server_unwatch(conn->epoll_fd, conn->fd);
    close(conn->fd);
    conn->state = CONN_CLOSED;
}

static void
conn_doom(struct conn *conn, const char *why)
{
    if (!conn->doomed) {
        conn->doomed = true;
        journal(JOURNAL_WARN, "client.refused", JOURNAL_INT("client", conn->id), JOURNAL_STR("reason", why));
    }
}

static void
conn_send(struct conn *conn, void *message, size_t size, enum launch_type type, const int *fds,
          unsigned n_fds)
{
    struct launch_head *head = message;

    head->type = (uint16_t)type;
    head->size = (uint16_t)size;
    if (!conn->doomed && passing_send(conn->fd, message, size, fds, n_fds) < 0) {
        conn_doom(conn, "does not read");
    }
}

void
conn_created(struct conn *conn, const struct launch_created *created, const int *fds)
{
    struct launch_created reply = *created;
    int sent[LAUNCH_N_FDS];
    unsigned n = 0;

    for (size_t i = 0; i < LAUNCH_N_FDS; i++) {
        if (fds[i] >= 0) {
            sent[n++] = fds[i];
        }
    }
    conn_send(conn, &reply, sizeof(reply), LAUNCH_CREATED, sent, n);
}

void
conn_report(struct conn *conn, enum launch_type type, uint64_t seq, uint64_t sandbox,
            const struct launch_report *report)
{
    struct launch_report reply = *report;

    reply.head = (struct launch_head){ .seq = seq, .sandbox = sandbox };
    conn_send(conn, &reply, sizeof(reply), type, NULL, 0);
}

void
conn_error(struct conn *conn, uint64_t seq, uint64_t sandbox, int error, const char *stage)
{
    struct launch_error reply = { .head = { .seq = seq, .sandbox = sandbox }, .error = error };

    memcpy(reply.stage, stage, strnlen(stage, sizeof(reply.stage) - 1));
    conn_send(conn, &reply, sizeof(reply), LAUNCH_ERROR, NULL, 0);
}

static void
on_hello(struct conn *conn, const union wire_request *request, struct sandbox *sb)
{
    struct launch_hello reply = { .head = { .seq = request->head.seq },
                                  .version = LAUNCH_WIRE_VERSION,
                                  .max_sandboxes = conn->max_sandboxes };

    (void)sb; /* HELLO names none */
    if (request->hello.version != LAUNCH_WIRE_VERSION) {
        conn_error(conn, request->head.seq, 0, EPROTO, "version");
        conn_doom(conn, "version");
        return;
    }
    conn->state = CONN_READY;
    conn_send(conn, &reply, sizeof(reply), LAUNCH_HELLO, NULL, 0);
}

static void
on_walls(struct conn *conn, const union wire_request *request, struct sandbox *sb)
{
    struct launch_walls reply = *host_walls;

    (void)sb; /* it is about the host */
    reply.head = (struct launch_head){ .seq = request->head.seq };
    conn_send(conn, &reply, sizeof(reply), LAUNCH_WALLS, NULL, 0);
}

static void
on_create(struct conn *conn, const union wire_request *request, struct sandbox *sb)
{
    const char *stage = "create";
    int r = sandbox_create(conn, request->head.seq, &request->create, &stage);

    (void)sb; /* there is none yet */
    if (r < 0) {
        journal(JOURNAL_WARN, "sandbox.refused", JOURNAL_STR("stage", stage), JOURNAL_INT("error", -r));
        conn_error(conn, request->head.seq, 0, -r, stage);
    }
}

static void
on_adopt(struct conn *conn, const union wire_request *request, struct sandbox *sb)
{
    struct launch_head reply = { .seq = request->head.seq, .sandbox = sb->id };
    const char *stage = "limits";
    int r;

    /* It died while the request was on its way: not the client's fault. */
    if (sb->state == SANDBOX_ENDED || sb->killed) {
        conn_error(conn, request->head.seq, sb->id, ESRCH, "ended");
        return;
    }
    r = sandbox_adopt(sb, &request->adopt.limits, request->adopt.share, &stage);
    if (r < 0) {
        journal(JOURNAL_ERROR, "sandbox.adopt", JOURNAL_INT("sandbox", sb->id), JOURNAL_STR("stage", stage),
                JOURNAL_INT("error", -r));
        conn_error(conn, request->head.seq, sb->id, -r, stage);
        return;
    }
    conn_send(conn, &reply, sizeof(reply), LAUNCH_ADOPTED, NULL, 0);
}

static void
on_stat(struct conn *conn, const union wire_request *request, struct sandbox *sb)
{
    sandbox_stat(sb);
    conn_report(conn, LAUNCH_STATS, request->head.seq, sb->id, &sb->report);
}

static void
on_settle(struct conn *conn, const union wire_request *request, struct sandbox *sb)
{
    sandbox_settle(sb);
    conn_report(conn, LAUNCH_STATS, request->head.seq, sb->id, &sb->report);
}

/* On a host without a freezer the client is told, and the sandbox goes on. */
static void
freeze(struct conn *conn, const union wire_request *request, struct sandbox *sb, bool is_frozen)
{
    int r = sandbox_freeze(sb, is_frozen);

    if (r < 0) {
        conn_error(conn, request->head.seq, sb->id, -r, "freezer");
        return;
    }
    on_stat(conn, request, sb);
}

static void
on_freeze(struct conn *conn, const union wire_request *request, struct sandbox *sb)
{
    freeze(conn, request, sb, true);
}

static void
on_thaw(struct conn *conn, const union wire_request *request, struct sandbox *sb)
{
    freeze(conn, request, sb, false);
}

static void
on_destroy(struct conn *conn, const union wire_request *request, struct sandbox *sb)
{
    if (sb->destroy_seq != 0) {
        conn_error(conn, request->head.seq, sb->id, EPROTO, "state");
        conn_doom(conn, "destroy twice");
        return;
    }
    sandbox_destroy(sb, request->head.seq);
}

static void
on_hasten(struct conn *conn, const union wire_request *request, struct sandbox *sb)
{
    struct launch_head reply = { .seq = request->head.seq, .sandbox = sb->id };

    sandbox_hasten(sb);
    conn_send(conn, &reply, sizeof(reply), LAUNCH_HASTENED, NULL, 0);
}

#define S(state) (1u << SANDBOX_##state)
static const struct {
    enum conn_state state;
    unsigned sandbox_states; /* 0: names no sandbox */
    void (*handler)(struct conn *conn, const union wire_request *request, struct sandbox *sb);
} permitted[] = {
    [LAUNCH_HELLO] = { CONN_NEW, 0, on_hello },
    [LAUNCH_CREATE] = { CONN_READY, 0, on_create },
    [LAUNCH_WALLS] = { CONN_READY, 0, on_walls },
    [LAUNCH_ADOPT] = { CONN_READY, S(WARM) | S(ENDED), on_adopt },
    [LAUNCH_STAT] = { CONN_READY, S(WARM) | S(RUNNING) | S(SETTLED) | S(ENDED), on_stat },
    [LAUNCH_SETTLE] = { CONN_READY, S(RUNNING) | S(ENDED), on_settle },
    [LAUNCH_FREEZE] = { CONN_READY, S(RUNNING) | S(ENDED), on_freeze },
    [LAUNCH_THAW] = { CONN_READY, S(RUNNING) | S(ENDED), on_thaw },
    [LAUNCH_HASTEN] = { CONN_READY, S(WARM) | S(ENDED), on_hasten },
    [LAUNCH_DESTROY] = { CONN_READY, S(WARM) | S(RUNNING) | S(SETTLED) | S(ENDED), on_destroy },
};
#undef S

static void
conn_dispatch(struct conn *conn, const void *data, size_t len)
{
    union wire_request request;
    struct sandbox *sb = NULL;
    unsigned states;
    bool is_legal;

    if (wire_decode(&request, data, len) != 0) {
        conn_error(conn, 0, 0, EPROTO, "message");
        conn_doom(conn, "malformed message");
        return;
    }
    states = permitted[request.head.type].sandbox_states;
    is_legal = conn->state == permitted[request.head.type].state && request.head.seq > conn->last_seq;
    if (is_legal && states != 0) {
        sb = sandbox_find(conn, request.head.sandbox);
        is_legal = sb != NULL && (states & (1u << sb->state));
    } else if (request.head.sandbox != 0) {
        is_legal = false;
    }
    if (!is_legal) {
        conn_error(conn, request.head.seq, request.head.sandbox, EPROTO, "state");
        conn_doom(conn, "not permitted in this state");
        return;
    }
    conn->last_seq = request.head.seq;
    permitted[request.head.type].handler(conn, &request, sb);
}

void
conn_on_readable(uint64_t id)
{
    struct conn *conn = &conns[id % CONN_MAX];
    char data[sizeof(union wire_request) + 1]; /* one more, so that too long is seen */

    for (int i = 0; i < REQUESTS_A_TURN; i++) {
        ssize_t n;

        if (conn->state == CONN_CLOSED || conn->id != id || conn->doomed) {
            return;
        }
        /* Descriptors that a client sends along are dropped by the kernel: there is no room for them here. */
        n = recv(conn->fd, data, sizeof(data), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            conn->doomed = true;
            return;
        }
        conn_dispatch(conn, data, (size_t)n);
    }
}

void
conns_sweep(void)
{
    for (unsigned i = 0; i < CONN_MAX; i++) {
        if (conns[i].state != CONN_CLOSED && conns[i].doomed) {
            conn_close(&conns[i]);
        }
    }
}

void
conns_close_all(void)
{
    for (unsigned i = 0; i < CONN_MAX; i++) {
        if (conns[i].state != CONN_CLOSED) {
            conn_close(&conns[i]);
        }
    }
}
