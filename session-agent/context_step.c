/*
 * One step of a context:
 *
 *   code comes -> (the interpreter is started again) -> sent -> outcome
 *                                                        \-> deadline or interrupt: SIGINT -> again -> SIGKILL -> death
 *
 * Again: SIGURG to the interpreter each 100 ms, SIGINT to what runs below it each 500 ms. Of SIGINT it gets one only.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/sbx_jsonw.h"
#include "lib/sbx_time.h"
#include "session-agent/context_inside.h"
#include "session-agent/report.h"

#define AGAIN_MS 100
#define AGAIN_TURNS 20 /* then the grace is over */
#define AGAIN_CHILDREN 5 /* of each so many turns: programs that clean up shall have time for it */
#define MAX_DISPLAYS 1000
#define MAX_DISPLAY_BYTES (256 << 20)
#define MAX_HEAD (8ul * REQUEST_MAX_ENV_TOTAL)
#define MAX_DISPLAY_NOTE 16384
#define STREAM_DISPLAY 3u
/* Node may drop a SIGINT that comes before it has taken up the code, and the step would run until it is killed. */
#define TAKE_UP_MS 20

struct context_step {
    struct context *context;
    struct sbx_channel *channel;
    json_t *request; /* borrowed by what follows */
    const char *id;
    json_t *env;
    uint64_t timeout_ms;
    unsigned max_displays, displays, dropped;
    uint64_t max_display_bytes, display_bytes;
    struct sbx_buf code;
    bool has_code, is_sent;
    bool is_timed_out, is_interrupted; /* SIGINT was sent, or will not have to be */
    bool is_restarted;
    unsigned turns; /* since SIGINT was sent */
    uint64_t started_ns, cpu_ns;
};

static void
step_discard(struct context_step *step)
{
    if (step != NULL) {
        json_decref(step->request);
        sbx_buf_deinit(&step->code);
        free(step);
    }
}

void
context_step_free(struct context *context)
{
    step_discard(steal(&context->step));
}

static void
step_refuse(struct context *context, enum hub_error error, const char *message)
{
    struct context_step *step = steal(&context->step);

    hub_refuse(step->channel, error, message);
    step_discard(step);
}

struct step_end {
    const char *status;
    const struct driver_outcome *outcome; /* NULL: none */
    const struct driver_death *death;     /* NULL: it is alive, or was dead before */
};

static void
end_write_exit(struct sbx_jsonw *w, const struct step_end *end)
{
    const struct driver_outcome *outcome = end->outcome;
    int status = end->death == NULL ? 0 : end->death->wait_status;
    bool has_code = end->death != NULL && WIFEXITED(status);

    if (outcome != NULL && outcome->error.len > 0) {
        sbx_jsonw_raw(w, "error", outcome->error.data, outcome->error.len);
    } else {
        sbx_jsonw_null(w, "error");
    }
    if (outcome != NULL && outcome->has_exit_code) {
        sbx_jsonw_int(w, "exit_code", outcome->exit_code);
    } else if (has_code) {
        sbx_jsonw_int(w, "exit_code", WEXITSTATUS(status));
    } else {
        sbx_jsonw_null(w, "exit_code");
    }
    sbx_jsonw_str(w, "signal",
                  end->death != NULL && WIFSIGNALED(status) ? report_signal_name(WTERMSIG(status)) : NULL);
}

static uint64_t
end_cpu_ms(const struct context_step *step, const struct step_end *end)
{
    uint64_t now = end->death != NULL              ? end->death->usage.cpu_ms * 1000000
                   : step->context->driver == NULL ? 0
                                                   : driver_cpu_ns(step->context->driver);

    return now > step->cpu_ns ? (now - step->cpu_ns) / 1000000 : 0;
}

static void
step_end(struct context *context, const struct step_end *end)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf buf = SBX_BUF_INIT(SBX_MUX_NOTE_MAX);
    struct context_step *step = steal(&context->step);
    unsigned dropped = step->dropped + (end->outcome == NULL ? 0 : end->outcome->dropped);
    struct sbx_jsonw w;

    context_set_timer(context, NULL, 0);
    sbx_jsonw_init(&w, &buf);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_bool(&w, "ok", true);
    sbx_jsonw_str(&w, "status", end->status);
    end_write_exit(&w, end);
    sbx_jsonw_str(&w, "interpreter", context->driver == NULL ? "dead" : "alive");
    sbx_jsonw_bool(&w, "restarted", step->is_restarted);
    sbx_jsonw_uint(&w, "wall_ms", step->is_sent ? (sbx_now_mono_ns() - step->started_ns) / 1000000 : 0);
    sbx_jsonw_uint(&w, "cpu_ms", step->is_sent ? end_cpu_ms(step, end) : 0);
    sbx_jsonw_uint(&w, "peak_memory_bytes", end->death == NULL ? 0 : end->death->usage.peak_memory_bytes);
    sbx_jsonw_uint(&w, "displays_dropped", dropped);
    if (end->death != NULL && end->death->nonsense != NULL) {
        sbx_jsonw_str(&w, "message", end->death->nonsense);
    }
    sbx_jsonw_object_end(&w);
    sbx_channel_end(step->channel, buf.data, buf.failed ? 0 : buf.len);
    step_discard(step);
}

static const char *
status_of(const struct context_step *step, const char *otherwise)
{
    return step->is_timed_out ? "timed_out" : step->is_interrupted ? "interrupted" : otherwise;
}

void
context_step_on_outcome(struct context *context, const struct driver_outcome *outcome)
{
    const struct context_step *step = context->step;
    struct step_end end = { .status = "succeeded", .outcome = outcome };

    /* What came to its end all the same is what it says. */
    switch (outcome->status) {
    case DRIVER_SUCCEEDED:
        break;
    case DRIVER_FAILED:
        end.status = status_of(step, "failed");
        break;
    case DRIVER_INTERRUPTED:
        end.status = status_of(step, "interrupted");
        break;
    }
    step_end(context, &end);
}

void
context_step_on_dead(struct context *context, const struct driver_death *death)
{
    struct context_step *step = context->step;
    struct step_end end = { .death = death };

    if (step == NULL) {
        return;
    }
    if (step->is_sent) {
        step->is_interrupted = step->is_interrupted || context->is_leaving;
        end.status = status_of(step, "crashed");
        step_end(context, &end);
    } else if (step->is_restarted) {
        step_refuse(context, HUB_E_CRASHED, "the interpreter could not be started again");
    } else {
        context_step_advance(context);
    }
}

static void
step_on_again(uv_timer_t *timer)
{
    struct context *context = timer->data;
    unsigned turn = ++context->step->turns;

    if (!driver_runs_code(context->driver)) {
        return; /* it has ended: what is left is to read what it wrote, and the reader's time is no fault of the code */
    }
    if (turn == AGAIN_TURNS) {
        driver_kill(context->driver);
        return;
    }
    driver_poke(context->driver);
    if (turn % AGAIN_CHILDREN == 0) {
        driver_interrupt_children(context->driver);
    }
    context_set_timer(context, step_on_again, AGAIN_MS);
}

static void step_interrupt(struct context *context);

static void
step_on_taken_up(uv_timer_t *timer)
{
    step_interrupt(timer->data);
}

static void
step_interrupt(struct context *context)
{
    uint64_t ran_ms = (sbx_now_mono_ns() - context->step->started_ns) / 1000000u;

    if (!context->step->is_sent) {
        return;
    }
    if (ran_ms < TAKE_UP_MS) {
        context_set_timer(context, step_on_taken_up, TAKE_UP_MS - ran_ms);
        return;
    }
    driver_interrupt(context->driver);
    context_set_timer(context, step_on_again, AGAIN_MS);
}

static void
step_on_deadline(uv_timer_t *timer)
{
    struct context *context = timer->data;

    context->step->is_timed_out = true;
    step_interrupt(context);
}

static void
head_write(struct sbx_buf *out, const struct context_step *step, const struct driver *driver)
{
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "id", step->id);
    sbx_jsonw_uint(&w, "max_displays", step->max_displays);
    sbx_jsonw_uint(&w, "max_display_bytes", step->max_display_bytes);
    if (driver_was_interrupted(driver)) {
        sbx_jsonw_bool(&w, "after_interrupt", true);
    }
    if (json_object_size(step->env) > 0) {
        _cleanup_(sbx_buf_deinit) struct sbx_buf env = SBX_BUF_INIT(MAX_HEAD);

        sbx_json_dump(&env, step->env, false);
        sbx_jsonw_raw(&w, "env", env.failed ? "{}" : env.data, env.failed ? 2 : env.len);
    }
    sbx_jsonw_object_end(&w);
}

static void
step_send(struct context *context)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf head = SBX_BUF_INIT(MAX_HEAD);
    struct context_step *step = context->step;

    head_write(&head, step, context->driver);
    step->cpu_ns = driver_cpu_ns(context->driver);
    step->started_ns = sbx_now_mono_ns();
    if (head.failed || driver_step(context->driver, head.data, head.len,
                                   step->code.data == NULL ? "" : step->code.data, step->code.len) < 0) {
        step_refuse(context, HUB_E_FAILED, "out of memory");
        return;
    }
    step->is_sent = true;
    sbx_buf_deinit(&step->code);
    context_set_timer(context, step_on_deadline, step->timeout_ms);
}

void
context_step_advance(struct context *context)
{
    struct context_step *step = context->step;
    const struct step_end end = { .status = "interrupted" };

    if (step == NULL || step->is_sent) {
        return;
    }
    if (step->is_interrupted || context->is_leaving) {
        step_end(context, &end);
    } else if (!step->has_code || (context->driver != NULL && !context->is_ready)) {
        return;
    } else if (context->driver == NULL) {
        step->is_restarted = true;
        if (context_start_driver(context) < 0) {
            step_refuse(context, HUB_E_FAILED, "the interpreter could not be started again");
        }
    } else if (driver_is_idle(context->driver)) {
        step_send(context);
    } else {
        driver_kill(context->driver); /* it has ended, but not altogether; on_dead comes back here */
    }
}

static void
step_on_data(void *arg, unsigned stream, const char *data, size_t len)
{
    struct context *context = arg;
    struct context_step *step = context->step;

    sbx_channel_consumed(step->channel, len);
    if (stream != 0) {
        return;
    }
    sbx_buf_append(&step->code, data, len);
    if (step->code.failed) {
        step_refuse(context, HUB_E_TOO_LARGE, "code is at most 1 MiB");
    }
}

static void
step_on_shut(void *arg)
{
    struct context *context = arg;

    context->step->has_code = true;
    context_step_advance(context);
}

static void
step_give_up(struct context *context)
{
    if (context->step->is_interrupted) {
        return;
    }
    context->step->is_interrupted = true;
    if (context->step->is_sent && !context->step->is_timed_out) {
        step_interrupt(context);
    } else {
        context_step_advance(context);
    }
}

static void
step_on_note(void *arg, const char *json, size_t len)
{
    _cleanup_(sbx_json_decrefp) json_t *note = NULL;
    struct sbx_field_error err;

    if (sbx_json_parse(&note, json, len, &err) == 0 && json_is_true(json_object_get(note, "interrupt"))) {
        step_give_up(arg);
    }
}

static void
step_on_writable(void *arg)
{
    struct context *context = arg;

    if (context->driver != NULL) {
        driver_resume(context->driver);
    }
}

static void
step_on_gone(void *arg, int rc, const char *json _unused_, size_t len _unused_)
{
    struct context *context = arg;

    if (rc != 0 && context->step->is_sent) {
        context->step->is_interrupted = true;
        driver_kill(context->driver);
        return;
    }
    step_give_up(context);
    if (context->driver != NULL) {
        driver_resume(context->driver); /* what it still writes is dropped, and no window holds it up */
    }
}

size_t
context_step_room(const struct context *context)
{
    return context->step == NULL ? 0 : sbx_channel_window(context->step->channel);
}

void
context_step_on_output(struct context *context, unsigned stream, const char *data, size_t len)
{
    if (context->step != NULL) {
        (void)sbx_channel_write(context->step->channel, stream, data, len); /* there was room */
    }
}

static bool
display_is_wanted(struct context_step *step, const struct driver_display *display)
{
    return step->displays < step->max_displays &&
           display->bytes <= step->max_display_bytes - step->display_bytes;
}

bool
context_step_on_display(struct context *context, const struct driver_display *display)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf note = SBX_BUF_INIT(MAX_DISPLAY_NOTE);
    struct context_step *step = context->step;
    struct sbx_jsonw w;
    unsigned i;

    if (step == NULL) {
        return false;
    }
    if (!display_is_wanted(step, display)) {
        step->dropped++;
        return false;
    }
    sbx_jsonw_init(&w, &note);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_object(&w, "display");
    sbx_jsonw_str(&w, "kind", display->is_result ? "result" : "display");
    sbx_jsonw_array(&w, "items");
    for (i = 0; i < display->n_items; i++) {
        sbx_jsonw_object(&w, NULL);
        sbx_jsonw_str(&w, "mime", display->items[i].mime);
        sbx_jsonw_uint(&w, "size", display->items[i].size);
        sbx_jsonw_object_end(&w);
    }
    sbx_jsonw_array_end(&w);
    sbx_jsonw_object_end(&w);
    sbx_jsonw_object_end(&w);
    if (note.failed || sbx_channel_note(step->channel, note.data, note.len) != 0) {
        step->dropped++;
        return false;
    }
    step->displays++;
    step->display_bytes += display->bytes;
    return true;
}

static bool
step_read(struct context_step *step, struct sbx_field_error *err)
{
    static const char *const known[] = { "op",  "context",           "id",           "timeout_ms",
                                         "env", "max_display_bytes", "max_displays", NULL };
    int64_t timeout_ms = REQUEST_DEFAULT_TIMEOUT_MS, displays = 0, bytes = 0;
    const json_t *request = step->request;
    size_t len = 0;

    if (!sbx_json_only(request, "", known, err) ||
        !sbx_json_get_str(request, "", "id", 64, &step->id, &len, err) ||
        !sbx_json_get_int(request, "", "timeout_ms", 1, REQUEST_MAX_TIMEOUT_MS, &timeout_ms, err) ||
        !sbx_json_get_int(request, "", "max_displays", 0, MAX_DISPLAYS, &displays, err) ||
        !sbx_json_get_int(request, "", "max_display_bytes", 0, MAX_DISPLAY_BYTES, &bytes, err) ||
        !sbx_json_get_object(request, "", "env", &step->env, err) || !request_env_check(step->env, err)) {
        return false;
    }
    if (step->id == NULL || !request_id_valid(step->id, len)) {
        sbx_field_error_set(err, "/id", "a step needs an id of 1 to 64 letters, digits, '_', '-' and '.'");
        return false;
    }
    step->timeout_ms = (uint64_t)timeout_ms;
    step->max_displays = (unsigned)displays;
    step->max_display_bytes = (uint64_t)bytes;
    return true;
}

static void
step_begin(struct context *context, struct sbx_channel *channel, json_t *request)
{
    static const struct sbx_channel_events events = {
        .on_note = step_on_note,
        .on_data = step_on_data,
        .on_writable = step_on_writable,
        .on_shut = step_on_shut,
        .on_end = step_on_gone,
    };
    struct context_step *step = calloc(1, sizeof(*step));
    struct sbx_field_error err;

    if (step == NULL) {
        hub_refuse(channel, HUB_E_FAILED, "out of memory");
        return;
    }
    step->request = json_incref(request);
    step->code.max = REQUEST_MAX_CODE;
    if (!step_read(step, &err)) {
        hub_refuse(channel, HUB_E_INVALID, err.message);
        step_discard(step);
        return;
    }
    step->context = context;
    step->channel = channel;
    context->step = step;
    sbx_channel_accept(channel, &events, context);
}

void
context_on_step(struct hub *hub, struct sbx_channel *channel, const json_t *request)
{
    const char *name = json_string_value(json_object_get(request, "context"));
    struct context *context = name == NULL ? NULL : context_find(hub->contexts, name);

    if (context == NULL || context->is_leaving) {
        hub_refuse(channel, name == NULL ? HUB_E_INVALID : HUB_E_NOT_FOUND, "there is no such context");
    } else if (context->step != NULL || context->starting != NULL) {
        hub_refuse(channel, HUB_E_BUSY, "the context is busy");
    } else {
        step_begin(context, channel, (json_t *)(uintptr_t)request);
    }
}
