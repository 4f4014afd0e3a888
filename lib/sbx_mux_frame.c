/*
 * Frames that come in. Everything here is a stranger's: a head is judged before a byte behind it is kept, and what
 * breaks a rule has no way on.
 */
#include <string.h>

#include "sbx_mux_wire.h"

#define KEEP 4096

static uint32_t
get_u32(const unsigned char *in)
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

static struct sbx_channel *
channel_find(const struct sbx_mux *mux, uint32_t number)
{
    struct sbx_channel *channel = mux->channels;

    while (channel != NULL && channel->number != number) {
        channel = channel->next;
    }
    return channel;
}

struct rule {
    bool by_opener, by_taker;
    uint32_t min, max;
};

/* The length of an OPEN is checked against the owner's ceiling too. */
static const struct rule rules[] = {
    [SBX_MUX_OPEN] = { true, false, 2, SBX_MUX_OPEN_MAX },
    [SBX_MUX_NOTE] = { true, true, 2, SBX_MUX_NOTE_MAX },
    [SBX_MUX_DATA] = { true, true, 1, SBX_MUX_CHUNK },
    [SBX_MUX_SHUT] = { true, false, 0, 0 },
    [SBX_MUX_CREDIT] = { true, true, 4, 4 },
    [SBX_MUX_END] = { false, true, 2, SBX_MUX_NOTE_MAX },
    [SBX_MUX_RESET] = { true, false, 0, 0 },
};

/* Of DATA: the window is the peer's once, here. */
static const char *
data_judge(struct sbx_channel *channel, size_t len)
{
    if (channel->is_shut && !sbx_mux_is_opener(channel->mux)) {
        return "data after their end";
    }
    if (len > channel->recv_window) {
        return "data beyond the window";
    }
    channel->recv_window -= len;
    return NULL;
}

/* Of an OPEN: the next number, and not one too many. */
static const char *
open_judge(const struct sbx_mux *mux)
{
    if (mux->last == UINT32_MAX || mux->in.number != mux->last + 1) {
        return "a channel out of order";
    }
    if (mux->n_channels >= mux->spec.max_channels) {
        return "one channel too many";
    }
    return mux->in.left > mux->spec.max_open ? "an opening that is too long" : NULL;
}

static const char *
head_judge(struct sbx_mux *mux)
{
    struct sbx_mux_frame *in = &mux->in;
    uint32_t len = get_u32(in->head + 4);
    unsigned type = in->head[8];
    struct sbx_channel *channel;

    if (type == 0 || type >= SBX_COUNT(rules) || (in->head[9] != 0 && type != SBX_MUX_DATA) ||
        in->head[9] >= SBX_MUX_N_STREAMS || in->head[10] != 0 || in->head[11] != 0) {
        return "a frame of no kind";
    }
    if (sbx_mux_is_opener(mux) ? !rules[type].by_taker : !rules[type].by_opener) {
        return "a frame of the other side's";
    }
    if (len < rules[type].min || len > rules[type].max) {
        return "a frame of a wrong length";
    }
    in->number = get_u32(in->head);
    in->type = (enum sbx_mux_type)type;
    in->stream = in->head[9];
    in->left = len;
    if (type == SBX_MUX_OPEN) {
        return open_judge(mux);
    }
    channel = channel_find(mux, in->number);
    if (channel == NULL) {
        /* The taker's END and what the opener says meanwhile pass each other. The other way nothing follows an END. */
        return !sbx_mux_is_opener(mux) && in->number > 0 && in->number <= mux->last
                   ? NULL
                   : "a channel that is not open";
    }
    return type == SBX_MUX_DATA ? data_judge(channel, len) : NULL;
}

static const char *
on_open(struct sbx_mux *mux)
{
    struct sbx_channel *channel;

    if (sbx_mux_channel_new(&channel, mux) < 0) {
        return "there is no memory for its channel";
    }
    mux->spec.on_open(mux->spec.arg, channel, mux->in.body.data, mux->in.body.len);
    return NULL;
}

static const char *
on_credit(struct sbx_channel *channel, uint32_t credit)
{
    if (credit == 0 || credit > SBX_MUX_WINDOW - channel->send_window) {
        return "credit for what was not sent";
    }
    channel->send_window += credit;
    if (channel->is_cut && sbx_channel_window(channel) > 0) {
        channel->is_cut = false;
        if (channel->events.on_writable != NULL) {
            channel->events.on_writable(channel->arg);
        }
    }
    return NULL;
}

static const char *
on_shut(struct sbx_channel *channel)
{
    if (channel->is_shut) {
        return "the end of data, again";
    }
    channel->is_shut = true;
    if (channel->events.on_shut != NULL) {
        channel->events.on_shut(channel->arg);
    }
    return NULL;
}

static const char *
on_reset(struct sbx_channel *channel)
{
    if (channel->is_reset) {
        return "it gave up twice";
    }
    channel->is_reset = true;
    if (channel->events.on_end != NULL) {
        channel->events.on_end(channel->arg, 0, NULL, 0);
    }
    return NULL;
}

static const char *
frame_dispatch(struct sbx_mux *mux)
{
    const struct sbx_buf *body = &mux->in.body;
    struct sbx_channel *channel = channel_find(mux, mux->in.number);

    if (mux->in.type == SBX_MUX_OPEN) {
        return on_open(mux);
    }
    if (channel == NULL) {
        return NULL;
    }
    switch (mux->in.type) {
    case SBX_MUX_NOTE:
        if (channel->events.on_note != NULL) {
            channel->events.on_note(channel->arg, body->data, body->len);
        }
        return NULL;
    case SBX_MUX_CREDIT:
        return on_credit(channel, get_u32((const unsigned char *)body->data));
    case SBX_MUX_SHUT:
        return on_shut(channel);
    case SBX_MUX_RESET:
        return on_reset(channel);
    case SBX_MUX_END:
        sbx_mux_channel_finish(channel, 0, body->data, body->len);
        return NULL;
    case SBX_MUX_OPEN:
    case SBX_MUX_DATA:
        break;
    }
    return NULL;
}

/* Part of a frame's data, as it came. */
static void
data_deliver(struct sbx_mux *mux, const char *data, size_t len)
{
    struct sbx_channel *channel = channel_find(mux, mux->in.number);

    if (channel == NULL) {
        return;
    }
    channel->held += len;
    if (channel->events.on_data != NULL) {
        channel->events.on_data(channel->arg, mux->in.stream, data, len);
    } else {
        sbx_channel_consumed(channel, len);
    }
}

/* The frame is complete. */
static const char *
frame_end(struct sbx_mux *mux)
{
    const char *why = NULL;

    mux->in.n_head = 0;
    if (mux->in.type != SBX_MUX_DATA) {
        why = frame_dispatch(mux);
        sbx_buf_reset(&mux->in.body);
        if (mux->in.body.cap > KEEP) {
            sbx_buf_deinit(&mux->in.body);
        }
    }
    return why;
}

static size_t
feed_head(struct sbx_mux *mux, const char *data, size_t len, const char **ret_why)
{
    struct sbx_mux_frame *in = &mux->in;
    size_t n = sizeof(in->head) - in->n_head;

    n = n < len ? n : len;
    memcpy(in->head + in->n_head, data, n);
    in->n_head += n;
    if (in->n_head == sizeof(in->head)) {
        *ret_why = head_judge(mux);
        if (*ret_why == NULL && in->left == 0) {
            *ret_why = frame_end(mux);
        }
    }
    return n;
}

static size_t
feed_body(struct sbx_mux *mux, const char *data, size_t len, const char **ret_why)
{
    struct sbx_mux_frame *in = &mux->in;
    size_t n = in->left < len ? in->left : len;

    in->left -= n;
    if (in->type == SBX_MUX_DATA) {
        data_deliver(mux, data, n);
    } else {
        sbx_buf_append(&in->body, data, n);
        if (in->body.failed) {
            *ret_why = "there is no memory for its frame";
            return n;
        }
    }
    if (in->left == 0) {
        *ret_why = frame_end(mux);
    }
    return n;
}

const char *
sbx_mux_feed(struct sbx_mux *mux, const char *data, size_t len)
{
    const char *why = NULL;
    size_t off = 0;

    while (why == NULL && off < len && mux->state == SBX_MUX_UP) {
        if (mux->in.n_head < SBX_MUX_HEAD) {
            off += feed_head(mux, data + off, len - off, &why);
        } else {
            off += feed_body(mux, data + off, len - off, &why);
        }
    }
    return why;
}
