#include "executor/net/websocket.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include "lib/sbx_crypto.h"
#include "lib/sbx_utf8.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define MAX_PENDING (1u << 20)
#define MAX_CONTROL 125u
#define CLOSE_MS 2000
#define PINGS_UNANSWERED 3
#define FRAMES_AT_ONCE 64 /* then others have their turn */

struct websocket {
    struct websocket_spec spec;
    uv_poll_t poll;
    uv_timer_t timer; /* pings, then the end of the goodbye */
    uv_timer_t kick;
    unsigned n_handles;
    wslay_frame_context_ptr frames;
    int polled;
    bool is_eof;
    bool is_closing; /* we said goodbye */
    bool is_over;
    bool is_awaited; /* on_drain is due once nothing is pending */
    unsigned unanswered;
    struct sbx_buf out;
    /* What comes. */
    uint64_t frame_left; /* of the payload */
    bool in_frame;
    uint8_t frame_opcode;
    uint8_t message; /* opcode of the message that is not complete; 0: none */
    struct sbx_buf text;
    uint8_t control[MAX_CONTROL];
    size_t control_len;
};

static void websocket_update(struct websocket *ws);

bool
websocket_accept(char out[WEBSOCKET_ACCEPT_LEN + 1], const char *key)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf raw = SBX_BUF_INIT(64), text = SBX_BUF_INIT(128);
    uint8_t digest[SBX_SHA1_LEN];

    if (key == NULL || strlen(key) != WEBSOCKET_KEY_LEN || !sbx_b64_decode(&raw, key, WEBSOCKET_KEY_LEN) ||
        raw.len != 16) {
        return false;
    }
    sbx_buf_puts(&text, key);
    sbx_buf_puts(&text, GUID);
    if (text.failed || sbx_sha1(text.data, text.len, digest) != 0) {
        return false;
    }
    sbx_buf_reset(&text);
    sbx_b64_encode(&text, digest, sizeof(digest));
    if (text.failed || text.len != WEBSOCKET_ACCEPT_LEN) {
        return false;
    }
    memcpy(out, text.data, WEBSOCKET_ACCEPT_LEN + 1);
    return true;
}

static void
websocket_on_handle_closed(uv_handle_t *handle)
{
    struct websocket *ws = handle->data;

    if (--ws->n_handles > 0) {
        return;
    }
    ws->spec.events->on_gone(ws->spec.arg);
    wslay_frame_context_free(ws->frames);
    sbx_buf_deinit(&ws->out);
    sbx_buf_deinit(&ws->text);
    free(ws);
}

static void
websocket_end(struct websocket *ws)
{
    if (!ws->is_over) {
        ws->is_over = true;
        uv_close((uv_handle_t *)&ws->poll, websocket_on_handle_closed);
        uv_close((uv_handle_t *)&ws->timer, websocket_on_handle_closed);
        uv_close((uv_handle_t *)&ws->kick, websocket_on_handle_closed);
        (void)close(ws->spec.fd); /* a socket */
    }
}

static void
websocket_flush(struct websocket *ws)
{
    size_t done = 0;
    ssize_t n = 0;

    while (done < ws->out.len && (n = send(ws->spec.fd, ws->out.data + done, ws->out.len - done,
                                           MSG_NOSIGNAL | MSG_DONTWAIT)) > 0) {
        done += (size_t)n;
    }
    sbx_buf_consume(&ws->out, done);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        ws->is_eof = true;
    }
}

static void
frame_put(struct websocket *ws, uint8_t opcode, const void *data, size_t len)
{
    uint8_t head[10] = { (uint8_t)(0x80u | opcode) };
    size_t n = 2;

    if (len < 126) {
        head[1] = (uint8_t)len;
    } else if (len < 65536) {
        head[1] = 126;
        head[2] = (uint8_t)(len >> 8);
        head[3] = (uint8_t)len;
        n = 4;
    } else {
        head[1] = 127;
        for (unsigned i = 0; i < 8; i++) {
            head[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
        }
        n = 10;
    }
    sbx_buf_append(&ws->out, head, n);
    sbx_buf_append(&ws->out, data, len);
    if (ws->out.failed) {
        ws->is_eof = true; /* a peer that takes nothing; told from the loop */
    }
    websocket_update(ws);
}

void
websocket_send(struct websocket *ws, bool is_text, const void *data, size_t len)
{
    if (!ws->is_closing && !ws->is_over) {
        ws->is_awaited = true;
        frame_put(ws, is_text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME, data, len);
    }
}

size_t
websocket_pending(const struct websocket *ws)
{
    return ws->out.len;
}

static void websocket_on_kick(uv_timer_t *timer);

void
websocket_resume(struct websocket *ws)
{
    if (!ws->is_over) {
        (void)uv_timer_start(&ws->kick, websocket_on_kick, 0, 0); /* cannot fail: callback set */
    }
}

static void
websocket_on_patience(uv_timer_t *timer)
{
    websocket_end(timer->data);
}

void
websocket_close(struct websocket *ws, unsigned code, const char *reason)
{
    char payload[MAX_CONTROL];
    size_t len = strnlen(reason, sizeof(payload) - 2);

    if (ws->is_closing || ws->is_over) {
        return;
    }
    payload[0] = (char)(code >> 8);
    payload[1] = (char)code;
    memcpy(payload + 2, reason, len);
    ws->is_closing = true;
    (void)uv_timer_start(&ws->timer, websocket_on_patience, CLOSE_MS, 0); /* cannot fail: callback set */
    frame_put(ws, WSLAY_CONNECTION_CLOSE, payload, len + 2);
}

static void
websocket_on_ping(uv_timer_t *timer)
{
    struct websocket *ws = timer->data;

    if (++ws->unanswered > PINGS_UNANSWERED) {
        websocket_end(ws);
    } else if (websocket_pending(ws) < MAX_PENDING / 2) {
        frame_put(ws, WSLAY_PING, "", 0);
    }
}

static ssize_t
frames_on_recv(uint8_t *buf, size_t len, int flags, void *arg)
{
    struct websocket *ws = arg;
    ssize_t n = recv(ws->spec.fd, buf, len, MSG_DONTWAIT);

    (void)flags; /* always 0 */
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        ws->is_eof = true;
    }
    return n;
}

/* 0 or the code to close with. */
static unsigned
frame_begin(struct websocket *ws, const struct wslay_frame_iocb *frame)
{
    bool is_control = wslay_is_ctrl_frame(frame->opcode);

    if (!frame->mask || frame->rsv != WSLAY_RSV_NONE) {
        return WEBSOCKET_PROTOCOL;
    }
    switch (frame->opcode) {
    case WSLAY_CONTINUATION_FRAME:
    case WSLAY_TEXT_FRAME:
    case WSLAY_BINARY_FRAME:
    case WSLAY_CONNECTION_CLOSE:
    case WSLAY_PING:
    case WSLAY_PONG:
        break;
    default:
        return WEBSOCKET_PROTOCOL;
    }
    if (is_control) {
        ws->control_len = 0;
        return frame->fin && frame->payload_length <= MAX_CONTROL ? 0 : WEBSOCKET_PROTOCOL;
    }
    if ((frame->opcode == WSLAY_CONTINUATION_FRAME) != (ws->message != 0)) {
        return WEBSOCKET_PROTOCOL;
    }
    if (ws->message == 0) {
        ws->message = frame->opcode;
        sbx_buf_reset(&ws->text);
    }
    return ws->message == WSLAY_TEXT_FRAME && frame->payload_length > WEBSOCKET_MAX_TEXT - ws->text.len
               ? WEBSOCKET_TOO_BIG
               : 0;
}

static void
frame_piece(struct websocket *ws, const struct wslay_frame_iocb *frame)
{
    if (wslay_is_ctrl_frame(frame->opcode)) {
        memcpy(ws->control + ws->control_len, frame->data,
               frame->data_length); /* its frame's length was checked */
        ws->control_len += frame->data_length;
    } else if (ws->message == WSLAY_TEXT_FRAME) {
        sbx_buf_append(&ws->text, frame->data, frame->data_length);
    } else if (frame->data_length > 0 && !ws->is_closing) {
        ws->spec.events->on_binary(ws->spec.arg, (const char *)frame->data, frame->data_length);
    }
}

static unsigned
frame_finish(struct websocket *ws, const struct wslay_frame_iocb *frame)
{
    switch (frame->opcode) {
    case WSLAY_PING:
        if (!ws->is_closing) {
            frame_put(ws, WSLAY_PONG, ws->control, ws->control_len);
        }
        return 0;
    case WSLAY_PONG:
        return 0;
    case WSLAY_CONNECTION_CLOSE:
        websocket_close(ws, WEBSOCKET_NORMAL, ""); /* nothing when it is an answer to ours */
        ws->is_eof = true;
        return 0;
    default:
        break;
    }
    if (!frame->fin) {
        return 0;
    }
    if (ws->message == WSLAY_TEXT_FRAME) {
        ws->message = 0;
        if (ws->text.failed || !sbx_utf8_valid(ws->text.len > 0 ? ws->text.data : "", ws->text.len)) {
            return WEBSOCKET_INVALID;
        }
        if (!ws->is_closing) {
            ws->spec.events->on_text(ws->spec.arg, ws->text.len > 0 ? ws->text.data : "", ws->text.len);
        }
    }
    ws->message = 0;
    return 0;
}

static unsigned
frame_take(struct websocket *ws, const struct wslay_frame_iocb *frame)
{
    unsigned code = 0;

    if (!ws->in_frame) {
        code = frame_begin(ws, frame);
        if (code != 0) {
            return code;
        }
        ws->in_frame = true;
        ws->frame_left = frame->payload_length;
    }
    frame_piece(ws, frame);
    ws->frame_left -= frame->data_length;
    if (ws->frame_left == 0) {
        ws->in_frame = false;
        code = frame_finish(ws, frame);
    }
    return code;
}

static bool
websocket_wants(const struct websocket *ws)
{
    return !ws->is_eof && !ws->is_over && websocket_pending(ws) < MAX_PENDING / 2 &&
           (ws->is_closing || ws->spec.events->wants_binary(ws->spec.arg));
}

static void
websocket_read(struct websocket *ws)
{
    struct wslay_frame_iocb frame;
    unsigned code = 0, turn;
    ssize_t n = 0;

    for (turn = 0; turn < FRAMES_AT_ONCE && code == 0 && websocket_wants(ws); turn++) {
        memset(&frame, 0, sizeof(frame));
        n = wslay_frame_recv(ws->frames, &frame);
        if (n < 0) {
            code = n == WSLAY_ERR_WANT_READ ? 0 : WEBSOCKET_PROTOCOL;
            break;
        }
        ws->unanswered = 0;
        code = frame_take(ws, &frame);
    }
    if (code != 0) {
        websocket_close(ws, code, "");
        ws->is_eof = true; /* its bytes make no sense any more */
    }
    if (turn == FRAMES_AT_ONCE) {
        websocket_resume(ws); /* the library may hold what the socket has no more */
    }
}

/* The last step of each turn: what else is wanted of the loop, or that it is over. */
static void
websocket_settle(struct websocket *ws)
{
    if (ws->is_over) {
        return;
    }
    websocket_flush(ws);
    if (ws->is_awaited && ws->out.len == 0 && !ws->is_closing && !ws->is_eof) {
        ws->is_awaited = false;
        ws->spec.events->on_drain(ws->spec.arg);
    }
    if (ws->is_eof && (ws->out.len == 0 || ws->out.failed || !ws->is_closing)) {
        websocket_end(ws);
    } else if (!ws->is_over) {
        websocket_update(ws);
    }
}

static void
websocket_on_poll(uv_poll_t *poll, int status, int events)
{
    struct websocket *ws = poll->data;

    if (status < 0) {
        websocket_end(ws);
        return;
    }
    if (events & UV_READABLE) {
        websocket_read(ws);
    }
    websocket_settle(ws);
}

static void
websocket_on_kick(uv_timer_t *timer)
{
    struct websocket *ws = timer->data;

    websocket_read(ws);
    websocket_settle(ws);
}

static void
websocket_update(struct websocket *ws)
{
    int want = (websocket_wants(ws) ? UV_READABLE : 0) | (ws->out.len > 0 ? UV_WRITABLE : 0);

    if (ws->is_over) {
        return;
    }
    if (ws->is_eof && ws->polled != UV_WRITABLE) {
        want = UV_WRITABLE; /* the loop calls, and it ends there */
    }
    if (want == ws->polled) {
        return;
    }
    ws->polled = want;
    if (want == 0) {
        (void)uv_poll_stop(&ws->poll); /* always 0 */
    } else if (uv_poll_start(&ws->poll, want, websocket_on_poll) < 0) {
        websocket_end(ws);
    }
}

int
websocket_new(struct websocket **ret, const struct websocket_spec *spec)
{
    const struct wslay_frame_callbacks callbacks = { .recv_callback = frames_on_recv };
    struct websocket *ws = calloc(1, sizeof(*ws));

    if (ws == NULL || wslay_frame_context_init(&ws->frames, &callbacks, ws) != 0) {
        free(ws);
        (void)close(spec->fd); /* a socket */
        return -ENOMEM;
    }
    ws->spec = *spec;
    ws->out.max = 2ul * MAX_PENDING;
    ws->text.max = WEBSOCKET_MAX_TEXT;
    if (fcntl(spec->fd, F_SETFL, O_NONBLOCK) < 0 || uv_poll_init(spec->loop, &ws->poll, spec->fd) < 0) {
        wslay_frame_context_free(ws->frames);
        free(ws);
        (void)close(spec->fd); /* a socket */
        return -EIO;
    }
    (void)uv_timer_init(spec->loop, &ws->timer); /* always 0 */
    (void)uv_timer_init(spec->loop, &ws->kick);  /* likewise */
    ws->poll.data = ws;
    ws->timer.data = ws;
    ws->kick.data = ws;
    ws->n_handles = 3;
    (void)uv_timer_start(&ws->timer, websocket_on_ping, spec->ping_ms, spec->ping_ms); /* cannot fail */
    websocket_resume(ws);
    *ret = ws;
    return 0;
}
