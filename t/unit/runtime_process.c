/*
 * The process tier for real: sandbox-launch, session-agent and interpreters, as root.
 * The launcher is killed and started again where a test says so.
 */
#include "t/unit/runtime_fixture.h"

/* One job and what was heard of it. */
struct job {
    struct sandbox *sandbox;
    struct runtime_run run;
    unsigned n_created, n_adopted, n_done, n_fetched, n_destroyed;
    int created_rc, adopted_rc, done_rc, fetched_rc;
    const struct runtime_outcome *outcome;
    struct sbx_buf output[2], fetched;
    size_t max_output;
};

static void
job_on_created(void *arg, int rc, struct sandbox *sandbox)
{
    struct job *job = arg;

    job->n_created++;
    job->created_rc = rc;
    job->sandbox = sandbox;
}

static void
job_on_adopted(void *arg, int rc)
{
    struct job *job = arg;

    job->n_adopted++;
    job->adopted_rc = rc;
}

static bool
job_on_output(void *arg, int fd, const char *data, size_t len)
{
    struct job *job = arg;

    sbx_buf_append(&job->output[fd - 1], data, len);
    return job->output[0].len + job->output[1].len <= job->max_output;
}

static void
job_on_done(void *arg, int rc, const struct runtime_outcome *outcome)
{
    struct job *job = arg;

    job->n_done++;
    job->done_rc = rc;
    job->outcome = outcome;
}

static void
job_on_data(void *arg, const char *data, size_t len)
{
    struct job *job = arg;

    sbx_buf_append(&job->fetched, data, len);
}

static void
job_on_fetched(void *arg, int rc)
{
    struct job *job = arg;

    job->n_fetched++;
    job->fetched_rc = rc;
}

static void
job_on_destroyed(void *arg, int rc _unused_)
{
    struct job *job = arg;

    job->n_destroyed++;
}

static const struct runtime_events events = { .on_output = job_on_output, .on_done = job_on_done };

static void
job_init(struct job *job, const char *language, const char *code)
{
    memset(job, 0, sizeof(*job));
    job->output[0].max = job->output[1].max = job->fetched.max = 64u * MiB;
    job->max_output = 32u * MiB;
    job->run = (struct runtime_run){
        .id = "job_test",
        .language = language,
        .code = code,
        .code_len = strlen(code),
        .max_artifacts = 8,
        .max_artifact_bytes = 4u * MiB,
        .limits = {.value =
                       {
                           [SBX_LIMIT_CPU_RATE] = 2000,
                           [SBX_LIMIT_CPU] = 10000,
                           [SBX_LIMIT_MEMORY] = 256u * MiB,
                           [SBX_LIMIT_DISK] = 16u * MiB,
                           [SBX_LIMIT_PROCESSES] = 64,
                           [SBX_LIMIT_TIME] = 20000,
                           [SBX_LIMIT_OUTPUT] = 32u * MiB,
                       }},
    };
}

static void
job_create(struct job *job)
{
    uv_update_time(&loop);
    if (runtime->ops->create(runtime, "default", is_preparing ? job->run.language : NULL, RUNTIME_PREPARE_ANY,
                             job_on_created, job) != 0 ||
        !turn_until(&job->n_created, 1) || job->created_rc != 0) {
        BAIL_OUT("no sandbox: code %d", job->created_rc);
    }
}

static void
job_start(struct job *job)
{
    if (job->sandbox == NULL) {
        job_create(job);
    }
    if (job->sandbox->ops->adopt(job->sandbox, &job->run.limits, 0, job_on_adopted, job) != 0 ||
        !turn_until(&job->n_adopted, 1) || job->adopted_rc != 0) {
        BAIL_OUT("not adopted: code %d", job->adopted_rc);
    }
    if (job->sandbox->ops->run(job->sandbox, &job->run, &events, job) != 0) {
        BAIL_OUT("not run");
    }
}

static void
job_do(struct job *job)
{
    job_start(job);
    if (!turn_until(&job->n_done, 1)) {
        BAIL_OUT("a run that never ends");
    }
}

static void
job_end(struct job *job)
{
    struct sandbox *sandbox = steal(&job->sandbox);

    sandbox->ops->destroy(sandbox, job_on_destroyed, job);
    ok(turn_until(&job->n_destroyed, 1), "the sandbox goes");
    sbx_buf_deinit(&job->output[0]);
    sbx_buf_deinit(&job->output[1]);
    sbx_buf_deinit(&job->fetched);
}

static const char *
text(const struct sbx_buf *buf)
{
    return buf->data == NULL ? "" : buf->data;
}

static void
is_good(const struct job *job, int exit_code, const char *output, const char *what)
{
    is_int(job->done_rc, 0, "%s: done", what);
    is_int(job->outcome->exited ? job->outcome->exit_code : -1, exit_code, "%s: exit code", what);
    is_str(text(&job->output[0]), output, "%s: stdout", what);
    ok(!job->outcome->report.has_verdict, "%s: no verdict", what);
}

static void
test_languages(void)
{
    static const char *const args[] = { "one", "t w o" };
    static const struct runtime_env env[] = { { "GREETING", "h\xc3\xa9llo" } };
    static const struct {
        const char *language, *code, *output, *error;
        int exit_code;
    } cases[] = {
        { "python",
          "import os,sys\nprint(sys.argv[1:], os.environ['GREETING'])\nsys.stderr.write('e')\nsys.exit(3)",
          "['one', 't w o'] h\xc3\xa9llo\n", "e", 3 },
        { "javascript",
          "console.log(process.argv.slice(2).join('|'), process.env.GREETING); console.error('e'); "
          "process.exitCode = 4",
          "one|t w o h\xc3\xa9llo\n", "e\n", 4 },
        { "bash", "echo \"$1|$2 $GREETING\"; echo e >&2; exit 5", "one|t w o h\xc3\xa9llo\n", "e\n", 5 },
    };

    for (size_t i = 0; i < SBX_COUNT(cases); i++) {
        struct job job;

        job_init(&job, cases[i].language, cases[i].code);
        job.run.args = args;
        job.run.n_args = 2;
        job.run.env = env;
        job.run.n_env = 1;
        job_do(&job);
        is_good(&job, cases[i].exit_code, cases[i].output, cases[i].language);
        is_str(text(&job.output[1]), cases[i].error, "%s: stderr", cases[i].language);
        ok(job.outcome->report.cpu_ms > 0 && job.outcome->report.peak_memory_bytes > 100000 &&
               job.outcome->report.wall_ms > 0,
           "%s: the kernel's numbers are there", cases[i].language);
        job_end(&job);
    }
}

static void
test_signal_and_result(void)
{
    struct job job;

    job_init(&job, "bash", "kill -SEGV $$");
    job_do(&job);
    is_int(job.done_rc, 0, "killed by a signal of its own");
    is_str(job.outcome->signal, "SIGSEGV", "which is told");
    job_end(&job);

    job_init(&job, "python",
             "def handler(event):\n  print('x')\n  return {'sum': sum(event['n']), 'f': 0.1}");
    job.run.event_json = "{\"n\":[1,2,3]}";
    job.run.event_len = strlen(job.run.event_json);
    job_do(&job);
    is_good(&job, 0, "x\n", "a handler");
    ok(job.outcome->result_json != NULL && strcmp(job.outcome->result_json, "{\"sum\":6,\"f\":0.1}") == 0,
       "its result as it was written");
    job_end(&job);

    job_init(&job, "javascript", "exports.handler = async (e) => ({ got: e.a, deep: [null, true] })");
    job.run.event_json = "{\"a\":\"\\u20ac\"}";
    job.run.event_len = strlen(job.run.event_json);
    job_do(&job);
    is_good(&job, 0, "", "an async handler");
    ok(job.outcome->result_json != NULL && strstr(job.outcome->result_json, "\"deep\":[null,true]") != NULL,
       "its result");
    job_end(&job);
}

static void
test_streams(void)
{
    struct job job;
    char *data = malloc(MiB);

    for (size_t i = 0; i < MiB; i++) {
        data[i] = (char)(i * 7 + (i >> 8));
    }
    job_init(&job, "bash", "cat; cat /dev/null >&2");
    job.run.stdin_data = data;
    job.run.stdin_len = MiB;
    job_do(&job);
    is_int(job.done_rc, 0, "1 MiB of bytes in and out");
    ok(job.output[0].len == MiB && memcmp(job.output[0].data, data, MiB) == 0, "each of them right");
    job_end(&job);

    job_init(&job, "python", "import sys\nprint(len(sys.stdin.buffer.read()))");
    job.run.stdin_data = data;
    job.run.stdin_len = MiB;
    job_do(&job);
    is_good(&job, 0, "1048576\n", "1 MiB into python");
    job_end(&job);

    job_init(&job, "bash", "exec 0<&-; echo closed");
    job.run.stdin_data = data;
    job.run.stdin_len = MiB;
    job_do(&job);
    is_good(&job, 0, "closed\n", "who does not read its stdin");
    job_end(&job);

    job_init(&job, "bash", "read line; echo \"[$line]\"");
    job_do(&job);
    is_good(&job, 0, "[]\n", "no stdin is an empty one");
    job_end(&job);
    free(data);
}

static void
test_artifacts(void)
{
    static const char *const globs[] = { "out/**", "missing.txt" };
    static const struct runtime_file files[] = { { "in/data.csv", "1\n2\n3\n", 6 }, { "bin", "\0\xff", 2 } };
    struct job job;

    job_init(&job, "python",
             "import os\nos.mkdir('out')\n"
             "total=sum(int(l) for l in open('in/data.csv'))\n"
             "open('out/sum.txt','w').write(str(total))\n"
             "open('out/big.bin','wb').write(bytes(range(256))*4096)\n"
             "os.symlink('/etc/passwd','out/link')\nos.mkfifo('out/fifo')\n"
             "assert open('bin','rb').read()==b'\\0\\xff'");
    job.run.files = files;
    job.run.n_files = 2;
    job.run.artifacts = globs;
    job.run.n_artifacts = 2;
    job_do(&job);
    is_good(&job, 0, "", "files in, artifacts out");
    is_uint(job.outcome->n_artifacts, 2, "two artifacts");
    if (job.outcome->n_artifacts == 2) {
        is_str(job.outcome->artifacts[0].path, "out/big.bin", "the first");
        is_str(job.outcome->artifacts[1].path, "out/sum.txt", "the second");
    }
    ok(job.outcome->skipped_json != NULL && strstr(job.outcome->skipped_json, "out/link") != NULL &&
           strstr(job.outcome->skipped_json, "out/fifo") != NULL &&
           strstr(job.outcome->skipped_json, "missing.txt") != NULL,
       "the rest is told");
    assert(job.sandbox->ops->fetch(job.sandbox, "out/sum.txt", 1, job_on_data, job_on_fetched, &job) == 0);
    ok(turn_until(&job.n_fetched, 1) && job.fetched_rc == 0, "one is fetched");
    is_str(text(&job.fetched), "6", "right");
    sbx_buf_reset(&job.fetched);
    assert(job.sandbox->ops->fetch(job.sandbox, "out/big.bin", MiB, job_on_data, job_on_fetched, &job) == 0);
    ok(turn_until(&job.n_fetched, 2) && job.fetched_rc == 0, "and the other");
    is_uint(job.fetched.len, MiB, "whole");
    ok(job.fetched.len == MiB && (unsigned char)job.fetched.data[511] == 255, "right");
    assert(job.sandbox->ops->fetch(job.sandbox, "out/link", 100000, job_on_data, job_on_fetched, &job) == 0);
    ok(turn_until(&job.n_fetched, 3) && job.fetched_rc == RUNTIME_E_REFUSED, "a link is not followed");
    assert(job.sandbox->ops->fetch(job.sandbox, "out/big.bin", 1000, job_on_data, job_on_fetched, &job) == 0);
    ok(turn_until(&job.n_fetched, 4) && job.fetched_rc == RUNTIME_E_AGENT, "more than was agreed is refused");
    job_end(&job);
}

/* Its time is over when its last file is asked for: it was the reader who took it. */
static void
test_slow_fetch(void)
{
    static const char *const globs[] = { "out" };
    struct job job;
    uint64_t end;

    job_init(&job, "bash", "echo kept > out");
    job.run.artifacts = globs;
    job.run.n_artifacts = 1;
    job.run.limits.value[SBX_LIMIT_TIME] = 3000;
    job_do(&job);
    is_good(&job, 0, "", "a run within its time");
    end = uv_hrtime() + 3200 * 1000000ull;
    while (uv_hrtime() < end) {
        uv_run(&loop, UV_RUN_NOWAIT);
        (void)poll(NULL, 0, 2);
    }
    assert(job.sandbox->ops->fetch(job.sandbox, "out", 100, job_on_data, job_on_fetched, &job) == 0);
    ok(turn_until(&job.n_fetched, 1) && job.fetched_rc == 0, "its file is fetched past it");
    is_str(text(&job.fetched), "kept\n", "whole");
    ok(!job.outcome->report.has_verdict && job.outcome->report.wall_ms < 3000, "and nothing changed");
    job_end(&job);
}

static void
is_verdict(struct job *job, enum sbx_limit limit, const char *what)
{
    const struct runtime_report *report;

    job_do(job);
    report = &job->outcome->report;
    is_int(job->done_rc, RUNTIME_E_ENDED, "%s: the sandbox ended", what);
    ok(report->has_verdict, "%s: by a verdict", what);
    is_int(report->verdict, limit, "%s: the right one", what);
    ok(report->verdict_observed > 0 && report->verdict_limit == job->run.limits.value[limit],
       "%s: limit %llu observed %llu", what, (unsigned long long)report->verdict_limit,
       (unsigned long long)report->verdict_observed);
    job_end(job);
}

static void
test_verdicts(void)
{
    struct job job;

    job_init(&job, "python", "x=[]\nwhile True: x.append(bytearray(8<<20))");
    job.run.limits.value[SBX_LIMIT_MEMORY] = 64u * MiB;
    is_verdict(&job, SBX_LIMIT_MEMORY, "memory");

    job_init(&job, "python", "while True: pass");
    job.run.limits.value[SBX_LIMIT_CPU] = 300;
    is_verdict(&job, SBX_LIMIT_CPU, "cpu");

    job_init(&job, "bash", "sleep 60");
    job.run.limits.value[SBX_LIMIT_TIME] = 400;
    is_verdict(&job, SBX_LIMIT_TIME, "time");

    job_init(&job, "bash", "f() { f | f & }; f; sleep 5");
    job.run.limits.value[SBX_LIMIT_PROCESSES] = 16;
    is_verdict(&job, SBX_LIMIT_PROCESSES, "processes");

    job_init(&job, "python", "f=open('x','wb')\nwhile True:\n  f.write(b'x'*65536); f.flush()");
    job.run.limits.value[SBX_LIMIT_DISK] = 1u * MiB;
    is_verdict(&job, SBX_LIMIT_DISK, "disk");

    /* Caught by the payload, which then ends well: the kernel remembers. */
    job_init(
        &job, "python",
        "import os\ntry:\n  for i in range(64):\n    if os.fork()==0: os.pause() if hasattr(os,'pause') else "
        "__import__('time').sleep(9)\nexcept OSError: print('caught')");
    job.run.limits.value[SBX_LIMIT_PROCESSES] = 8;
    is_verdict(&job, SBX_LIMIT_PROCESSES, "processes, caught");
}

static void
test_output_flood(void)
{
    struct job job;

    job_init(&job, "bash", "exec cat /dev/zero");
    job.max_output = 100000;
    job_do(&job);
    is_int(job.done_rc, RUNTIME_E_ENDED, "a flood of output is ended by its reader");
    ok(!job.outcome->report.has_verdict, "whose verdict it is");
    ok(job.output[0].len > 100000 && job.output[0].len <= 100000 + 65536, "no more than one piece too many");
    job_end(&job);
}

static void
test_refused(void)
{
    static const struct runtime_env env[] = { { "LD_PRELOAD", "x" } };
    struct job job;

    job_init(&job, "cobol", "x");
    job_do(&job);
    is_int(job.done_rc, RUNTIME_E_REFUSED, "an unknown language");
    ok(job.outcome->message[0] != '\0', "says: %s", job.outcome->message);
    job_end(&job);

    job_init(&job, "bash", "true");
    job.run.env = env;
    job.run.n_env = 1;
    job_do(&job);
    is_int(job.done_rc, RUNTIME_E_REFUSED, "an environment that is not allowed");
    job_end(&job);
}

static void
test_destroy_during_run(void)
{
    struct job job;
    uint64_t start;

    job_init(&job, "bash", "for i in 1 2 3; do (setsid sleep 100 &) ; done; echo ready; sleep 100");
    job_start(&job);
    while (job.output[0].len < 6 && job.n_done == 0) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    start = uv_hrtime();
    job_end(&job);
    is_uint(job.n_done, 0, "a destroyed run is not done");
    ok(uv_hrtime() - start < 10000000000, "it was gone long before it would have ended (%u ms)",
       (unsigned)((uv_hrtime() - start) / 1000000));
    is_uint(n_processes(), 0, "with all its processes");
}

static void
test_many(void)
{
    enum { N = 12 };
    static struct job jobs[N];
    unsigned n_good = 0;

    for (unsigned i = 0; i < N; i++) {
        job_init(&jobs[i], "python", "import sys\nprint(sum(map(int, sys.stdin.read().split())))");
        jobs[i].run.stdin_data = "20 22";
        jobs[i].run.stdin_len = 5;
        assert(runtime->ops->create(runtime, "default", NULL, RUNTIME_PREPARE_ANY, job_on_created,
                                    &jobs[i]) == 0);
    }
    for (unsigned i = 0; i < N; i++) {
        assert(turn_until(&jobs[i].n_created, 1) && jobs[i].created_rc == 0);
        job_start(&jobs[i]);
    }
    for (unsigned i = 0; i < N; i++) {
        assert(turn_until(&jobs[i].n_done, 1));
        n_good += jobs[i].done_rc == 0 && strcmp(text(&jobs[i].output[0]), "42\n") == 0;
    }
    is_uint(n_good, N, "%d at once", N);
    for (unsigned i = 0; i < N; i++) {
        job_end(&jobs[i]);
    }
}

/* All that a program can see of its walls. */
static const char probe[] =
    "import os,resource,signal,sys\n"
    "print([(n, resource.getrlimit(getattr(resource, n))) for n in sorted(dir(resource)) if n[:7] == "
    "'RLIMIT_'])\n"
    "print([l for l in open('/proc/self/status') if l.split(':')[0] in ('Umask', 'PPid', 'Uid', "
    "'Gid', 'Groups', "
    "'Threads', 'NoNewPrivs', 'Seccomp', 'Seccomp_filters', 'SigBlk', 'SigIgn', 'SigCgt', 'CapInh', "
    "'CapPrm', "
    "'CapEff', 'CapBnd', 'CapAmb')])\n"
    /* But for the socket on which one that was forked says that it ends. */
    "print([f for f in sorted(os.listdir('/proc/self/fd')) if f != '63' or os.get_inheritable(63)], "
    "[os.readlink(f'/proc/self/fd/{n}')[:5] for n in range(3)])\n"
    /* Whoever forked it from outside had a number before it. */
    "print([p for p in os.listdir('/proc') if p.isdigit()] == [str(os.getpid())], os.getsid(0) == "
    "os.getpid(), "
    "os.getpgid(0) == os.getpid(), os.getcwd())\n"
    "print([os.readlink(f'/proc/self/ns/{n}') == os.readlink(f'/proc/self/ns/{n}') for n in "
    "os.listdir('/proc/self/ns')])\n"
    "def no(f, *a):\n"
    "    try: f(*a)\n"
    "    except OSError as e: return e.strerror\n"
    "    return 'done'\n"
    "print(no(open, '/proc/1/environ'), no(open, '/x', 'w'), no(os.kill, 1, 9), no(os.setuid, 0), no(open, "
    "'/run/x', 'w'),\n"
    "      no(os.open, '/proc/self/exe', os.O_RDWR), no(os.mknod, '/tmp/d', 0o60600, 1), no(os.unshare, 0) "
    "if hasattr(os, 'unshare') else '')\n"
    "print(open('/proc/self/oom_score_adj').read(), {l.split(':', 2)[2] for l in open('/proc/self/cgroup')}, "
    "sorted(os.environ))\n"
    "f = open('/workspace/big', 'wb')\n"
    "print(no(f.truncate, 1 << 40))\n"
    "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"
    "print(sorted(os.listdir('/workspace')), sorted(os.listdir('/tmp')), "
    "sorted(os.listdir('/run/sandbox')))\n";

static void
test_prepared(void)
{
    struct job started, job;

    job_init(&started, "python", probe);
    job_do(&started);
    is_int(started.done_rc, 0, "a probe of an interpreter that is started");
    note("%s%s", text(&started.output[0]), text(&started.output[1]));
    for (unsigned i = 0; i < 2; i++) {
        job_init(&job, "python", probe);
        is_preparing = true;
        job_create(&job);
        is_preparing = false;
        ok(job.sandbox->is_prepared, "one that waits");
        job_do(&job);
        is_good(&job, 0, text(&started.output[0]), "sees the same walls");
        job_end(&job);
    }
    job_end(&started);

    job_init(&job, "python", "print('main.py' in open('/proc/self/cmdline').read())");
    is_preparing = true;
    job_create(&job);
    is_preparing = false;
    job_do(&job);
    is_good(&job, 0, "False\n", "it was one that waited");
    job_end(&job);

    job_init(&job, "bash", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; ls -d /proc/[0-9]* | wc -l");
    job.run.language = "python";
    is_preparing = true;
    job_create(&job);
    is_preparing = false;
    job.run.language = "bash";
    job_do(&job);
    ok(strstr(text(&job.output[0]), "python") == NULL, "another language does not see it");
    job_end(&job);

    job_init(&job, "no-such-language", "");
    is_preparing = true;
    job_create(&job);
    is_preparing = false;
    ok(!job.sandbox->is_prepared, "a sandbox for no language that there is is warm and not prepared");
    job.run.language = "python";
    job.run.code = "print(7)";
    job.run.code_len = 8;
    job_do(&job);
    is_good(&job, 0, "7\n", "and as good");
    job_end(&job);
}

static void
test_launcher_killed(void)
{
    struct job job, after;
    unsigned ups = n_up, downs = n_down;

    job_init(&job, "bash", "echo ready; sleep 100");
    job_start(&job);
    while (job.output[0].len < 6 && job.n_done == 0) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    launcher_stop(SIGKILL);
    ok(turn_until(&job.n_done, 1), "kill -9 of the launcher ends the run");
    is_int(job.done_rc, RUNTIME_E_UNAVAILABLE, "as nobody's fault here");
    ok(turn_until(&n_down, downs + 1), "the operator is told");
    ok(!runtime->ops->available(runtime), "there is no runtime now");
    job_end(&job);
    ok(processes_end(), "no process is left");

    job_init(&after, "bash", "echo back");
    assert(runtime->ops->create(runtime, "default", NULL, RUNTIME_PREPARE_ANY, job_on_created, &after) == 0);
    ok(turn_until(&after.n_created, 1) && after.created_rc == RUNTIME_E_UNAVAILABLE,
       "a creation fails meanwhile");
    launcher_start();
    ok(turn_until(&n_up, ups + 1), "a new launcher is found");
    after.n_created = 0;
    job_do(&after);
    is_good(&after, 0, "back\n", "and works");
    job_end(&after);
}

int
main(void)
{
    begin();
    test_languages();
    test_signal_and_result();
    test_streams();
    test_artifacts();
    test_slow_fetch();
    test_verdicts();
    test_output_flood();
    test_refused();
    test_destroy_during_run();
    test_many();
    test_prepared();
    is_preparing = true;
    test_languages();
    test_signal_and_result();
    test_streams();
    test_artifacts();
    test_verdicts();
    test_output_flood();
    test_refused();
    test_destroy_during_run();
    is_preparing = false;
    test_launcher_killed();
    end();
    return done_testing();
}
