/* How a run ended: every cause alone, and which one wins when several are true. */
#include "executor/core/verdict.h"

#include "t/unit/tap.h"

static const struct sbx_limits limits = {
    .value = { [SBX_LIMIT_OUTPUT] = 1000,
               [SBX_LIMIT_TIME] = 5000,
               [SBX_LIMIT_DISK] = 65536,
               [SBX_LIMIT_PROCESSES] = 16 },
};

/* One letter a cause, in the order of the list in verdict.h. */
enum { KERNEL = 1, OUTPUT = 2, CANCEL = 4, DRAIN = 8, EXPIRE = 16, UNSUPPORTED = 32 };

#define XFSZ (-2) /* an exit_code */

struct row {
    const char *name;
    unsigned causes;
    int rc;        /* -1: no end of its own */
    int exit_code; /* -1: SIGKILL, XFSZ: SIGXFSZ */
    const char *result_error;
    enum job_state want;
    const char *violation;
    const char *message;
};

#define LAUNCHER_GONE "sandbox launcher restarted"
#define STOPPED "the executor was stopped"
#define NO_TIER "no sandbox of this isolation tier can be made here"

static const struct row rows[] = {
    { "exit 0", 0, 0, 0, "", JOB_SUCCEEDED, NULL, "" },
    { "exit 1", 0, 0, 1, "", JOB_FAILED, NULL, "" },
    { "exit 255", 0, 0, 255, "", JOB_FAILED, NULL, "" },
    { "a signal", 0, 0, -1, "", JOB_FAILED, NULL, "" },
    { "a result that is none", 0, 0, 0, "result is not JSON", JOB_FAILED, NULL, "result is not JSON" },
    { "exit 1 and a result that is none", 0, 0, 1, "result is not JSON", JOB_FAILED, NULL, "" },
    { "refused by the agent", 0, RUNTIME_E_REFUSED, 0, "", JOB_FAILED, NULL, "no such runtime" },
    { "launcher gone", 0, RUNTIME_E_UNAVAILABLE, 0, "", JOB_LOST, NULL, LAUNCHER_GONE },
    { "agent broke off", 0, RUNTIME_E_AGENT, 0, "", JOB_LOST, NULL, "the sandbox gave no valid answer" },
    { "sandbox died", 0, RUNTIME_E_ENDED, 0, "", JOB_LOST, NULL, "the sandbox ended before the program did" },
    { "no answer at all", 0, -1, 0, "", JOB_LOST, NULL, "the sandbox gave no answer" },
    { "cancelled", CANCEL, -1, 0, "", JOB_CANCELLED, NULL, "" },
    { "drained", DRAIN, -1, 0, "", JOB_LOST, NULL, STOPPED },
    { "expired", EXPIRE, -1, 0, "", JOB_TIMED_OUT, NULL, "the job waited longer than the queue allows" },
    { "no such tier", UNSUPPORTED, -1, 0, "", JOB_LOST, NULL, NO_TIER },
    { "no such tier and cancelled", UNSUPPORTED | CANCEL, -1, 0, "", JOB_CANCELLED, NULL, "" },
    { "no such tier and drained", UNSUPPORTED | DRAIN, -1, 0, "", JOB_LOST, NULL, STOPPED },
    { "output", OUTPUT, -1, 0, "", JOB_LIMIT_EXCEEDED, "output", "" },
    { "output, sandbox ended for it", OUTPUT, RUNTIME_E_ENDED, 0, "", JOB_LIMIT_EXCEEDED, "output", "" },
    { "output and exit 0", OUTPUT, 0, 0, "", JOB_LIMIT_EXCEEDED, "output", "" },
    { "kernel", KERNEL, RUNTIME_E_ENDED, 0, "", JOB_LIMIT_EXCEEDED, "memory", "" },
    { "kernel and exit 0", KERNEL, 0, 0, "", JOB_LIMIT_EXCEEDED, "memory", "" },
    { "kernel and exit 1", KERNEL, 0, 1, "", JOB_LIMIT_EXCEEDED, "memory", "" },
    { "kernel and a signal", KERNEL, 0, -1, "", JOB_LIMIT_EXCEEDED, "memory", "" },
    { "kernel and agent broke off", KERNEL, RUNTIME_E_AGENT, 0, "", JOB_LIMIT_EXCEEDED, "memory", "" },
    { "kernel and refused", KERNEL, RUNTIME_E_REFUSED, 0, "", JOB_LIMIT_EXCEEDED, "memory", "" },
    { "kernel and output", KERNEL | OUTPUT, RUNTIME_E_ENDED, 0, "", JOB_LIMIT_EXCEEDED, "memory", "" },
    { "kernel and cancel", KERNEL | CANCEL, RUNTIME_E_ENDED, 0, "", JOB_LIMIT_EXCEEDED, "memory", "" },
    { "kernel and drain", KERNEL | DRAIN, RUNTIME_E_ENDED, 0, "", JOB_LIMIT_EXCEEDED, "memory", "" },
    { "output and cancel", OUTPUT | CANCEL, -1, 0, "", JOB_LIMIT_EXCEEDED, "output", "" },
    { "output and drain", OUTPUT | DRAIN, -1, 0, "", JOB_LIMIT_EXCEEDED, "output", "" },
    { "cancel and drain", CANCEL | DRAIN, -1, 0, "", JOB_CANCELLED, NULL, "" },
    { "cancel and expire", CANCEL | EXPIRE, -1, 0, "", JOB_CANCELLED, NULL, "" },
    { "cancel and launcher gone", CANCEL, RUNTIME_E_UNAVAILABLE, 0, "", JOB_CANCELLED, NULL, "" },
    { "cancel and exit 0", CANCEL, 0, 0, "", JOB_CANCELLED, NULL, "" },
    { "drain and expire", DRAIN | EXPIRE, -1, 0, "", JOB_LOST, NULL, STOPPED },
    { "drain and exit 0", DRAIN, 0, 0, "", JOB_LOST, NULL, STOPPED },
    { "a file larger than the disk", 0, 0, XFSZ, "", JOB_LIMIT_EXCEEDED, "disk", "" },
    { "a file larger than the disk, and a result that is none", 0, 0, XFSZ, "x", JOB_LIMIT_EXCEEDED, "disk",
      "" },
    { "its signal in an answer that is none", 0, RUNTIME_E_AGENT, XFSZ, "", JOB_LOST, NULL,
      "the sandbox gave no valid answer" },
    { "a file too large, and kernel", KERNEL, 0, XFSZ, "", JOB_LIMIT_EXCEEDED, "memory", "" },
    { "a file too large, and output", OUTPUT, 0, XFSZ, "", JOB_LIMIT_EXCEEDED, "output", "" },
    { "a file too large, and cancel", CANCEL, 0, XFSZ, "", JOB_CANCELLED, NULL, "" },
    { "a file too large, and drain", DRAIN, 0, XFSZ, "", JOB_LOST, NULL, STOPPED },
    { "everything", KERNEL | OUTPUT | CANCEL | DRAIN | EXPIRE, 0, 0, "x", JOB_LIMIT_EXCEEDED, "memory", "" },
};

static void
fill_outcome(struct runtime_outcome *outcome, const struct row *row)
{
    *outcome = (struct runtime_outcome){ .exited = row->exit_code >= 0, .exit_code = row->exit_code };
    if (row->exit_code < 0) {
        memcpy(outcome->signal, row->exit_code == XFSZ ? "SIGXFSZ" : "SIGKILL", 8);
    }
    (void)snprintf(outcome->result_error, sizeof(outcome->result_error), "%s", row->result_error);
    (void)snprintf(outcome->message, sizeof(outcome->message), "no such runtime");
    outcome->report = (struct runtime_report){
        .has_verdict = (row->causes & KERNEL) != 0,
        .verdict = SBX_LIMIT_MEMORY,
        .verdict_limit = 64,
        .verdict_observed = 65,
    };
}

static void
test_row(const struct row *row)
{
    struct runtime_outcome outcome;
    struct verdict verdict;
    const struct verdict_input input = {
        .limits = &limits,
        .rc = row->rc < 0 ? 0 : row->rc,
        .outcome = row->rc < 0 ? NULL : &outcome,
        .output_bytes = 1234,
        .output_exceeded = (row->causes & OUTPUT) != 0,
        .cancelled = (row->causes & CANCEL) != 0,
        .drained = (row->causes & DRAIN) != 0,
        .expired = (row->causes & EXPIRE) != 0,
        .unsupported = (row->causes & UNSUPPORTED) != 0,
    };

    fill_outcome(&outcome, row);
    verdict_decide(&verdict, &input);
    is_str(job_state_status(verdict.state), job_state_status(row->want), "%s", row->name);
    is_str(verdict.has_violation ? sbx_limit_verdict(verdict.violated) : NULL, row->violation,
           "%s: violation", row->name);
    is_str(verdict.message, row->message, "%s: message", row->name);
    ok(job_state_final(verdict.state), "%s: final", row->name);
    ok(verdict.has_exit_code == (row->rc == 0 && row->exit_code >= 0),
       "%s: exit code only of a program that ended", row->name);
}

static void
test_values(void)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(1024);
    struct runtime_outcome outcome = { .exited = true };
    struct verdict verdict;
    struct verdict_input input = { .limits = &limits, .output_bytes = 1234, .output_exceeded = true };
    struct sbx_jsonw w;

    verdict_decide(&verdict, &input);
    ok(verdict.limit == 1000 && verdict.observed == 1234, "output: the limit and what was seen");
    sbx_jsonw_init(&w, &out);
    violation_write(&w, NULL, &verdict);
    is_str(out.data,
           "{\"rule\":\"limits.output\",\"name\":\"output\",\"limit\":1000,\"observed\":1234,"
           "\"hint\":\"print less, or write to a file and declare it in artifacts\"}",
           "as it is told");
    outcome.report = (struct runtime_report){
        .has_verdict = true, .verdict = SBX_LIMIT_CPU, .verdict_limit = 7, .verdict_observed = 8
    };
    input.outcome = &outcome;
    verdict_decide(&verdict, &input);
    sbx_buf_reset(&out);
    sbx_jsonw_init(&w, &out);
    violation_write(&w, NULL, &verdict);
    ok(strstr(out.data, "\"rule\":\"limits.cpu_time\",\"name\":\"cpu\",\"limit\":7,\"observed\":8") != NULL,
       "cpu time");
    outcome = (struct runtime_outcome){ .signal = "SIGKILL", .crowded = true };
    input = (struct verdict_input){ .limits = &limits, .outcome = &outcome };
    verdict_decide(&verdict, &input);
    is_str(job_state_status(verdict.state), "limit_exceeded", "killed within gVisor for its processes");
    is_str(sbx_limit_verdict(verdict.violated), "processes", "that limit");
    ok(verdict.limit == limits.value[SBX_LIMIT_PROCESSES] && verdict.observed == verdict.limit + 1,
       "and one more");
    outcome = (struct runtime_outcome){ .exited = true, .exit_code = 3, .crowded = true };
    verdict_decide(&verdict, &input);
    is_str(job_state_status(verdict.state), "limit_exceeded", "also one that ended by itself just then");
    outcome.exit_code = 0;
    verdict_decide(&verdict, &input);
    is_str(job_state_status(verdict.state), "succeeded", "the agent's word spoils no success");
    outcome.exit_code = 3;
    input.cancelled = true;
    verdict_decide(&verdict, &input);
    is_str(job_state_status(verdict.state), "cancelled", "nor anything that stands above it");
    input = (struct verdict_input){ .limits = &limits, .outcome = &outcome, .rc = RUNTIME_E_AGENT };
    verdict_decide(&verdict, &input);
    is_str(job_state_status(verdict.state), "lost", "and counts in a valid answer only");
    outcome.report = (struct runtime_report){
        .has_verdict = true, .verdict = SBX_LIMIT_MEMORY, .verdict_limit = 1, .verdict_observed = 2
    };
    input = (struct verdict_input){ .limits = &limits, .outcome = &outcome };
    verdict_decide(&verdict, &input);
    is_str(sbx_limit_verdict(verdict.violated), "memory", "the kernel's word is first");
    outcome = (struct runtime_outcome){ .signal = "SIGXFSZ" };
    input = (struct verdict_input){ .limits = &limits, .outcome = &outcome };
    verdict_decide(&verdict, &input);
    ok(verdict.limit == 65536 && verdict.observed == 65537,
       "a file larger than the disk: more than the limit");
    is_str(verdict.signal, "SIGXFSZ", "the signal is told, too");
    ok(!verdict.in_files, "it is bytes");
    outcome.report = (struct runtime_report){
        .has_verdict = true,
        .verdict = SBX_LIMIT_DISK,
        .verdict_limit = 10,
        .verdict_observed = 10,
        .verdict_files = true,
    };
    verdict_decide(&verdict, &input);
    sbx_buf_reset(&out);
    sbx_jsonw_init(&w, &out);
    violation_write(&w, NULL, &verdict);
    is_str(out.data,
           "{\"rule\":\"limits.disk\",\"name\":\"disk\",\"limit\":10,\"observed\":10,"
           "\"hint\":\"keep fewer files and directories: limit and observed count them\"}",
           "too many files");
}

/*
 * Every set of things that are true at once, with every end of the run: the answer is that of the first of
 * them in the list, whatever else is true. Said here once more, as a list and not as code.
 */
enum cause { C_KERNEL, C_OUTPUT, C_CANCEL, C_DRAIN, C_EXPIRE, C_UNSUPPORTED, N_CAUSES };

static const struct {
    enum job_state state;
    const char *violation;
} cause_wants[N_CAUSES] = {
    [C_KERNEL] = { JOB_LIMIT_EXCEEDED, "memory" }, [C_OUTPUT] = { JOB_LIMIT_EXCEEDED, "output" },
    [C_CANCEL] = { JOB_CANCELLED, NULL },          [C_DRAIN] = { JOB_LOST, NULL },
    [C_EXPIRE] = { JOB_TIMED_OUT, NULL },          [C_UNSUPPORTED] = { JOB_LOST, NULL },
};

static const struct end {
    int rc; /* -1: none of its own */
    int exit_code;
    const char *result_error;
    bool host_oom;
    enum job_state state;
    const char *violation;
} ends[] = {
    { -1, 0, "", false, JOB_LOST, NULL },
    { 0, 0, "", false, JOB_SUCCEEDED, NULL },
    { 0, 0, "", true, JOB_SUCCEEDED, NULL }, /* what the host killed was not needed */
    { 0, 0, "x", false, JOB_FAILED, NULL },
    { 0, 1, "", false, JOB_FAILED, NULL },
    { 0, 1, "", true, JOB_LOST, NULL },
    { 0, -1, "", false, JOB_FAILED, NULL },
    { 0, -1, "", true, JOB_LOST, NULL },
    { 0, XFSZ, "", false, JOB_LIMIT_EXCEEDED, "disk" },
    { RUNTIME_E_REFUSED, 0, "", false, JOB_FAILED, NULL },
    { RUNTIME_E_UNAVAILABLE, 0, "", false, JOB_LOST, NULL },
    { RUNTIME_E_AGENT, 0, "", false, JOB_LOST, NULL },
    { RUNTIME_E_AGENT, 0, "", true, JOB_LOST, NULL },
    { RUNTIME_E_AGENT, XFSZ, "", false, JOB_LOST, NULL },
    { RUNTIME_E_ENDED, 0, "", false, JOB_LOST, NULL },
    { RUNTIME_E_ENDED, 0, "", true, JOB_LOST, NULL },
};

static bool
verdict_is(const struct verdict *verdict, enum job_state state, const char *violation)
{
    const char *name = verdict->has_violation ? sbx_limit_verdict(verdict->violated) : NULL;

    return verdict->state == state && (name == NULL) == (violation == NULL) &&
           (name == NULL || (strcmp(name, violation) == 0 && verdict->observed >= verdict->limit));
}

static bool
combination_is_right(unsigned causes, const struct end *end)
{
    const struct row row = { .causes = (causes & 1u << C_KERNEL) != 0 ? KERNEL : 0,
                             .exit_code = end->exit_code,
                             .result_error = end->result_error };
    struct runtime_outcome outcome;
    struct verdict verdict;
    struct verdict_input input = {
        .limits = &limits,
        .rc = end->rc < 0 ? 0 : end->rc,
        .outcome = end->rc < 0 ? NULL : &outcome,
        .output_bytes = 1234,
        .output_exceeded = (causes & 1u << C_OUTPUT) != 0,
        .cancelled = (causes & 1u << C_CANCEL) != 0,
        .drained = (causes & 1u << C_DRAIN) != 0,
        .expired = (causes & 1u << C_EXPIRE) != 0,
        .unsupported = (causes & 1u << C_UNSUPPORTED) != 0,
    };

    fill_outcome(&outcome, &row);
    outcome.report.host_oom = end->host_oom;
    verdict_decide(&verdict, &input);
    for (unsigned i = 0; i < N_CAUSES; i++) {
        /* The kernel's word comes with an end of the run. */
        if ((causes & 1u << i) != 0 && (i != C_KERNEL || end->rc >= 0)) {
            return verdict_is(&verdict, cause_wants[i].state, cause_wants[i].violation);
        }
    }
    return verdict_is(&verdict, end->state, end->violation);
}

static void
test_combinations(void)
{
    for (size_t e = 0; e < SBX_COUNT(ends); e++) {
        unsigned wrong = 0;

        for (unsigned causes = 0; causes < 1u << N_CAUSES; causes++) {
            wrong += !combination_is_right(causes, &ends[e]);
        }
        is_uint(wrong, 0, "end %zu (rc %d, exit %d): all %u sets of causes", e, ends[e].rc, ends[e].exit_code,
                1u << N_CAUSES);
    }
}

static void
test_states(void)
{
    static const char *const path[] = { "queued", "running", "running", "running" };
    enum job_state state;

    for (unsigned i = 0; i < 4; i++) {
        is_str(job_state_status((enum job_state)i), path[i], "public name");
        ok(!job_state_final((enum job_state)i), "not final");
    }
    for (unsigned from = JOB_SUCCEEDED; from < JOB_N_STATES; from++) {
        for (unsigned to = 0; to < JOB_N_STATES; to++) {
            if (job_state_follows((enum job_state)from, (enum job_state)to)) {
                fail("nothing follows %s", job_state_status((enum job_state)from));
            }
        }
    }
    pass("nothing follows a final state");
    ok(job_state_follows(JOB_STARTING, JOB_QUEUED), "a start may go back");
    ok(!job_state_follows(JOB_RUNNING, JOB_QUEUED), "a run may not");
    ok(!job_state_follows(JOB_RUNNING, JOB_SUCCEEDED), "no end but through finishing");
    ok(!job_state_follows(JOB_QUEUED, JOB_RUNNING), "no run without a start");
    ok(job_state_parse("running", &state) && state == JOB_RUNNING, "running is a name");
    ok(!job_state_parse("finishing", &state) && !job_state_parse("", &state) &&
           !job_state_parse("LOST", &state),
       "others are not");
}

int
main(void)
{
    for (size_t i = 0; i < SBX_COUNT(rows); i++) {
        test_row(&rows[i]);
    }
    test_combinations();
    test_values();
    test_states();
    return done_testing();
}
