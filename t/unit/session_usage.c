/* What the kernel says of a session: when it is asked, who waits for it and how long, and that its word wins. */
#include "t/unit/session_fixture.h"

static unsigned measured, paused, ended;
static char usage[256];

static void
on_measured(void *arg, enum waiter_result result)
{
    (void)arg;
    (void)result;
    measured++;
}

static void
on_paused(void *arg, enum waiter_result result)
{
    (void)arg;
    (void)result;
    paused++;
}

static void
on_ended(void *arg, enum waiter_result result)
{
    const struct session *session = arg;

    (void)result;
    ended++;
    (void)snprintf(usage, sizeof(usage), "%s", session->record.usage_json);
}

#define KERNEL "\"cpu_ms\":11,\"cpu_throttled_ms\":44,\"disk_bytes\":33,\"peak_memory_bytes\":22,"

/* Its waiters are told with its end; what it used then. */
static void
end_and_wait(struct session *session)
{
    struct waiter *waiter;

    ended = 0;
    usage[0] = '\0';
    if (session_wait_end(&waiter, session, 600000, on_ended, session) != 0) {
        abort();
    }
    session_end(session, SESSION_CANCELLED, "");
}

static void
measure(struct session *session, bool is_asked)
{
    struct waiter *waiter;

    is_int(session_measure(session), is_asked, "the kernel is %sasked", is_asked ? "" : "not ");
    if (is_asked && session_wait_usage(&waiter, session, on_measured, NULL) != 0) {
        abort();
    }
}

static void
test_usage(void)
{
    struct session *session;
    struct waiter *waiter;

    begin();
    agent_step = agent_good;
    session = running();
    submit(session);
    turn();
    is_uint(session->used.cpu_ms, 0, "what the agent says adds up to nothing");
    fake.stat_holds = true;
    measured = paused = 0;
    measure(session, true);
    measure(session, true);
    is_uint(fake.n_stats, 1, "once for all who ask");
    is_int(session_pause(session, true), 0, "a pause waits for its turn");
    if (session_wait_pause(&waiter, session, on_paused, NULL) != 0) {
        abort();
    }
    turn();
    is_uint(measured + paused, 0, "nobody is told yet");
    fake.stat_holds = false;
    turn();
    is_uint(measured, 2, "then all who asked are");
    is_uint(session->used.peak_memory_bytes, 22, "in the kernel's words");
    ok(paused == 1 && session->record.state == SESSION_PAUSED, "and the pause has its turn");
    fake.stat_holds = true;
    measure(session, true);
    advance(600);
    is_uint(measured, 3, "a kernel that says nothing is not waited for");
    fake.stat_holds = false;
    turn();
    fake.n_stats = 0;
    end_and_wait(session);
    turn();
    ok(fake.n_stats == 1 && ended == 1 && strstr(usage, KERNEL) != NULL, "it is asked at the end: %s", usage);
    finish();

    begin();
    session = running();
    fake.stat_holds = true;
    end_and_wait(session);
    turn();
    is_uint(ended, 0, "the end waits for it");
    measure(session, true); /* who reads it now */
    measured = 0;
    advance(400);
    is_uint(ended, 0, "a while");
    advance(200);
    ok(ended == 1 && measured == 1 && strstr(usage, "\"cpu_ms\":0,") != NULL, "and no longer: %s", usage);
    finish();

    begin();
    session = running();
    fake.stat_holds = true;
    end_and_wait(session);
    fake.on_lost(fake.arg, RUNTIME_E_ENDED, &kernel_says);
    turn();
    ok(ended == 1 && strstr(usage, KERNEL) != NULL, "whoever dies meanwhile has said all: %s", usage);
    finish();

    begin();
    session = running();
    measure(session, true);
    fake.on_lost(fake.arg, RUNTIME_E_UNAVAILABLE, NULL);
    is_uint(fake.n_stats, 1, "nobody is left to be asked");
    turn();
    finish();

    begin();
    if (create(&session) != 0) {
        abort();
    }
    measure(session, false);
    end_and_wait(session);
    turn();
    is_uint(fake.n_stats + (ended != 1), 0, "what never ran used nothing");
    finish();
}

static void
agent_dead(struct sbx_channel *channel)
{
    say_end(channel, "{\"ok\":true,\"status\":\"crashed\",\"interpreter\":\"dead\",\"signal\":\"SIGKILL\","
                     "\"restarted\":false,\"wall_ms\":1,\"cpu_ms\":1,\"peak_memory_bytes\":1,"
                     "\"displays_dropped\":0}");
}

static struct session *
interpreter_dies(bool silent, bool verdict)
{
    struct session *session;

    begin();
    agent_step = agent_dead;
    session = running();
    kernel_says.has_verdict = verdict;
    kernel_says.verdict = SBX_LIMIT_MEMORY;
    fake.stat_holds = silent;
    submit(session);
    turn();
    return session;
}

static void
test_verdict(void)
{
    struct session *session = interpreter_dies(false, true);

    ok(seen.told && seen.state == STEP_LIMIT_EXCEEDED && strstr(seen.violation, "memory") != NULL,
       "an interpreter that the kernel killed met a limit: %s", seen.violation);
    finish();

    session = interpreter_dies(false, false);
    ok(seen.told && seen.state == STEP_FAILED, "one that it did not failed");
    is_int((int)session->record.state, SESSION_RUNNING, "and its session goes on");
    session_end(session, SESSION_CANCELLED, "");
    finish();

    session = interpreter_dies(true, true);
    ok(!seen.told, "the kernel's word is waited for");
    advance(600);
    ok(seen.told && seen.state == STEP_FAILED, "not for ever");
    session_end(session, SESSION_CANCELLED, "");
    advance(600);
    finish();

    session = interpreter_dies(true, false);
    session_end(session, SESSION_CANCELLED, "");
    turn();
    ok(seen.told && seen.state == STEP_CANCELLED, "the session's end is not");
    advance(600);
    finish();

    session = interpreter_dies(true, false);
    fake.on_lost(fake.arg, RUNTIME_E_ENDED,
                 &(struct runtime_report){ .wall_ms = 1, .has_verdict = true, .verdict = SBX_LIMIT_MEMORY });
    turn();
    ok(seen.told && seen.state == STEP_LIMIT_EXCEEDED, "whoever brings the verdict");
    finish();
}

int
main(void)
{
    list_init(&all_timers);
    if (uv_loop_init(&loop) != 0) {
        abort();
    }
    test_usage();
    test_verdict();
    return done_testing();
}
