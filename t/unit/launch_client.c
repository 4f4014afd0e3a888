/* The launcher's client against a scripted peer, right and wrong. Peer and client share one thread and one
 * loop. */
#include "executor/runtime/launch_client.h"

#include <fcntl.h>
#include <unistd.h>

#include "t/unit/launch_peer.h"
#include "t/unit/tap.h"

struct caller;

static struct {
    struct launch_client *client;
    unsigned n_up, n_down, n_ended, n_closed;
    const char *why;
    struct launch_report ended;
    struct launch_call *cancel; /* from inside on_ended */
    bool close;                 /* from inside on_ended */
    unsigned n_walls;
    bool unfit; /* what on_walls says */
    struct launch_walls walls;
    struct caller *early; /* calls from inside on_walls */
    struct caller *late;  /* and on_up */
} up;

struct caller {
    struct launch_call *call;
    unsigned calls;
    int rc;
    union launch_message message;
    int fds[LAUNCH_N_FDS];
    bool again; /* calls once more from inside its callback */
};

static void call(struct caller *caller, uint16_t type, uint64_t sandbox, uint64_t deadline_ms);

static void
on_up(void *arg _unused_)
{
    up.n_up++;
    if (up.late != NULL) {
        call(up.late, LAUNCH_STAT, 7, 1000);
    }
}

static void
on_down(void *arg _unused_, const char *why)
{
    up.n_down++;
    up.why = why;
}

static bool
on_walls(void *arg _unused_, const struct launch_walls *walls)
{
    up.n_walls++;
    up.walls = *walls;
    if (up.early != NULL) {
        call(up.early, LAUNCH_CREATE, 0, 1000);
    }
    return !up.unfit;
}

static void
on_closed(void *arg _unused_)
{
    up.n_closed++;
}

static void
on_ended(void *arg _unused_, const struct launch_report *report)
{
    up.n_ended++;
    up.ended = *report;
    up.cancel = launch_call_cancel(up.cancel);
    if (up.close) {
        launch_client_close(up.client, on_closed, NULL);
        up.client = NULL;
    }
}

static void
start(uint64_t hello_timeout_ms)
{
    struct launch_client_spec spec = {
        .loop = &loop,
        .path = socket_path,
        .hello_timeout_ms = hello_timeout_ms,
        .on_walls = on_walls,
        .on_up = on_up,
        .on_down = on_down,
        .on_ended = on_ended,
    };

    memset(&up, 0, sizeof(up));
    uv_update_time(&loop);
    assert(launch_client_new(&up.client, &spec) == 0);
}

static void
start_ready(void)
{
    start(1000);
    peer_accept();
    peer_greet();
    ok(turn_until(&up.n_up, 1), "the connection is up");
}

static void
stop(void)
{
    if (up.client != NULL) {
        launch_client_close(up.client, on_closed, NULL);
    }
    ok(turn_until(&up.n_closed, 1), "the client closes");
    if (peer >= 0) {
        peer_hangup();
    }
    loop_settle();
}

static void call(struct caller *caller, uint16_t type, uint64_t sandbox, uint64_t deadline_ms);

static void
on_reply(void *arg, int rc, struct launch_reply *reply)
{
    struct caller *caller = arg;

    caller->calls++;
    caller->rc = rc;
    caller->call = NULL;
    caller->message = reply->message;
    for (unsigned i = 0; i < LAUNCH_N_FDS; i++) {
        caller->fds[i] = reply->fds[i];
        reply->fds[i] = -1;
    }
    if (caller->again) {
        caller->again = false;
        call(caller, LAUNCH_STAT, 7, 1000);
    }
}

static void
call(struct caller *caller, uint16_t type, uint64_t sandbox, uint64_t deadline_ms)
{
    union launch_message message = { .head = { .type = type, .sandbox = sandbox } };
    struct launch_request request = {
        .message = &message,
        .deadline_ms = deadline_ms,
        .done = on_reply,
        .arg = caller,
    };

    if (type == LAUNCH_CREATE) {
        memcpy(message.create.template_name, "default", 8);
        message.create.isolation = SBX_ISOLATION_PROCESS;
    }
    uv_update_time(&loop);
    assert(launch_client_call(up.client, &caller->call, &request) == 0);
}

static void
test_life(void)
{
    struct caller create = { 0 }, adopt = { 0 }, stat = { 0 }, destroy = { 0 };
    union launch_message message = { 0 };
    unsigned n_ok = 0;

    start_ready();
    ok(launch_client_ready(up.client), "it is ready");
    call(&create, LAUNCH_CREATE, 0, 1000);
    ok(peer_receive(&message).type == LAUNCH_CREATE, "CREATE arrives");
    is_str(message.create.template_name, "default", "with its template");
    message.head.sandbox = 7;
    peer_send(&message, LAUNCH_CREATED, sizeof(message.created), LAUNCH_N_FDS);
    ok(turn_until(&create.calls, 1) && create.rc == 0, "CREATED");
    is_uint(create.message.head.sandbox, 7, "with its number");
    for (unsigned i = 0; i < LAUNCH_N_FDS; i++) {
        n_ok += create.fds[i] >= 0 && fcntl(create.fds[i], F_GETFD) == FD_CLOEXEC;
        close(create.fds[i]);
    }
    is_uint(n_ok, LAUNCH_N_FDS, "and its descriptors, close-on-exec");

    call(&adopt, LAUNCH_ADOPT, 7, 1000);
    call(&stat, LAUNCH_STAT, 7, 1000);
    call(&destroy, LAUNCH_DESTROY, 7, 1000);
    is_uint(adopt.calls, 0, "nothing is called from inside a call");
    ok(peer_receive(&message).type == LAUNCH_ADOPT && message.head.size == sizeof(message.adopt), "ADOPT");
    peer_send(&message, LAUNCH_ADOPTED, sizeof(message.head), 0);
    ok(turn_until(&adopt.calls, 1) && adopt.rc == 0, "ADOPTED");
    {
        union launch_message first, second;

        ok(peer_receive(&first).type == LAUNCH_STAT && peer_receive(&second).type == LAUNCH_DESTROY,
           "pipelined");
        ok(first.head.seq < second.head.seq, "in order");
        memset((char *)&second + sizeof(second.head), 0, sizeof(second) - sizeof(second.head));
        second.report.cpu_ms = 5;
        peer_send(&second, LAUNCH_DESTROYED, sizeof(second.report), 0);
        ok(turn_until(&destroy.calls, 1) && destroy.rc == 0 && stat.calls == 0,
           "answers may come out of order");
        memset((char *)&first + sizeof(first.head), 0, sizeof(first) - sizeof(first.head));
        first.report.running = 1;
        peer_send(&first, LAUNCH_STATS, sizeof(first.report), 0);
        ok(turn_until(&stat.calls, 1) && stat.rc == 0 && stat.message.report.running == 1, "STATS");
    }
    stop();
    ok(create.calls == 1 && adopt.calls == 1 && stat.calls == 1 && destroy.calls == 1,
       "each was called once");
    is_uint(up.n_down, 0, "a connection we end is not lost");
}

static void
test_error_and_ended(void)
{
    struct caller create = { 0 }, stat = { 0 };
    union launch_message message = { 0 };

    start_ready();
    call(&create, LAUNCH_CREATE, 0, 1000);
    peer_receive(&message);
    memset((char *)&message + sizeof(message.head), 'x', sizeof(message) - sizeof(message.head));
    message.error.error = ENOMEM;
    message.error.stage[3] = '\n';
    peer_send(&message, LAUNCH_ERROR, sizeof(message.error), 0);
    ok(turn_until(&create.calls, 1) && create.rc == LAUNCH_CLIENT_E_ERROR, "LAUNCH_ERROR");
    is_int(create.message.error.error, ENOMEM, "its number");
    is_uint(strlen(create.message.error.stage), 63, "its stage is a string, whatever came");
    is_int(create.message.error.stage[3], '?', "and printable");

    call(&stat, LAUNCH_STAT, 9, 1000);
    peer_receive(&message);
    memset(&message, 0, sizeof(message));
    message.head.sandbox = 9;
    message.report.verdict = LAUNCH_LIMIT_MEMORY;
    up.cancel = stat.call;
    peer_send(&message, LAUNCH_ENDED, sizeof(message.report), 0);
    ok(turn_until(&up.n_ended, 1), "ENDED arrives unasked");
    ok(up.ended.head.sandbox == 9 && up.ended.verdict == LAUNCH_LIMIT_MEMORY, "with its report");
    message.head.sandbox = 9;
    message.head.seq = 4; /* after HELLO, WALLS and CREATE */
    peer_send(&message, LAUNCH_STATS, sizeof(message.report), 0);
    turn_for(20);
    is_uint(stat.calls, 0, "who cancelled from inside it is not called");
    ok(launch_client_ready(up.client), "the late answer is recognised");
    stop();
}

/* One wrong message, after a STAT of sandbox 7 was sent. */
struct wrong {
    const char *what;
    uint16_t type;
    size_t len;   /* of the datagram */
    size_t size;  /* as head.size says */
    uint64_t seq; /* 0: the request's */
    uint64_t sandbox;
    unsigned n_fds;
    uint32_t verdict, running, files;
};

static const struct wrong wrongs[] = {
    { "one byte", LAUNCH_STATS, 1, 1, 0, 7, 0, 0, 0, 0 },
    { "half a head", LAUNCH_STATS, 12, 12, 0, 7, 0, 0, 0, 0 },
    { "only a head", LAUNCH_STATS, sizeof(struct launch_head), sizeof(struct launch_head), 0, 7, 0, 0, 0, 0 },
    { "one byte less", LAUNCH_STATS, sizeof(struct launch_report) - 1, sizeof(struct launch_report) - 1, 0, 7,
      0, 0, 0, 0 },
    { "one byte more", LAUNCH_STATS, sizeof(struct launch_report) + 1, sizeof(struct launch_report) + 1, 0, 7,
      0, 0, 0, 0 },
    { "more than any message", LAUNCH_STATS, sizeof(union launch_message) + 8,
      sizeof(union launch_message) + 8, 0, 7, 0, 0, 0, 0 },
    { "WALLS nobody asked for", LAUNCH_WALLS, sizeof(struct launch_walls), sizeof(struct launch_walls), 0, 0,
      0, 0, 0, 0 },
    { "a size that lies", LAUNCH_STATS, sizeof(struct launch_report), 24, 0, 7, 0, 0, 0, 0 },
    { "a type of no message", 77, sizeof(struct launch_report), sizeof(struct launch_report), 0, 7, 0, 0, 0,
      0 },
    { "type 0", 0, sizeof(struct launch_head), sizeof(struct launch_head), 0, 7, 0, 0, 0, 0 },
    { "a request", LAUNCH_STAT, sizeof(struct launch_head), sizeof(struct launch_head), 0, 7, 0, 0, 0, 0 },
    { "a seq never sent", LAUNCH_STATS, sizeof(struct launch_report), sizeof(struct launch_report), 99, 7, 0,
      0, 0, 0 },
    { "the seq of HELLO", LAUNCH_STATS, sizeof(struct launch_report), sizeof(struct launch_report), 1, 7, 0,
      0, 0, 0 },
    { "another sandbox", LAUNCH_STATS, sizeof(struct launch_report), sizeof(struct launch_report), 0, 8, 0, 0,
      0, 0 },
    { "another kind of answer", LAUNCH_DESTROYED, sizeof(struct launch_report), sizeof(struct launch_report),
      0, 7, 0, 0, 0, 0 },
    { "ADOPTED", LAUNCH_ADOPTED, sizeof(struct launch_head), sizeof(struct launch_head), 0, 7, 0, 0, 0, 0 },
    { "HELLO again", LAUNCH_HELLO, sizeof(struct launch_hello), sizeof(struct launch_hello), 0, 0, 0, 0, 0,
      0 },
    { "CREATED without descriptors", LAUNCH_CREATED, sizeof(struct launch_created),
      sizeof(struct launch_created), 0, 7, 0, 0, 0, 0 },
    { "CREATED with too few", LAUNCH_CREATED, sizeof(struct launch_created), sizeof(struct launch_created), 0,
      7, 3, 0, 0, 0 },
    { "CREATED with too many", LAUNCH_CREATED, sizeof(struct launch_created), sizeof(struct launch_created),
      0, 7, 5, 0, 0, 0 },
    { "CREATED with far too many", LAUNCH_CREATED, sizeof(struct launch_created),
      sizeof(struct launch_created), 0, 7, 12, 0, 0, 0 },
    { "CREATED nobody asked for", LAUNCH_CREATED, sizeof(struct launch_created),
      sizeof(struct launch_created), 0, 7, 4, 0, 0, 0 },
    { "CREATED of sandbox 0", LAUNCH_CREATED, sizeof(struct launch_created), sizeof(struct launch_created), 0,
      0, 4, 0, 0, 0 },
    { "descriptors with STATS", LAUNCH_STATS, sizeof(struct launch_report), sizeof(struct launch_report), 0,
      7, 4, 0, 0, 0 },
    { "a verdict that is none", LAUNCH_STATS, sizeof(struct launch_report), sizeof(struct launch_report), 0,
      7, 0, 6, 0, 0 },
    { "running twice", LAUNCH_STATS, sizeof(struct launch_report), sizeof(struct launch_report), 0, 7, 0, 0,
      2, 0 },
    { "files that are not of the disk", LAUNCH_STATS, sizeof(struct launch_report),
      sizeof(struct launch_report), 0, 7, 0, LAUNCH_LIMIT_MEMORY, 0, 1 },
    { "files twice", LAUNCH_STATS, sizeof(struct launch_report), sizeof(struct launch_report), 0, 7, 0,
      LAUNCH_LIMIT_DISK, 0, 2 },
    { "ENDED with a seq", LAUNCH_ENDED, sizeof(struct launch_report), sizeof(struct launch_report), 0, 7, 0,
      0, 0, 0 },
    { "ENDED with a verdict that is none", LAUNCH_ENDED, sizeof(struct launch_report),
      sizeof(struct launch_report), 0, 7, 0, UINT32_MAX, 0, 0 },
    { "an error to no question", LAUNCH_ERROR, sizeof(struct launch_error), sizeof(struct launch_error), 50,
      7, 0, 0, 0, 0 },
    { "an error that is too short", LAUNCH_ERROR, sizeof(struct launch_head), sizeof(struct launch_head), 0,
      7, 0, 0, 0, 0 },
    { "a datagram of nothing", 0, 0, 0, 0, 0, 0, 0, 0, 0 },
    { "descriptors with nothing", 0, 0, 0, 0, 0, 4, 0, 0, 0 },
};

static void
test_wrong_messages(void)
{
    for (size_t i = 0; i < SBX_COUNT(wrongs); i++) {
        const struct wrong *wrong = &wrongs[i];
        struct caller stat = { 0 };
        union launch_message message = { 0 };
        unsigned before = n_open_fds(), after;
        uint64_t seq;

        start_ready();
        call(&stat, LAUNCH_STAT, 7, 4000);
        peer_receive(&message);
        seq = wrong->seq == 0 ? message.head.seq : wrong->seq;
        memset(&message, 0, sizeof(message));
        message.report.verdict = wrong->verdict;
        message.report.running = wrong->running;
        message.report.verdict_files = wrong->files;
        message.head = (struct launch_head){
            .type = wrong->type, .size = (uint16_t)wrong->size, .seq = seq, .sandbox = wrong->sandbox
        };
        peer_send_fds(&message, wrong->len, wrong->n_fds);
        ok(turn_until(&up.n_down, 1), "%s: the connection ends", wrong->what);
        ok(stat.calls == 1 && stat.rc == LAUNCH_CLIENT_E_GONE, "the call under way fails, once");
        stop();
        after = n_open_fds();
        is_uint(after, before, "no descriptor is left");
        /* The client may have knocked again meanwhile. */
        close(listener);
        peer_listen();
    }
}

/* Up to the question for the walls. */
static void
start_asked(union launch_message *message)
{
    start(1000);
    peer_accept();
    peer_greet_only();
    peer_asked_for_walls(message);
}

static void
walls_wrong(const char *what, union launch_message *message, size_t size, unsigned n_fds)
{
    struct caller create = { 0 };
    unsigned before = n_open_fds();

    call(&create, LAUNCH_CREATE, 0, 1000);
    message->head.size = (uint16_t)size;
    peer_send_fds(message, size, n_fds);
    ok(turn_until(&up.n_down, 1), "%s: the connection ends", what);
    ok(up.n_up == 0 && up.n_walls == 0, "and nobody was told of walls");
    ok(create.calls == 1 && create.rc == LAUNCH_CLIENT_E_GONE, "a sandbox that was wanted meanwhile fails");
    is_uint(n_open_fds(), before - 1, "no descriptor is left");
    stop();
    close(listener);
    peer_listen();
}

static void
test_wrong_walls(void)
{
    static const struct {
        const char *what;
        size_t at;
        uint32_t value;
    } lies[] = {
        { "no walls", offsetof(struct launch_walls, n_walls), 0 },
        { "one wall less", offsetof(struct launch_walls, n_walls), SBX_N_WALLS - 1 },
        { "one wall more", offsetof(struct launch_walls, n_walls), SBX_N_WALLS + 1 },
        { "very many walls", offsetof(struct launch_walls, n_walls), UINT32_MAX },
        { "a tier that is none", offsetof(struct launch_walls, tiers), 1u << SBX_N_ISOLATIONS },
        { "the tier of nobody", offsetof(struct launch_walls, tiers), 1u << SBX_ISOLATION_NONE },
        { "all tiers", offsetof(struct launch_walls, tiers), UINT32_MAX },
        { "a wall that was not tried", offsetof(struct launch_walls, wall[0].state), SBX_WALL_UNTRIED },
        { "a state that is none", offsetof(struct launch_walls, wall[3].state), SBX_N_WALL_STATES },
        { "the last wall's state", offsetof(struct launch_walls, wall[SBX_N_WALLS - 1].state), UINT32_MAX },
        { "walls of a sandbox", offsetof(struct launch_walls, head.sandbox), 7 },
    };
    union launch_message message;

    for (size_t i = 0; i < SBX_COUNT(lies); i++) {
        start_asked(&message);
        memcpy((char *)&message + lies[i].at, &lies[i].value, sizeof(lies[i].value));
        walls_wrong(lies[i].what, &message, sizeof(message.walls), 0);
    }
    start_asked(&message);
    walls_wrong("walls cut short", &message, sizeof(message.walls) - 8, 0);
    start_asked(&message);
    walls_wrong("only a head", &message, sizeof(message.head), 0);
    start_asked(&message);
    walls_wrong("walls with descriptors", &message, sizeof(message.walls), 4);
    start_asked(&message);
    message.head.type = LAUNCH_STATS;
    walls_wrong("another answer", &message, sizeof(message.report), 0);
    start_asked(&message);
    message.head.seq++;
    walls_wrong("an answer to a question of later", &message, sizeof(message.walls), 0);
    start_asked(&message);
    memset((char *)&message + sizeof(message.head), 0xff, sizeof(message) - sizeof(message.head));
    walls_wrong("garbage", &message, sizeof(message.walls), 0);
    start_asked(&message);
    message.head.type = LAUNCH_ERROR;
    walls_wrong("a refusal", &message, sizeof(message.error), 0);
}

/* Wanted when there was none, there is one now: it is not sent, for nobody would know the answer. */
static void
test_early(void)
{
    struct caller early = { 0 }, late = { 0 };
    union launch_message message;

    start_asked(&message);
    up.early = &early;
    up.late = &late;
    peer_send(&message, LAUNCH_WALLS, sizeof(message.walls), 0);
    ok(turn_until(&up.n_up, 1), "early: up");
    is_uint(peer_receive(&message).type, LAUNCH_STAT, "what was wanted before is not sent along");
    ok(turn_until(&early.calls, 1) && early.rc == LAUNCH_CLIENT_E_GONE, "and has failed");
    ok(up.n_down == 0 && late.calls == 0, "the connection stays");
    stop();
}

static void
test_walls(void)
{
    union launch_message message;
    struct caller create = { 0 };

    start_asked(&message);
    message.walls.wall[2].state = SBX_WALL_WEAKER;
    memset(message.walls.wall[2].why, '\033', sizeof(message.walls.wall[2].why));
    memset(message.walls.gvisor_version, 0xff, sizeof(message.walls.gvisor_version));
    ok(!launch_client_ready(up.client), "not ready before they are known");
    peer_send(&message, LAUNCH_WALLS, sizeof(message.walls), 0);
    ok(turn_until(&up.n_up, 1) && up.n_walls == 1, "walls: up");
    is_int(up.walls.wall[2].state, SBX_WALL_WEAKER, "as they were told");
    is_uint(strspn(up.walls.wall[2].why, "?"), SBX_WALL_WHY_LEN - 1,
            "a text ends and does nothing to a terminal");
    is_uint(strspn(up.walls.gvisor_version, "?"), LAUNCH_TIER_TEXT_LEN - 1, "nor does another");
    stop();

    start_asked(&message);
    up.unfit = true;
    peer_send(&message, LAUNCH_WALLS, sizeof(message.walls), 0);
    ok(turn_until(&up.n_down, 1) && up.n_up == 0, "unfit: never up");
    is_str(up.why, "required walls are missing", "which is the reason");
    call(&create, LAUNCH_CREATE, 0, 1000);
    ok(turn_until(&create.calls, 1) && create.rc == LAUNCH_CLIENT_E_GONE, "nothing can be asked for");
    peer_hangup();
    up.unfit = false;
    peer_accept();
    peer_greet();
    ok(turn_until(&up.n_up, 1) && up.n_walls == 2, "asked again on the next connection");
    stop();

    start(60);
    peer_accept();
    peer_greet_only();
    ok(turn_until(&up.n_down, 1), "no answer about walls: down");
    stop();
}

static void
test_wrong_greetings(void)
{
    union launch_message message = { 0 };

    start(1000);
    peer_accept();
    peer_receive(&message);
    message.hello.version = LAUNCH_WIRE_VERSION + 1;
    peer_send(&message, LAUNCH_HELLO, sizeof(message.hello), 0);
    ok(turn_until(&up.n_down, 1), "another version: down");
    is_uint(up.n_up, 0, "never up");
    stop();

    start(1000);
    peer_accept();
    peer_receive(&message);
    memset((char *)&message + sizeof(message.head), 0, sizeof(message) - sizeof(message.head));
    peer_send(&message, LAUNCH_ERROR, sizeof(message.error), 0);
    ok(turn_until(&up.n_down, 1), "an error instead of a greeting: down");
    stop();

    start(60);
    peer_accept();
    ok(turn_until(&up.n_down, 1), "no greeting: down");
    is_str(up.why, "no greeting", "which is the reason");
    stop();

    start(1000);
    peer_accept();
    peer_receive(&message);
    peer_hangup();
    ok(turn_until(&up.n_down, 1), "a hang-up instead of a greeting: down");
    stop();

    start(1000);
    peer_accept();
    peer_receive(&message);
    memset(&message, 0, sizeof(message));
    message.head.sandbox = 7;
    peer_send(&message, LAUNCH_ENDED, sizeof(message.report), 0);
    turn_for(20);
    is_uint(up.n_ended, 0, "an ENDED before the greeting is nobody's");
    stop();
    close(listener);
    peer_listen();
}

static void
test_hangups(void)
{
    static const uint16_t types[] = { LAUNCH_CREATE, LAUNCH_ADOPT,   LAUNCH_STAT,
                                      LAUNCH_SETTLE, LAUNCH_DESTROY, LAUNCH_HASTEN };

    for (size_t i = 0; i < SBX_COUNT(types); i++) {
        struct caller before = { 0 }, unread = { .again = true };
        union launch_message message = { 0 };
        uint64_t sandbox = types[i] == LAUNCH_CREATE ? 0 : 7;

        start_ready();
        call(&before, types[i], sandbox, 4000);
        peer_receive(&message);
        call(&unread, types[i], sandbox, 4000);
        peer_hangup();
        ok(turn_until(&up.n_down, 1), "a hang-up after request %u", types[i]);
        ok(before.calls == 1 && before.rc == LAUNCH_CLIENT_E_GONE, "what was read fails");
        ok(unread.calls >= 1 && unread.rc == LAUNCH_CLIENT_E_GONE, "what was not read too");
        ok(turn_until(&unread.calls, 2), "a call from inside that callback fails in its turn");
        is_int(unread.rc, LAUNCH_CLIENT_E_GONE, "without a connection");
        ok(!launch_client_ready(up.client), "it is not ready");
        peer_accept();
        peer_greet();
        ok(turn_until(&up.n_up, 2), "it comes back");
        is_uint(unread.calls + before.calls, 3, "nobody is called twice");
        stop();
    }
}

static void
test_deadlines(void)
{
    struct caller stat = { 0 }, create = { 0 };
    union launch_message message = { 0 }, late = { 0 };
    unsigned before;

    start_ready();
    before = n_open_fds();
    call(&stat, LAUNCH_STAT, 7, 30);
    call(&create, LAUNCH_CREATE, 0, 30);
    ok(turn_until(&create.calls, 1) && create.rc == LAUNCH_CLIENT_E_TIMEOUT, "CREATE is late");
    ok(stat.calls == 1 && stat.rc == LAUNCH_CLIENT_E_TIMEOUT, "STAT is late");
    ok(peer_receive(&message).type == LAUNCH_STAT && peer_receive(&late).type == LAUNCH_CREATE,
       "both had arrived");
    memset((char *)&message + sizeof(message.head), 0, sizeof(message) - sizeof(message.head));
    peer_send(&message, LAUNCH_STATS, sizeof(message.report), 0);
    late.head.sandbox = 12;
    peer_send(&late, LAUNCH_CREATED, sizeof(late.created), LAUNCH_N_FDS);
    ok(peer_receive(&message).type == LAUNCH_DESTROY, "a sandbox that comes too late is destroyed");
    is_uint(message.head.sandbox, 12, "that one");
    is_uint(n_open_fds(), before, "and its descriptors are closed");
    memset((char *)&message + sizeof(message.head), 0, sizeof(message) - sizeof(message.head));
    peer_send(&message, LAUNCH_DESTROYED, sizeof(message.report), 0);
    turn_for(20);
    ok(launch_client_ready(up.client), "the connection lives");
    ok(stat.calls == 1 && create.calls == 1, "nobody was called again");

    create = (struct caller){ 0 };
    call(&create, LAUNCH_CREATE, 0, 1000);
    create.call = launch_call_cancel(create.call);
    ok(peer_receive(&late).type == LAUNCH_CREATE, "a cancelled CREATE was sent");
    late.head.sandbox = 13;
    peer_send(&late, LAUNCH_CREATED, sizeof(late.created), LAUNCH_N_FDS);
    ok(peer_receive(&message).type == LAUNCH_DESTROY && message.head.sandbox == 13,
       "its sandbox is destroyed");
    is_uint(create.calls, 0, "and its caller not told");
    is_uint(n_open_fds(), before, "no descriptor is left");
    ok(launch_call_cancel(NULL) == NULL, "cancel accepts NULL");
    stop();
}

static void
test_no_launcher(void)
{
    struct caller stat = { 0 }, cancelled = { 0 };
    unsigned n;

    close(listener);
    (void)unlink(socket_path);
    start(1000);
    call(&stat, LAUNCH_STAT, 7, 4000);
    call(&cancelled, LAUNCH_STAT, 7, 4000);
    cancelled.call = launch_call_cancel(cancelled.call);
    is_uint(stat.calls, 0, "no connection: not told from inside the call");
    ok(turn_until(&stat.calls, 1) && stat.rc == LAUNCH_CLIENT_E_GONE, "but on the next turn");
    is_uint(cancelled.calls, 0, "unless cancelled");
    ok(turn_until(&up.n_down, 1), "and the owner learns why");
    is_str(up.why, "cannot connect", "in words");
    turn_for(600);
    n = up.n_down;
    ok(n >= 3 && n <= 7, "attempts are spaced by a growing back-off (%u in 600 ms)", n);
    peer_listen();
    peer_accept();
    peer_greet();
    ok(turn_until(&up.n_up, 1), "it finds a launcher that comes later");
    stop();
}

/* More requests than the socket takes: they wait, in order, and none is lost. */
static void
test_full_socket(void)
{
    enum { N = 3000 };
    static struct caller callers[N];
    union launch_message message = { 0 };
    unsigned n_done = 0, in_order = 0;
    uint64_t last = 0;

    memset(callers, 0, sizeof(callers));
    start_ready();
    for (unsigned i = 0; i < N; i++) {
        call(&callers[i], LAUNCH_STAT, 7, 30000);
    }
    for (unsigned i = 0; i < N; i++) {
        struct launch_head head = peer_receive(&message);

        in_order += head.type == LAUNCH_STAT && head.seq > last;
        last = head.seq;
        memset((char *)&message + sizeof(message.head), 0, sizeof(message) - sizeof(message.head));
        peer_send(&message, LAUNCH_STATS, sizeof(message.report), 0);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    ok(turn_until(&callers[N - 1].calls, 1), "the last of %d pipelined requests is answered", N);
    for (unsigned i = 0; i < N; i++) {
        n_done += callers[i].calls == 1 && callers[i].rc == 0;
    }
    is_uint(n_done, N, "as each is, once");
    is_uint(in_order, N, "all in order");
    stop();
}

static void
test_close(void)
{
    struct caller stat = { 0 }, unsent = { .again = true };
    union launch_message message = { 0 };

    start_ready();
    call(&stat, LAUNCH_STAT, 7, 4000);
    call(&unsent, LAUNCH_STAT, 7, 4000);
    launch_client_close(up.client, on_closed, NULL);
    is_uint(stat.calls, 0, "close calls nobody from inside");
    ok(turn_until(&up.n_closed, 1), "it closes");
    ok(stat.calls == 1 && stat.rc == LAUNCH_CLIENT_E_GONE, "calls under way fail");
    is_uint(unsent.calls, 2, "also those made while it closes");
    is_uint(up.n_down, 0, "the owner is not told what it did itself");
    up.client = NULL;
    stop();

    start_ready();
    up.close = true;
    message.head.sandbox = 1;
    peer_send(&message, LAUNCH_ENDED, sizeof(message.report), 0);
    peer_send(&message, LAUNCH_ENDED, sizeof(message.report), 0);
    ok(turn_until(&up.n_closed, 1), "a callback may close");
    is_uint(up.n_ended, 1, "and hears nothing more");
    stop();
}

int
main(void)
{
    peer_init();
    test_life();
    test_error_and_ended();
    test_wrong_messages();
    test_early();
    test_walls();
    test_wrong_walls();
    test_wrong_greetings();
    test_hangups();
    test_deadlines();
    test_no_launcher();
    test_full_socket();
    test_close();
    peer_deinit();
    is_int(uv_loop_close(&loop), 0, "no handle is left");
    return done_testing();
}
