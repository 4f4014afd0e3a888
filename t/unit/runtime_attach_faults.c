/* A conversation whose agent or launcher does not do its part: who waits is told, once, and of what. */
#include "lib/sbx_mux.h"
#include "t/unit/runtime_box.h"

static struct {
    unsigned n_attached, n_lost, n_stat, n_end;
    int attached_rc, lost_rc, stat_rc, end_rc;
    bool has_report, has_verdict, destroy_on_lost, destroy_on_attached;
    struct sbx_mux *mux;
    struct box *box;
} got;

static void
got_attached(void *arg, int rc, struct sbx_mux *mux)
{
    (void)arg;
    assert((rc == 0) == (mux != NULL));
    got.n_attached++;
    got.attached_rc = rc;
    got.mux = mux;
    if (got.destroy_on_attached) {
        box_destroy(got.box);
    }
}

static void
got_lost(void *arg, int rc, const struct runtime_report *report)
{
    (void)arg;
    got.n_lost++;
    got.lost_rc = rc;
    got.has_report = report != NULL;
    got.has_verdict = report != NULL && report->has_verdict;
    if (got.destroy_on_lost) {
        box_destroy(got.box);
    }
}

static void
got_stat(void *arg, int rc, const struct runtime_report *report)
{
    (void)arg;
    assert((rc == 0) == (report != NULL));
    got.n_stat++;
    got.stat_rc = rc;
}

static void
got_end(void *arg, int rc, const char *json, size_t len)
{
    (void)arg;
    (void)json;
    (void)len;
    assert(got.n_lost == 0); /* channels end before the conversation is told lost */
    got.n_end++;
    got.end_rc = rc;
}

/* Up to the agent's having the request. */
static void
attach_ask(struct box *box, uint64_t id)
{
    const char *body;

    memset(&got, 0, sizeof(got));
    got.box = box;
    runtime_begin();
    box_warm(box, id);
    box_adopt(box);
    assert(box->sandbox->ops->attach(box->sandbox, got_lost, got_attached, NULL) == 0 && got.n_attached == 0);
    body = agent_receive(box);
    assert(body != NULL && strncmp(box->request, "POST /v1/attach HTTP/1.1\r\n", 26) == 0);
    assert(strcmp(body, "{\"limits\":{\"processes\":10}}") == 0);
}

static void
attach_good(struct box *box, uint64_t id)
{
    static const struct sbx_channel_events events_of_op = { .on_end = got_end };
    struct sbx_channel *channel;
    char frame[14];
    size_t n = 0;

    attach_ask(box, id);
    agent_answer(box, 200, "");
    assert(turn_until(&got.n_attached, 1) && got.attached_rc == 0);
    assert(sbx_channel_open(&channel, got.mux, "{}", 2, &events_of_op, NULL) == 0);
    while (n < sizeof(frame)) {
        uv_run(&loop, UV_RUN_NOWAIT);
        ssize_t r = recv(box->http, frame + n, sizeof(frame) - n, MSG_DONTWAIT);
        n += r > 0 ? (size_t)r : 0;
    }
    assert(memcmp(frame, "\1\0\0\0\2\0\0\0\1\0\0\0{}", sizeof(frame)) == 0);
}

static void
attach_end(struct box *box)
{
    struct box before = *box;

    box_end(box);
    ok(box->n_done == before.n_done, "no run is told of");
    runtime_end();
}

static const struct launch_report over_memory = {
    .running = 1, .cpu_ms = 5, .verdict = LAUNCH_LIMIT_MEMORY, .verdict_limit = 1, .verdict_observed = 2
};

static void
test_refused(void)
{
    static const char *const answers[] = {
        "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 409 No\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 201 Yes\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 Yes\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 Yes\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 Yes\r\nContent-Length: 0\r\n\r\n\1\0\0\0\2\0\0\0\2\0\0\0{}",
        "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: mux\r\n\r\n",
        "hello\r\n\r\n",
        "",
    };
    struct box box;
    size_t i;

    for (i = 0; i < SBX_COUNT(answers); i++) {
        attach_ask(&box, 40 + i);
        agent_say(&box, answers[i]);
        /* The one with more: as text it would end at its first zero. */
        if (strstr(answers[i], "\1") != NULL) {
            (void)send(box.http, "\0", 1, MSG_NOSIGNAL);
        }
        ok(turn_until(&got.n_attached, 1) && got.attached_rc == RUNTIME_E_AGENT, "answer %zu is no consent",
           i);
        attach_end(&box);
        is_uint(got.n_attached + got.n_lost, 1, "nor a loss");
    }
    attach_ask(&box, 60);
    box_hangup(&box.http);
    ok(turn_until(&got.n_attached, 1) && got.attached_rc == RUNTIME_E_AGENT, "an agent that hangs up");
    attach_end(&box);

    attach_ask(&box, 61);
    launcher_ended(&box, LAUNCH_LIMIT_NONE);
    ok(turn_until(&got.n_attached, 1) && got.attached_rc == RUNTIME_E_ENDED, "a sandbox that dies meanwhile");
    attach_end(&box);
    is_uint(got.n_attached + got.n_lost, 1, "is told once");
}

static void
test_lost(void)
{
    union launch_message message;
    struct box box;

    attach_good(&box, 70);
    agent_say(&box, "this is no frame of any kind");
    box_stats(&box, &running);
    ok(turn_until(&got.n_lost, 1) && got.lost_rc == RUNTIME_E_AGENT && got.has_report,
       "an agent that talks nonsense");
    ok(got.n_end == 1 && got.end_rc == SBX_MUX_E_LOST, "its channels hear it first");
    attach_end(&box);

    attach_good(&box, 71);
    box_hangup(&box.http);
    box_stats(&box, &over_memory);
    ok(turn_until(&got.n_lost, 1) && got.lost_rc == RUNTIME_E_ENDED && got.has_verdict,
       "one that hangs up, and the launcher knows why");
    attach_end(&box);

    attach_good(&box, 72);
    box_hangup(&box.http);
    assert(peer_receive(&message).type == LAUNCH_STAT);
    launcher_ended(&box, LAUNCH_LIMIT_TIME);
    ok(turn_until(&got.n_lost, 1) && got.lost_rc == RUNTIME_E_ENDED && got.has_verdict,
       "or says so before it answers");
    attach_end(&box);

    attach_good(&box, 73);
    launcher_ended(&box, LAUNCH_LIMIT_CPU);
    ok(turn_until(&got.n_lost, 1) && got.lost_rc == RUNTIME_E_ENDED && got.has_verdict && got.n_end == 1,
       "a socket that outlives its sandbox is given up");
    attach_end(&box);
    is_uint(got.n_lost, 1, "once");

    attach_good(&box, 74);
    peer_hangup();
    ok(turn_until(&got.n_lost, 1) && got.lost_rc == RUNTIME_E_UNAVAILABLE && !got.has_report &&
           got.n_end == 1,
       "a launcher that leaves");
    attach_end(&box);

    attach_good(&box, 75);
    box_hangup(&box.http);
    ok(turn_until(&got.n_lost, 1) && got.lost_rc == RUNTIME_E_UNAVAILABLE, "a launcher that never answers");
    peer_hangup();
    attach_end(&box);
    is_uint(got.n_lost, 1, "once");
}

static void
test_stat(void)
{
    union launch_message message;
    struct box box;

    attach_good(&box, 80);
    is_int(box.sandbox->ops->stat(box.sandbox, got_stat, NULL), 0, "asked");
    is_int(box.sandbox->ops->stat(box.sandbox, got_stat, NULL), -EBUSY, "not twice");
    box_stats(&box, &running);
    ok(turn_until(&got.n_stat, 1) && got.stat_rc == 0, "answered");
    is_int(box.sandbox->ops->stat(box.sandbox, got_stat, NULL), 0, "asked again");
    box_hangup(&box.http);
    assert(peer_receive(&message).type == LAUNCH_STAT);
    box_stats(&box, &running);
    ok(turn_until(&got.n_lost, 1), "a loss beside it is told");
    is_uint(got.n_stat, 1, "without it");
    launcher_answer(&message.head, LAUNCH_STATS, &running);
    ok(turn_until(&got.n_stat, 2), "and it without the loss");
    attach_end(&box);

    attach_good(&box, 81);
    assert(box.sandbox->ops->stat(box.sandbox, got_stat, NULL) == 0);
    peer_hangup();
    ok(turn_until(&got.n_stat, 1) && got.stat_rc == RUNTIME_E_UNAVAILABLE, "a launcher that leaves");
    attach_end(&box);

    attach_good(&box, 82);
    assert(box.sandbox->ops->stat(box.sandbox, got_stat, NULL) == 0);
    assert(peer_receive(&message).type == LAUNCH_STAT);
    attach_end(&box);
    is_uint(got.n_stat, 0, "destroyed meanwhile: nobody is told");
}

static void
test_destroy(void)
{
    union launch_message message;
    struct box box;

    attach_ask(&box, 90);
    attach_end(&box);
    is_uint(got.n_attached, 0, "destroyed while it is asked for: nobody is told");

    attach_good(&box, 91);
    attach_end(&box);
    is_uint(got.n_lost + got.n_end, 0, "destroyed while it goes on: nobody is told");

    attach_good(&box, 92);
    box_hangup(&box.http);
    assert(peer_receive(&message).type == LAUNCH_STAT);
    attach_end(&box);
    is_uint(got.n_lost, 0, "destroyed while the loss is looked into: nobody is told");

    attach_good(&box, 93);
    got.destroy_on_lost = true;
    box_hangup(&box.http);
    box_stats(&box, &running);
    ok(turn_until(&got.n_lost, 1), "destroyed in on_lost");
    attach_end(&box);

    attach_good(&box, 94);
    got.destroy_on_lost = true;
    launcher_ended(&box, LAUNCH_LIMIT_NONE);
    ok(turn_until(&got.n_lost, 1), "also when the launcher came first");
    attach_end(&box);

    attach_ask(&box, 95);
    got.destroy_on_attached = true;
    agent_answer(&box, 200, "");
    ok(turn_until(&got.n_attached, 1), "destroyed when it is attached");
    attach_end(&box);
    is_uint(got.n_lost, 0, "and never lost");
}

int
main(void)
{
    unsigned before;

    peer_init();
    test_stat();
    before = n_open_fds(); /* libuv has opened its spare descriptor by now */
    test_refused();
    test_lost();
    test_stat();
    test_destroy();
    tier = SBX_ISOLATION_GVISOR;
    test_refused();
    test_lost();
    is_uint(n_open_fds(), before, "no descriptor is left");
    peer_deinit();
    is_int(uv_loop_close(&loop), 0, "no handle is left");
    return done_testing();
}
