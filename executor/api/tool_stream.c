#include "executor/api/tool_stream.h"

#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/stream.h"
#include "executor/api/tool_call.h"
#include "executor/api/tool_output.h"
#include "lib/sbx_jsonw.h"
#include "lib/sbx_time.h"
#include "lib/sbx_utf8.h"

#define TICK_MS 1000
#define SILENCE_MS 5000 /* between two events, whatever the run says */
#define LAST_LINE_MAX 200
#define LAST_BYTES 1024          /* of output that are looked at for its last line */
#define BEHIND_MAX (64ul * 1024) /* a client that reads so slowly needs no progress */
#define EVENT_MAX 4096
#define CLOSING_MAX (16ul << 20)
#define ALIVE ": keep-alive\n\n"

struct tool_stream {
    struct stream_slot slot;
    struct call *call;
    struct job *job; /* one of both, or none any more */
    struct step *step;
    struct timer *tick;
    uint64_t began_ms, said_ms; /* monotonic; of the last event or comment */
    uint64_t told_ms;           /* of the last event */
    uint64_t progress;          /* that was said last */
    uint64_t totals[JOB_N_STREAMS];
    const char *status;
};

struct tool_stream *
tool_stream_free(struct tool_stream *stream)
{
    if (stream != NULL) {
        stream_slot_free(&stream->slot);
        timer_free(stream->tick);
        free(stream);
    }
    return NULL;
}

static const struct sbx_capture *
stream_capture(const struct tool_stream *stream, unsigned which)
{
    return stream->job != NULL ? &stream->job->capture[which] : step_capture(stream->step, which);
}

static const char *
stream_status(const struct tool_stream *stream)
{
    return stream->job != NULL ? job_state_status(stream->job->record.state)
                               : step_state_status(step_record(stream->step)->state);
}

/* What the run said last; of both streams the one that said something since the last look. */
static void
put_message(struct tool_stream *stream, struct sbx_buf *out)
{
    unsigned which = JOB_STDOUT;
    char bytes[LAST_BYTES];
    size_t len;

    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        uint64_t total = stream_capture(stream, i)->total;

        which = total > stream->totals[i] || (i > 0 && stream_capture(stream, which)->total == 0) ? i : which;
    }
    len = sbx_capture_last(stream_capture(stream, which), bytes, sizeof(bytes));
    len -= sbx_utf8_unfinished(bytes, len);
    tool_output_last_line(out, bytes, len, LAST_LINE_MAX);
    if (out->len == 0) {
        sbx_buf_puts(out, stream_status(stream));
    }
}

/* Also that it runs now, and waits no more; and at first, how it is. */
static bool
has_news(const struct tool_stream *stream)
{
    return stream->progress == 0 || stream_capture(stream, JOB_STDOUT)->total != stream->totals[JOB_STDOUT] ||
           stream_capture(stream, JOB_STDERR)->total != stream->totals[JOB_STDERR] ||
           stream_status(stream) != stream->status;
}

static void
write_progress(struct tool_stream *stream, uint64_t now)
{
    char event_text[EVENT_MAX], message_text[4 * LAST_LINE_MAX];
    struct sbx_buf event = SBX_BUF_OVER(event_text), message = SBX_BUF_OVER(message_text);
    uint64_t progress = now - stream->began_ms;
    struct sbx_jsonw w;

    put_message(stream, &message);
    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        stream->totals[i] = stream_capture(stream, i)->total;
    }
    stream->status = stream_status(stream);
    stream->progress = progress > stream->progress ? progress : stream->progress + 1;
    sbx_buf_puts(&event, "event: progress\ndata: ");
    sbx_jsonw_init(&w, &event);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_uint(&w, "progress", stream->progress);
    sbx_jsonw_strn(&w, "message", message.data, message.len);
    sbx_jsonw_object_end(&w);
    sbx_buf_puts(&event, "\n\n");
    if (!event.failed && !message.failed) {
        sbx_http_reply_write(stream->call->request, event.data, event.len);
        stream->told_ms = stream->said_ms = now;
    }
}

static void
stream_on_tick(void *arg)
{
    struct tool_stream *stream = arg;
    struct call *call = stream->call;
    const uint64_t now = sbx_now_mono_ms();

    timer_start(stream->tick, TICK_MS);
    if (sbx_http_reply_pending(call->request) > BEHIND_MAX) {
        return;
    }
    if ((stream->job != NULL || stream->step != NULL) &&
        (has_news(stream) || now - stream->told_ms >= SILENCE_MS - TICK_MS / 2)) {
        write_progress(stream, now);
    } else if (now - stream->said_ms >= call->api->spec.stream_keepalive_ms) {
        sbx_http_reply_write(call->request, ALIVE, strlen(ALIVE));
        stream->said_ms = now;
    }
}

static struct tool_stream *
stream_new(struct call *call)
{
    struct tool_stream *stream;

    if (call->tool == NULL || !call->tool->wants_stream || call->tool->stream != NULL ||
        strcmp(sbx_http_request_method(call->request), "HEAD") == 0) {
        return NULL;
    }
    stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        return NULL;
    }
    stream->call = call;
    if (!stream_slot_take(&stream->slot, call, NULL) ||
        timer_new(&stream->tick, engine_timers(call->api->spec.engine), stream_on_tick, stream) != 0) {
        return tool_stream_free(stream);
    }
    return stream;
}

static void
stream_begin(struct tool_stream *stream)
{
    struct call *call = stream->call;
    struct sbx_http_header headers[TOOL_HEADERS];
    unsigned n = tool_headers(call, headers);

    headers[n++] = (struct sbx_http_header){ "X-Accel-Buffering", "no" };
    headers[n++] = (struct sbx_http_header){ "X-Content-Type-Options", "nosniff" };
    call->tool->stream = stream;
    stream->began_ms = stream->said_ms = stream->told_ms = sbx_now_mono_ms();
    stream->status = stream_status(stream);
    call_start_stream(call, 200, STREAM_TYPE, headers, n, CALL_STREAM_CHUNKED);
    sbx_http_reply_write(call->request, ALIVE, strlen(ALIVE));
    timer_start(stream->tick, TICK_MS);
}

void
tool_stream_job(struct call *call, struct job *job)
{
    struct tool_stream *stream = stream_new(call);

    if (stream != NULL) {
        stream->job = job;
        tool_locate(call, job->record.id.text, NULL);
        stream_begin(stream);
    }
}

void
tool_stream_step(struct call *call, struct step *step)
{
    struct tool_stream *stream = stream_new(call);

    if (stream != NULL) {
        stream->step = step;
        tool_locate(call, step_record(step)->session_id.text, step_record(step)->id.text);
        stream_begin(stream);
    }
}

void
tool_stream_settle(struct tool_stream *stream)
{
    if (stream != NULL) {
        stream->job = NULL;
        stream->step = NULL;
    }
}

void
tool_stream_close(struct tool_stream *stream, const char *name, const struct sbx_buf *object)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf event = SBX_BUF_INIT(CLOSING_MAX);
    struct call *call = stream->call;

    sbx_buf_printf(&event, "event: %s\n", name);
    stream_put_data(&event, object->data, object->len);
    if (event.failed) {
        call_break_stream(call);
        return;
    }
    sbx_http_reply_write(call->request, event.data, event.len);
    call_end_stream(call);
}
