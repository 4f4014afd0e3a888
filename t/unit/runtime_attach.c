/* Conversations with agents in real sandboxes of both tiers: attach, steps, the kernel's numbers, and every end. */
#include "lib/sbx_mux.h"
#include "t/unit/runtime_fixture.h"

struct talk {
    struct sandbox *sandbox;
    struct sbx_mux *mux;
    struct sbx_limits limits;
    unsigned n_created, n_adopted, n_attached, n_lost, n_stat, n_destroyed;
    int rc, lost_rc;
    bool has_report;
    struct runtime_report report;
};

struct op {
    struct sbx_channel *channel;
    unsigned n_end, n_notes;
    int rc;
    char end[4096];
    struct sbx_buf out;
    size_t n_data;
};

static void
talk_on_created(void *arg, int rc, struct sandbox *sandbox)
{
    struct talk *talk = arg;

    talk->n_created++;
    talk->rc = rc;
    talk->sandbox = sandbox;
}

static void
talk_on_adopted(void *arg, int rc)
{
    struct talk *talk = arg;

    talk->n_adopted++;
    talk->rc = rc;
}

static void
talk_on_attached(void *arg, int rc, struct sbx_mux *mux)
{
    struct talk *talk = arg;

    talk->n_attached++;
    talk->rc = rc;
    talk->mux = mux;
}

static void
talk_on_lost(void *arg, int rc, const struct runtime_report *report)
{
    struct talk *talk = arg;

    talk->n_lost++;
    talk->lost_rc = rc;
    talk->has_report = report != NULL;
    if (report != NULL) {
        talk->report = *report;
    }
}

static void
talk_on_stat(void *arg, int rc, const struct runtime_report *report)
{
    struct talk *talk = arg;

    talk->n_stat++;
    talk->rc = rc;
    talk->has_report = report != NULL;
    if (report != NULL) {
        talk->report = *report;
    }
}

static void
talk_on_destroyed(void *arg, int rc _unused_)
{
    struct talk *talk = arg;

    talk->n_destroyed++;
}

static void
op_on_note(void *arg, const char *json _unused_, size_t len _unused_)
{
    struct op *op = arg;

    op->n_notes++;
}

static void
op_on_data(void *arg, unsigned stream _unused_, const char *data, size_t len)
{
    struct op *op = arg;

    op->n_data += len;
    if (op->n_data < 100000) {
        sbx_buf_append(&op->out, data, len);
    }
    sbx_channel_consumed(op->channel, len);
}

static void
op_on_end(void *arg, int rc, const char *json, size_t len)
{
    struct op *op = arg;

    op->n_end++;
    op->rc = rc;
    (void)snprintf(op->end, sizeof(op->end), "%.*s", (int)len, json == NULL ? "" : json);
}

static void
op_start(struct op *op, struct talk *talk, const char *json, const char *code)
{
    static const struct sbx_channel_events events = {
        .on_note = op_on_note,
        .on_data = op_on_data,
        .on_end = op_on_end,
    };

    *op = (struct op){ .out.max = 1u << 20 };
    if (sbx_channel_open(&op->channel, talk->mux, json, strlen(json), &events, op) != 0) {
        BAIL_OUT("no channel");
    }
    if (code != NULL) {
        (void)sbx_channel_write(op->channel, 0, code, strlen(code));
        sbx_channel_shut(op->channel);
    }
}

static void
op_do(struct op *op, struct talk *talk, const char *json, const char *code)
{
    op_start(op, talk, json, code);
    if (!turn_until(&op->n_end, 1)) {
        BAIL_OUT("an operation that never ends: %s", json);
    }
}

static void
op_deinit(struct op *op)
{
    sbx_buf_deinit(&op->out);
}

static const char *language = "python";
static const char main_context[] = "{\"op\":\"context\",\"name\":\"main\",\"language\":\"python\"}";
static const char step[] = "{\"op\":\"step\",\"context\":\"main\",\"id\":\"s1\",\"timeout_ms\":60000,"
                           "\"max_displays\":4,\"max_display_bytes\":1000}";

static void
talk_adopt(struct talk *talk)
{
    *talk = (struct talk){ .limits.value = {
                               [SBX_LIMIT_CPU_RATE] = 2000,
                               [SBX_LIMIT_CPU] = 100000,
                               [SBX_LIMIT_MEMORY] = 256u * MiB,
                               [SBX_LIMIT_DISK] = 16u * MiB,
                               [SBX_LIMIT_PROCESSES] = 64,
                               [SBX_LIMIT_TIME] = 100000,
                           } };
    uv_update_time(&loop);
    if (runtime->ops->create(runtime, "default", is_preparing ? language : NULL, RUNTIME_PREPARE_ANY,
                             talk_on_created, talk) != 0 ||
        !turn_until(&talk->n_created, 1) || talk->rc != 0) {
        BAIL_OUT("no sandbox: code %d", talk->rc);
    }
    assert(talk->sandbox->is_prepared == is_preparing);
    if (talk->sandbox->ops->adopt(talk->sandbox, &talk->limits, 0, talk_on_adopted, talk) != 0 ||
        !turn_until(&talk->n_adopted, 1) || talk->rc != 0) {
        BAIL_OUT("not adopted: code %d", talk->rc);
    }
}

static void
talk_start(struct talk *talk)
{
    struct op op;

    talk_adopt(talk);
    if (talk->sandbox->ops->attach(talk->sandbox, talk_on_lost, talk_on_attached, talk) != 0 ||
        !turn_until(&talk->n_attached, 1) || talk->rc != 0) {
        BAIL_OUT("not attached: code %d", talk->rc);
    }
    op_do(&op, talk, main_context, NULL);
    is_str(op.end, "{\"ok\":true}", "an interpreter is there");
    op_deinit(&op);
}

static void
talk_end(struct talk *talk)
{
    struct sandbox *sandbox = steal(&talk->sandbox);

    sandbox->ops->destroy(sandbox, talk_on_destroyed, talk);
    ok(turn_until(&talk->n_destroyed, 1), "the sandbox goes");
}

static bool
says(const struct op *op, const char *what)
{
    bool found = strstr(op->end, what) != NULL;

    if (!found) {
        diag("END: %s", op->end);
    }
    return found;
}

static void
test_steps(void)
{
    struct talk talk;
    struct op op;

    talk_start(&talk);
    op_do(&op, &talk, step, "x = 41\nprint('out', flush=True)");
    ok(op.rc == 0 && says(&op, "\"status\":\"succeeded\""), "a step");
    is_str(op.out.data, "out\n", "with its output");
    op_deinit(&op);
    op_do(&op, &talk, step, "import os\nx += 1\nx");
    ok(says(&op, "\"status\":\"succeeded\"") && op.n_notes == 1, "its result is announced");
    is_str(op.out.data, "42", "and kept what the first one left");
    op_deinit(&op);
    op_do(&op, &talk, step,
          "import subprocess; print(subprocess.run(['sh', '-c', 'ls -l /proc/self/fd; id -u'], "
          "capture_output=True, text=True).stdout)");
    ok(op.out.data != NULL && strstr(op.out.data, "socket:") == NULL, "no child has the driver's descriptor");
    op_deinit(&op);
    op_do(&op, &talk, step, "print('repl' in open('/proc/self/cmdline').read())");
    is_str(op.out.data, is_preparing ? "False\n" : "True\n", "whether it has waited is what was asked for");
    op_deinit(&op);
    op_do(&op, &talk, step, "print('y' * 3000000)");
    is_uint(op.n_data, 3000001, "three million bytes");
    op_deinit(&op);
    op_do(&op, &talk, "{\"op\":\"fs.write\",\"path\":\"a\",\"mode\":\"replace\"}", "hello");
    ok(says(&op, "\"ok\":true"), "a file is written");
    op_deinit(&op);
    op_do(&op, &talk, step, "open('a').read()");
    is_str(op.out.data, "'hello'", "which the code sees");
    op_deinit(&op);
    is_int(talk.sandbox->ops->stat(talk.sandbox, talk_on_stat, &talk), 0, "the kernel is asked");
    is_int(talk.sandbox->ops->stat(talk.sandbox, talk_on_stat, &talk), -EBUSY, "once at a time");
    ok(turn_until(&talk.n_stat, 1) && talk.rc == 0 && talk.has_report, "and answers");
    ok(talk.report.peak_memory_bytes > MiB && talk.report.cpu_ms > 0 && !talk.report.has_verdict,
       "with memory and time");
    talk_end(&talk);
    is_uint(talk.n_lost, 0, "what is destroyed is not lost");
}

static void
test_timeout(void)
{
    struct talk talk;
    struct op op;

    talk_start(&talk);
    op_do(&op, &talk, "{\"op\":\"step\",\"context\":\"main\",\"id\":\"s1\",\"timeout_ms\":300}",
          "while True: pass");
    ok(says(&op, "\"status\":\"timed_out\"") && says(&op, "\"interpreter\":\"alive\""),
       "a step that is too long is interrupted");
    op_deinit(&op);
    op_do(&op, &talk, step, "import os\nos.kill(os.getpid(), 9)");
    ok(says(&op, "\"status\":\"crashed\"") && says(&op, "SIGKILL"), "one that kills its interpreter");
    op_deinit(&op);
    op_do(&op, &talk, step, "1");
    ok(says(&op, "\"restarted\":true"), "which starts again");
    op_deinit(&op);
    talk_end(&talk);
}

static void
test_javascript(void)
{
    static const char context[] = "{\"op\":\"context\",\"name\":\"main\",\"language\":\"javascript\"}";
    struct talk talk;
    struct op op;

    language = "javascript";
    talk_adopt(&talk);
    language = "python";
    if (talk.sandbox->ops->attach(talk.sandbox, talk_on_lost, talk_on_attached, &talk) != 0 ||
        !turn_until(&talk.n_attached, 1) || talk.rc != 0) {
        BAIL_OUT("not attached: code %d", talk.rc);
    }
    op_do(&op, &talk, context, NULL);
    is_str(op.end, "{\"ok\":true}", "javascript: an interpreter is there");
    op_deinit(&op);
    op_do(&op, &talk, step,
          "let x = 41; console.log(process.argv.length, require('fs').readFileSync('/proc/self/cmdline', "
          "'utf8')"
          ".includes('repl'))");
    is_str(op.out.data, is_preparing ? "2 false\n" : "2 true\n",
           "javascript: whether it has waited is what was asked for");
    op_deinit(&op);
    op_do(&op, &talk, step,
          "x += 1; require('child_process').spawnSync('/bin/sh', ['-c', 'echo child; cat'], "
          "{ stdio: 'inherit' }); console.log(x)");
    is_str(op.out.data, "child\n42\n", "javascript: what it was given is its children's too");
    op_deinit(&op);
    op_do(&op, &talk, step,
          "const fs = require('fs'); console.log(fs.readdirSync('/proc/self/fd').map((n) => { try { return "
          "fs.readlinkSync('/proc/self/fd/' + n).split(':')[0] } catch { return '' } }).filter((l) => l == "
          "'socket').length, fs.readFileSync(0).length)");
    is_str(op.out.data, "1 0\n", "javascript: one descriptor is the driver's, input is empty");
    op_deinit(&op);
    op_do(&op, &talk, "{\"op\":\"step\",\"context\":\"main\",\"id\":\"s1\",\"timeout_ms\":300}",
          "while (true);");
    ok(says(&op, "\"status\":\"timed_out\"") && says(&op, "\"interpreter\":\"alive\""),
       "javascript: it is interrupted");
    op_deinit(&op);
    op_do(&op, &talk, step, "process.exit(3)");
    ok(says(&op, "\"exit_code\":3"), "javascript: and ends");
    op_deinit(&op);
    op_do(&op, &talk, step, "console.log(7)");
    ok(says(&op, "\"restarted\":true"), "javascript: and starts again");
    op_deinit(&op);
    talk_end(&talk);
}

/* A command before the first interpreter: it must not find one that waits, and none does afterwards. */
static void
test_dropped(void)
{
    struct talk talk;
    struct op op;

    talk_adopt(&talk);
    if (talk.sandbox->ops->attach(talk.sandbox, talk_on_lost, talk_on_attached, &talk) != 0 ||
        !turn_until(&talk.n_attached, 1) || talk.rc != 0) {
        BAIL_OUT("not attached: code %d", talk.rc);
    }
    op_do(&op, &talk,
          "{\"op\":\"exec\",\"shell\":\"cat /proc/[0-9]*/cmdline | tr '\\\\0' ' '\",\"stdin\":false}", NULL);
    ok(says(&op, "\"exit_code\":0") && (op.out.data == NULL || strstr(op.out.data, "drivers") == NULL),
       "a command sees no interpreter that waits");
    op_deinit(&op);
    op_do(&op, &talk, main_context, NULL);
    is_str(op.end, "{\"ok\":true}", "then one is started");
    op_deinit(&op);
    op_do(&op, &talk, step, "print('repl' in open('/proc/self/cmdline').read())");
    is_str(op.out.data, "True\n", "as ever");
    op_deinit(&op);
    talk_end(&talk);
}

static void
test_oom(void)
{
    struct talk talk;
    struct op op;

    talk_start(&talk);
    op_do(&op, &talk, step, "x = bytearray(1 << 30)\nx[::4096] = b'a' * len(x[::4096])");
    ok(turn_until(&talk.n_lost, 1), "memory beyond the limit ends the conversation");
    ok(talk.lost_rc == RUNTIME_E_ENDED && talk.has_report && talk.report.has_verdict &&
           talk.report.verdict == SBX_LIMIT_MEMORY,
       "with the kernel's word (%d)", talk.lost_rc);
    is_uint(op.n_end, 1, "after the step was told");
    op_deinit(&op);
    talk_end(&talk);
    is_uint(talk.n_lost, 1, "once");
}

/* gVisor's kernel refuses one too many; the host's control group counts, and that is the end. */
static void
test_processes(void)
{
    struct talk talk;
    struct op op;

    talk_start(&talk);
    op_do(&op, &talk, step, "import subprocess\nfor i in range(200): subprocess.Popen(['sleep', '100'])");
    if (with_gvisor) {
        ok(says(&op, "\"status\":\"failed\"") && says(&op, "BlockingIOError"),
           "one process too many is refused");
        op_deinit(&op);
        op_do(&op, &talk, step, "1");
        ok(says(&op, "\"status\":\"succeeded\""), "and the session goes on");
    } else {
        ok(turn_until(&talk.n_lost, 1) && talk.lost_rc == RUNTIME_E_ENDED && talk.report.has_verdict &&
               talk.report.verdict == SBX_LIMIT_PROCESSES,
           "one process too many ends the session");
    }
    op_deinit(&op);
    talk_end(&talk);
}

static void
test_destroy(void)
{
    struct talk talk;
    struct op op;

    talk_adopt(&talk);
    talk_end(&talk);
    talk_adopt(&talk);
    if (talk.sandbox->ops->attach(talk.sandbox, talk_on_lost, talk_on_attached, &talk) != 0) {
        BAIL_OUT("not attached");
    }
    talk_end(&talk);
    is_uint(talk.n_attached, 0, "destroyed while it is being attached: nobody is told");

    talk_start(&talk);
    op_start(&op, &talk, step, "while True: pass");
    talk_end(&talk);
    is_uint(op.n_end, 0, "destroyed in the middle of a step: nobody is told");
    op_deinit(&op);
}

static unsigned
kill_agents(void)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    unsigned n = 0;

    while ((entry = readdir(dir)) != NULL) {
        char path[300], line[4096] = "";
        FILE *file;

        (void)snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
        file = entry->d_name[0] >= '1' && entry->d_name[0] <= '9' ? fopen(path, "re") : NULL;
        if (file == NULL) {
            continue;
        }
        for (size_t i = 0, len = fread(line, 1, sizeof(line) - 1, file); i < len; i++) {
            line[i] = line[i] == '\0' ? ' ' : line[i];
        }
        fclose(file);
        (void)snprintf(path, sizeof(path), "/proc/%s", entry->d_name);
        struct stat st;
        /* Ours by the user its sandbox's payload has, or by the parent: the agent is root's within a namespace. */
        if (strstr(line, "session-agent") != NULL && strstr(line, "--inside") != NULL &&
            stat(path, &st) == 0 && st.st_uid >= uid_base && st.st_uid < uid_base + 4 * 64) {
            n += kill((pid_t)strtol(entry->d_name, NULL, 10), SIGKILL) == 0;
        }
    }
    closedir(dir);
    return n;
}

static void
test_agent_killed(void)
{
    struct talk talk;
    struct op op;

    if (with_gvisor) {
        return; /* it is no process of the host's */
    }
    talk_start(&talk);
    op_start(&op, &talk, step, "import time\nprint('last words', flush=True)\ntime.sleep(100)");
    while (op.out.len == 0) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    is_uint(kill_agents(), 1, "kill -9 of the agent in the middle of a step");
    ok(turn_until(&talk.n_lost, 1), "loses the conversation");
    is_int(op.rc, SBX_MUX_E_LOST, "and the step");
    ok(talk.has_report && !talk.report.has_verdict, "for no fault of the code's (%d)", talk.lost_rc);
    op_deinit(&op);
    talk_end(&talk);
}

static void
test_launcher_killed(void)
{
    struct talk talk;
    struct op op;

    talk_start(&talk);
    op_start(&op, &talk, step, "while True: pass");
    launcher_stop(SIGKILL);
    ok(turn_until(&talk.n_lost, 1), "kill -9 of the launcher loses the conversation");
    is_int(talk.lost_rc, RUNTIME_E_UNAVAILABLE, "as what it is");
    ok(!talk.has_report, "without numbers");
    is_uint(op.n_end, 1, "after the step was told");
    op_deinit(&op);
    talk_end(&talk);
    ok(processes_end(), "no process outlives it");
    launcher_start();
    (void)turn_until(&n_up, 2);
}

static void
test_tier(void)
{
    n_up = n_down = 0;
    begin();
    test_steps();
    test_timeout();
    test_javascript();
    test_dropped();
    test_oom();
    test_processes();
    test_destroy();
    test_agent_killed();
    test_launcher_killed();
    end();
}

int
main(void)
{
    struct stat st;

    test_tier();
    is_preparing = true;
    test_tier();
    if (stat("/usr/bin/runsc", &st) == 0) {
        with_gvisor = true;
        test_tier();
        is_preparing = false;
        test_tier();
    }
    return done_testing();
}
