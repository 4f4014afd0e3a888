#include "session-agent/step.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/sbx_capture.h"
#include "lib/sbx_crypto.h"
#include "lib/sbx_time.h"
#include "lib/sbx_wall.h"
#include "session-agent/census.h"
#include "session-agent/environ.h"
#include "session-agent/last_word.h"
#include "session-agent/payload.h"
#include "session-agent/report.h"
#include "session-agent/slot.h"

#define EVENT_FILE "event.json"
#define RESULT_FILE "result.json"
/* With every writer dead the pipes end by themselves; this is for what should not happen. */
#define OUTPUT_END_MS 2000
#define CENSUS_MS 20
/* Let through beyond the limit: so many that the control group, which counts refusals, is reached first; where none
 * does, the one that the census sees. */
#define SPARE_BEHIND_CGROUP 64
#define SPARE_FOR_CENSUS 1

enum { PIPE_IN, PIPE_OUT, PIPE_ERR, N_PIPES };

struct step {
    const struct step_host *host;
    struct session *session;
    struct step_request request;
    struct runtime_entry runtime;
    struct payload payload;
    struct last_word word;
    uint64_t started_ns, ended_ns;
    int wait_status;
    bool timed_out;
    bool is_killed;  /* so its last word is no more worth anything */
    bool is_crowded; /* more processes than allowed were seen */
    bool swept;

    uv_timer_t timer; /* the deadline, then the end of the output */
    uv_timer_t census;
    uv_pipe_t pipes[N_PIPES];
    bool pipe_open[N_PIPES];
    unsigned n_handles;
    uv_write_t write;
    struct sbx_buf stdin_bytes;
    struct sbx_capture output[2];

    void (*on_done)(void *arg, const struct step_outcome *outcome);
    void *on_done_arg;
    struct sbx_buf report;
    char failure[128];
    char read_buf[65536]; /* the last: it is not cleared, and inside of a sandbox never touched */
};

static void step_settle(struct step *step);

struct step *
step_free(struct step *step)
{
    if (step != NULL) {
        sbx_capture_deinit(&step->output[0]);
        sbx_capture_deinit(&step->output[1]);
        sbx_buf_deinit(&step->stdin_bytes);
        sbx_buf_deinit(&step->report);
        step_request_deinit(&step->request);
        free(step);
    }
    return NULL;
}

const struct session *
step_session(const struct step *step)
{
    return step->session;
}

void
step_on_done(struct step *step, void (*on_done)(void *arg, const struct step_outcome *outcome), void *arg)
{
    step->on_done = on_done;
    step->on_done_arg = arg;
}

static void
step_on_handle_closed(uv_handle_t *handle)
{
    struct step *step = handle->data;
    struct step_outcome outcome = { 0 };

    if (--step->n_handles > 0) {
        return;
    }
    outcome.failure = step->failure[0] != '\0' ? step->failure : NULL;
    outcome.report = step->report.data;
    outcome.report_len = step->report.len;
    step->on_done(step->on_done_arg, &outcome);
}

static void
pipe_close(struct step *step, int i)
{
    if (step->pipe_open[i]) {
        step->pipe_open[i] = false;
        uv_close((uv_handle_t *)&step->pipes[i], step_on_handle_closed);
    }
}

static void
timers_close(struct step *step)
{
    uv_close((uv_handle_t *)&step->timer, step_on_handle_closed);
    uv_close((uv_handle_t *)&step->census, step_on_handle_closed);
    last_word_close(&step->word, step_on_handle_closed);
}

/* The result and the artifacts, with the payload's rights; its processes are all dead, or killed where there is but a result. */
static const char *
step_gather(struct step *step, struct sbx_buf *result, struct collection *files)
{
    struct collect_spec spec = {
        .patterns = step->request.artifacts,
        .max_files = step->request.max_artifacts,
        .max_bytes = step->request.max_artifact_bytes,
    };
    const char *result_error = NULL;
    int run, r;

    r = workspace_open_root(&run, step->session->places.run);
    if (r == 0) {
        r = workspace_read(result, run, RESULT_FILE, STEP_RESULT_MAX);
        (void)close(run); /* a directory */
    }
    if (r == WORKSPACE_E_SIZE) {
        result_error = "the result is larger than 1 MiB";
    } else if (r != 0 && r != -ENOENT) {
        result_error = "the result is not a regular file that can be read";
    }

    if (json_array_size(spec.patterns) == 0) {
        return result_error; /* to open what is on gVisor's gofer takes milliseconds */
    }
    r = workspace_open_root(&spec.root, step->session->places.workspace);
    if (r == 0) {
        r = collect(files, &spec);
        (void)close(spec.root); /* a directory */
    }
    if (r < 0) {
        (void)snprintf(step->failure, sizeof(step->failure), "the artifacts could not be collected: %s",
                       strerror(-r)); /* cut when too long */
    }
    return result_error;
}

static void
step_report(struct step *step)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf result = SBX_BUF_INIT(STEP_RESULT_MAX + 1);
    _cleanup_(collection_deinit) struct collection files = { 0 };
    struct report report = {
        .step_id = step->request.step_id,
        .wait_status = step->wait_status,
        .timed_out = step->timed_out,
        .is_crowded = step->is_crowded,
        .wall_ms = (step->ended_ns - step->started_ns) / 1000000u,
        .usage = step->host->init->usage,
        .files = &files,
        .output = step->host->captures ? step->output : NULL,
    };
    int r;

    r = identity_enter(&step->host->identity);
    if (r < 0) {
        (void)snprintf(step->failure, sizeof(step->failure), "the workspace is out of reach"); /* fits */
        return;
    }
    report.result_error = step_gather(step, &result, &files);
    identity_leave(&step->host->identity);

    if (report.result_error == NULL && result.data != NULL) {
        report.result = result.data;
        report.result_len = result.len;
    }
    report_write(&step->report, &report);
    if (step->report.failed) {
        (void)snprintf(step->failure, sizeof(step->failure), "the report did not fit"); /* fits */
    }
}

static void
step_finish(struct step *step)
{
    const char *stage;
    int error, i;

    if (payload_failed(&step->payload, &stage, &error)) {
        (void)snprintf(step->failure, sizeof(step->failure), "the program could not be started: %s: %s",
                       stage, strerror(error)); /* cut when too long */
    } else if (step->failure[0] == '\0') {
        step_report(step);
    }

    for (i = 0; i < N_PIPES; i++) {
        pipe_close(step, i);
    }
    timers_close(step);
}

static void
step_on_output_late(uv_timer_t *timer)
{
    struct step *step = timer->data;

    pipe_close(step, PIPE_OUT);
    pipe_close(step, PIPE_ERR);
    step_settle(step);
}

/* Everybody is dead and everything was read: report. */
static void
step_settle(struct step *step)
{
    if (!step->swept || uv_is_closing((uv_handle_t *)&step->timer)) {
        return;
    }
    if (step->pipe_open[PIPE_OUT] || step->pipe_open[PIPE_ERR]) {
        (void)uv_timer_start(&step->timer, step_on_output_late, OUTPUT_END_MS,
                             0); /* cannot fail: callback set */
        return;
    }
    step_finish(step);
}

static void
step_on_swept(void *arg, bool clean)
{
    struct step *step = arg;

    step->swept = true;
    if (!clean) {
        (void)snprintf(step->failure, sizeof(step->failure),
                       "a process of the step would not die"); /* fits */
    }
    step_settle(step);
}

static void
step_over(struct step *step, int wait_status)
{
    step->ended_ns = sbx_now_mono_ns();
    step->wait_status = wait_status;
    uv_timer_stop(&step->timer);
    uv_timer_stop(&step->census);
    last_word_ignore(&step->word);
}

static void
step_on_main_exit(void *arg, int wait_status)
{
    struct step *step = arg;

    step_over(step, wait_status);
    /* Orphans, however often they forked, do not outlive the step. */
    init_sweep(step->host->init, step_on_swept);
}

/* It is killed before it is believed, with all that it started: there is no other end that could follow. */
static void
step_on_word(void *arg, int status)
{
    struct step *step = arg;

    if (!step->is_killed) {
        step_over(step, W_EXITCODE(status, 0));
        init_main_ends(step->host->init);
        step_finish(step);
    }
}

/* Where somebody looks at its files, or something else may follow, everybody is to be dead first. */
static int
word_await(struct step *step)
{
    bool is_taken = step->host->takes_word && step->host->init->is_pid1 && step->request.is_last &&
                    json_array_size(step->request.artifacts) == 0;
    int r;

    step->word.fd = step->payload.word_fd;
    if (step->word.fd < 0) {
        return 0;
    }
    step->word.from = step->payload.pid;
    step->word.on_word = step_on_word;
    step->word.arg = step;
    r = last_word_listen(&step->word, step->host->loop, step);
    step->n_handles += step->word.fd >= 0;
    if (!is_taken) {
        last_word_ignore(&step->word); /* open as long as somebody may write to it */
    }
    return r;
}

static void
step_kill(struct step *step)
{
    step->is_killed = true;
    init_kill_all(step->host->init);
}

static void
step_on_deadline(uv_timer_t *timer)
{
    struct step *step = timer->data;

    step->timed_out = true;
    step_kill(step);
}

static void
step_on_census(uv_timer_t *timer)
{
    struct step *step = timer->data;

    if (census_is_over(step->request.processes)) {
        step->is_crowded = true;
        uv_timer_stop(timer);
        step_kill(step);
    }
}

static void
census_start(struct step *step)
{
    if (step->host->takes_census && step->request.processes > 0 && !sbx_wall_is_off(SBX_WALL_PIDS)) {
        (void)uv_timer_start(&step->census, step_on_census, CENSUS_MS,
                             CENSUS_MS); /* cannot fail: callback set */
    }
}

void
step_cancel(struct step *step)
{
    if (!step->swept) {
        step_kill(step);
    }
}

static void
step_on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct step *step = handle->data;

    (void)suggested; /* what is read is kept at once */
    *buf = uv_buf_init(step->read_buf, sizeof(step->read_buf));
}

static void
step_on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
    struct step *step = stream->data;
    int i = stream == (uv_stream_t *)&step->pipes[PIPE_OUT] ? PIPE_OUT : PIPE_ERR;

    if (nread > 0) {
        (void)sbx_capture_add(&step->output[i - PIPE_OUT], buf->base,
                              (size_t)nread); /* bytes are counted anyway */
    } else if (nread < 0) {
        pipe_close(step, i);
        step_settle(step);
    }
}

static void
step_on_stdin_written(uv_write_t *req, int status)
{
    struct step *step = req->data;

    (void)status; /* EPIPE: the program did not want it all */
    pipe_close(step, PIPE_IN);
}

static bool
is_piped(const struct step *step, int i)
{
    return i == PIPE_IN ? step->host->feeds_stdin : step->host->captures;
}

/* child_fds are the payload's ends: of pipes of our own, or what was made outside. */
static int
pipes_open(struct step *step, int child_fds[3])
{
    int i, r, fds[2];

    for (i = 0; i < N_PIPES; i++) {
        if (!is_piped(step, i)) {
            child_fds[i] = step->host->stdio[i];
            continue;
        }
        r = slot_pipe(step->host->slot, step->runtime.name, (enum slot_pipe)(SLOT_STEP_IN + i), fds);
        if (r < 0) {
            return r;
        }
        child_fds[i] = i == PIPE_IN ? fds[0] : fds[1];
        if (i == PIPE_IN && step->stdin_bytes.len == 0) {
            (void)close(fds[1]); /* never used: the program finds its input at an end */
            continue;
        }
        r = uv_pipe_init(step->host->loop, &step->pipes[i], 0);
        if (r == 0) {
            step->pipes[i].data = step;
            step->pipe_open[i] = true;
            step->n_handles++;
            r = uv_pipe_open(&step->pipes[i], i == PIPE_IN ? fds[1] : fds[0]);
        }
        if (r < 0) {
            (void)close(i == PIPE_IN ? fds[1] : fds[0]); /* libuv did not take it */
            return r;
        }
    }
    return 0;
}

static int
pipes_run(struct step *step)
{
    uv_buf_t buf;
    int i, r = 0;

    for (i = PIPE_OUT; i < N_PIPES && r == 0 && step->host->captures; i++) {
        r = uv_read_start((uv_stream_t *)&step->pipes[i], step_on_alloc, step_on_read);
    }
    if (step->stdin_bytes.len == 0) {
        return r;
    }
    buf = uv_buf_init(step->stdin_bytes.data, (unsigned)step->stdin_bytes.len);
    step->write.data = step;
    return r < 0
               ? r
               : uv_write(&step->write, (uv_stream_t *)&step->pipes[PIPE_IN], &buf, 1, step_on_stdin_written);
}

static int
files_write(const struct step *step, int run)
{
    const struct step_request *request = &step->request;
    struct sbx_buf event = SBX_BUF_INIT(2ul * REQUEST_MAX_FILE);
    int r;

    r = step->session->was_used ? workspace_unlink(run, RESULT_FILE) : 0;
    step->session->was_used = true;
    if (r == 0) {
        r = workspace_replace(run, step->runtime.source, request->code, request->code_len);
    }
    if (r == 0 && request->event != NULL) {
        sbx_json_dump(&event, request->event, false);
        r = event.failed ? -ENOMEM : workspace_replace(run, EVENT_FILE, event.data, event.len);
        sbx_buf_deinit(&event);
    }
    return r;
}

static int
step_write_files(const struct step *step)
{
    int run, r;

    r = identity_enter(&step->host->identity);
    if (r < 0) {
        return r;
    }
    r = workspace_open_root(&run, step->session->places.run);
    if (r == 0) {
        r = files_write(step, run);
        (void)close(run); /* a directory */
    }
    identity_leave(&step->host->identity);
    return r;
}

static int
step_spawn(struct step *step, const int stdio[3])
{
    const struct step_host *host = step->host;
    const char *run = step->session->places.run;
    char source[640], event[640], result[640];
    struct environ_spec texts = {
        .session = step->session,
        .request = &step->request,
        .runtime = &step->runtime,
        .source_path = source,
        .event_path = step->request.event != NULL ? event : NULL,
        .result_path = result,
        .opt_dir = host->opt_dir,
    };
    _cleanup_(strings_deinit) struct strings argv = { 0 };
    _cleanup_(strings_deinit) struct strings env = { 0 };
    struct payload_spec spec = {
        .cwd = step->session->places.workspace,
        .stdio = { stdio[0], stdio[1], stdio[2] },
        .identity = host->identity,
        .filter = host->filter,
    };
    int r;

    if (step->request.processes > 0) {
        spec.processes =
            step->request.processes + (host->takes_census ? SPARE_FOR_CENSUS : SPARE_BEHIND_CGROUP);
    }

    (void)snprintf(source, sizeof(source), "%s/%s", run, step->runtime.source); /* both are bounded */
    (void)snprintf(event, sizeof(event), "%s/" EVENT_FILE, run);                /* likewise */
    (void)snprintf(result, sizeof(result), "%s/" RESULT_FILE, run);             /* likewise */
    r = environ_argv(&argv, &texts);
    if (r == 0) {
        r = environ_env(&env, &texts);
    }
    if (r < 0) {
        return r;
    }
    spec.argv = argv.items;
    spec.env = env.items;
    return slot_start(host->slot, step->runtime.name, &spec, &step->payload);
}

static int
stdin_decode(struct step *step, struct sbx_field_error *err)
{
    const struct step_request *request = &step->request;

    step->stdin_bytes.max = REQUEST_MAX_STDIN;
    if (request->stdin_text == NULL) {
        return 0;
    }
    if (!step->host->feeds_stdin) {
        sbx_field_error_set(err, "/stdin", "is given outside of the sandbox");
        return STEP_E_FIELD;
    }
    if (!request->stdin_base64) {
        sbx_buf_append(&step->stdin_bytes, request->stdin_text, request->stdin_len);
    } else if (!sbx_b64_decode(&step->stdin_bytes, request->stdin_text, request->stdin_len) &&
               !step->stdin_bytes.failed) {
        sbx_field_error_set(err, "/stdin", "is not base64");
        return STEP_E_FIELD;
    }
    return step->stdin_bytes.failed ? -ENOMEM : 0;
}

/* Never started: the handles that exist must still be closed by the loop before the memory goes. */
static void
step_on_abandoned(void *arg, const struct step_outcome *outcome)
{
    (void)outcome; /* nobody was promised one */
    step_free(arg);
}

static int
step_abandon(struct step *step, int r)
{
    int i;

    step->request = (struct step_request){ 0 }; /* still the caller's */
    step_on_done(step, step_on_abandoned, step);
    for (i = 0; i < N_PIPES; i++) {
        pipe_close(step, i);
    }
    timers_close(step);
    return r;
}

static int
step_launch(struct step *step)
{
    int stdio[3] = { -1, -1, -1 };
    int i, r = pipes_open(step, stdio);

    if (r == 0) {
        r = step_spawn(step, stdio);
    }
    for (i = 0; i < 3; i++) {
        if (stdio[i] >= 0 && is_piped(step, i)) {
            (void)close(stdio[i]); /* the payload's */
        }
    }
    return r;
}

int
step_start(struct step **ret, const struct step_spec *spec, struct step_request *request,
           struct sbx_field_error *err)
{
    const struct step_host *host = spec->host;
    struct step *step = malloc(sizeof(*step));
    int r;

    if (step == NULL) {
        return -ENOMEM;
    }
    memset(step, 0, offsetof(struct step, read_buf));
    step->host = host;
    step->session = spec->session;
    step->request = *request;
    step->runtime = spec->runtime;
    step->payload = (struct payload){ .status_fd = -1, .word_fd = -1 };
    step->word.fd = -1;
    step->report.max = REPORT_MAX;
    sbx_capture_init(&step->output[0], STEP_OUTPUT_KEEP);
    sbx_capture_init(&step->output[1], STEP_OUTPUT_KEEP);
    (void)uv_timer_init(host->loop, &step->timer);  /* always 0 */
    (void)uv_timer_init(host->loop, &step->census); /* likewise */
    step->timer.data = step;
    step->census.data = step;
    step->n_handles = 2;

    r = stdin_decode(step, err);
    if (r == 0) {
        r = step_write_files(step);
    }
    step->started_ns = sbx_now_mono_ns();
    if (r == 0) {
        r = step_launch(step);
    }
    if (r) {
        return step_abandon(step, r);
    }

    init_watch(host->init, step->payload.pid, step_on_main_exit, step);
    uv_update_time(host->loop); /* the deadline counts from here, not from when the loop woke up */
    (void)uv_timer_start(&step->timer, step_on_deadline, step->request.timeout_ms,
                         0); /* cannot fail: callback set */
    census_start(step);
    r = word_await(step);
    r = r < 0 ? r : pipes_run(step);
    if (r < 0) {
        step_kill(step); /* on_done tells the rest */
    }
    *request = (struct step_request){ 0 };
    *ret = step;
    return 0;
}
