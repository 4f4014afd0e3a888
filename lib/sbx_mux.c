/* Life of a connection with channels, and the bytes that leave. What leaves in one turn of the loop is one write. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sbx_mux_wire.h"

#define READ_SIZE 65536
/* Of PENDING_MAX no part: ENDs, CREDITs and what else must not fail, which channels and windows bound. */
#define OUT_MAX (4ul * SBX_MUX_PENDING_MAX)
/* A quiet connection keeps no more than this. */
#define KEEP 4096

/* Each read is handed on or copied before the next one: one buffer is enough for all connections of a thread. */
static _Thread_local char read_buf[READ_SIZE];

static void mux_on_flush(uv_prepare_t *handle);

static void
mux_kick(struct sbx_mux *mux)
{
    (void)uv_prepare_start(&mux->flush, mux_on_flush); /* cannot fail: callback set; again does nothing */
}

size_t
sbx_mux_pending(const struct sbx_mux *mux)
{
    return mux->out.len + mux->n_sending;
}

static void
put_u32(unsigned char *out, uint32_t value)
{
    out[0] = (unsigned char)value;
    out[1] = (unsigned char)(value >> 8);
    out[2] = (unsigned char)(value >> 16);
    out[3] = (unsigned char)(value >> 24);
}

void
sbx_mux_send(struct sbx_mux *mux, const struct sbx_channel *channel, enum sbx_mux_type type, unsigned stream,
             const void *body, size_t len)
{
    unsigned char head[SBX_MUX_HEAD] = { 0 };

    if (mux->state != SBX_MUX_UP) {
        return;
    }
    put_u32(head, channel->number);
    put_u32(head + 4, (uint32_t)len);
    head[8] = (unsigned char)type;
    head[9] = (unsigned char)stream;
    sbx_buf_append(&mux->out, head, sizeof(head));
    sbx_buf_append(&mux->out, body, len);
    if (mux->out.failed) {
        mux->doom = "there is no memory for what it is sent";
    }
    mux_kick(mux);
}

int
sbx_mux_channel_new(struct sbx_channel **ret, struct sbx_mux *mux)
{
    struct sbx_channel *channel = calloc(1, sizeof(*channel));

    if (channel == NULL) {
        return -ENOMEM;
    }
    channel->mux = mux;
    channel->number = ++mux->last;
    channel->send_window = SBX_MUX_WINDOW;
    channel->recv_window = SBX_MUX_WINDOW;
    channel->next = mux->channels;
    mux->channels = channel;
    mux->n_channels++;
    *ret = channel;
    return 0;
}

static void
channel_unlink(struct sbx_channel *channel)
{
    struct sbx_channel **link = &channel->mux->channels;

    while (*link != channel) {
        link = &(*link)->next;
    }
    *link = channel->next;
    channel->mux->n_channels--;
}

void
sbx_mux_channel_free(struct sbx_channel *channel)
{
    channel_unlink(channel);
    free(channel);
}

void
sbx_mux_channel_finish(struct sbx_channel *channel, int rc, const char *json, size_t len)
{
    channel->is_ending = true;
    channel_unlink(channel); /* its place is free for what the owner opens now */
    if (channel->events.on_end != NULL) {
        channel->events.on_end(channel->arg, rc, json, len);
    }
    free(channel);
}

/* Tells one channel that still waits, and says whether there was one. */
static bool
lose_one(struct sbx_mux *mux)
{
    struct sbx_channel *channel = mux->channels;

    if (sbx_mux_is_opener(mux)) {
        if (channel == NULL) {
            return false;
        }
        sbx_mux_channel_finish(channel, SBX_MUX_E_LOST, NULL, 0);
        return true;
    }

    while (channel != NULL && channel->is_reset) {
        channel = channel->next;
    }
    if (channel == NULL) {
        return false;
    }
    channel->is_reset = true;
    if (channel->events.on_end != NULL) {
        channel->events.on_end(channel->arg, SBX_MUX_E_LOST, NULL, 0);
    }
    return true;
}

void
sbx_mux_lose(struct sbx_mux *mux, const char *why)
{
    if (mux->state != SBX_MUX_UP) {
        return;
    }
    mux->state = SBX_MUX_LOST;
    (void)uv_read_stop(&mux->peer.stream); /* always 0 */
    (void)uv_prepare_stop(&mux->flush);    /* always 0 */
    while (mux->state == SBX_MUX_LOST && lose_one(mux)) {
        continue;
    }
    if (mux->state == SBX_MUX_LOST && mux->spec.on_lost != NULL) {
        mux->spec.on_lost(mux->spec.arg, why);
    }
}

/* Tells those whose write was cut short for want of room and not of window. */
static void
mux_resume(struct sbx_mux *mux)
{
    struct sbx_channel *channel = mux->channels;

    while (channel != NULL && mux->state == SBX_MUX_UP && sbx_mux_pending(mux) < SBX_MUX_PENDING_MAX / 2) {
        if (channel->is_cut && channel->send_window > 0) {
            channel->is_cut = false;
            if (channel->events.on_writable != NULL) {
                channel->events.on_writable(channel->arg);
            }
            channel = mux->state == SBX_MUX_UP ? mux->channels : NULL; /* any may be gone now */
        } else {
            channel = channel->next;
        }
    }
}

static void
mux_on_written(uv_write_t *req, int status)
{
    struct sbx_mux *mux = req->data;

    mux->n_sending = 0;
    if (status < 0) {
        sbx_mux_lose(mux, "it cannot be written to");
    } else if (mux->state == SBX_MUX_UP) {
        mux_kick(mux);
    }
}

/* What the kernel does not take at once, libuv keeps. False when the peer is gone. */
static bool
mux_write(struct sbx_mux *mux)
{
    struct sbx_buf full = mux->out;
    uv_buf_t buf;
    int n;

    mux->out = mux->sending;
    mux->sending = full;
    buf = uv_buf_init(full.data, (unsigned)full.len);
    n = uv_try_write(&mux->peer.stream, &buf, 1);
    if (n < 0 && n != UV_EAGAIN) {
        return false;
    }
    n = n < 0 ? 0 : n;
    if ((size_t)n < full.len) {
        buf = uv_buf_init(full.data + n, (unsigned)(full.len - (size_t)n));
        mux->n_sending = full.len - (size_t)n;
        return uv_write(&mux->write, &mux->peer.stream, &buf, 1, mux_on_written) == 0;
    }
    sbx_buf_reset(&mux->sending);
    if (mux->sending.cap > KEEP) {
        sbx_buf_deinit(&mux->sending);
    }
    return true;
}

static void
mux_on_flush(uv_prepare_t *handle)
{
    struct sbx_mux *mux = handle->data;

    (void)uv_prepare_stop(&mux->flush); /* always 0 */
    if (mux->doom != NULL) {
        sbx_mux_lose(mux, mux->doom);
        return;
    }
    if (mux->n_sending == 0) {
        sbx_buf_reset(&mux->sending);
        if (mux->out.len > 0 && !mux_write(mux)) {
            sbx_mux_lose(mux, "it cannot be written to");
            return;
        }
        mux_resume(mux);
    }
}

static void
mux_on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;    /* see read_buf */
    (void)suggested; /* likewise */
    *buf = uv_buf_init(read_buf, sizeof(read_buf));
}

static void
mux_on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
    struct sbx_mux *mux = stream->data;
    const char *why = NULL;

    if (nread > 0) {
        why = sbx_mux_feed(mux, buf->base, (size_t)nread);
    } else if (nread == UV_EOF) {
        why = mux->in.n_head > 0 ? "it left in the middle of a frame" : "it has left";
    } else if (nread < 0) {
        why = "it cannot be read from";
    }
    if (why != NULL) {
        sbx_mux_lose(mux, why);
    }
}

static void
mux_on_handle_closed(uv_handle_t *handle)
{
    struct sbx_mux *mux = handle->data;

    if (--mux->n_handles == 0) {
        sbx_buf_deinit(&mux->in.body);
        sbx_buf_deinit(&mux->out);
        sbx_buf_deinit(&mux->sending);
        free(mux);
    }
}

struct sbx_mux *
sbx_mux_close(struct sbx_mux *mux)
{
    if (mux == NULL || mux->state == SBX_MUX_CLOSED) {
        return NULL;
    }
    mux->state = SBX_MUX_CLOSED;
    while (mux->channels != NULL) {
        sbx_mux_channel_free(mux->channels);
    }
    uv_close(&mux->peer.handle, mux_on_handle_closed);
    uv_close((uv_handle_t *)&mux->flush, mux_on_handle_closed);
    return NULL;
}

static int
mux_start(struct sbx_mux *mux, uv_handle_type type, int fd)
{
    int r = type == UV_TCP ? uv_tcp_open(&mux->peer.tcp, fd) : uv_pipe_open(&mux->peer.pipe, fd);

    if (r < 0) {
        (void)close(fd); /* libuv did not take it */
        return r;
    }
    if (type == UV_TCP) {
        (void)uv_tcp_nodelay(&mux->peer.tcp, 1); /* only latency is lost */
    }
    return uv_read_start(&mux->peer.stream, mux_on_alloc, mux_on_read);
}

int
sbx_mux_new(struct sbx_mux **ret, const struct sbx_mux_spec *spec)
{
    uv_handle_type type = uv_guess_handle(spec->fd);
    bool is_fit = (type == UV_TCP || type == UV_NAMED_PIPE) && spec->max_channels > 0 && spec->max_open > 0 &&
                  spec->max_open <= SBX_MUX_OPEN_MAX;
    struct sbx_mux *mux = is_fit ? calloc(1, sizeof(*mux)) : NULL;
    int r;

    if (mux == NULL) {
        (void)close(spec->fd); /* taken, and refused */
        return is_fit ? -ENOMEM : -EINVAL;
    }
    r = type == UV_TCP ? uv_tcp_init(spec->loop, &mux->peer.tcp)
                       : uv_pipe_init(spec->loop, &mux->peer.pipe, 0);
    if (r < 0) {
        (void)close(spec->fd); /* taken, and refused */
        free(mux);
        return r;
    }
    (void)uv_prepare_init(spec->loop, &mux->flush); /* always 0 */
    mux->n_handles = 2;
    mux->peer.handle.data = mux;
    mux->flush.data = mux;
    mux->write.data = mux;
    mux->spec = *spec;
    mux->in.body.max = spec->max_open > SBX_MUX_NOTE_MAX ? spec->max_open : SBX_MUX_NOTE_MAX;
    mux->out.max = OUT_MAX;
    mux->sending.max = OUT_MAX;
    r = mux_start(mux, type, spec->fd);
    if (r < 0) {
        sbx_mux_close(mux);
        return r;
    }
    *ret = mux;
    return 0;
}

void
sbx_mux_abort(struct sbx_mux *mux, const char *why)
{
    if (mux->state == SBX_MUX_UP && mux->doom == NULL) {
        mux->doom = why;
        mux_kick(mux);
    }
}

unsigned
sbx_mux_channels(const struct sbx_mux *mux)
{
    return mux->n_channels;
}
