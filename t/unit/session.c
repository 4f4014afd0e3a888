/*
 * Sessions and steps against an agent that lies, floods, stalls and leaves, and a store that fails: with time, store and
 * runtime in the test's hand and a real conversation between them.
 */
#include "t/unit/session_fixture.h"

static void
test_good(void)
{
    struct session *session;

    begin();
    agent_step = agent_good;
    session = running();
    submit(session);
    turn();
    ok(seen.told && seen.state == STEP_SUCCEEDED, "a step succeeds");
    is_str(last_audit, "step.ended", "and is on record");
    session_end(session, SESSION_CANCELLED, "");
    finish();
}

static void
say_nonsense(struct sbx_channel *channel)
{
    say_end(channel, "{\"ok\":true,\"status\":\"marvellous\"," END_REST);
}

static void
say_undone(struct sbx_channel *channel)
{
    static const char display[] =
        "{\"display\":{\"kind\":\"display\",\"items\":[{\"mime\":\"a/b\",\"size\":5}]}}";

    (void)sbx_channel_note(channel, display, sizeof(display) - 1);
    (void)sbx_channel_write(channel, 3, "1234", 4);
    say_end(channel, END_GOOD);
}

static void
say_unannounced(struct sbx_channel *channel)
{
    (void)sbx_channel_write(channel, 3, "1234", 4);
}

static void
say_too_much(struct sbx_channel *channel)
{
    static const char display[] =
        "{\"display\":{\"kind\":\"display\",\"items\":[{\"mime\":\"a/b\",\"size\":2}]}}";

    (void)sbx_channel_note(channel, display, sizeof(display) - 1);
    (void)sbx_channel_write(channel, 3, "1234", 4);
}

static void
say_twice(struct sbx_channel *channel)
{
    static const char display[] =
        "{\"display\":{\"kind\":\"display\",\"items\":[{\"mime\":\"a/b\",\"size\":2}]}}";

    (void)sbx_channel_note(channel, display, sizeof(display) - 1);
    (void)sbx_channel_note(channel, display, sizeof(display) - 1);
}

static void
say_to_stdin(struct sbx_channel *channel)
{
    (void)sbx_channel_write(channel, 0, "1234", 4);
}

static void
say_strange_note(struct sbx_channel *channel)
{
    (void)sbx_channel_note(channel, "{\"hello\":1}", 11);
}

static void
leave(struct sbx_channel *channel)
{
    (void)channel;
    agent_channel = NULL;
    fake.theirs = sbx_mux_close(fake.theirs);
}

static void
test_nonsense(void)
{
    static const struct {
        const char *what;
        void (*say)(struct sbx_channel *channel);
    } cases[] = {
        { "an outcome that is none", say_nonsense },
        { "an end before what was announced", say_undone },
        { "bytes that nobody announced", say_unannounced },
        { "more bytes than were announced", say_too_much },
        { "an announcement inside another", say_twice },
        { "bytes on the stream that is ours", say_to_stdin },
        { "a note of no kind", say_strange_note },
        { "an agent that leaves", leave },
    };

    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        struct session *session;

        begin();
        agent_step = cases[i].say;
        session = running();
        fake.n_destroyed = 0;
        submit(session);
        turn();
        ok(seen.told && seen.result == WAITER_OVER && seen.state == STEP_LOST, "%s: its step is lost",
           cases[i].what);
        is_str(seen.message, "the session's sandbox broke", "%s: and says why", cases[i].what);
        is_uint(fake.n_destroyed, 1, "%s: the sandbox goes", cases[i].what);
        is_str(last_audit, "session.ended", "%s: on record", cases[i].what);
        finish();
    }
}

static void
test_stall(void)
{
    struct session *session;

    begin();
    session = running();
    submit(session);
    turn();
    ok(!seen.told, "a step runs for ever");
    advance(12000);
    ok(seen.told && seen.state == STEP_LOST, "until its agent is not believed any more");
    finish();
}

static void
flood(struct sbx_channel *channel)
{
    char bytes[700] = { 0 };

    (void)sbx_channel_write(channel, 1, bytes, sizeof(bytes));
    (void)sbx_channel_write(channel, 2, bytes, sizeof(bytes));
}

static void
test_flood(void)
{
    struct session *session;

    begin();
    agent_step = flood;
    session = running();
    submit(session);
    turn();
    ok(agent_interrupted && !seen.told, "more output than allowed interrupts");
    say_end(agent_channel, "{\"ok\":true,\"status\":\"interrupted\"," END_REST);
    turn();
    ok(seen.told && seen.state == STEP_LIMIT_EXCEEDED, "and is the verdict");
    ok(strstr(seen.violation, "\"name\":\"output\",\"limit\":1000,\"observed\":1400") != NULL,
       "with what was seen: %s", seen.violation);
    is_int((int)session->record.state, SESSION_RUNNING, "the session lives");

    agent_step = flood;
    agent_interrupted = false;
    submit(session);
    turn();
    ok(agent_interrupted, "again");
    advance(12000);
    ok(seen.told && seen.state == STEP_LOST, "an agent that does not obey is none");
    finish();
}

static void
show_much(struct sbx_channel *channel)
{
    static const char display[] =
        "{\"display\":{\"kind\":\"display\",\"items\":[{\"mime\":\"text/plain\",\"size\":2}]}}";
    static const char huge[] = "{\"display\":{\"kind\":\"display\",\"items\":[{\"mime\":\"text/"
                               "plain\",\"size\":0},{\"mime\":\"a/b\",\"size\":2147483648}]}}";

    for (unsigned i = 0; i < STEP_MAX_DISPLAYS + 3; i++) {
        (void)sbx_channel_note(channel, display, sizeof(display) - 1);
        (void)sbx_channel_write(channel, 3, "\xff\n", 2);
    }
    (void)sbx_channel_note(channel, huge, sizeof(huge) - 1);
}

static void
test_displays(void)
{
    struct session *session;

    begin();
    agent_step = show_much;
    session = running();
    submit(session);
    turn();
    ok(!seen.told, "displays without an end");
    session_end(session, SESSION_CANCELLED, "");
    turn();
    ok(seen.told && seen.state == STEP_CANCELLED, "a step whose session is ended is cancelled");
    is_uint(seen.displays, STEP_MAX_DISPLAYS, "no more displays than there may be, and no half one");
    finish();
}

static void
test_contexts(void)
{
    struct session *session;

    begin();
    agent_context = "{\"ok\":false,\"error\":\"failed\",\"message\":\"no such interpreter\"}";
    session = running();
    submit(session);
    turn();
    ok(seen.told && seen.state == STEP_FAILED, "without an interpreter a step fails");
    is_str(seen.message, "no such interpreter", "and says what the agent said");
    is_int((int)session->record.state, SESSION_RUNNING, "the session lives");
    agent_context = "{\"ok\":\"yes\"}";
    submit(session);
    turn();
    ok(seen.told && seen.state == STEP_LOST, "nonsense about an interpreter ends it");
    finish();

    begin();
    agent_step = agent_good;
    session = running();
    turn();
    ok(session_context_find(session, "default")->up, "an interpreter is up");
    is_int(session_context_remove(session_context_find(session, "default")), 0, "it is to end");
    submit(session);
    ok(!session_context_find(session, "default")->up && step_record(seen.step)->state == STEP_QUEUED,
       "no step of the next of its name is sent before it has");
    turn();
    ok(seen.told && seen.state == STEP_SUCCEEDED, "then it runs");
    session_end(session, SESSION_CANCELLED, "");
    finish();
}

static void
test_store(void)
{
    struct session *session;

    begin();
    agent_step = agent_good;
    session = running();
    db_holds = true;
    submit(session);
    turn();
    ok(!seen.told, "nobody is told before the step is on record");
    n_later = 0;
    (void)store_ends(0);
    ok(seen.told && seen.state == STEP_SUCCEEDED, "then at once");
    is_uint(n_later, 0, "its start has no transaction of its own when it is over by then");
    is_str(last_audit, "step.accepted", "its result is not waited for");
    ok(step_find(session, step_record(seen.step)->id.text) != NULL, "it is found until that is on record");
    (void)store_ends(-EIO);
    is_str(last_audit, "step.started step.ended", "its start is told with its end");
    ok(!list_empty(&session->steps), "also when the store fails");
    db_holds = false;
    advance(1000);
    ok(list_empty(&session->steps), "it is tried again");
    is_str(last_audit, "step.started step.ended", "with both");

    db_rc = -EIO;
    submit(session);
    turn();
    ok(seen.told && seen.result == WAITER_STORE, "a step that cannot be recorded was never there");
    ok(list_empty(&session->steps), "and is forgotten");
    db_rc = 0;
    session_end(session, SESSION_CANCELLED, "");
    finish();

    begin();
    db_rc = -EIO;
    if (create(&session) != 0) {
        abort();
    }
    turn();
    finish(); /* a session that cannot be recorded is gone with its sandbox */
}

/* Each step that ran has one start in the audit, no other has any. */
static void
test_starts(void)
{
    struct session *session;

    begin();
    session = running();
    db_holds = true;
    submit(session);
    submit(session);
    turn();
    step_cancel(seen.step);
    ok(!seen.told, "the second is over before it could run and before it is on record");
    n_later = 0;
    (void)store_ends(0);
    is_uint(n_later, 1, "the first runs: its start waits for no end");
    (void)store_ends(0);
    ok(seen.told && seen.state == STEP_CANCELLED, "the second is told");
    is_uint(n_later, 1, "no start of what never ran");
    advance(12000); /* while there is the second, whom the fixture looks at */
    (void)store_ends(0);
    is_str(last_audit, "step.ended", "nor with its end");
    (void)store_ends(0);
    is_str(last_audit, "step.ended", "the first one's start is told once");
    db_holds = false;
    turn();
    finish();

    begin();
    agent_step = agent_good;
    session = running();
    db_holds = true;
    submit(session);
    turn();
    n_later = 0;
    (void)store_ends(-EIO);
    ok(seen.told && seen.result == WAITER_STORE, "a step that ran and is not on record");
    is_uint(n_later + n_submitted, 0, "has neither a start nor an end");
    db_holds = false;
    session_end(session, SESSION_CANCELLED, "");
    finish();
}

static unsigned hooks;

static void
on_hook(struct session_hook *hook, struct session *session)
{
    (void)hook;
    hooks += session->record.state == SESSION_ENDED && session->record.reason == SESSION_IDLE;
}

static void
test_extended(void)
{
    struct session_hook hook = { 0 };
    struct session *session;
    char *none = NULL;

    begin();
    session = running();
    session_hook_add(session, &hook, on_hook);
    hooks = 0;
    session_extend(session, 80000, 0, &none);
    advance(20000);
    session_touch(session);
    advance(20000);
    is_int((int)session->record.state, SESSION_RUNNING, "who is used lives");
    advance(11000);
    is_uint(hooks, 1, "who is idle ends, and whoever hangs on it is told once");
    finish();

    begin();
    session = running();
    session_extend(session, 3600000, 3600000, &none);
    is_uint(session->record.expires_ms - session->record.created_ms, 90000,
            "nobody outlives the longest life");
    session_end(session, SESSION_ADMIN, "");
    finish();
}

static void
test_caps(void)
{
    struct session *session, *other, *third = NULL;

    begin();
    session = running();
    if (create(&other) != 0) {
        abort();
    }
    is_int(create(&third), SESSIONS_E_TENANT_FULL, "a tenant's cap");
    memcpy(context.tenant, "u", 2);
    is_int(create(&third), SESSIONS_E_FULL, "the executor's");
    ok(sessions_find(sessions, "u", session->record.id.text) == NULL, "another tenant finds nothing");
    memcpy(context.tenant, "t", 2);
    ok(sessions_find(sessions, "t", session->record.id.text) == session, "its own does");
    session_end(other, SESSION_CANCELLED, ""); /* while it starts */
    session_end(session, SESSION_CANCELLED, "");
    finish();
}

/* What is told to the pool of who asks. */
static void
test_starting_beside(void)
{
    struct session *session, *other;

    begin();
    session = running();
    is_uint(fake.others, 0, "nobody started beside it");
    if (create(&other) != 0) {
        abort();
    }
    is_uint(sessions_starting_beside(sessions, other), 0, "one that runs is not starting");
    is_uint(sessions_starting_beside(sessions, session), 1, "one that has no sandbox is");
    session_end(session, SESSION_CANCELLED, "");
    session_end(other, SESSION_CANCELLED, "");
    finish();

    begin();
    if (create(&session) != 0) {
        abort();
    }
    memcpy(context.tenant, "u", 2);
    if (create(&other) != 0) {
        abort();
    }
    memcpy(context.tenant, "t", 2);
    ok(sessions_starting_beside(sessions, session) == 0 && sessions_starting_beside(sessions, other) == 0,
       "another tenant's does not count");
    session_end(session, SESSION_CANCELLED, "");
    session_end(other, SESSION_CANCELLED, "");
    finish();
}

int
main(void)
{
    list_init(&all_timers);
    if (uv_loop_init(&loop) != 0) {
        abort();
    }
    test_good();
    test_nonsense();
    test_stall();
    test_flood();
    test_displays();
    test_contexts();
    test_store();
    test_starts();
    test_extended();
    test_caps();
    test_starting_beside();
    return done_testing();
}
