/* Commands over channels, both ends in one loop, as the agent outside of a sandbox runs them. */
#include "session-agent/exec.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sbx_time.h"
#include "t/unit/tap.h"

#define DEADLINE_MS 30000

static uv_loop_t loop;
static struct init init;
static struct session session;
static struct exec_host host;
static struct sbx_mux *opener, *taker;

/* The opener's view of one command. */
static struct {
    struct sbx_channel *channel;
    bool is_hoarding; /* gives no window back */
    unsigned n_end;
    char started[64], outcome[512];
    char out[3][65536];
    size_t n_out[3], total;
} run;

static void
on_note(void *arg _unused_, const char *json, size_t len)
{
    (void)snprintf(run.started, sizeof(run.started), "%.*s", (int)len, json);
}

static void
on_data(void *arg _unused_, unsigned stream, const char *data, size_t len)
{
    size_t n = sizeof(run.out[0]) - 1 - run.n_out[stream];

    n = n < len ? n : len;
    memcpy(run.out[stream] + run.n_out[stream], data, n);
    run.n_out[stream] += n;
    run.total += len;
    if (!run.is_hoarding) {
        sbx_channel_consumed(run.channel, len);
    }
}

static void
on_end(void *arg _unused_, int rc _unused_, const char *json, size_t len)
{
    run.n_end++;
    run.channel = NULL;
    (void)snprintf(run.outcome, sizeof(run.outcome), "%.*s", (int)len, json == NULL ? "lost" : json);
}

static const struct sbx_channel_events events = { .on_note = on_note, .on_data = on_data, .on_end = on_end };

static void
on_open(void *arg _unused_, struct sbx_channel *channel, const char *json, size_t len)
{
    struct sbx_field_error err;
    json_t *document = NULL;

    if (sbx_json_parse(&document, json, len, &err) != 0) {
        abort();
    }
    exec_open(&host, channel, document);
    json_decref(document);
}

static void
on_lost(void *arg _unused_, const char *why)
{
    diag("lost: %s", why);
}

static void
on_tick(uv_timer_t *timer _unused_)
{
}

/* Until it is so, or the deadline. */
static bool
wait_for(bool (*is_so)(void))
{
    uint64_t until = sbx_now_mono_ns() + DEADLINE_MS * UINT64_C(1000000);

    while (!is_so() && sbx_now_mono_ns() < until) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    return is_so();
}

static bool
is_ended(void)
{
    return run.n_end > 0;
}

static void
start(const char *json)
{
    memset(&run, 0, sizeof(run));
    if (sbx_channel_open(&run.channel, opener, json, strlen(json), &events, NULL) != 0) {
        abort();
    }
}

/* To its end, which is in run. */
static const char *
outcome(const char *json)
{
    start(json);
    return wait_for(is_ended) ? run.outcome : "nothing";
}

static void
has(const char *text, const char *part, const char *name)
{
    ok(strstr(text, part) != NULL, "%s", name) || (diag("%s", text), 0);
}

static void
tell(const char *json)
{
    (void)sbx_channel_note(run.channel, json, strlen(json));
}

static void
type(const char *text)
{
    (void)sbx_channel_write(run.channel, 0, text, strlen(text));
}

static const char *want;
static bool
is_said(void)
{
    return strstr(run.out[1], want) != NULL || run.n_end > 0;
}

static void
until_said(const char *text)
{
    want = text;
    ok(wait_for(is_said) && strstr(run.out[1], text) != NULL, "says %s", text) || (diag("%s", run.out[1]), 0);
}

static void
plain(void)
{
    has(outcome("{\"op\":\"exec\",\"argv\":[\"echo\",\"a b\",\"c\"]}"), "\"exit_code\":0,\"signal\":null",
        "echo ends");
    is_str(run.out[1], "a b c\n", "its output");
    has(run.started, "{\"started\":{\"pid\":", "its number was told");
    has(outcome("{\"op\":\"exec\",\"shell\":\"echo out; echo err >&2; exit 3\"}"), "\"exit_code\":3",
        "a shell's code");
    is_str(run.out[1], "out\n", "stdout");
    is_str(run.out[2], "err\n", "stderr");
    has(outcome("{\"op\":\"exec\",\"shell\":\"kill -SEGV $$\"}"), "\"exit_code\":null,\"signal\":\"SIGSEGV\"",
        "a signal");
    outcome("{\"op\":\"exec\",\"shell\":\"pwd; echo $A "
            "$SANDBOX_SESSION_ID\",\"cwd\":\"sub\",\"env\":{\"A\":\"x y\"}}");
    has(run.out[1], "/sub\nx y ses_1\n", "directory and environment");
    has(outcome("{\"op\":\"exec\",\"argv\":[\"cat\"]}"), "\"exit_code\":0", "without stdin there is its end");
    has(outcome("{\"op\":\"exec\",\"shell\":\"ps -o sid= -p $$; echo $$\"}"), "\"exit_code\":0",
        "a session of its own");
    is_uint(strtoul(run.out[1], NULL, 10), strtoul(strchr(run.out[1], '\n'), NULL, 10), "whose leader it is");
}

static void
refused(void)
{
    static const struct {
        const char *document, *error;
    } cases[] = {
        { "{\"op\":\"exec\"}", "invalid" },
        { "{\"op\":\"exec\",\"argv\":[]}", "invalid" },
        { "{\"op\":\"exec\",\"argv\":[\"\"]}", "invalid" },
        { "{\"op\":\"exec\",\"argv\":[1]}", "invalid" },
        { "{\"op\":\"exec\",\"argv\":[\"ls\"],\"shell\":\"ls\"}", "invalid" },
        { "{\"op\":\"exec\",\"shell\":\"ls\",\"more\":1}", "invalid" },
        { "{\"op\":\"exec\",\"shell\":\"ls\",\"stdin\":1}", "invalid" },
        { "{\"op\":\"exec\",\"shell\":\"ls\",\"cwd\":\"../..\"}", "invalid" },
        { "{\"op\":\"exec\",\"shell\":\"ls\",\"cwd\":\"/etc\"}", "invalid" },
        { "{\"op\":\"exec\",\"shell\":\"ls\",\"env\":{\"LD_PRELOAD\":\"x\"}}", "invalid" },
        { "{\"op\":\"exec\",\"shell\":\"ls\",\"env\":{\"A\":1}}", "invalid" },
        { "{\"op\":\"exec\",\"shell\":\"ls\",\"pty\":{\"rows\":0}}", "invalid" },
        { "{\"op\":\"exec\",\"shell\":\"ls\",\"pty\":{\"rows\":1001}}", "invalid" },
        { "{\"op\":\"exec\",\"shell\":\"ls\",\"pty\":{\"depth\":1}}", "invalid" },
        { "{\"op\":\"exec\",\"shell\":\"ls\",\"timeout_ms\":-1}", "invalid" },
        { "{\"op\":\"exec\",\"argv\":[\"no-such-program\"]}", "not_found" },
        { "{\"op\":\"exec\",\"argv\":[\"./no-such-program\"]}", "not_found" },
        { "{\"op\":\"exec\",\"argv\":[\"/etc/passwd\"]}", "denied" },
        { "{\"op\":\"exec\",\"argv\":[\"/\"]}", "denied" },
        { "{\"op\":\"exec\",\"shell\":\"ls\",\"cwd\":\"none\"}", "not_found" },
        { "{\"op\":\"exec\",\"shell\":\"ls\",\"cwd\":\"file\"}", "not_a_directory" },
    };
    char part[64];

    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        (void)snprintf(part, sizeof(part), "\"ok\":false,\"error\":\"%s\"", cases[i].error);
        has(outcome(cases[i].document), part, cases[i].document);
    }
}

static void
input(void)
{
    static char block[200000];
    size_t sent = 0;
    uint64_t until = sbx_now_mono_ns() + DEADLINE_MS * UINT64_C(1000000);

    start("{\"op\":\"exec\",\"argv\":[\"wc\",\"-c\"],\"stdin\":true}");
    while (sent < 1000000 && run.n_end == 0 && sbx_now_mono_ns() < until) {
        sent += sbx_channel_write(run.channel, 0, block,
                                  1000000 - sent < sizeof(block) ? 1000000 - sent : sizeof(block));
        uv_run(&loop, UV_RUN_ONCE);
    }
    sbx_channel_shut(run.channel);
    ok(wait_for(is_ended), "ends with its input");
    is_str(run.out[1], "1000000\n", "which came whole through a window that is smaller");
    start("{\"op\":\"exec\",\"shell\":\"exec 0<&-; echo closed; sleep 0.2; echo over\",\"stdin\":true}");
    until_said("closed");
    for (int turn = 0; turn < 64 && run.n_end == 0; turn++) {
        (void)sbx_channel_write(run.channel, 0, block, sizeof(block));
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    ok(wait_for(is_ended), "nobody reads: no harm");
    has(run.outcome, "\"exit_code\":0", "and no signal");
}

static bool
is_full(void)
{
    return run.total >= SBX_MUX_WINDOW;
}

static void
flood(void)
{
    start("{\"op\":\"exec\",\"shell\":\"yes\"}");
    run.is_hoarding = true;
    ok(wait_for(is_full), "a flood fills the window");
    for (int turn = 0; turn < 100; turn++) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    is_uint(run.total, SBX_MUX_WINDOW, "and stops there");
    sbx_channel_consumed(run.channel, run.total);
    run.total = 0;
    ok(wait_for(is_full), "and goes on when it is taken");
    tell("{\"signal\":\"SIGKILL\"}");
    run.is_hoarding = false;
    sbx_channel_consumed(run.channel, run.total);
    ok(wait_for(is_ended), "until it is killed");
    has(run.outcome, "\"signal\":\"SIGKILL\",\"timed_out\":false", "by a signal");
}

static void
ends(void)
{
    uint64_t began = sbx_now_mono_ns(), took;

    has(outcome("{\"op\":\"exec\",\"shell\":\"sleep 30 & echo left\"}"), "\"exit_code\":0",
        "children in the background are not waited for");
    took = (sbx_now_mono_ns() - began) / 1000000;
    ok(took >= 150 && took < 5000, "but heard for a moment: %u ms", (unsigned)took);
    is_str(run.out[1], "left\n", "and what was said before is all there");
    has(outcome("{\"op\":\"exec\",\"shell\":\"(while :; do echo flood; done) & sleep 0.1\"}"),
        "\"exit_code\":0", "not even one that never ends to speak");
    has(outcome("{\"op\":\"exec\",\"shell\":\"sleep 30\",\"timeout_ms\":100}"),
        "\"signal\":\"SIGTERM\",\"timed_out\":true", "a deadline");
    has(outcome("{\"op\":\"exec\",\"shell\":\"trap '' TERM; sleep 30; sleep 30\",\"timeout_ms\":1000}"),
        "\"signal\":\"SIGKILL\",\"timed_out\":true", "which will not be ignored");
    start("{\"op\":\"exec\",\"shell\":\"trap 'echo interrupted; exit 4' INT; echo up; while :; do sleep "
          "0.05; done\"}");
    until_said("up");
    tell("{\"signal\":\"SIGINT\"}");
    ok(wait_for(is_ended), "a signal reaches it");
    has(run.outcome, "\"exit_code\":4", "and is handled");
    start("{\"op\":\"exec\",\"shell\":\"echo up; sleep 30\"}");
    until_said("up");
    tell("{\"signal\":\"SIGSEGV\"}");
    tell("{\"signal\":1}");
    tell("{\"resize\":{\"rows\":5,\"cols\":5}}");
    tell("{\"nonsense\":1}");
    tell("{\"signal\":\"SIGTERM\"}");
    ok(wait_for(is_ended), "notes that are none change nothing");
    has(run.outcome, "\"signal\":\"SIGTERM\"", "until one is");
}

static bool
is_taker_quiet(void)
{
    return sbx_mux_channels(taker) == 0;
}

static pid_t group;
static bool
is_group_gone(void)
{
    return kill(-group, 0) != 0;
}

static void
given_up(void)
{
    start("{\"op\":\"exec\",\"shell\":\"echo $$; sleep 1000 & sleep 1000\"}");
    until_said("\n");
    group = (pid_t)strtol(run.out[1], NULL, 10);
    is_int(kill(-group, 0), 0, "a group lives");
    run.channel = sbx_channel_reset(run.channel);
    ok(wait_for(is_taker_quiet), "given up, the channel ends");
    ok(wait_for(is_group_gone), "and its group with it");
    start("{\"op\":\"exec\",\"shell\":\"yes & sleep 0.1\"}");
    run.is_hoarding = true;
    ok(wait_for(is_full), "a flood of a child, and the command ends");
    run.channel = sbx_channel_reset(run.channel);
    ok(wait_for(is_taker_quiet), "given up while there is no window");
}

static void
terminal(void)
{
    start("{\"op\":\"exec\",\"argv\":[\"bash\",\"--norc\"],\"pty\":{\"rows\":30,\"cols\":100},\"env\":{"
          "\"PS1\":\"$ \",\"HISTFILE\":\"\"}}");
    type("stty size; echo $TERM; tty\n");
    until_said("30 100");
    until_said("xterm-256color");
    tell("{\"resize\":{\"rows\":40,\"cols\":120}}");
    type("stty size; [ -t 0 ] && echo a-term''inal\n");
    until_said("40 120");
    until_said("a-terminal");
    ok(strstr(run.out[1], "no job control") == NULL, "with job control");
    type("sh -c 'echo u\"\"p; exec sleep 1000'\n"); /* in the foreground by then */
    until_said("up\r");
    type("\x03");
    until_said("^C\r\n"); /* what was typed with it is thrown away */
    type("echo code=$?\n");
    until_said("code=130");
    type("echo wait''ing; cat >/dev/null; echo cat''over\n");
    until_said("waiting\r");
    type("\x04");
    until_said("catover\r\n\033[?2004h$ "); /* a ^D between two modes of a terminal is lost */
    sbx_channel_shut(run.channel);
    ok(wait_for(is_ended), "the end of input is the shell's end");
    has(run.outcome, "\"exit_code\":0", "a good one");
    has(outcome("{\"op\":\"exec\",\"shell\":\"tty >/dev/tty; sleep 1000 & echo last\",\"pty\":{}}"),
        "\"exit_code\":0", "a terminal left to others is hung up");
    has(run.out[1], "last\r\n", "after what was said");
    start("{\"op\":\"exec\",\"shell\":\"trap '' HUP TERM INT; echo up; while :; do sleep 0.1; "
          "done\",\"pty\":{}}");
    until_said("up");
    run.channel = sbx_channel_reset(run.channel);
    ok(wait_for(is_taker_quiet), "and given up, killed");
}

int
main(void)
{
    struct sbx_mux_spec spec = { .loop = &loop, .max_channels = 8, .max_open = 65536, .on_lost = on_lost };
    char root[] = "/tmp/agent_exec.XXXXXX", sub[64], file[64];
    uv_timer_t tick;
    int fds[2];

    (void)signal(SIGPIPE, SIG_IGN);
    if (mkdtemp(root) == NULL || uv_loop_init(&loop) != 0 || init_start(&init, &loop) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
        return 1;
    }
    (void)uv_timer_init(&loop, &tick);
    (void)uv_timer_start(&tick, on_tick, 100, 100);
    (void)snprintf(sub, sizeof(sub), "%s/sub", root);
    (void)snprintf(file, sizeof(file), "%s/file", root);
    ok(mkdir(sub, 0700) == 0 && mknod(file, S_IFREG | 0600, 0) == 0, "a workspace");
    (void)snprintf(session.places.workspace, sizeof(session.places.workspace), "%s", root);
    (void)snprintf(session.places.tmp, sizeof(session.places.tmp), "/tmp");
    session.request.id = "ses_1";
    host = (struct exec_host){ .loop = &loop, .init = &init, .terminals = -1, .session = &session };
    spec.fd = fds[0];
    if (sbx_mux_new(&opener, &spec) != 0) {
        return 1;
    }
    spec.fd = fds[1];
    spec.on_open = on_open;
    if (sbx_mux_new(&taker, &spec) != 0) {
        return 1;
    }
    plain();
    refused();
    input();
    flood();
    ends();
    given_up();
    terminal();
    init_kill_all(&init);
    ok(unlink(file) == 0 && rmdir(sub) == 0 && rmdir(root) == 0, "cleaned up");
    return done_testing();
}
