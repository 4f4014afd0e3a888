/*
 * The process tier with a launcher and an agent that the test plays: every way a
 * run can go wrong, and that each callback comes exactly once.
 */
#include "t/unit/runtime_box.h"

#define STEP_OK "{\"stepId\":\"job_1\",\"exit_code\":0,\"signal\":null,\"wall_ms\":1,\"cpu_ms\":99999}"

static void
test_good_run(void)
{
    struct box box;
    char head[400], text[16] = { 0 };
    ssize_t n;

    run.stdin_data = "input";
    run.stdin_len = 5;
    runtime_begin();
    is_str(runtime->ops->name, sbx_isolation_name(tier), "a runtime is called by its tier");
    box_warm(&box, 7);
    box_adopt(&box);
    box_start(&box);
    ok(strncmp(box.request, "POST /v1/steps HTTP/1.1\r\n", 25) == 0, "a step is asked for");
    ok(strstr(box.request, "\"session\":{\"sessionId\":\"job_1\",\"runtime\":\"python\"") != NULL,
       "with a session, of the job's id and language");
    ok(strstr(box.request, "\"env\":{\"NAME\":\"v\\\"alue\"}") != NULL, "with its environment");
    ok(strstr(box.request, "{\"path\":\"data.csv\",\"content\":\"YSxiCg==\",\"encoding\":\"base64\"}") !=
           NULL,
       "and files");
    (void)snprintf(head, sizeof(head), "%.64s", strstr(box.request, "X-Session-Token: ") + 17);
    is_uint(strspn(head, "0123456789abcdef"), 64, "its token has 32 bytes");
    ok(strstr(
           box.request,
           tier == SBX_ISOLATION_GVISOR
               ? "\"code\":\"print(1)\",\"args\":[\"a\",\"b "
                 "c\"],\"event\":{\"a\":1},\"stdin\":\"input\",\"timeout_ms\":5000"
               : "\"code\":\"print(1)\",\"args\":[\"a\",\"b c\"],\"event\":{\"a\":1},\"timeout_ms\":5000") !=
           NULL,
       "the code follows");
    ok(strstr(box.request, "\"artifacts\":[\"out/*\"],\"max_artifacts\":4,\"max_artifact_bytes\":1000") !=
           NULL,
       "with what to collect");
    ok(strstr(strstr(box.request, "\r\n\r\n"), head) != NULL, "under the same token");
    if (tier == SBX_ISOLATION_PROCESS) {
        assert(peer_wait(box.in));
        n = read(box.in, text, sizeof(text));
        ok(n == 5 && memcmp(text, "input", 5) == 0, "stdin arrives");
        ok(peer_wait(box.in) && read(box.in, text, sizeof(text)) == 0, "and ends");
    }
    assert(write(box.out, "out\0put", 7) == 7 && write(box.err, "err", 3) == 3);
    agent_answer(&box, 200,
                 "{\"stepId\":\"job_1\",\"exit_code\":3,\"signal\":null,\"result\":{\"x\": 0.1},"
                 "\"files\":[{\"path\":\"out/a b.txt\",\"size\":4}]}");
    box_settled(&box, &running);
    ok(turn_until(&box.n_done, 1) && box.done_rc == 0, "the run ends");
    ok(box.output[0].len == 7 && memcmp(box.output[0].data, "out\0put", 7) == 0, "all of stdout came before");
    is_str(box.output[1].data, "err", "and stderr");
    ok(box.outcome->exited && box.outcome->exit_code == 3, "the exit code is the agent's word");
    is_uint(box.outcome->report.cpu_ms, 5, "the numbers are the kernel's");
    is_str(box.outcome->result_json, "{\"x\":0.1}", "the result as it was written");

    assert(box.sandbox->ops->fetch(box.sandbox, "out/a b.txt", 4, box_on_data, box_on_fetched, &box) == 0);
    assert(agent_receive(&box) != NULL);
    ok(strncmp(box.request, "GET /v1/sessions/job_1/files/out/a%20b.txt HTTP/1.1\r\n", 53) == 0,
       "an artifact is asked for");
    ok(strstr(box.request, head) != NULL, "with the token");
    agent_answer(&box, 200, "data");
    ok(turn_until(&box.n_fetched, 1) && box.fetched_rc == 0, "and fetched");
    is_str(box.fetched.data, "data", "whole");

    box.n_fetched = 0;
    assert(box.sandbox->ops->fetch(box.sandbox, "gone", 4, box_on_data, box_on_fetched, &box) == 0);
    assert(agent_receive(&box) != NULL);
    agent_answer(&box, 404, "{\"detail\":\"a longer text than the file may be\"}");
    ok(turn_until(&box.n_fetched, 1) && box.fetched_rc == RUNTIME_E_REFUSED,
       "one that is not there is refused");
    is_str(box.fetched.data, "data", "and its problem is no data");

    box.n_fetched = 0;
    assert(box.sandbox->ops->fetch(box.sandbox, "out/a b.txt", 3, box_on_data, box_on_fetched, &box) == 0);
    assert(agent_receive(&box) != NULL);
    agent_answer(&box, 200, "data");
    ok(turn_until(&box.n_fetched, 1) && box.fetched_rc == RUNTIME_E_AGENT, "one that grew is refused");
    is_str(box.fetched.data, "data", "before a byte too many was handed on");
    is_int(box.sandbox->ops->fetch(box.sandbox, "../x", 3, box_on_data, box_on_fetched, &box), -EINVAL,
           "a path that leaves is not even asked for");
    box_end(&box);
    runtime_end();
    run_init();
}

/* After the agent's end of a run: what the caller is told, for each launcher's word. */
static void
expect_done(struct box *box, const struct launch_report *report, int rc, const char *what)
{
    box_stats(box, report);
    ok(turn_until(&box->n_done, 1), "%s: the run ends", what);
    is_int(box->done_rc, rc, "with the right code");
    turn_for(5);
    is_uint(box->n_done, 1, "once");
    box_end(box);
}

static void
test_bad_agent(void)
{
    static const struct launch_report memory = { .verdict = LAUNCH_LIMIT_MEMORY, .oom_kills = 1 };
    static const char *const nonsense[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        "SSH-2.0-x\r\n",
        "\0\0\0\0",
    };
    struct box box;
    char byte;

    runtime_begin();
    for (size_t i = 0; i < SBX_COUNT(nonsense); i++) {
        box_step(&box, 10 + i);
        if (nonsense[i][0] == '\0') {
            box_hangup(&box.http);
        } else {
            agent_say(&box, nonsense[i]);
        }
        expect_done(&box, i == 0 ? &memory : &running, i == 0 ? RUNTIME_E_ENDED : RUNTIME_E_AGENT,
                    i == 0 ? "nonsense, but the kernel has a verdict" : "nonsense");
    }
    /* What says that it is whole is taken for the end of the run before it is judged. */
    for (unsigned i = 0; i < 2; i++) {
        box_step(&box, 20 + i);
        agent_answer(&box, 200, "{}");
        box_settled(&box, i == 0 ? &memory : &running);
        ok(turn_until(&box.n_done, 1) && box.done_rc == (i == 0 ? RUNTIME_E_ENDED : RUNTIME_E_AGENT),
           "nonsense in a whole reply: %s", i == 0 ? "the kernel has a verdict" : "and no verdict");
        box_end(&box);
    }
    box_step(&box, 22);
    agent_say(&box, "HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{\"stepId\":");
    turn_for(5);
    ok(recv(peer, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0, "half of a reply stops no clocks");
    box_hangup(&box.http);
    expect_done(&box, &running, RUNTIME_E_AGENT, "half of a reply, and no more");

    box_step(&box, 30);
    agent_answer(&box, 200, STEP_OK);
    box_settled(&box, &memory);
    ok(turn_until(&box.n_done, 1) && box.done_rc == RUNTIME_E_ENDED,
       "the kernel's verdict wins over a good answer");
    box_end(&box);

    box_warm(&box, 31);
    box_adopt(&box);
    box_start(&box);
    agent_answer(&box, 422, "{\"detail\":\"env: LD_PRELOAD is not allowed\"}");
    box_stats(&box, &running);
    ok(turn_until(&box.n_done, 1) && box.done_rc == RUNTIME_E_REFUSED, "a refused session");
    is_str(box.outcome->message, "env: LD_PRELOAD is not allowed", "with its reason");
    box_end(&box);

    box_step(&box, 32);
    agent_answer(&box, 400, "{\"detail\":\"no\\u001b\"}");
    box_stats(&box, &running);
    ok(turn_until(&box.n_done, 1) && box.done_rc == RUNTIME_E_REFUSED, "a refused step");
    is_str(box.outcome->message, "the agent refused the step", "whose reason is not fit to be told");
    box_end(&box);

    box_warm(&box, 34);
    box_adopt(&box);
    box_hangup(&box.http);
    turn_for(5);
    assert(box.sandbox->ops->run(box.sandbox, &run, &events, &box) == 0);
    is_uint(box.n_done, 0, "an agent gone before the run: not told from inside");
    expect_done(&box, &running, RUNTIME_E_AGENT, "an agent gone before the run");
    runtime_end();
}

/* What it writes to cannot be waited for: nobody is told by a callback, and the agent, which has the step, loses its caller. */
static void
test_unreadable(void)
{
    struct box box;
    char rest[4096];
    ssize_t n;

    runtime_begin();
    is_output_a_file = true;
    box_warm(&box, 7);
    is_output_a_file = false;
    box_adopt(&box);
    ok(box.sandbox->ops->run(box.sandbox, &run, &events, &box) < 0, "output that cannot be waited for");
    do {
        assert(peer_wait(box.http));
        n = recv(box.http, rest, sizeof(rest), MSG_DONTWAIT);
    } while (n > 0);
    is_int(n, 0, "the agent's connection ends");
    turn_for(5);
    is_uint(box.n_done, 0, "nobody is told twice");
    box_end(&box);
    runtime_end();
}

static void
test_ended(void)
{
    struct box box;
    union launch_message message;

    runtime_begin();
    box_step(&box, 7);
    assert(write(box.out, "last words", 10) == 10);
    launcher_ended(&box, LAUNCH_LIMIT_TIME);
    ok(turn_until(&box.n_done, 1) && box.done_rc == RUNTIME_E_ENDED, "a limit met during the step");
    is_str(box.output[0].data, "last words", "after the last output");
    ok(box.outcome->report.has_verdict && box.outcome->report.verdict == SBX_LIMIT_TIME, "with the verdict");
    ok(box.outcome->report.verdict_limit == 10 && box.outcome->report.verdict_observed == 11,
       "and its numbers");
    assert(box.sandbox->ops->fetch(box.sandbox, "a", 3, box_on_data, box_on_fetched, &box) == 0);
    is_uint(box.n_fetched, 0, "a fetch from the dead fails, not from inside");
    ok(turn_until(&box.n_fetched, 1) && box.fetched_rc == RUNTIME_E_ENDED, "but in its turn");
    box_end(&box);

    box_step(&box, 8);
    launcher_ended(&box, LAUNCH_LIMIT_NONE);
    ok(turn_until(&box.n_done, 1) && box.done_rc == RUNTIME_E_AGENT,
       "a death without verdict is the agent's");
    box_end(&box);

    box_step(&box, 9);
    agent_answer(&box, 200, STEP_OK);
    assert(peer_receive(&message).type == LAUNCH_SETTLE);
    launcher_ended(&box, LAUNCH_LIMIT_MEMORY);
    ok(turn_until(&box.n_done, 1) && box.done_rc == RUNTIME_E_ENDED, "a verdict before the numbers came");
    launcher_answer(&message.head, LAUNCH_STATS, &running);
    turn_for(5);
    ok(box.n_done == 1 && box.outcome->report.has_verdict, "late numbers change nothing");
    box_end(&box);

    box_step(&box, 10);
    agent_answer(&box, 200, STEP_OK);
    assert(peer_receive(&message).type == LAUNCH_SETTLE);
    launcher_ended(&box, LAUNCH_LIMIT_NONE);
    ok(turn_until(&box.n_done, 1) && box.done_rc == 0, "an agent that died after its answer has answered");
    box_end(&box);

    box_warm(&box, 11);
    box_adopt(&box);
    launcher_ended(&box, LAUNCH_LIMIT_TIME);
    turn_for(5);
    assert(box.sandbox->ops->run(box.sandbox, &run, &events, &box) == 0);
    is_uint(box.n_done, 0, "a run in the dead fails, not from inside");
    ok(turn_until(&box.n_done, 1) && box.done_rc == RUNTIME_E_ENDED, "but in its turn");
    is_uint(box.outcome->report.cpu_ms, 9, "with the report");
    box_end(&box);

    box_step(&box, 12);
    agent_answer(&box, 200, STEP_OK);
    box_settled(&box, &running);
    assert(turn_until(&box.n_done, 1) && box.done_rc == 0);
    assert(box.sandbox->ops->fetch(box.sandbox, "a", 3, box_on_data, box_on_fetched, &box) == 0);
    assert(agent_receive(&box) != NULL);
    launcher_ended(&box, LAUNCH_LIMIT_TIME);
    ok(turn_until(&box.n_fetched, 1) && box.fetched_rc == RUNTIME_E_ENDED, "a death during a fetch");
    ok(!box.outcome->report.has_verdict, "does not change how the run ended");
    box_end(&box);
    runtime_end();
}

static void
test_output(void)
{
    struct box box;
    union launch_message message;

    runtime_begin();
    box_step(&box, 7);
    box.refuse_after = 5;
    assert(write(box.out, "12345678", 8) == 8 && write(box.err, "more", 4) == 4);
    assert(peer_receive(&message).type == LAUNCH_STAT);
    ok(write(box.out, "unread", 6) == -1 && errno == EPIPE, "after which its pipes are closed");
    launcher_answer(&message.head, LAUNCH_STATS, &running);
    ok(turn_until(&box.n_done, 1) && box.done_rc == RUNTIME_E_ENDED, "refused output ends the run");
    is_uint(box.output[0].len + box.output[1].len, 8, "nothing comes after the refusal");
    ok(!box.outcome->report.has_verdict && box.outcome->report.cpu_ms == 5, "with the numbers so far");
    box_end(&box);

    box_step(&box, 8);
    box.refuse_after = 1;
    box.destroy_on_output = true;
    assert(write(box.out, "12345678", 8) == 8 && write(box.err, "more", 4) == 4);
    ok(peer_receive(&message).type == LAUNCH_DESTROY, "the caller may destroy from inside on_output");
    launcher_answer(&message.head, LAUNCH_DESTROYED, NULL);
    ok(turn_until(&box.n_destroyed, 1) && box.n_done == 0, "then on_done does not come");
    box_deinit(&box);

    /* Output that is only read when the step is over. */
    box_step(&box, 9);
    box.refuse_after = 3;
    agent_answer(&box, 200, STEP_OK);
    assert(peer_receive(&message).type == LAUNCH_SETTLE);
    launcher_answer(&message.head, LAUNCH_STATS, &running);
    assert(write(box.err, "123", 3) == 3);
    ok(turn_until(&box.n_done, 1) && box.done_rc == RUNTIME_E_ENDED, "also when it is among the last output");
    turn_for(5);
    is_uint(box.n_done, 1, "once");
    box_end(&box);

    box_step(&box, 10);
    box.refuse_after = 3;
    box.destroy_on_output = true;
    agent_answer(&box, 200, STEP_OK);
    assert(peer_receive(&message).type == LAUNCH_SETTLE);
    assert(write(box.err, "123", 3) == 3);
    launcher_answer(&message.head, LAUNCH_STATS, &running);
    ok(peer_receive(&message).type == LAUNCH_DESTROY, "and the caller may destroy there too");
    launcher_answer(&message.head, LAUNCH_DESTROYED, NULL);
    ok(turn_until(&box.n_destroyed, 1) && box.n_done == 0, "on_done does not come");
    box_deinit(&box);
    runtime_end();
}

static void
test_create_faults(void)
{
    union launch_message message;
    struct box box;

    runtime_begin();
    box_ask(&box);
    assert(peer_receive(&message).type == LAUNCH_CREATE);
    memset((char *)&message + sizeof(message.head), 0, sizeof(message) - sizeof(message.head));
    message.error.error = EAGAIN;
    peer_send(&message, LAUNCH_ERROR, sizeof(message.error), 0);
    ok(turn_until(&box.n_created, 1) && box.created_rc == RUNTIME_E_UNAVAILABLE, "the launcher has no slot");
    ok(box.sandbox == NULL, "there is no sandbox");
    box_deinit(&box);

    box_ask(&box);
    assert(peer_receive(&message).type == LAUNCH_CREATE);
    memset((char *)&message + sizeof(message.head), 0, sizeof(message) - sizeof(message.head));
    message.error.error = EOPNOTSUPP;
    peer_send(&message, LAUNCH_ERROR, sizeof(message.error), 0);
    ok(turn_until(&box.n_created, 1) && box.created_rc == RUNTIME_E_UNSUPPORTED,
       "the launcher has no such tier");
    box_deinit(&box);

    box_ask(&box);
    assert(peer_receive(&message).type == LAUNCH_CREATE);
    ok(turn_until(&box.n_created, 1) && box.created_rc == RUNTIME_E_UNAVAILABLE,
       "the launcher takes too long");
    launcher_created(&box, &message.head, 40);
    ok(peer_receive(&message).type == LAUNCH_DESTROY && message.head.sandbox == 40,
       "its sandbox is destroyed unseen");
    launcher_answer(&message.head, LAUNCH_DESTROYED, NULL);
    box_deinit(&box);

    for (unsigned i = 0; i < 4; i++) {
        static const char *const what[] = { "no answer", "a hang-up", "not healthy", "nonsense" };

        box_make(&box, 50 + i);
        if (i == 1) {
            box_hangup(&box.http);
        } else if (i == 2) {
            agent_answer(&box, 503, "{\"status\":\"ok\"}");
        } else if (i == 3) {
            agent_answer(&box, 200, "ok");
        }
        ok(turn_until(&box.n_created, 1) && box.created_rc == RUNTIME_E_AGENT, "a new agent: %s", what[i]);
        ok(peer_receive(&message).type == LAUNCH_DESTROY && message.head.sandbox == 50 + i,
           "its sandbox is destroyed");
        launcher_answer(&message.head, LAUNCH_DESTROYED, NULL);
        box_deinit(&box);
    }

    box_make(&box, 60);
    launcher_ended(&box, LAUNCH_LIMIT_NONE);
    ok(turn_until(&box.n_created, 1) && box.created_rc == RUNTIME_E_ENDED, "it dies before it is ready");
    ok(peer_receive(&message).type == LAUNCH_DESTROY, "and is destroyed");
    launcher_answer(&message.head, LAUNCH_DESTROYED, NULL);
    box_deinit(&box);
    is_int(runtime->ops->create(runtime, "a name of a template that is far too long", NULL,
                                RUNTIME_PREPARE_ANY, box_on_created, &box),
           -ENAMETOOLONG, "a name that does not fit");
    runtime_end();
}

static void
test_prepare(void)
{
    static const struct {
        const char *what, *answer;
        int status, rc;
        bool is_prepared;
    } cases[] = {
        { "an interpreter waits", "{\"status\":\"ok\",\"origin\":\"forked\"}", 200, 0, true },
        { "one that was started does", "{\"status\":\"ok\",\"origin\":\"started\"}", 200, 0, true },
        { "no such language", "{\"status\":400}", 400, 0, false },
        { "no such route", "", 404, 0, false },
        { "none came up", "{\"status\":503}", 503, 0, false },
        { "a broken agent", "{}", 500, 0, false },
        { "no document", "ready", 200, RUNTIME_E_AGENT, false },
        { "another document", "{\"status\":\"ready\"}", 200, RUNTIME_E_AGENT, false },
        { "another success", "{\"status\":\"ok\"}", 201, RUNTIME_E_AGENT, false },
        { "a redirection", "", 302, RUNTIME_E_AGENT, false },
        { "a hang-up", NULL, 0, RUNTIME_E_AGENT, false },
    };
    union launch_message message;
    struct box box;

    runtime_begin();
    for (unsigned i = 0; i < SBX_COUNT(cases); i++) {
        const char *body;

        box_init(&box);
        uv_update_time(&loop);
        is_forking = i % 2 == 0;
        assert(runtime->ops->create(runtime, "default", "python", RUNTIME_PREPARE_ANY, box_on_created,
                                    &box) == 0);
        assert(peer_receive(&message).type == LAUNCH_CREATE);
        launcher_created(&box, &message.head, 70 + i);
        body = agent_receive(&box);
        ok(body != NULL && strncmp(box.request, "POST /v1/prepare HTTP/1.1\r\n", 27) == 0,
           "prepare: it is all that a new agent is asked");
        is_str(body, "{\"runtime\":\"python\"}", "prepare: with the language");
        ok(box.n_created == 0, "prepare: not warm before the answer");
        if (cases[i].answer == NULL) {
            box_hangup(&box.http);
        } else {
            agent_answer(&box, cases[i].status, cases[i].answer);
        }
        ok(turn_until(&box.n_created, 1) && box.created_rc == cases[i].rc, "prepare: %s", cases[i].what);
        if (box.sandbox != NULL) {
            ok(box.sandbox->is_prepared == cases[i].is_prepared, "prepare: %s: as it says", cases[i].what);
            ok(box.sandbox->is_forked == (cases[i].is_prepared && is_forking),
               "prepare: %s: forked when it is there", cases[i].what);
            box_end(&box);
            continue;
        }
        ok(peer_receive(&message).type == LAUNCH_DESTROY, "prepare: the sandbox is destroyed");
        launcher_answer(&message.head, LAUNCH_DESTROYED, NULL);
        box_deinit(&box);
    }
    is_forking = true;
    box_warm(&box, 90);
    ok(!box.sandbox->is_prepared && !box.sandbox->is_forked,
       "prepare: nothing is when nothing was asked for");
    is_forking = false;
    box_end(&box);
    is_int(runtime->ops->create(runtime, "default", "the name of a language that is too long",
                                RUNTIME_PREPARE_ANY, box_on_created, &box),
           -ENAMETOOLONG, "prepare: a language that does not fit");
    runtime_end();
}

static bool
peer_hears_nothing(void)
{
    char byte;

    turn_for(5);
    return recv(peer, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void
hasten(struct box *box)
{
    uv_update_time(&loop);
    runtime->ops->hasten(runtime, box);
}

/* Somebody waits for what was begun for nobody. The launcher is told once it has said which that is. */
static void
test_hasten(void)
{
    union launch_message message, other;
    struct box box, plain;

    runtime_begin();
    box_ask(&box);
    assert(peer_receive(&message).type == LAUNCH_CREATE);
    is_uint(message.create.is_spare, 1, "hasten: what is for nobody says so");
    hasten(&box);
    hasten(&box);
    ok(peer_hears_nothing(), "hasten: nothing to say before it has a number");
    launcher_created(&box, &message.head, 40);
    ok(peer_receive(&other).type == LAUNCH_HASTEN && other.head.sandbox == 40, "hasten: then it is said");
    launcher_answer(&other.head, LAUNCH_HASTENED, NULL);
    assert(agent_receive(&box) != NULL);
    hasten(&box);
    agent_answer(&box, 200, "{\"status\":\"ok\"}");
    assert(turn_until(&box.n_created, 1) && box.created_rc == 0);
    hasten(&box);
    box_end(&box); /* DESTROY is the next that comes: it was said once */

    box_make(&box, 41);
    hasten(&box);
    ok(peer_receive(&other).type == LAUNCH_HASTEN && other.head.sandbox == 41, "hasten: or at once");
    agent_answer(&box, 200, "{\"status\":\"ok\"}");
    ok(turn_until(&box.n_created, 1) && box.created_rc == 0, "hasten: nobody waits for its answer");
    launcher_answer(&other.head, LAUNCH_HASTENED, NULL);
    box_end(&box);

    box_make(&box, 42);
    hasten(&box);
    assert(peer_receive(&other).type == LAUNCH_HASTEN);
    memset((char *)&other + sizeof(other.head), 0, sizeof(other) - sizeof(other.head));
    other.error.error = EIO;
    peer_send(&other, LAUNCH_ERROR, sizeof(other.error), 0);
    agent_answer(&box, 200, "{\"status\":\"ok\"}");
    ok(turn_until(&box.n_created, 1) && box.created_rc == 0, "hasten: refused, it comes all the same");
    box_end(&box);

    box_make(&box, 43);
    hasten(&box);
    assert(peer_receive(&other).type == LAUNCH_HASTEN);
    box_hangup(&box.http);
    ok(turn_until(&box.n_created, 1) && box.created_rc == RUNTIME_E_AGENT,
       "hasten: its agent is lost meanwhile");
    ok(peer_receive(&message).type == LAUNCH_DESTROY, "hasten: it is destroyed");
    launcher_answer(&other.head, LAUNCH_HASTENED, NULL);
    launcher_answer(&message.head, LAUNCH_DESTROYED, NULL);
    box_deinit(&box);

    box_init(&plain);
    uv_update_time(&loop);
    assert(runtime->ops->create(runtime, "default", NULL, RUNTIME_PREPARE_FORKED, box_on_created, &plain) ==
           0);
    assert(peer_receive(&message).type == LAUNCH_CREATE);
    is_uint(message.create.is_spare, 0, "hasten: what somebody waits for says that");
    hasten(&box);
    hasten(NULL);
    launcher_created(&plain, &message.head, 44);
    assert(agent_receive(&plain) != NULL);
    agent_answer(&plain, 200, "{\"status\":\"ok\"}");
    assert(turn_until(&plain.n_created, 1));
    ok(peer_hears_nothing(), "hasten: one that nobody knows is nobody's");
    box_end(&plain);
    runtime_end();
}

static void
test_warm_and_adopt_faults(void)
{
    struct sbx_limits missing = limits;
    union launch_message message;
    struct box box;

    runtime_begin();
    box_warm(&box, 7);
    box.sandbox->ops->on_dead(box.sandbox, box_on_dead, &box);
    launcher_ended(&box, LAUNCH_LIMIT_NONE);
    ok(turn_until(&box.n_dead, 1), "a warm one that dies says so");
    box_end(&box);
    is_uint(box.n_dead, 1, "once");

    box_warm(&box, 8);
    launcher_ended(&box, LAUNCH_LIMIT_NONE);
    turn_for(5);
    box.sandbox->ops->on_dead(box.sandbox, box_on_dead, &box);
    is_uint(box.n_dead, 0, "one that was dead already: not from inside");
    ok(turn_until(&box.n_dead, 1), "but in its turn");
    box_end(&box);

    box_warm(&box, 9);
    box.sandbox->ops->on_dead(box.sandbox, box_on_dead, &box);
    box.sandbox->ops->on_dead(box.sandbox, NULL, NULL);
    launcher_ended(&box, LAUNCH_LIMIT_NONE);
    turn_for(5);
    is_uint(box.n_dead, 0, "nobody is told who does not want to be");
    assert(box.sandbox->ops->adopt(box.sandbox, &limits, 0, box_on_adopted, &box) == 0);
    is_uint(box.n_adopted, 0, "adopting the dead fails, not from inside");
    ok(turn_until(&box.n_adopted, 1) && box.adopted_rc == RUNTIME_E_ENDED, "but in its turn");
    box_end(&box);

    box_warm(&box, 10);
    missing.value[SBX_LIMIT_PROCESSES] = 0;
    is_int(box.sandbox->ops->adopt(box.sandbox, &missing, 0, box_on_adopted, &box), -EINVAL,
           "a limit that is not set");
    assert(box.sandbox->ops->adopt(box.sandbox, &limits, 0, box_on_adopted, &box) == 0);
    assert(peer_receive(&message).type == LAUNCH_ADOPT);
    launcher_ended(&box, LAUNCH_LIMIT_NONE);
    ok(turn_until(&box.n_adopted, 1) && box.adopted_rc == RUNTIME_E_ENDED, "it dies while it is adopted");
    memset((char *)&message + sizeof(message.head), 0, sizeof(message) - sizeof(message.head));
    peer_send(&message, LAUNCH_ERROR, sizeof(message.error), 0);
    turn_for(5);
    is_uint(box.n_adopted, 1, "the launcher's own answer comes too late");
    box_end(&box);

    box_warm(&box, 11);
    assert(box.sandbox->ops->adopt(box.sandbox, &limits, 0, box_on_adopted, &box) == 0);
    assert(peer_receive(&message).type == LAUNCH_ADOPT);
    memset((char *)&message + sizeof(message.head), 0, sizeof(message) - sizeof(message.head));
    peer_send(&message, LAUNCH_ERROR, sizeof(message.error), 0);
    ok(turn_until(&box.n_adopted, 1) && box.adopted_rc == RUNTIME_E_UNAVAILABLE, "the launcher refuses");
    box_end(&box);

    box_warm(&box, 12);
    assert(box.sandbox->ops->adopt(box.sandbox, &limits, 0, box_on_adopted, &box) == 0);
    assert(peer_receive(&message).type == LAUNCH_ADOPT);
    ok(turn_until(&box.n_adopted, 1) && box.adopted_rc == RUNTIME_E_UNAVAILABLE, "or takes too long");
    box_end(&box);
    runtime_end();
}

enum moment { AT_HEALTH, AT_WARM, AT_ADOPT, AT_ADOPTED, AT_STEP, AT_SETTLE, AT_ENDED, AT_FETCH, N_MOMENTS };

static const char *const moment_names[] = { "health", "warm",   "adopt", "adopted",
                                            "step",   "settle", "ended", "fetch" };

static void
box_bring(struct box *box, enum moment moment)
{
    union launch_message message;

    if (moment == AT_HEALTH) {
        box_make(box, 7);
        return;
    }
    if (moment <= AT_ADOPTED) {
        box_warm(box, 7);
    }
    if (moment == AT_WARM) {
        box->sandbox->ops->on_dead(box->sandbox, box_on_dead, box);
    } else if (moment == AT_ADOPT) {
        assert(box->sandbox->ops->adopt(box->sandbox, &limits, 0, box_on_adopted, box) == 0);
        assert(peer_receive(&message).type == LAUNCH_ADOPT);
    } else if (moment <= AT_ADOPTED) {
        box_adopt(box);
    }
    if (moment <= AT_ADOPTED) {
        return;
    }
    box_step(box, 7);
    if (moment == AT_STEP) {
        return;
    }
    agent_answer(box, 200, STEP_OK);
    if (moment == AT_SETTLE) {
        assert(peer_receive(&message).type == LAUNCH_SETTLE);
        return;
    }
    box_settled(box, &running);
    assert(turn_until(&box->n_done, 1) && box->done_rc == 0);
    if (moment == AT_FETCH) {
        assert(box->sandbox->ops->fetch(box->sandbox, "a", 3, box_on_data, box_on_fetched, box) == 0);
        assert(agent_receive(box) != NULL);
    }
}

/* The launcher goes at each moment: who waited is told, once, and the sandbox can still be destroyed. */
static void
test_launcher_lost(void)
{
    for (enum moment moment = AT_HEALTH; moment < N_MOMENTS; moment++) {
        const char *name = moment_names[moment];
        struct box box;
        struct box before;

        runtime_begin();
        box_bring(&box, moment);
        before = box;
        peer_hangup();
        for (unsigned i = 0; i < 1000 && runtime->ops->available(runtime); i++) {
            uv_run(&loop, UV_RUN_NOWAIT);
        }
        turn_for(5);
        is_uint(box.n_created - before.n_created, moment == AT_HEALTH, "at %s: created", name);
        is_uint(box.n_dead - before.n_dead, moment == AT_WARM, "at %s: dead", name);
        is_uint(box.n_adopted - before.n_adopted, moment == AT_ADOPT, "at %s: adopted", name);
        is_uint(box.n_done - before.n_done, moment >= AT_STEP && moment <= AT_SETTLE, "at %s: done", name);
        is_uint(box.n_fetched - before.n_fetched, moment == AT_FETCH, "at %s: fetched", name);
        if (moment >= AT_STEP && moment <= AT_SETTLE) {
            is_int(box.done_rc, RUNTIME_E_UNAVAILABLE, "because the launcher is gone");
        }
        if (moment == AT_HEALTH) {
            is_int(box.created_rc, RUNTIME_E_UNAVAILABLE, "because the launcher is gone");
            box_deinit(&box);
        } else {
            box_end(&box);
        }
        runtime_end();
    }
}

static void
test_destroy_anywhere(void)
{
    for (enum moment moment = AT_WARM; moment < N_MOMENTS; moment++) {
        struct box box, before;

        runtime_begin();
        box_bring(&box, moment);
        before = box;
        box_end(&box);
        ok(box.n_created == before.n_created && box.n_adopted == before.n_adopted &&
               box.n_done == before.n_done && box.n_fetched == before.n_fetched &&
               box.n_dead == before.n_dead,
           "at %s: destroy cancels what was under way", moment_names[moment]);
        runtime_end();
    }
}

static void
test_free_anywhere(void)
{
    for (enum moment moment = AT_HEALTH; moment < N_MOMENTS; moment++) {
        struct box box, before;

        runtime_begin();
        box_bring(&box, moment);
        before = box;
        runtime->ops->free(runtime);
        ok(box.n_created == before.n_created && box.n_adopted == before.n_adopted &&
               box.n_done == before.n_done,
           "at %s: free calls nobody from inside", moment_names[moment]);
        turn_for(5);
        is_uint(box.n_created, 1, "a creation has its end");
        if (moment >= AT_STEP) {
            is_uint(box.n_done, 1, "and so has a run");
        }
        peer_hangup();
        if (box.sandbox != NULL) {
            box_end(&box);
        } else {
            box_deinit(&box);
        }
        loop_settle();
        close(listener);
        peer_listen();
    }
    runtime = NULL;
}

static void
test_destroy_in_callbacks(void)
{
    union launch_message message;
    struct box box;

    runtime_begin();
    box_step(&box, 7);
    box.destroy_on_done = true;
    agent_answer(&box, 200, STEP_OK);
    box_settled(&box, &running);
    ok(turn_until(&box.n_done, 1), "the caller may destroy from inside on_done");
    box_end(&box);

    box_step(&box, 8);
    box.destroy_on_done = true;
    launcher_ended(&box, LAUNCH_LIMIT_CPU);
    ok(turn_until(&box.n_done, 1), "also when the sandbox died");
    box_end(&box);

    box_warm(&box, 9);
    box_destroy(&box);
    assert(peer_receive(&message).type == LAUNCH_DESTROY);
    peer_hangup();
    ok(turn_until(&box.n_destroyed, 1) && box.destroyed_rc == 0,
       "a lost connection has destroyed it as well");
    box_deinit(&box);
    runtime_end();
}

/* Input that is no text, or would be longer as text with its escapes, is base64; output comes by pipes all the same. */
static void
test_stdin_in_step(void)
{
    static const struct {
        const char *data;
        size_t len;
        const char *want;
    } cases[] = {
        { "", 0, "\"event\":{\"a\":1},\"timeout_ms\"" },
        { "a\nb\tc\"defgh", 11, "\"stdin\":\"a\\nb\\tc\\\"defgh\",\"timeout_ms\"" },
        { "h\xc3\xa9", 3, "\"stdin\":\"h\xc3\xa9\",\"timeout_ms\"" },
        { "\xff", 1, "\"stdin\":\"/w==\",\"stdin_encoding\":\"base64\"" },
        { "h\xc3", 2, "\"stdin\":\"aMM=\",\"stdin_encoding\":\"base64\"" },
        { "a\0b", 3, "\"stdin\":\"YQBi\",\"stdin_encoding\":\"base64\"" },
        { "\x01\x02\x03", 3, "\"stdin\":\"AQID\",\"stdin_encoding\":\"base64\"" },
        { "\"\"\"", 3, "\"stdin\":\"IiIi\",\"stdin_encoding\":\"base64\"" },
    };
    struct box box;

    runtime_begin();
    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        run.stdin_data = cases[i].data;
        run.stdin_len = cases[i].len;
        box_step(&box, 100 + i);
        ok(strstr(box.request, cases[i].want) != NULL, "stdin in the step: case %zu", i);
        assert(write(box.out, "out", 3) == 3);
        agent_answer(&box, 200, STEP_OK);
        box_settled(&box, &running);
        ok(turn_until(&box.n_done, 1) && box.done_rc == 0 && box.output[0].len == 3, "it runs");
        box_end(&box);
    }
    runtime_end();
    run_init();
}

/* Descriptors of the other tier: what came cannot be told apart, so the connection ends. */
static void
test_other_tiers_fds(void)
{
    enum sbx_isolation asked = tier;
    union launch_message message;
    struct box box;
    unsigned before;

    runtime_begin();
    before = n_open_fds();
    box_ask(&box);
    assert(peer_receive(&message).type == LAUNCH_CREATE && message.create.isolation == asked);
    tier = asked == SBX_ISOLATION_GVISOR ? SBX_ISOLATION_PROCESS : SBX_ISOLATION_GVISOR;
    launcher_created(&box, &message.head, 9);
    tier = asked;
    ok(turn_until(&box.n_created, 1) && box.created_rc == RUNTIME_E_UNAVAILABLE,
       "another tier's descriptors are refused");
    ok(!runtime->ops->available(runtime), "and the launcher that sent them with them");
    ok(box.sandbox == NULL, "there is no sandbox");
    peer_hangup();
    box_deinit(&box);
    is_uint(n_open_fds(), before - 2, "all are closed");
    runtime_end();
}

/* 1 MiB each way while the agent says nothing, and a payload that closes its stdin. */
static void
test_streams(void)
{
    enum { N = 1 << 20 };
    static char big[N];
    size_t got = 0, put = 0;
    struct box box;

    for (size_t i = 0; i < N; i++) {
        big[i] = (char)(i * 31);
    }
    runtime_begin();
    run.stdin_data = big;
    run.stdin_len = N;
    box_step(&box, 7);
    fcntl(box.out, F_SETFL, O_NONBLOCK);
    fcntl(box.in, F_SETFL, O_NONBLOCK);
    for (unsigned idle = 0; (got < N || put < N) && idle < 100000; idle++) {
        static char part[40000];
        ssize_t n = read(box.in, part, sizeof(part));

        if (n > 0) {
            assert(memcmp(part, big + got, (size_t)n) == 0);
            got += (size_t)n;
        }
        n = put < N ? write(box.out, big + put, N - put) : 0;
        put += n > 0 ? (size_t)n : 0;
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    is_uint(got, N, "1 MiB of stdin");
    is_uint(put, N, "1 MiB of stdout at the same time");
    agent_answer(&box, 200, STEP_OK);
    box_settled(&box, &running);
    ok(turn_until(&box.n_done, 1) && box.done_rc == 0, "the run ends");
    ok(box.output[0].len == N && memcmp(box.output[0].data, big, N) == 0, "its bytes are right");
    box_end(&box);

    box_step(&box, 8);
    box_hangup(&box.in);
    turn_for(5);
    agent_answer(&box, 200, STEP_OK);
    box_settled(&box, &running);
    ok(turn_until(&box.n_done, 1) && box.done_rc == 0, "a payload that closes its stdin harms nobody");
    box_end(&box);
    runtime_end();
    run_init();
}

static void
test_faults(void)
{
    test_bad_agent();
    test_unreadable();
    test_ended();
    test_output();
    test_create_faults();
    test_prepare();
    test_other_tiers_fds();
    test_hasten();
    test_warm_and_adopt_faults();
    test_launcher_lost();
    test_destroy_anywhere();
    test_free_anywhere();
    test_destroy_in_callbacks();
}

int
main(void)
{
    unsigned before;

    peer_init();
    run_init();
    test_good_run();
    before = n_open_fds(); /* libuv has opened its spare descriptor by now */
    test_faults();
    test_streams();
    tier = SBX_ISOLATION_GVISOR;
    test_good_run();
    test_faults();
    test_stdin_in_step();
    is_uint(n_open_fds(), before, "no descriptor is left");
    peer_deinit();
    is_int(uv_loop_close(&loop), 0, "no handle is left");
    return done_testing();
}
