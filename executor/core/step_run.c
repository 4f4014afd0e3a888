/* A step on its channel: code in, output and displays out, the agent's word about its end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/session_store.h"
#include "executor/core/step_inside.h"
#include "executor/log.h"
#include "lib/sbx_time.h"

#define STEP_OPEN_MAX (1u << 20)
#define STEP_JSON_MAX 4096
/* The agent interrupts, waits two seconds and kills; who does not even then is no agent any more. */
#define STEP_OVERDUE_MS 10000

#define STEP_INTERPRETER_MS 60000 /* an interpreter is up by then: the agent's own deadline comes first */

static void
step_write_open(struct sbx_buf *out, const struct step *step)
{
    const struct job_spec *spec = step->spec;
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "op", "step");
    sbx_jsonw_str(&w, "context", step->record.context);
    sbx_jsonw_str(&w, "id", step->record.id.text);
    sbx_jsonw_uint(&w, "timeout_ms", step->timeout_ms);
    sbx_jsonw_uint(&w, "max_display_bytes", STEP_MAX_DISPLAY_BYTES);
    sbx_jsonw_uint(&w, "max_displays", STEP_MAX_DISPLAYS);
    if (spec->n_env > 0) {
        sbx_jsonw_object(&w, "env");
        for (unsigned i = 0; i < spec->n_env; i++) {
            sbx_jsonw_str(&w, spec->env[i].name, spec->env[i].value);
        }
        sbx_jsonw_object_end(&w);
    }
    sbx_jsonw_object_end(&w);
}

static void
step_pump(struct step *step)
{
    const struct job_spec *spec = step->spec;

    if (step->sent < spec->code_len) {
        step->sent +=
            sbx_channel_write(step->channel, 0, spec->code + step->sent, spec->code_len - step->sent);
    }
    if (step->sent == spec->code_len && !step->shut) {
        step->shut = true;
        sbx_channel_shut(step->channel);
    }
}

static void
step_on_writable(void *arg)
{
    step_pump(arg);
}

void
step_interrupt(struct step *step)
{
    static const char note[] = "{\"interrupt\":true}";

    if (step->channel == NULL || step->interrupted) {
        return;
    }
    step->interrupted = true;
    timer_start(step->timer, STEP_OVERDUE_MS);
    if (sbx_channel_note(step->channel, note, sizeof(note) - 1) != 0) {
        session_nonsense(step->session, "the agent takes nothing any more");
    }
}

static void
step_output(struct step *step, unsigned stream, const char *data, size_t len)
{
    uint64_t limit = step->session->limits.value[SBX_LIMIT_OUTPUT];
    uint64_t total = step->capture[JOB_STDOUT].total + step->capture[JOB_STDERR].total;

    if (step->output_exceeded) {
        return; /* it was told to stop: what it still says is nobody's */
    }
    if (step->digest[stream] == NULL && step->capture[stream].total == 0 &&
        sbx_sha256_new(&step->digest[stream]) != 0) {
        step->digest[stream] = NULL; /* the audit event has none then */
    }
    if (step->digest[stream] != NULL && sbx_sha256_update(step->digest[stream], data, len) != 0) {
        step->digest[stream] = sbx_sha256_free(step->digest[stream]);
    }
    (void)sbx_capture_add(&step->capture[stream], data, len); /* without memory the text shows the gap */
    feed_output(step->feed, stream, data, len);
    if (total + len > limit) {
        step->output_exceeded = true;
        step_interrupt(step);
    }
}

static void
step_on_data(void *arg, unsigned stream, const char *data, size_t len)
{
    struct step *step = arg;
    struct session *session = step->session;

    sbx_channel_consumed(step->channel, len);
    if (stream == 1 || stream == 2) {
        step_output(step, stream == 1 ? JOB_STDOUT : JOB_STDERR, data, len);
    } else if (stream != 3 || !step_displays_data(step, data, len)) {
        session_nonsense(session, "the agent sent bytes that it had not announced");
    }
}

static void
step_on_note(void *arg, const char *json, size_t len)
{
    struct step *step = arg;

    if (!step_displays_note(step, json, len)) {
        session_nonsense(step->session, "the agent announced something strange");
    }
}

static char *
violation_text(enum sbx_limit which, uint64_t limit, uint64_t observed)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(STEP_JSON_MAX);
    const struct verdict verdict = {
        .has_violation = true,
        .violated = which,
        .limit = limit,
        .observed = observed,
    };
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &text);
    violation_write(&w, NULL, &verdict);
    return sbx_buf_take(&text, NULL);
}

static void
step_write_usage(struct step *step, const struct session_reply_step *said)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(STEP_JSON_MAX);
    uint64_t wall_ms = sbx_now_mono_ms() - step->running_ms;
    struct sbx_jsonw_canonical canonical; /* it becomes part of an audit event */
    struct sbx_jsonw w;

    sbx_jsonw_init_canonical(&w, &text, &canonical);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_uint(&w, "wall_ms", wall_ms);
    sbx_jsonw_uint(&w, "cpu_ms", said->cpu_ms);
    sbx_jsonw_uint(&w, "displays_dropped", said->displays_dropped + step->displays.dropped);
    sbx_jsonw_object_end(&w);
    step->record.usage_json = sbx_buf_take(&text, NULL);
}

/* The first that holds: more output than allowed, a cancellation, the agent's word. */
static enum step_state
step_judge(struct step *step, const struct session_reply_step *said)
{
    if (step->output_exceeded) {
        step->record.violation_json =
            violation_text(SBX_LIMIT_OUTPUT, step->session->limits.value[SBX_LIMIT_OUTPUT],
                           step->capture[JOB_STDOUT].total + step->capture[JOB_STDERR].total);
        return STEP_LIMIT_EXCEEDED;
    }
    if (step->cancelled) {
        return STEP_CANCELLED;
    }
    switch (said->status) {
    case STEP_SAYS_SUCCEEDED:
        return STEP_SUCCEEDED;
    case STEP_SAYS_FAILED:
        return STEP_FAILED;
    case STEP_SAYS_INTERRUPTED:
        step_say(step, "the step was interrupted from inside");
        return STEP_FAILED;
    case STEP_SAYS_TIMED_OUT:
        step->record.violation_json =
            violation_text(SBX_LIMIT_TIME, step->timeout_ms, sbx_now_mono_ms() - step->running_ms);
        return STEP_LIMIT_EXCEEDED;
    case STEP_SAYS_CRASHED:
        step_say(step, "the interpreter died");
        return STEP_FAILED;
    }
    return STEP_FAILED;
}

static void
step_take_reply(struct step *step, struct session_reply_step *said)
{
    struct step_record *record = &step->record;
    struct session_context *context = step->context;

    if (!said->reply.ok) {
        step_say(step, said->reply.message[0] != '\0' ? said->reply.message : "the agent refused the step");
        context->up = context->up && strcmp(said->reply.error, "not_found") != 0;
        session_context_set_state(context, context->up ? CONTEXT_READY : CONTEXT_CRASHED);
        step_ended(step, step->cancelled ? STEP_CANCELLED : STEP_FAILED);
        return;
    }
    record->error_json = steal(&said->error_json);
    record->has_exit_code = said->has_exit_code;
    record->exit_code = said->exit_code;
    memcpy(record->signal, said->signal, sizeof(record->signal));
    record->interpreter = said->alive ? INTERPRETER_ALIVE : INTERPRETER_DEAD;
    record->restarted = said->restarted;
    context->restarts += said->restarted;
    session_context_set_state(context, said->alive ? CONTEXT_READY : CONTEXT_CRASHED);
    step_write_usage(step, said);
    step_ended(step, step_judge(step, said));
}

void
step_unsay(struct step *step)
{
    if (step->said != NULL) {
        free(step->said->error_json);
        free(step->said);
        step->said = NULL;
    }
}

void
step_judged(struct step *step)
{
    struct session_reply_step *said = steal(&step->said);

    if (said != NULL) {
        timer_stop(step->timer);
        step_take_reply(step, said); /* may free the step */
        free(said->error_json);
        free(said);
    }
}

/* What killed the interpreter may have been the kernel, for a limit: its word comes later, and wins. False: it is not asked. */
static bool
step_hold(struct step *step, struct session_reply_step *said)
{
    if (!said->reply.ok || said->alive || !session_measure(step->session)) {
        return false;
    }
    step->said = malloc(sizeof(*step->said));
    if (step->said == NULL) {
        return false;
    }
    *step->said = *said;
    said->error_json = NULL;
    timer_start(step->timer, SESSION_MEASURE_MS);
    return true;
}

static void
step_on_end(void *arg, int rc, const char *json, size_t len)
{
    struct step *step = arg;
    struct session *session = step->session;
    struct session_reply_step said;

    step->channel = NULL;
    timer_stop(step->timer);
    if (rc) {
        return; /* the session ends with its reason, and its steps with it */
    }
    rc = session_reply_step(&said, json, len);
    if (rc != 0 || !step_displays_complete(step)) {
        session_nonsense(session, "the agent gave no proper outcome of a step");
    } else if (!step_hold(step, &said)) {
        step_take_reply(step, &said);
    }
    if (rc == 0) {
        free(said.error_json);
    }
}

void
step_on_time(void *arg)
{
    struct step *step = arg;

    if (step_state_final(step->record.state)) {
        step_store(step);
    } else if (step->said != NULL) {
        step_judged(step);
    } else if (step->channel != NULL) {
        session_nonsense(step->session, "the agent did not end a step in time");
    } else if (step->record.message[0] != '\0') {
        step_ended(step, STEP_FAILED); /* it could not be begun */
    } else {
        session_nonsense(step->session, "the agent did not start an interpreter in time");
    }
}

void
step_wait_for_interpreter(struct step *step)
{
    struct session_context *context = step->context;

    if (context->channel == NULL && session_context_start(context) != 0) {
        step_say(step, "the interpreter could not be asked for");
        timer_start(step->timer, 0);
        return;
    }
    timer_start(step->timer, STEP_INTERPRETER_MS);
}

void
step_run(struct step *step)
{
    static const struct sbx_channel_events events = {
        .on_note = step_on_note,
        .on_data = step_on_data,
        .on_writable = step_on_writable,
        .on_end = step_on_end,
    };
    _cleanup_(sbx_buf_deinit) struct sbx_buf open = SBX_BUF_INIT(STEP_OPEN_MAX);
    struct sbx_mux *mux = session_mux(step->session);

    step_set_state(step, STEP_RUNNING);
    step->record.started_ms = sbx_now_unix_ms();
    step->running_ms = sbx_now_mono_ms();
    session_context_set_state(step->context, CONTEXT_BUSY);
    step_write_open(&open, step);
    if (open.failed || mux == NULL ||
        sbx_channel_open(&step->channel, mux, open.data, open.len, &events, step) != 0) {
        session_context_set_state(step->context, CONTEXT_READY);
        step_say(step, "the session takes no more work now");
        timer_start(step->timer, 0);
        return;
    }
    step_tell_start(step);
    step_pump(step);
    step_feed_start(step);
    timer_start(step->timer, step->timeout_ms + STEP_OVERDUE_MS);
}
