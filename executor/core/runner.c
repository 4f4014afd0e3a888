/*
 *   runner_start -> run_on_taken -> run_on_adopted -> run_on_done -> run_on_collected -> run_end
 *
 * runner_stop cuts in anywhere: it destroys the sandbox first and ends the run
 * when that is confirmed or a second has passed. While files are collected, when
 * nothing of the tenant's runs any more, it only cuts that short.
 */
#include "executor/core/runner.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/collect.h"
#include "executor/core/job_feed.h"
#include "executor/log.h"
#include "lib/sbx_time.h"

#define RUN_ASK_MS 300       /* what a run used is asked for before it is stopped, so long */
#define RUN_STOP_MS 1000     /* a stopped run is answered after this at the latest */
#define RUN_OVERDUE_MS 20000 /* past the wall limit: the runtime's own deadlines come first */
#define RUN_OUTPUT_GRACE_MS 500
#define RUN_LEAVE_MS 2 /* the answer's way to the client, before the sandbox's end takes the processors */
#define RUN_JSON_MAX 4096

enum run_timer {
    RUN_TIMER_NONE,
    RUN_TIMER_OVERDUE,
    RUN_TIMER_OUTPUT,
    RUN_TIMER_ASKING,
    RUN_TIMER_STOPPING,
    RUN_TIMER_LEAVING,
};

struct run {
    struct runner *runner;
    struct job *job; /* NULL once released */
    struct pool_take *take;
    enum sbx_isolation isolation;
    struct sandbox *sandbox; /* NULL once its destruction was asked for */
    struct timer *timer;
    enum run_timer timer_for;
    struct collect *collect;
    struct runtime_run what;
    struct job_spec *spec; /* the job's, when it left while the runtime may still borrow from it */
    struct verdict_input input;
    bool asking;     /* the kernel for its numbers */
    bool ended;      /* the runner's part is told */
    bool destroying; /* the runtime's callback is still to come */
};

struct runner {
    struct runner_spec spec;
    struct runner_pool pools[RUNNER_MAX_POOLS];
    unsigned busy;
    unsigned waiting[SBX_N_ISOLATIONS]; /* runs with a take */
};

static void run_on_taken(void *arg, int rc, struct sandbox *sandbox);
static void run_on_adopted(void *arg, int rc);
static void run_on_timer(void *arg);
static void run_on_destroyed(void *arg, int rc);
static void run_on_collected(void *arg);

int
runner_new(struct runner **ret, const struct runner_spec *spec)
{
    struct runner *runner;

    if (spec->n_pools > RUNNER_MAX_POOLS) {
        return -EINVAL;
    }
    runner = calloc(1, sizeof(*runner));
    if (runner == NULL) {
        return -ENOMEM;
    }
    runner->spec = *spec;
    memcpy(runner->pools, spec->pools, spec->n_pools * sizeof(*spec->pools));
    *ret = runner;
    return 0;
}

struct runner *
runner_free(struct runner *runner)
{
    if (runner != NULL) {
        assert(runner->busy == 0);
        free(runner);
    }
    return NULL;
}

unsigned
runner_busy(const struct runner *runner)
{
    return runner->busy;
}

unsigned
runner_waiting(const struct runner *runner, enum sbx_isolation isolation)
{
    return runner->waiting[isolation];
}

static struct pool *
runner_pool(const struct runner *runner, const char *template_name, enum sbx_isolation isolation)
{
    for (unsigned i = 0; i < runner->spec.n_pools; i++) {
        const struct runner_pool *pool = &runner->pools[i];

        if (pool->isolation == isolation && strcmp(pool->template_name, template_name) == 0) {
            return pool->pool;
        }
    }
    return NULL;
}

enum sbx_isolation
runner_template_tier(const struct runner *runner, const char *template_name)
{
    for (unsigned i = 0; i < runner->spec.n_pools; i++) {
        if (runner->pools[i].own && strcmp(runner->pools[i].template_name, template_name) == 0) {
            return runner->pools[i].isolation;
        }
    }
    return SBX_ISOLATION_NONE;
}

bool
runner_offers(const struct runner *runner, const char *template_name, enum sbx_isolation isolation)
{
    const struct pool *pool = runner_pool(runner, template_name, isolation);
    struct pool_stats stats;

    if (pool == NULL) {
        return false;
    }
    pool_stats(pool, &stats);
    return !stats.unsupported;
}

static void
run_free_if_done(struct run *run)
{
    struct runner *runner = run->runner;

    if (run->job != NULL || run->destroying) {
        return;
    }
    assert(run->sandbox == NULL && run->take == NULL && run->collect == NULL);
    timer_free(run->timer);
    job_spec_free(run->spec);
    runner->busy--;
    free(run);
    runner->spec.on_room(runner->spec.arg);
}

static void
run_arm(struct run *run, enum run_timer what, uint64_t ms)
{
    run->timer_for = what;
    timer_start(run->timer, ms);
}

static void
run_disarm(struct run *run)
{
    run->timer_for = RUN_TIMER_NONE;
    if (run->timer != NULL) {
        timer_stop(run->timer);
    }
}

static void
run_take_over(struct run *run)
{
    run->take = NULL;
    run->runner->waiting[run->isolation]--;
}

static void
run_destroy_sandbox(struct run *run)
{
    struct sandbox *sandbox = steal(&run->sandbox);

    run->collect = collect_cancel(run->collect);
    if (run->take != NULL) {
        pool_take_cancel(run->take);
        run_take_over(run);
    }
    if (sandbox == NULL) {
        return;
    }
    run->destroying = true;
    sandbox->ops->destroy(sandbox, run_on_destroyed, run);
}

static struct run *
run_detach(struct run *run)
{
    run->job->run = NULL;
    run->job = NULL;
    return run;
}

/* The job is gone already. */
static void
run_leave(struct run *run)
{
    run_destroy_sandbox(run);
    run_free_if_done(run);
}

/* Nothing of the tenant's ran: the job goes back and may have another sandbox. */
static void
run_give_up(struct run *run)
{
    struct runner *runner = run->runner;
    struct job *job = run->job;

    run_disarm(run);
    run_destroy_sandbox(run);
    run_free_if_done(run_detach(run));
    runner->spec.on_unavailable(runner->spec.arg, job);
}

/* The kernel's numbers only grow: what was heard before stays when less comes, as of a sandbox that is gone. */
static void
job_used_take(struct job *job, const struct runtime_report *report)
{
    if (report->cpu_ms < job->used.cpu_ms) {
        return;
    }
    job->used = (struct job_used){
        .cpu_ms = report->cpu_ms,
        .wall_ms = report->wall_ms,
        .cpu_throttled_ms = report->cpu_throttled_ms,
        .peak_memory_bytes = report->peak_memory_bytes,
    };
    budget_use_live(&job->budget, job->used.cpu_ms);
}

static void
run_take_usage(struct run *run)
{
    const struct runtime_report *report = run->input.outcome == NULL ? NULL : &run->input.outcome->report;
    struct job *job = run->job;

    if (report != NULL) {
        job_used_take(job, report);
    }
    if (report == NULL || report->wall_ms == 0) {
        job->used.wall_ms = job->running_ms == 0 ? 0 : sbx_now_mono_ms() - job->running_ms;
    }
}

static void
run_write_usage(struct sbx_buf *out, const struct job_used *used)
{
    struct sbx_jsonw_canonical canonical; /* it becomes part of an audit event */
    struct sbx_jsonw w;

    sbx_jsonw_init_canonical(&w, out, &canonical);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_uint(&w, "wall_ms", used->wall_ms);
    sbx_jsonw_uint(&w, "cpu_ms", used->cpu_ms);
    sbx_jsonw_uint(&w, "cpu_throttled_ms", used->cpu_throttled_ms);
    sbx_jsonw_uint(&w, "peak_memory_bytes", used->peak_memory_bytes);
    sbx_jsonw_object_end(&w);
}

static char *
violation_text(const struct verdict *verdict)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(RUN_JSON_MAX);
    struct sbx_jsonw w;

    if (!verdict->has_violation) {
        return NULL;
    }
    sbx_jsonw_init(&w, &out);
    violation_write(&w, NULL, verdict);
    return sbx_buf_take(&out, NULL);
}

static void
record_digests(struct job *job)
{
    uint8_t digest[SBX_SHA256_LEN];

    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        if (job->digest[i] != NULL && sbx_sha256_final(job->digest[i], digest) == 0) {
            sbx_hex(job->record.stream[i].sha256, digest, sizeof(digest));
        }
    }
}

/* Fills verdict and record. Everything left out for want of memory is left out visibly: NULL members. */
static void
job_conclude(struct job *job, const struct verdict_input *input)
{
    struct job_record *record = &job->record;
    const struct runtime_outcome *outcome = input->outcome;

    verdict_decide(&job->verdict, input);
    record->finished_ms = sbx_now_unix_ms();
    record->has_exit_code = job->verdict.has_exit_code;
    record->exit_code = job->verdict.exit_code;
    memcpy(record->signal, job->verdict.signal, sizeof(record->signal));
    memcpy(record->message, job->verdict.message, sizeof(record->message));
    record->violation_json = violation_text(&job->verdict);
    if (job->verdict.state == JOB_DENIED && job->denial != NULL) {
        record->violation_json = steal(&job->denial->violation_json);
        memcpy(record->message, job->denial->message, sizeof(record->message));
    }
    if (outcome != NULL && input->rc == 0 && outcome->result_json != NULL) {
        record->result_json = strndup(outcome->result_json, outcome->result_len);
    }
    if (outcome != NULL && outcome->skipped_json != NULL && record->skipped_json == NULL) {
        record->skipped_json = strdup(outcome->skipped_json);
    }
    if (job_output_render(job) != 0) {
        record->truncated = true;
    }
    record_digests(job);
    job->ended = true;
}

static void
run_end(struct run *run)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf usage = SBX_BUF_INIT(RUN_JSON_MAX);
    struct runner *runner = run->runner;
    struct job *job = run->job;

    run->ended = true;
    run_disarm(run);
    run->input.output_bytes = job->capture[JOB_STDOUT].total + job->capture[JOB_STDERR].total;
    run_take_usage(run);
    run_write_usage(&usage, &job->used);
    job->record.usage_json = sbx_buf_take(&usage, NULL);
    job_conclude(job, &run->input);
    runner->spec.on_ended(runner->spec.arg, job);
}

void
runner_start(struct runner *runner, struct job *job)
{
    struct pool *pool = runner_pool(runner, job->spec->template_name, job->record.isolation);
    struct pool_wish wish = { .language = job->spec->language, .others = queue_running_beside(&job->item) };
    struct run *run;

    assert(pool != NULL && job->record.state == JOB_STARTING);
    run = calloc(1, sizeof(*run));
    if (run == NULL) {
        runner->spec.on_unavailable(runner->spec.arg, job);
        return;
    }
    run->runner = runner;
    run->job = job;
    run->isolation = job->record.isolation;
    run->input.limits = &job->limits;
    job->run = run;
    job->attempts++;
    runner->busy++;
    if (timer_new(&run->timer, runner->spec.timers, run_on_timer, run) != 0 ||
        pool_take(pool, &wish, &run->take, run_on_taken, run) != 0) {
        run_give_up(run);
        return;
    }
    runner->waiting[run->isolation]++;
}

static void
run_on_taken(void *arg, int rc, struct sandbox *sandbox)
{
    struct run *run = arg;

    run_take_over(run);
    run->runner->spec.on_room(run->runner->spec.arg);
    if (rc == RUNTIME_E_UNSUPPORTED) {
        run->input.unsupported = true;
        job_set_state(run->job, JOB_FINISHING);
        run_end(run);
        return;
    }
    if (rc) {
        run_give_up(run);
        return;
    }
    run->sandbox = sandbox;
    if (sandbox->ops->adopt(sandbox, &run->job->limits, run->job->share, run_on_adopted, run) != 0) {
        run_give_up(run);
    }
}

static void
run_fill(struct run *run)
{
    const struct job *job = run->job;
    const struct job_spec *spec = job->spec;

    run->what = (struct runtime_run){
        .id = job->record.id.text,
        .language = spec->language,
        .code = spec->code,
        .code_len = spec->code_len,
        .args = spec->args,
        .n_args = spec->n_args,
        .env = spec->env,
        .n_env = spec->n_env,
        .files = spec->files,
        .n_files = spec->n_files,
        .stdin_data = spec->stdin_data,
        .stdin_len = spec->stdin_len,
        .event_json = spec->event_json,
        .event_len = spec->event_len,
        .artifacts = spec->artifacts,
        .n_artifacts = spec->n_artifacts,
        .max_artifacts = job->max_artifacts,
        .max_artifact_bytes = job->max_artifact_bytes,
        .limits = job->limits,
    };
}

/* Returning false ends the run for its output; the runtime then reports once more or the timer gives up on it. */
static bool
run_on_output(void *arg, int fd, const char *data, size_t len)
{
    struct run *run = arg;
    uint64_t total = job_output_add(run->job, fd == 1 ? JOB_STDOUT : JOB_STDERR, data, len);

    if (total <= run->job->limits.value[SBX_LIMIT_OUTPUT]) {
        return true;
    }
    run->input.output_exceeded = true;
    run_arm(run, RUN_TIMER_OUTPUT, RUN_OUTPUT_GRACE_MS);
    return false;
}

static void
run_on_done(void *arg, int rc, const struct runtime_outcome *outcome)
{
    struct run *run = arg;
    const struct collect_spec spec = {
        .sandbox = run->sandbox,
        .blobs = run->runner->spec.blobs,
        .artifacts = run->runner->spec.artifacts,
        .timers = run->runner->spec.timers,
        .job = run->job,
        .outcome = outcome,
    };

    run_disarm(run);
    job_set_state(run->job, JOB_FINISHING);
    run->input.rc = rc;
    run->input.outcome = outcome;
    if (rc != 0 || outcome->report.has_verdict || run->input.output_exceeded || outcome->n_artifacts == 0) {
        run_end(run);
        return;
    }
    if (collect_start(&run->collect, &spec, run_on_collected, run) != 0) {
        run_end(run);
    }
}

static void
run_on_collected(void *arg)
{
    run_end(arg);
}

static void
run_on_adopted(void *arg, int rc)
{
    static const struct runtime_events events = { .on_output = run_on_output, .on_done = run_on_done };
    struct run *run = arg;
    struct job *job = run->job;

    if (rc) {
        run_give_up(run);
        return;
    }
    run_fill(run);
    if (run->sandbox->ops->run(run->sandbox, &run->what, &events, run) != 0) {
        run_give_up(run);
        return;
    }
    job->running_ms = sbx_now_mono_ms();
    job->record.started_ms = sbx_now_unix_ms();
    job_set_state(job, JOB_RUNNING);
    job_feed_start(job->feed, &job->record);
    run->runner->spec.on_started(run->runner->spec.arg, job);
    run_arm(run, RUN_TIMER_OVERDUE, job->limits.value[SBX_LIMIT_TIME] + RUN_OVERDUE_MS);
}

static void
run_stop(struct run *run)
{
    if (run->job->record.state != JOB_FINISHING) {
        job_set_state(run->job, JOB_FINISHING);
    }
    run->input.outcome = NULL; /* dies with the sandbox */
    run_destroy_sandbox(run);
    run_arm(run, RUN_TIMER_STOPPING, run->destroying ? RUN_STOP_MS : 0);
}

/* Its callback goes with the sandbox. */
static void
run_on_asked(void *arg, int rc, const struct runtime_report *report)
{
    struct run *run = arg;

    run->asking = false;
    if (rc == 0 && run->job != NULL && !run->ended) {
        job_used_take(run->job, report);
    }
    if (run->timer_for == RUN_TIMER_ASKING) {
        run_stop(run);
    }
}

/* False: nobody can be asked. */
static bool
run_ask(struct run *run)
{
    struct sandbox *sandbox = run->sandbox;

    if (!run->asking && sandbox != NULL && sandbox->ops->stat != NULL &&
        run->job->record.state == JOB_RUNNING) {
        run->asking = sandbox->ops->stat(sandbox, run_on_asked, run) == 0;
    }
    return run->asking;
}

void
runner_measure(struct job *job)
{
    if (job->run != NULL) {
        (void)run_ask(job->run); /* later then */
    }
}

static void
run_on_timer(void *arg)
{
    struct run *run = arg;
    enum run_timer what = run->timer_for;

    run->timer_for = RUN_TIMER_NONE;
    switch (what) {
    case RUN_TIMER_OVERDUE:
        log_error("run.overdue", LOG_STR("job", run->job->record.id.text));
        run_stop(run);
        break;
    case RUN_TIMER_OUTPUT:
    case RUN_TIMER_ASKING:
        run_stop(run);
        break;
    case RUN_TIMER_STOPPING:
        if (run->destroying) {
            log_warn("run.destroy_slow", LOG_STR("job", run->job->record.id.text));
        }
        run_end(run);
        break;
    case RUN_TIMER_LEAVING:
        run_leave(run);
        break;
    case RUN_TIMER_NONE:
        break;
    }
}

static void
run_on_destroyed(void *arg, int rc _unused_)
{
    struct run *run = arg;

    run->destroying = false;
    if (run->timer_for == RUN_TIMER_STOPPING) {
        run_end(run); /* may release the run */
        return;
    }
    run_free_if_done(run);
}

static void
run_set_why(struct run *run, enum runner_stop why)
{
    run->input.denied = run->input.denied || why == RUNNER_DENY;
    run->input.cancelled = run->input.cancelled || why == RUNNER_CANCEL;
    run->input.drained = run->input.drained || why == RUNNER_DRAIN;
    run->input.expired = run->input.expired || why == RUNNER_EXPIRE;
}

void
runner_stop(struct runner *runner _unused_, struct job *job, enum runner_stop why)
{
    struct run *run = job->run;

    if (run == NULL || run->ended || run->timer_for == RUN_TIMER_STOPPING) {
        return;
    }
    run_set_why(run, why);
    if (run->timer_for == RUN_TIMER_ASKING) {
        return;
    }
    if (run->collect != NULL) {
        collect_stop(run->collect, "the job was stopped");
    } else if (run_ask(run)) {
        run_arm(run, RUN_TIMER_ASKING, RUN_ASK_MS); /* what it used dies with it */
    } else {
        run_stop(run);
    }
}

void
runner_release(struct runner *runner _unused_, struct job *job)
{
    struct run *run = job->run;

    if (run == NULL) {
        return;
    }
    run_disarm(run);
    if (run->sandbox != NULL || run->destroying) {
        run->spec = steal(&job->spec);
    }
    (void)run_detach(run);
    if (run->sandbox != NULL && run->ended) {
        collect_settle(run->collect);                  /* who was answered may ask for that room at once */
        run_arm(run, RUN_TIMER_LEAVING, RUN_LEAVE_MS); /* nothing of the tenant's runs any more */
    } else {
        run_leave(run);
    }
}

void
runner_decide_unstarted(struct job *job, enum runner_stop why)
{
    const struct verdict_input input = {
        .limits = &job->limits,
        .denied = why == RUNNER_DENY,
        .cancelled = why == RUNNER_CANCEL,
        .drained = why == RUNNER_DRAIN,
        .expired = why == RUNNER_EXPIRE,
    };

    job_set_state(job, JOB_FINISHING);
    job_conclude(job, &input);
}
