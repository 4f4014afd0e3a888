#include "executor/api/tool_view.h"

#include <inttypes.h>
#include <string.h>

#include "executor/api/sandbox_uri.h"
#include "lib/sbx_json.h"

#define ERROR_PARSE_MAX (1ul << 20)
#define ERROR_VALUE_MAX 4096ul
#define ERROR_TRACEBACK_MAX 8192ul
#define TOOL_LINE_MAX 1024ul

/* Escapes may make a text four times as long, JSON's six. */
#define VIEW_BUF(max) SBX_BUF_INIT(8 * (size_t)(max) + 4096)

void
tool_view_deinit(struct tool_view *view)
{
    struct sbx_buf *const all[] = {
        &view->output[0],  &view->output[1],  &view->result_json,   &view->result_text,
        &view->error_json, &view->error_text, &view->displays_json, &view->displays_text,
        &view->stopped,    &view->hint,       &view->next,
    };

    for (size_t i = 0; i < SBX_COUNT(all); i++) {
        sbx_buf_deinit(all[i]);
    }
}

static bool
view_failed(const struct tool_view *view)
{
    return view->output[0].failed || view->output[1].failed || view->result_json.failed ||
           view->result_text.failed || view->error_json.failed || view->error_text.failed ||
           view->displays_json.failed || view->displays_text.failed || view->stopped.failed ||
           view->hint.failed || view->next.failed;
}

bool
tool_view_has_images(const struct tool_view *view)
{
    return !view->ask->has_offset[JOB_STDOUT] && !view->ask->has_offset[JOB_STDERR];
}

void
tool_view_uri(struct sbx_buf *out, const struct tool_run *run, const char *path)
{
    sbx_buf_printf(out, "sandbox://job/%s/", run->id);
    sandbox_uri_write_path(out, path);
}

static void
view_output(struct tool_view *view, unsigned which)
{
    const struct job_stream *stream = &view->run->stream[which];
    const struct tool_output_ask ask = {
        .name = which == JOB_STDOUT ? "stdout" : "stderr",
        .stored = { .data = stream->data == NULL ? "" : stream->data,
                    .len = stream->len,
                    .total = stream->total,
                    .truncated = view->run->truncated },
        .live = view->run->end == TOOL_RUN_LIVE,
        .from = view->ask->has_offset[which],
        .offset = view->ask->offset[which],
        .max = which == JOB_STDOUT ? TOOL_OUTPUT_STDOUT_MAX : TOOL_OUTPUT_STDERR_MAX,
    };

    tool_output_write(&view->output[which], &ask, &view->shown[which]);
}

static void
view_result(struct tool_view *view)
{
    const char *json = view->run->result_json;
    size_t len = json == NULL ? 0 : strlen(json);

    if (len > TOOL_RESULT_MAX) {
        view->result_bytes = len;
    } else if (len > 0) {
        sbx_buf_append(&view->result_json, json, len);
        tool_output_escape(&view->result_text, json, len);
    }
}

/* A member of an object of ours, without control characters, and of a length that can be shown. */
static void
member_text(struct sbx_buf *out, const json_t *object, const char *key, size_t max)
{
    const json_t *value = json_object_get(object, key);

    if (json_is_string(value)) {
        tool_output_ends(out, json_string_value(value), json_string_length(value), max);
    } else if (value != NULL) {
        sbx_json_dump(out, value, false);
    }
}

static json_t *
object_parse(const char *text)
{
    struct sbx_field_error ignored;
    json_t *json = NULL;

    if (text == NULL || strlen(text) > ERROR_PARSE_MAX ||
        sbx_json_parse(&json, text, strlen(text), &ignored) != 0) {
        return NULL;
    }
    return json;
}

/* A traceback ends with name and value, mostly: they are not said twice then. */
static void
error_text(struct sbx_buf *out, const struct sbx_buf members[3])
{
    const struct sbx_buf *name = &members[0], *value = &members[1], *traceback = &members[2];

    if (name->len == 0 || traceback->len == 0 ||
        memmem(traceback->data, traceback->len, name->data, name->len) == NULL) {
        sbx_buf_append(out, name->data, name->len);
        sbx_buf_puts(out, value->len > 0 ? ": " : "");
        sbx_buf_append(out, value->data, value->len);
        sbx_buf_puts(out, traceback->len > 0 ? "\n" : "");
    }
    sbx_buf_append(out, traceback->data, traceback->len);
}

static void
view_error(struct tool_view *view)
{
    static const char *const keys[] = { "name", "value", "traceback" };
    static const size_t most[] = { TOOL_LINE_MAX, ERROR_VALUE_MAX, ERROR_TRACEBACK_MAX };
    struct sbx_buf members[] = { VIEW_BUF(TOOL_LINE_MAX), VIEW_BUF(ERROR_VALUE_MAX),
                                 VIEW_BUF(ERROR_TRACEBACK_MAX) };
    _cleanup_(sbx_json_decrefp) json_t *error = object_parse(view->run->error_json);
    struct sbx_jsonw w;

    if (error == NULL) {
        return;
    }
    sbx_jsonw_init(&w, &view->error_json);
    sbx_jsonw_object(&w, NULL);
    for (size_t i = 0; i < SBX_COUNT(keys); i++) {
        member_text(&members[i], error, keys[i], most[i]);
        view->error_json.failed = view->error_json.failed || members[i].failed;
        sbx_jsonw_strn(&w, keys[i], members[i].len == 0 ? "" : members[i].data, members[i].len);
    }
    sbx_jsonw_object_end(&w);
    error_text(&view->error_text, members);
    for (size_t i = 0; i < SBX_COUNT(keys); i++) {
        sbx_buf_deinit(&members[i]);
    }
}

static void
view_violation(struct tool_view *view)
{
    _cleanup_(sbx_json_decrefp) json_t *violation = object_parse(view->run->violation_json);

    if (violation == NULL) {
        return;
    }
    member_text(&view->stopped, violation, "rule", TOOL_LINE_MAX);
    sbx_buf_puts(&view->stopped, ": limit ");
    member_text(&view->stopped, violation, "limit", TOOL_LINE_MAX);
    sbx_buf_puts(&view->stopped, ", observed ");
    member_text(&view->stopped, violation, "observed", TOOL_LINE_MAX);
    member_text(&view->hint, violation, "hint", TOOL_LINE_MAX);
}

static void
next_live(struct tool_view *view)
{
    sbx_buf_printf(
        &view->next,
        "It is not finished. Call get_job with job_id \"%s\" to wait for it (stdout_offset=%" PRIu64
        " shows only what is new), or cancel_job to stop it.",
        view->run->id, view->shown[JOB_STDOUT].end);
}

static void
next_stopped(struct tool_view *view)
{
    if (strcmp(view->run->status, "denied") == 0) {
        sbx_buf_puts(&view->next, "A policy forbids this run: the same again will be refused, too.");
    } else if (view->hint.len > 0) {
        sbx_buf_puts(&view->next, "To get past this limit: ");
        sbx_buf_append(&view->next, view->hint.data, view->hint.len);
        sbx_buf_puts(&view->next, ". Then run it again.");
    } else {
        sbx_buf_puts(&view->next, "Make it need less, then run it again.");
    }
}

static void
next_more(struct tool_view *view)
{
    static const char *const names[] = { "stdout", "stderr" };

    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        if (view->shown[i].more) {
            sbx_buf_printf(
                &view->next, "%sCall get_job with job_id \"%s\" and %s_offset=%" PRIu64 " to read on in %s.",
                view->next.len > 0 ? " " : "", view->run->id, names[i], view->shown[i].next, names[i]);
        }
    }
}

static void
view_next(struct tool_view *view)
{
    const struct tool_run *run = view->run;

    switch (run->end) {
    case TOOL_RUN_LIVE:
        next_live(view);
        return;
    case TOOL_RUN_ENDED:
        break;
    case TOOL_RUN_CANCELLED:
        sbx_buf_puts(&view->next, "It was cancelled. Run it again if it is still wanted.");
        break;
    case TOOL_RUN_STOPPED:
        next_stopped(view);
        break;
    case TOOL_RUN_LOST:
        sbx_buf_puts(&view->next, run->started_ms == 0
                                      ? "It never ran, so nothing of it happened. Run it again."
                                      : "What it did until then is not known. Run it again.");
        break;
    }
    if (run->restarted) {
        sbx_buf_printf(&view->next,
                       "%sThe interpreter had been started anew for it: earlier variables are gone.",
                       view->next.len > 0 ? " " : "");
    }
    if (run->session_id != NULL && run->interpreter_dead) {
        sbx_buf_printf(&view->next,
                       "%sThe interpreter is gone, and with it its variables; files are still there. The "
                       "next run_code in this session starts another.",
                       view->next.len > 0 ? " " : "");
    }
    next_more(view);
    if (run->session_id != NULL && run->end == TOOL_RUN_ENDED) {
        sbx_buf_printf(&view->next,
                       "%sFiles it saved are in the session's workspace: read_file with session_id and path.",
                       view->next.len > 0 ? " " : "");
    }
    if (run->n_files > 0 || view->n_pictures > 0) {
        sbx_buf_printf(&view->next, "%sOpen a file with read_file and its uri.",
                       view->next.len > 0 ? " " : "");
    }
}

int
tool_view_init(struct tool_view *ret, const struct tool_view_ask *ask)
{
    *ret = (struct tool_view){
        .ask = ask,
        .run = ask->run,
        .output = { VIEW_BUF(TOOL_OUTPUT_STDOUT_MAX), VIEW_BUF(TOOL_OUTPUT_STDERR_MAX) },
        .result_json = VIEW_BUF(TOOL_RESULT_MAX),
        .result_text = VIEW_BUF(TOOL_RESULT_MAX),
        .error_json = VIEW_BUF(2 * ERROR_TRACEBACK_MAX),
        .error_text = VIEW_BUF(2 * ERROR_TRACEBACK_MAX),
        .displays_json = SBX_BUF_INIT(1ul << 20),
        .displays_text = SBX_BUF_INIT(1ul << 20),
        .stopped = VIEW_BUF(4 * TOOL_LINE_MAX),
        .hint = VIEW_BUF(TOOL_LINE_MAX),
        .next = VIEW_BUF(4 * TOOL_LINE_MAX),
    };
    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        view_output(ret, i);
    }
    view_result(ret);
    view_error(ret);
    view_violation(ret);
    tool_view_displays(ret);
    view_next(ret);
    ret->is_error = ret->run->end == TOOL_RUN_STOPPED || ret->run->end == TOOL_RUN_LOST;
    return view_failed(ret) ? -ENOMEM : 0;
}
