/*
 *   stream_ask -> stream_start -> stream_pump -> (ready: stream_on_soon -> stream_pump ...) -> call_end_stream
 *
 * What the socket has not taken yet is bounded: beyond STREAM_AHEAD the feed is not read, and its window moves on.
 */
#include "executor/api/stream.h"

#include <stdlib.h>
#include <string.h>

#include "executor/api/accept.h"
#include "executor/api/api_inside.h"
#include "lib/sbx_utf8.h"

#define STREAM_PIECE 16384ul        /* output in one event */
#define STREAM_AHEAD (256ul * 1024) /* bytes that may wait for the client */
#define STREAM_MAX                                                                                           \
    (256ul * 1024 * 1024) /* of what is written at once: one event may be as large as the feed's window */
#define STREAM_LEAD_MAX 4096ul
#define STREAM_HELD 4
#define STREAM_HINT "retry: 1000\n\n"
#define STREAM_ALIVE ": keep-alive\n\n"

struct stream {
    struct stream_slot slot;
    struct call *call;
    struct feed_reader *reader;
    struct timer *soon, *alive;
    struct feed_cursor cursor; /* what was taken from the feed */
    bool resumes, plain;
    struct sbx_buf lead; /* before all that the feed has */
    struct {
        char data[STREAM_HELD];
        size_t len;
    } held[2]; /* the beginning of a character */
};

static void stream_pump(struct stream *stream);

struct stream *
stream_free(struct stream *stream)
{
    if (stream == NULL) {
        return NULL;
    }
    stream_slot_free(&stream->slot);
    feed_reader_free(stream->reader);
    timer_free(stream->soon);
    timer_free(stream->alive);
    sbx_buf_deinit(&stream->lead);
    free(stream);
    return NULL;
}

static bool
cursor_refuse(struct call *call, const char *field)
{
    struct sbx_field_error err = { 0 };

    sbx_field_error_set(&err, field, "is not a cursor of a stream");
    call_problem_field(call, &err);
    return false;
}

/* The header is newer than the address that a client keeps calling. */
static bool
stream_read_cursor(struct call *call, struct stream *stream)
{
    const char *last = sbx_http_request_header(call->request, "Last-Event-ID");
    char text[FEED_CURSOR_LEN];

    if (last != NULL && *last != '\0') {
        stream->resumes = true;
        return sbx_http_request_header_count(call->request, "Last-Event-ID") == 1 &&
                       feed_cursor_parse(&stream->cursor, last)
                   ? true
                   : cursor_refuse(call, "Last-Event-ID");
    }
    switch (call_param(call, "cursor", text, sizeof(text))) {
    case CALL_PARAM_ABSENT:
        return true;
    case CALL_PARAM_FINE:
        stream->resumes = true;
        return feed_cursor_parse(&stream->cursor, text) ? true : cursor_refuse(call, "cursor");
    case CALL_PARAM_BAD:
        break;
    }
    return cursor_refuse(call, "cursor");
}

bool
stream_slot_take(struct stream_slot *slot, struct call *call, struct sbx_problem *ret)
{
    const struct api_spec *spec = &call->api->spec;
    unsigned n = 0, own = 0;
    struct list *it, *after;

    list_init(&slot->link);
    list_each (it, after, &call->api->streams) {
        const struct stream_slot *other = list_entry(it, struct stream_slot, link);

        n++;
        own += strcmp(other->tenant, call->context.tenant) == 0;
    }
    if (own < spec->max_streams_per_tenant && n < spec->max_streams) {
        slot->tenant = call->context.tenant;
        list_append(&call->api->streams, &slot->link);
        return true;
    }
    if (ret != NULL) {
        *ret = (struct sbx_problem){ .retry_after_s = 1 };
        ret->code =
            own < spec->max_streams_per_tenant ? SBX_PROBLEM_QUEUE_FULL : SBX_PROBLEM_TENANT_QUEUE_FULL;
        ret->detail = own < spec->max_streams_per_tenant ? "as many streams are open as may be"
                                                         : "the tenant has as many streams open as it may";
    }
    return false;
}

void
stream_slot_free(struct stream_slot *slot)
{
    list_remove(&slot->link);
}

/* False: answered. */
static bool
stream_new(struct call *call)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    struct sbx_problem problem;

    if (stream == NULL) {
        call_problem_internal(call, -ENOMEM);
        return false;
    }
    if (!stream_slot_take(&stream->slot, call, &problem)) {
        free(stream);
        call_reply_problem(call, &problem);
        return false;
    }
    stream->call = call;
    call->stream = stream;
    return true;
}

bool
stream_ask(struct call *call)
{
    const char *accept = sbx_http_request_header(call->request, "Accept");
    char text[2];

    if (call->tool != NULL) {
        return true; /* its streams are of another kind */
    }
    if (!accept_prefers(accept, STREAM_TYPE, "application/json")) {
        if (call_param(call, "cursor", text, sizeof(text)) == CALL_PARAM_ABSENT) {
            return true;
        }
        call_problem_field(call, &(struct sbx_field_error){
                                     .field = "cursor",
                                     .message = "is of a stream: Accept has to ask for " STREAM_TYPE,
                                 });
        return false;
    }
    if (!stream_new(call)) {
        return false;
    }
    return stream_read_cursor(call, call->stream);
}

void
stream_from_start(struct call *call)
{
    if (call->stream != NULL) {
        call->stream->resumes = false;
    }
}

void
stream_put_data(struct sbx_buf *out, const char *json, size_t len)
{
    sbx_buf_puts(out, "data: ");
    while (len > 0) {
        size_t n = 0;

        while (n < len && json[n] != '\n' && json[n] != '\r') {
            n++;
        }
        sbx_buf_append(out, json, n);
        if (n < len) {
            sbx_buf_putc(out, ' ');
            n++;
        }
        json += n;
        len -= n;
    }
    sbx_buf_puts(out, "\n\n");
}

/* Bytes that wait for their rest are not the client's yet. */
static void
put_head(const struct stream *stream, struct sbx_buf *out, const char *name)
{
    struct feed_cursor cursor = stream->cursor;
    char id[FEED_CURSOR_LEN];

    sbx_buf_printf(out, "event: %s\n", name);
    if (stream->plain) {
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        cursor.bytes[i] -= stream->held[i].len;
    }
    feed_cursor_text(id, &cursor);
    sbx_buf_printf(out, "id: %s\n", id);
}

static void
put_bytes(const struct stream *stream, struct sbx_buf *out, unsigned which, const char *data, size_t len)
{
    struct sbx_jsonw w;

    put_head(stream, out, which == 0 ? "stdout" : "stderr");
    sbx_buf_puts(out, "data: ");
    if (sbx_utf8_valid(data, len)) {
        sbx_jsonw_init(&w, out);
        sbx_jsonw_object(&w, NULL);
        sbx_jsonw_strn(&w, "text", data, len);
        sbx_jsonw_object_end(&w);
    } else {
        sbx_buf_puts(out, "{\"base64\":\"");
        sbx_b64_encode(out, data, len);
        sbx_buf_puts(out, "\"}");
    }
    sbx_buf_puts(out, "\n\n");
}

static void
put_output(struct stream *stream, struct sbx_buf *out, unsigned which, const char *data, size_t len)
{
    char joined[STREAM_HELD + STREAM_PIECE];
    size_t n = stream->held[which].len, rest;

    memcpy(joined, stream->held[which].data, n);
    memcpy(joined + n, data, len);
    n += len;
    rest = sbx_utf8_unfinished(joined, n);
    memcpy(stream->held[which].data, joined + n - rest, rest);
    stream->held[which].len = rest;
    if (n > rest) {
        put_bytes(stream, out, which, joined, n - rest);
    }
}

/* Its rest does not come. */
static void
put_held(struct stream *stream, struct sbx_buf *out, unsigned which)
{
    char data[STREAM_HELD];
    size_t len = stream->held[which].len;

    if (len > 0) {
        memcpy(data, stream->held[which].data, len);
        stream->held[which].len = 0;
        put_bytes(stream, out, which, data, len);
    }
}

static void
put_gap(struct stream *stream, struct sbx_buf *out, const struct feed_item *item)
{
    struct sbx_jsonw w;

    stream->call->api->stream_gaps++;
    put_head(stream, out, "gap");
    sbx_buf_puts(out, "data: ");
    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_uint(&w, "stdout_bytes", item->missed[0]);
    sbx_jsonw_uint(&w, "stderr_bytes", item->missed[1]);
    sbx_jsonw_uint(&w, "events", item->missed_events);
    sbx_jsonw_object_end(&w);
    sbx_buf_puts(out, "\n\n");
}

static void
stream_put(struct stream *stream, struct sbx_buf *out, const struct feed_item *item)
{
    for (unsigned i = 0; i < 2; i++) {
        if (item->missed[i] > 0 || item->cursor.events > FEED_CLOSING) {
            put_held(stream, out, i);
        }
    }
    stream->cursor = item->cursor;
    switch (item->kind) {
    case FEED_STDOUT:
    case FEED_STDERR:
        put_output(stream, out, item->kind == FEED_STDOUT ? 0 : 1, item->data, item->len);
        break;
    case FEED_EVENT:
        put_head(stream, out, item->name);
        stream_put_data(out, item->data, item->len);
        break;
    case FEED_GAP:
        put_gap(stream, out, item);
        break;
    }
}

static void
stream_send(struct stream *stream, const struct sbx_buf *out)
{
    if (out->len > 0) {
        sbx_http_reply_write(stream->call->request, out->data, out->len);
        timer_start(stream->alive, stream->call->api->spec.stream_keepalive_ms);
    }
}

static void
stream_end(struct stream *stream, struct sbx_buf *out)
{
    put_held(stream, out, 0);
    put_held(stream, out, 1);
    stream_send(stream, out);
    call_end_stream(stream->call);
}

static void
stream_pump(struct stream *stream)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf out = SBX_BUF_INIT(STREAM_MAX);
    struct feed_item item;

    while (!out.failed && sbx_http_reply_pending(stream->call->request) + out.len < STREAM_AHEAD) {
        switch (feed_next(stream->reader, STREAM_PIECE, &item)) {
        case FEED_NEXT_ITEM:
            stream_put(stream, &out, &item);
            break;
        case FEED_NEXT_WAIT:
            stream_send(stream, &out);
            return;
        case FEED_NEXT_END:
            stream_end(stream, &out);
            return;
        }
    }
    if (out.failed) {
        call_end_stream(stream->call); /* the client comes back for what it has not */
        return;
    }
    stream_send(stream, &out);
}

/* From inside of the writer's call: what else it has to say joins. */
static void
stream_on_ready(void *arg)
{
    struct stream *stream = arg;

    timer_start(stream->soon, 0);
}

static void
stream_on_soon(void *arg)
{
    stream_pump(arg);
}

static void
stream_on_drain(struct sbx_http_request *request)
{
    const struct call *call = sbx_http_request_user(request);

    stream_pump(call->stream);
}

static void
stream_on_alive(void *arg)
{
    struct stream *stream = arg;
    struct sbx_http_request *request = stream->call->request;

    timer_start(stream->alive, stream->call->api->spec.stream_keepalive_ms);
    if (sbx_http_reply_pending(request) == 0) {
        sbx_http_reply_write(request, STREAM_ALIVE, strlen(STREAM_ALIVE));
    }
}

static int
stream_prepare(struct stream *stream, struct feed *feed)
{
    struct timers *timers = engine_timers(stream->call->api->spec.engine);
    int r;

    r = timer_new(&stream->soon, timers, stream_on_soon, stream);
    if (r == 0) {
        r = timer_new(&stream->alive, timers, stream_on_alive, stream);
    }
    if (r == 0) {
        r = feed_reader_new(&stream->reader, feed, stream->resumes ? &stream->cursor : NULL, stream_on_ready,
                            stream);
    }
    return r;
}

static void
stream_begin(struct stream *stream, const struct sbx_http_header *headers, unsigned n_headers)
{
    struct call *call = stream->call;
    struct sbx_http_header all[8];
    unsigned n = 0;

    for (; n < n_headers; n++) {
        all[n] = headers[n];
    }
    all[n++] = (struct sbx_http_header){ "X-Accel-Buffering", "no" };
    all[n++] = (struct sbx_http_header){ "X-Content-Type-Options", "nosniff" };
    call_start_stream(call, 200, STREAM_TYPE, all, n, CALL_STREAM_CHUNKED);
    if (strcmp(sbx_http_request_method(call->request), "HEAD") == 0) {
        call_end_stream(call);
        return;
    }
    sbx_http_reply_on_drain(call->request, stream_on_drain);
    sbx_http_reply_write(call->request, STREAM_HINT, strlen(STREAM_HINT));
    if (stream->lead.len > 0 && !stream->lead.failed) {
        sbx_http_reply_write(call->request, stream->lead.data, stream->lead.len);
    }
    timer_start(stream->alive, call->api->spec.stream_keepalive_ms);
    timer_start(stream->soon, 0);
}

/* Whether a client that comes back has all there will ever be: 204 tells it to stay away. */
static bool
stream_is_over(struct stream *stream, struct feed *feed)
{
    struct feed_reader *reader;
    struct feed_item item;
    bool over;

    if (!stream->resumes || !feed_closed(feed) ||
        feed_reader_new(&reader, feed, &stream->cursor, stream_on_ready, stream) != 0) {
        return false;
    }
    over = feed_next(reader, STREAM_PIECE, &item) == FEED_NEXT_END;
    feed_reader_free(reader);
    return over;
}

void
stream_lead(struct call *call, const char *name, const struct sbx_buf *json)
{
    struct stream *stream = call->stream;

    stream->lead = (struct sbx_buf)SBX_BUF_INIT(STREAM_LEAD_MAX);
    sbx_buf_printf(&stream->lead, "event: %s\n", name);
    stream_put_data(&stream->lead, json->data, json->len);
}

void
stream_start(struct call *call, struct feed *feed, const struct sbx_http_header *headers, unsigned n_headers)
{
    struct stream *stream = call->stream;
    int r;

    if (stream_is_over(stream, feed)) {
        call_reply(call, 204, NULL, headers, n_headers, "", 0);
        return;
    }
    r = stream_prepare(stream, feed);
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    stream_begin(stream, headers, n_headers);
}

void
stream_start_plain(struct call *call, struct feed *feed)
{
    int r;

    if (call->stream == NULL && !stream_new(call)) {
        return;
    }
    call->stream->plain = true;
    call->stream->resumes = false;
    r = stream_prepare(call->stream, feed);
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    stream_begin(call->stream, NULL, 0);
}
