/*
 * A command's terminal, or its pipes, as a WebSocket: its output as binary frames, what is typed as binary frames, and
 * JSON in text frames for the rest. Outlives the call it began as; ends with the command, or leaves it alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/handlers.h"
#include "executor/api/process_call.h"
#include "executor/api/process_request.h"
#include "executor/core/feed.h"
#include "executor/net/websocket.h"
#include "lib/sbx_crypto.h"

#define PING_MS 20000
#define PIECE 16384
#define AHEAD (128u << 10)
#define REST_MAX (1u << 20)
#define TEXT_MAX (4u << 20)
#define MAX_SOCKETS 1024u

struct process_ws {
    struct api *api;
    struct command *command; /* held */
    struct session *session; /* held from being idle: somebody sits there; NULL once it has ended */
    struct session_hook hook;
    struct websocket *ws; /* NULL before the handshake's end, and after the goodbye's */
    struct feed_reader *reader;
    struct timer *soon;
    struct command_writer writer;
    struct sbx_buf rest; /* typed, and no room yet */
    struct feed_cursor cursor, told;
    struct sbx_context context; /* of who opened it */
    struct process_input input;
};

static void
on_session_end(struct session_hook *hook, struct session *session _unused_)
{
    list_entry(hook, struct process_ws, hook)->session = NULL;
}

static void
process_ws_free(struct process_ws *pw)
{
    pw->api->n_sockets--;
    process_audit_input(engine_db(pw->api->spec.engine), &pw->context, pw->command, &pw->input);
    process_input_deinit(&pw->input);
    session_hook_remove(&pw->hook);
    if (pw->session != NULL) {
        session_release(pw->session);
    }
    feed_reader_free(pw->reader);
    timer_free(pw->soon);
    command_writer_remove(&pw->writer);
    sbx_buf_deinit(&pw->rest);
    command_unref(pw->command);
    free(pw);
}

/* {"name": json} */
static void
tell(struct process_ws *pw, const char *name, const char *json, size_t len)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(TEXT_MAX);

    sbx_buf_printf(&text, "{\"%s\":", name);
    sbx_buf_append(&text, json, len);
    sbx_buf_puts(&text, "}");
    if (text.failed) {
        websocket_close(pw->ws, WEBSOCKET_INTERNAL, "out of memory");
    } else {
        websocket_send(pw->ws, true, text.data, text.len);
    }
}

static void
tell_gap(struct process_ws *pw, const struct feed_item *item)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(256);

    sbx_buf_printf(&text, "{\"stdout_bytes\":%llu,\"stderr_bytes\":%llu,\"events\":%llu}",
                   (unsigned long long)item->missed[0], (unsigned long long)item->missed[1],
                   (unsigned long long)item->missed_events);
    tell(pw, "gap", text.failed ? "{}" : text.data, text.failed ? 2 : text.len);
}

static void
tell_stderr(struct process_ws *pw, const struct feed_item *item)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(2ul * PIECE);

    sbx_buf_puts(&text, "\"");
    sbx_b64_encode(&text, item->data, item->len);
    sbx_buf_puts(&text, "\"");
    if (!text.failed) {
        tell(pw, "stderr", text.data, text.len);
    }
}

static void
put(struct process_ws *pw, const struct feed_item *item)
{
    switch (item->kind) {
    case FEED_STDOUT:
        websocket_send(pw->ws, false, item->data, item->len);
        break;
    case FEED_STDERR:
        tell_stderr(pw, item);
        break;
    case FEED_EVENT:
        tell(pw, strcmp(item->name, "end") == 0 ? "exit" : item->name, item->data, item->len);
        break;
    case FEED_GAP:
        tell_gap(pw, item);
        break;
    }
    pw->cursor = item->cursor;
}

/* Where to go on from on another connection: after each batch, when it has moved. */
static void
tell_cursor(struct process_ws *pw)
{
    char text[FEED_CURSOR_LEN], json[FEED_CURSOR_LEN + 2];

    if (memcmp(&pw->cursor, &pw->told, sizeof(pw->told)) != 0) {
        pw->told = pw->cursor;
        feed_cursor_text(text, &pw->cursor);
        (void)snprintf(json, sizeof(json), "\"%s\"", text); /* sized for it */
        tell(pw, "cursor", json, strlen(json));
    }
}

static void
pump(struct process_ws *pw)
{
    struct feed_item item;

    while (pw->ws != NULL && websocket_pending(pw->ws) < AHEAD) {
        switch (feed_next(pw->reader, PIECE, &item)) {
        case FEED_NEXT_ITEM:
            put(pw, &item);
            continue;
        case FEED_NEXT_WAIT:
            break;
        case FEED_NEXT_END:
            websocket_close(pw->ws, WEBSOCKET_NORMAL, "the process is over");
            return;
        }
        break;
    }
    if (pw->ws != NULL) {
        tell_cursor(pw);
    }
}

/* From inside of the writer's call: what else it has to say joins. */
static void
on_feed_ready(void *arg)
{
    struct process_ws *pw = arg;

    timer_start(pw->soon, 0);
}

static void
on_soon(void *arg)
{
    pump(arg);
}

static void
on_drain(void *arg)
{
    pump(arg);
}

static void
input_push(struct process_ws *pw)
{
    if (pw->rest.len > 0) {
        sbx_buf_consume(&pw->rest, command_write(pw->command, pw->rest.data, pw->rest.len));
    }
}

static void
on_input_writable(void *arg)
{
    struct process_ws *pw = arg;

    if (pw->command->state == COMMAND_FAILED && pw->ws != NULL) {
        pump(pw); /* its session has ended: nobody is waited for, and there is no coming back */
        websocket_close(pw->ws, WEBSOCKET_NORMAL, "the process is over");
        return;
    }
    input_push(pw);
    if (pw->rest.len == 0 && pw->ws != NULL) {
        websocket_resume(pw->ws);
    }
}

static void
on_binary(void *arg, const char *data, size_t len)
{
    struct process_ws *pw = arg;

    process_input_add(&pw->input, data, len);
    sbx_buf_append(&pw->rest, data, len);
    input_push(pw);
    if (pw->rest.failed) {
        websocket_close(pw->ws, WEBSOCKET_INTERNAL, "out of memory");
    }
}

static bool
wants_binary(void *arg)
{
    const struct process_ws *pw = arg;

    return pw->rest.len == 0;
}

static void
on_text(void *arg, const char *text, size_t len)
{
    struct process_ws *pw = arg;
    struct process_control control;
    struct sbx_field_error err = { 0 };

    if (process_control_parse(&control, text, len, &err) != 0) {
        websocket_close(pw->ws, WEBSOCKET_POLICY, "no such control document");
        return;
    }
    if (command_is_over(pw->command)) {
        return; /* its end is on the way */
    }
    if (control.signal != NULL) {
        command_signal(pw->command, control.signal);
        process_audit_signal(engine_db(pw->api->spec.engine), &pw->context, pw->command, control.signal);
    }
    if (control.has_size) {
        command_resize(pw->command, control.size);
    }
    if (control.eof) {
        command_end_input(pw->command);
        pw->input.ended = true;
    }
}

static void
on_gone(void *arg)
{
    struct process_ws *pw = arg;

    pw->ws = NULL;
    process_ws_free(pw);
}

static const struct websocket_events socket_events = {
    .on_text = on_text,
    .on_binary = on_binary,
    .wants_binary = wants_binary,
    .on_drain = on_drain,
    .on_gone = on_gone,
};

static void
on_detached(void *arg, int fd)
{
    struct process_ws *pw = arg;
    const struct websocket_spec spec = {
        .loop = pw->api->spec.loop,
        .fd = fd,
        .ping_ms = PING_MS,
        .events = &socket_events,
        .arg = pw,
    };

    if (fd < 0 || websocket_new(&pw->ws, &spec) < 0) {
        process_ws_free(pw);
        return;
    }
    command_writer_add(pw->command, &pw->writer);
    timer_start(pw->soon, 0);
}

_must_check_ static int
process_ws_new(struct process_ws **ret, struct call *call, const struct feed_cursor *cursor)
{
    struct process_ws *pw = calloc(1, sizeof(*pw));
    int r;

    if (pw == NULL) {
        return -ENOMEM;
    }
    pw->api = call->api;
    pw->api->n_sockets++;
    pw->command = command_ref(call->process->command);
    pw->context = call->context;
    pw->session = pw->command->session;
    session_hold(pw->session);
    session_hook_add(pw->session, &pw->hook, on_session_end);
    pw->rest.max = REST_MAX;
    pw->writer = (struct command_writer){ .on_writable = on_input_writable, .arg = pw };
    if (cursor != NULL) {
        pw->cursor = pw->told = *cursor;
    }
    r = timer_new(&pw->soon, engine_timers(call->api->spec.engine), on_soon, pw);
    r = r ? r : feed_reader_new(&pw->reader, pw->command->feed, cursor, on_feed_ready, pw);
    if (r) {
        process_ws_free(pw);
        return r;
    }
    *ret = pw;
    return 0;
}

/* False: answered. */
static bool
cursor_take(struct call *call, struct feed_cursor *ret, bool *ret_given)
{
    char text[FEED_CURSOR_LEN];

    switch (call_param(call, "cursor", text, sizeof(text))) {
    case CALL_PARAM_ABSENT:
        *ret_given = false;
        return true;
    case CALL_PARAM_FINE:
        *ret_given = feed_cursor_parse(ret, text);
        break;
    case CALL_PARAM_BAD:
        *ret_given = false;
        break;
    }
    if (!*ret_given) {
        call_problem_field(call, &(struct sbx_field_error){ .field = "cursor", .message = "is no cursor" });
    }
    return *ret_given;
}

/* Sec-WebSocket-Accept; false: answered. */
static bool
handshake(struct call *call, char accept[WEBSOCKET_ACCEPT_LEN + 1])
{
    static const struct sbx_http_header version = { "Sec-WebSocket-Version", "13" };
    struct sbx_http_request *request = call->request;
    const char *asked = sbx_http_request_header(request, "Sec-WebSocket-Version");

    if (sbx_http_request_header(request, "Upgrade") == NULL || asked == NULL || strcmp(asked, "13") != 0 ||
        sbx_http_request_header_count(request, "Sec-WebSocket-Version") != 1) {
        call_reply(call, 426, NULL, &version, 1, "", 0);
        return false;
    }
    if (sbx_http_request_header_count(request, "Sec-WebSocket-Key") != 1 ||
        !websocket_accept(accept, sbx_http_request_header(request, "Sec-WebSocket-Key"))) {
        call_problem(call, SBX_PROBLEM_BAD_REQUEST, "Sec-WebSocket-Key is none");
        return false;
    }
    return true;
}

void
handle_process_ws(struct call *call)
{
    char accept[WEBSOCKET_ACCEPT_LEN + 1];
    const struct sbx_http_header headers[] = { { "Sec-WebSocket-Accept", accept } };
    struct feed_cursor cursor;
    struct process_ws *pw;
    bool resumes;
    int r;

    if (!handshake(call, accept) || !cursor_take(call, &cursor, &resumes) ||
        process_call_of(call, false) == NULL) {
        return;
    }
    if (call->api->n_sockets >= MAX_SOCKETS) {
        call_reply_problem(call, &(struct sbx_problem){ .code = SBX_PROBLEM_QUEUE_FULL, .retry_after_s = 1 });
        return;
    }
    r = process_ws_new(&pw, call, resumes ? &cursor : NULL);
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    const struct audit_member members[] = { { .key = "session", .text = pw->command->session_id.text } };
    call_audit(call, "terminal.opened", pw->command->id.text, members, 1);
    call_upgrade(call, headers, 1, on_detached, pw);
}
