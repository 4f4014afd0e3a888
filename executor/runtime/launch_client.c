/*
 *   DOWN --connect--> GREETING --HELLO, WALLS--> READY
 *     ^                  |                         |
 *     +---- back-off ----+-------------------------+
 * and CLOSING from each. One timer serves the back-off and every deadline.
 */
#include "executor/runtime/launch_client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/sbx_crypto.h"
#include "lib/sbx_list.h"

enum {
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 2000,
    /* A launcher that owes an answer this long after the caller gave up is stuck: better a new connection. */
    OVERDUE_MS = 60000,
    MESSAGES_PER_TURN = 64,
};

enum client_state { CLIENT_DOWN, CLIENT_GREETING, CLIENT_READY, CLIENT_CLOSING, N_CLIENT_STATES };

#define B(s) (1u << CLIENT_##s)
static const unsigned client_next[N_CLIENT_STATES] = {
    [CLIENT_DOWN] = B(GREETING) | B(CLOSING),
    [CLIENT_GREETING] = B(READY) | B(DOWN) | B(CLOSING),
    [CLIENT_READY] = B(DOWN) | B(CLOSING),
    [CLIENT_CLOSING] = 0,
};
#undef B

struct launch_call {
    struct list link;
    struct launch_client *client;
    union launch_message message;
    launch_reply_fn done; /* NULL: abandoned, only the reply is awaited */
    void *arg;
    uint64_t deadline; /* on the loop's clock */
    bool unsent;
    bool doomed; /* made without a connection */
};

/* A socket with a life of its own: libuv lets go of the poll handle later than we of the connection. */
struct launch_conn {
    uv_poll_t poll;
    struct launch_client *client; /* valid while client->conn is this one */
    int fd;
};

struct launch_client {
    struct launch_client_spec spec;
    char *path;
    enum client_state state;
    struct launch_conn *conn;
    struct list calls; /* in order of seq */
    uint64_t seq;
    uint64_t reconnect_at;
    uint64_t backoff_ms;
    const char *broken; /* why the connection must end on the loop's next turn */
    bool want_write;
    uv_timer_t tick;
    void (*on_closed)(void *arg);
    void *closed_arg;
};

static void client_on_tick(uv_timer_t *tick);
static void conn_on_poll(uv_poll_t *poll, int status, int events);

static void
client_set_state(struct launch_client *client, enum client_state state)
{
    assert((client_next[client->state] & 1u << state) != 0);
    client->state = state;
}

static uint64_t
client_now(struct launch_client *client)
{
    return uv_now(client->spec.loop);
}

/* Arms the one timer for whatever is due first. */
static void
client_arm(struct launch_client *client)
{
    uint64_t now = client_now(client), due = UINT64_MAX;
    struct list *it, *after;

    if (client->state == CLIENT_DOWN) {
        due = client->reconnect_at;
    }
    list_each (it, after, &client->calls) {
        struct launch_call *call = list_entry(it, struct launch_call, link);

        due = call->deadline < due ? call->deadline : due;
    }
    if (client->broken != NULL || client->state == CLIENT_CLOSING) {
        due = now;
    }
    if (due != UINT64_MAX) {
        /* Fails only for a closing handle: then nothing is armed any more. */
        (void)uv_timer_start(&client->tick, client_on_tick, due > now ? due - now : 0, 0);
    }
}

static void
call_finish(struct launch_call *call, int rc, struct launch_reply *reply)
{
    launch_reply_fn done = call->done;
    void *arg = call->arg;

    list_remove(&call->link);
    free(call);
    if (done != NULL) {
        done(arg, rc, reply);
    }
}

static void
call_fail(struct launch_call *call, int rc)
{
    struct launch_reply reply;

    launch_reply_init(&reply);
    call_finish(call, rc, &reply);
}

static void
conn_on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void
client_close_conn(struct launch_client *client)
{
    struct launch_conn *conn = steal(&client->conn);

    client->want_write = false;
    client->broken = NULL;
    if (conn != NULL) {
        uv_close((uv_handle_t *)&conn->poll, conn_on_closed);
        close(conn->fd);
    }
}

static void
client_fail_all(struct launch_client *client)
{
    struct list calls;

    /* What a callback starts meanwhile belongs to the next connection, not to this loop. */
    list_init(&calls);
    while (!list_empty(&client->calls)) {
        list_append(&calls, list_pop(&client->calls));
    }
    while (!list_empty(&calls)) {
        call_fail(list_entry(list_pop(&calls), struct launch_call, link), LAUNCH_CLIENT_E_GONE);
    }
}

static void
client_schedule(struct launch_client *client)
{
    uint64_t spread = client->backoff_ms - BACKOFF_MIN_MS + 1;
    uint32_t random = 0;

    /* Without random bytes the back-off merely loses its jitter. */
    if (sbx_random(&random, sizeof(random)) != 0) {
        random = 0;
    }
    client->reconnect_at = client_now(client) + BACKOFF_MIN_MS + random % spread;
    client->backoff_ms *= 2;
    if (client->backoff_ms > BACKOFF_MAX_MS) {
        client->backoff_ms = BACKOFF_MAX_MS;
    }
}

static void
client_tell_down(struct launch_client *client, const char *why)
{
    if (client->state != CLIENT_CLOSING && client->spec.on_down != NULL) {
        client->spec.on_down(client->spec.arg, why);
    }
}

/* Called from the loop only. */
static void
client_lose(struct launch_client *client, const char *why)
{
    client_close_conn(client);
    client_set_state(client, CLIENT_DOWN);
    client_schedule(client);
    client_fail_all(client);
    client_tell_down(client, why);
    client_arm(client);
}

static void
client_poll(struct launch_client *client)
{
    int events = UV_READABLE | UV_DISCONNECT | (client->want_write ? UV_WRITABLE : 0);

    if (uv_poll_start(&client->conn->poll, events, conn_on_poll) != 0) {
        client->broken = "cannot watch the socket";
    }
}

/* Requests go out in order; what the socket does not take waits for it to become writable. */
static void
client_flush(struct launch_client *client)
{
    struct list *it, *after;
    bool want_write = false;

    list_each (it, after, &client->calls) {
        struct launch_call *call = list_entry(it, struct launch_call, link);
        ssize_t n;

        /* What was wanted without a connection fails, also when there is one meanwhile: its caller is told so. */
        if (!call->unsent || call->doomed) {
            continue;
        }
        n = send(client->conn->fd, &call->message, call->message.head.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)) {
            want_write = true;
            break;
        }
        if (n != call->message.head.size) {
            client->broken = "cannot send";
            break;
        }
        call->unsent = false;
    }
    if (want_write != client->want_write) {
        client->want_write = want_write;
        client_poll(client);
    }
}

static int
client_add(struct launch_client *client, struct launch_call **ret, const struct launch_request *request)
{
    size_t size = launch_request_size(request->message->head.type);
    struct launch_call *call;

    assert(size != 0);
    call = calloc(1, sizeof(*call));
    if (call == NULL) {
        return -ENOMEM;
    }
    memcpy(&call->message, request->message, size);
    call->message.head.size = (uint16_t)size;
    call->message.head.pad = 0;
    call->message.head.seq = ++client->seq;
    call->client = client;
    call->done = request->done;
    call->arg = request->arg;
    call->deadline = client_now(client) + request->deadline_ms;
    call->unsent = true;
    list_append(&client->calls, &call->link);
    *ret = call;
    return 0;
}

/* A sandbox nobody waits for any more. Without memory for the request its slot stays until the connection
 * ends. */
static void
client_discard(struct launch_client *client, uint64_t sandbox)
{
    union launch_message message = { .head = { .type = LAUNCH_DESTROY, .sandbox = sandbox } };
    struct launch_request request = { .message = &message, .deadline_ms = OVERDUE_MS };
    struct launch_call *call;

    if (client_add(client, &call, &request) == 0) {
        client_flush(client);
    }
}

/* No sandbox is asked for before the walls were judged: calls wait for READY. */
static void
client_on_walls(void *arg, int rc, struct launch_reply *reply)
{
    struct launch_client *client = arg;

    if (rc == LAUNCH_CLIENT_E_GONE) {
        return; /* the connection's end is being dealt with */
    }
    if (rc != 0) {
        client->broken = "it does not say what it enforces";
        return;
    }
    if (client->spec.on_walls != NULL && !client->spec.on_walls(client->spec.arg, &reply->message.walls)) {
        client->broken = "required walls are missing";
        return;
    }
    client_set_state(client, CLIENT_READY);
    client->backoff_ms = BACKOFF_MIN_MS;
    if (client->spec.on_up != NULL) {
        client->spec.on_up(client->spec.arg);
    }
}

static void
client_on_hello(void *arg, int rc, struct launch_reply *reply)
{
    struct launch_client *client = arg;
    union launch_message walls = { .head = { .type = LAUNCH_WALLS } };
    struct launch_request request = {
        .message = &walls,
        .deadline_ms = client->spec.hello_timeout_ms,
        .done = client_on_walls,
        .arg = client,
    };
    struct launch_call *call;

    if (rc == LAUNCH_CLIENT_E_GONE) {
        return; /* the connection's end is being dealt with */
    }
    if (rc != 0 || reply->message.hello.version != LAUNCH_WIRE_VERSION) {
        client->broken = rc == LAUNCH_CLIENT_E_TIMEOUT ? "no greeting" : "another version";
        return;
    }
    if (client_add(client, &call, &request) != 0) {
        client->broken = "out of memory";
        return;
    }
    client_flush(client);
}

static int
socket_connect(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(path);
    int fd;

    if (len >= sizeof(address.sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(address.sun_path, path, len + 1);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        int r = -errno;

        close(fd);
        return r;
    }
    return fd;
}

static int
conn_new(struct launch_conn **ret, struct launch_client *client)
{
    struct launch_conn *conn;
    int r;

    conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        return -ENOMEM;
    }
    conn->fd = socket_connect(client->path);
    r = conn->fd;
    if (r >= 0) {
        r = uv_poll_init(client->spec.loop, &conn->poll, conn->fd);
        if (r < 0) {
            close(conn->fd);
        }
    }
    if (r < 0) {
        free(conn);
        return r;
    }
    conn->poll.data = conn;
    conn->client = client;
    *ret = conn;
    return 0;
}

static void
client_connect(struct launch_client *client)
{
    union launch_message hello = { .hello = { .head.type = LAUNCH_HELLO, .version = LAUNCH_WIRE_VERSION } };
    struct launch_request request = {
        .message = &hello,
        .deadline_ms = client->spec.hello_timeout_ms,
        .done = client_on_hello,
        .arg = client,
    };
    struct launch_call *call;

    if (conn_new(&client->conn, client) != 0) {
        client_schedule(client);
        client_tell_down(client, "cannot connect");
        return;
    }
    client_set_state(client, CLIENT_GREETING);
    client_poll(client);
    if (client_add(client, &call, &request) != 0) {
        client->broken = "out of memory";
        return;
    }
    client_flush(client);
}

static bool
reply_fits(const struct launch_reply *reply, const struct launch_call *call)
{
    const union launch_message *asked = &call->message;
    const struct launch_head *head = &reply->message.head;

    if (head->type != launch_request_reply(asked->head.type)) {
        return false;
    }
    if (asked->head.type != LAUNCH_CREATE) {
        return asked->head.sandbox == head->sandbox;
    }
    return reply->n_fds ==
           (asked->create.isolation == SBX_ISOLATION_GVISOR ? LAUNCH_N_FDS_GVISOR : LAUNCH_N_FDS);
}

/* The one call a reply belongs to; NULL when there is none or it is of another kind. */
static struct launch_call *
client_match(struct launch_client *client, const struct launch_reply *reply)
{
    const struct launch_head *head = &reply->message.head;
    struct list *it, *after;

    list_each (it, after, &client->calls) {
        struct launch_call *call = list_entry(it, struct launch_call, link);
        const struct launch_head *asked = &call->message.head;

        if (asked->seq != head->seq || call->unsent || call->doomed) {
            continue;
        }
        return head->type == LAUNCH_ERROR || reply_fits(reply, call) ? call : NULL;
    }
    return NULL;
}

/* Takes what the caller of the request has no use for any more. */
static void
client_on_late(struct launch_client *client, struct launch_call *call, const struct launch_reply *reply)
{
    uint64_t sandbox = reply->message.head.type == LAUNCH_CREATED ? reply->message.head.sandbox : 0;

    list_remove(&call->link);
    free(call);
    if (sandbox != 0) {
        client_discard(client, sandbox);
    }
}

static void
client_on_message(struct launch_client *client, struct launch_reply *reply)
{
    const struct launch_head *head = &reply->message.head;
    struct launch_call *call;

    if (head->type == LAUNCH_ENDED) {
        if (client->state == CLIENT_READY && client->spec.on_ended != NULL) {
            client->spec.on_ended(client->spec.arg, &reply->message.report);
        }
        return;
    }
    call = client_match(client, reply);
    if (call == NULL) {
        client->broken = "an answer to no question";
    } else if (call->done == NULL) {
        client_on_late(client, call, reply);
    } else {
        call_finish(call, head->type == LAUNCH_ERROR ? LAUNCH_CLIENT_E_ERROR : 0, reply);
    }
}

/* One message. False when there is none now or the connection must end. */
static bool
client_receive(struct launch_client *client)
{
    struct launch_reply reply;

    switch (launch_receive(client->conn->fd, &reply)) {
    case 0:
        break;
    case LAUNCH_RECEIVE_E_AGAIN:
        return false;
    case LAUNCH_RECEIVE_E_INVALID:
        client->broken = "a message that is not allowed";
        return false;
    default:
        client->broken = "the launcher hung up";
        return false;
    }
    client_on_message(client, &reply);
    launch_reply_deinit(&reply);
    return true;
}

static void
conn_on_poll(uv_poll_t *poll, int status, int events)
{
    struct launch_conn *conn = poll->data;
    struct launch_client *client = conn->client;

    if (status < 0) {
        client->broken = "the launcher hung up";
    }
    if (client->broken == NULL && (events & UV_WRITABLE) != 0) {
        client_flush(client);
    }
    /* A callback may close the client, and so this connection, at any message. */
    for (unsigned i = 0; i < MESSAGES_PER_TURN && client->conn == conn && client->broken == NULL; i++) {
        if (!client_receive(client)) {
            break;
        }
    }
    if (client->conn != conn) {
        return;
    }
    if (client->broken != NULL) {
        client_lose(client, client->broken);
    } else {
        client_arm(client);
    }
}

static struct launch_call *
client_overdue(struct launch_client *client)
{
    uint64_t now = client_now(client);
    struct list *it, *after;

    list_each (it, after, &client->calls) {
        struct launch_call *call = list_entry(it, struct launch_call, link);

        if (call->deadline <= now) {
            return call;
        }
    }
    return NULL;
}

/* The caller has waited long enough; the reply, should it come, still has to be recognised. */
static void
call_expire(struct launch_call *call)
{
    struct launch_reply reply;
    launch_reply_fn done = call->done;
    void *arg = call->arg;

    launch_reply_init(&reply);
    (void)launch_call_cancel(call); /* returns NULL by its nature */
    done(arg, LAUNCH_CLIENT_E_TIMEOUT, &reply);
}

static void
client_expire(struct launch_client *client)
{
    struct launch_call *call;

    while (client->broken == NULL && client->state != CLIENT_CLOSING &&
           (call = client_overdue(client)) != NULL) {
        if (call->doomed) {
            call_fail(call, LAUNCH_CLIENT_E_GONE);
        } else if (call->done == NULL) {
            client->broken = "an answer is overdue";
        } else {
            call_expire(call);
        }
    }
}

static void
client_on_tick_closed(uv_handle_t *handle)
{
    struct launch_client *client = handle->data;
    void (*on_closed)(void *arg) = client->on_closed;
    void *arg = client->closed_arg;

    free(client->path);
    free(client);
    if (on_closed != NULL) {
        on_closed(arg);
    }
}

static void
client_on_tick(uv_timer_t *tick)
{
    struct launch_client *client = tick->data;

    client_expire(client);
    if (client->state == CLIENT_CLOSING) {
        client_fail_all(client);
        if (list_empty(&client->calls)) {
            uv_close((uv_handle_t *)tick, client_on_tick_closed);
        } else {
            client_arm(client);
        }
        return;
    }
    if (client->state == CLIENT_DOWN && client->reconnect_at <= client_now(client)) {
        client_connect(client);
    }
    if (client->broken != NULL) {
        client_lose(client, client->broken);
        return;
    }
    client_arm(client);
}

int
launch_client_new(struct launch_client **ret, const struct launch_client_spec *spec)
{
    struct launch_client *client;
    int r;

    client = calloc(1, sizeof(*client));
    if (client == NULL) {
        return -ENOMEM;
    }
    client->spec = *spec;
    client->state = CLIENT_DOWN;
    client->backoff_ms = BACKOFF_MIN_MS;
    client->reconnect_at = client_now(client);
    list_init(&client->calls);
    client->path = strdup(spec->path);
    if (client->path == NULL) {
        free(client);
        return -ENOMEM;
    }
    r = uv_timer_init(spec->loop, &client->tick);
    if (r < 0) {
        free(client->path);
        free(client);
        return r;
    }
    client->tick.data = client;
    client_arm(client);
    *ret = client;
    return 0;
}

bool
launch_client_ready(const struct launch_client *client)
{
    return client->state == CLIENT_READY && client->broken == NULL;
}

int
launch_client_call(struct launch_client *client, struct launch_call **ret_call,
                   const struct launch_request *request)
{
    struct launch_call *call = NULL;
    int r;

    r = client_add(client, &call, request);
    if (r) {
        return r;
    }
    if (launch_client_ready(client)) {
        client_flush(client);
    } else {
        call->doomed = true;
        /* Not yet due in this turn, or a caller that tries again at once would never let the loop go on. */
        call->deadline = client_now(client) + 1;
    }
    client_arm(client);
    *ret_call = call;
    return 0;
}

struct launch_call *
launch_call_cancel(struct launch_call *call)
{
    if (call == NULL) {
        return NULL;
    }
    call->done = NULL;
    if (call->unsent) {
        list_remove(&call->link);
        free(call);
        return NULL;
    }
    call->deadline = client_now(call->client) + OVERDUE_MS;
    return NULL;
}

void
launch_client_close(struct launch_client *client, void (*on_closed)(void *arg), void *arg)
{
    client->on_closed = on_closed;
    client->closed_arg = arg;
    client_close_conn(client);
    client_set_state(client, CLIENT_CLOSING);
    client_arm(client);
}
