/* What the owner of a channel may call. Nothing in here makes a callback. */
#include <string.h>

#include "sbx_mux_wire.h"

/* Told in pieces: a frame for every read would cost as much as the data. */
#define CREDIT_AT (SBX_MUX_WINDOW / 4)

/* Whether anybody is there to read what is written. */
static bool
channel_is_heard(const struct sbx_channel *channel)
{
    return channel->mux->state == SBX_MUX_UP && !channel->is_reset && !channel->is_ending;
}

int
sbx_channel_open(struct sbx_channel **ret, struct sbx_mux *mux, const char *json, size_t len,
                 const struct sbx_channel_events *events, void *arg)
{
    struct sbx_channel *channel;
    int r;

    if (mux->state != SBX_MUX_UP || mux->doom != NULL || !sbx_mux_is_opener(mux)) {
        return SBX_MUX_E_LOST;
    }
    if (len < 2 || len > mux->spec.max_open) {
        return -EMSGSIZE;
    }
    if (mux->n_channels >= mux->spec.max_channels || mux->last == UINT32_MAX ||
        sbx_mux_pending(mux) + len > SBX_MUX_PENDING_MAX) {
        return SBX_MUX_E_FULL;
    }
    r = sbx_mux_channel_new(&channel, mux);
    if (r < 0) {
        return r;
    }
    channel->events = *events;
    channel->arg = arg;
    sbx_mux_send(mux, channel, SBX_MUX_OPEN, 0, json, len);
    *ret = channel;
    return 0;
}

void
sbx_channel_accept(struct sbx_channel *channel, const struct sbx_channel_events *events, void *arg)
{
    channel->events = *events;
    channel->arg = arg;
}

size_t
sbx_channel_window(struct sbx_channel *channel)
{
    size_t pending = sbx_mux_pending(channel->mux);
    size_t room = pending < SBX_MUX_PENDING_MAX ? SBX_MUX_PENDING_MAX - pending : 0;

    if (!channel_is_heard(channel)) {
        return SBX_MUX_WINDOW; /* nobody gives any back, and what is written is dropped */
    }
    room = channel->send_window < room ? channel->send_window : room;
    channel->is_cut = channel->is_cut || room == 0;
    return room;
}

size_t
sbx_channel_write(struct sbx_channel *channel, unsigned stream, const void *data, size_t len)
{
    const char *bytes = data;
    size_t done = 0;

    if (!channel_is_heard(channel) || (channel->is_shut && sbx_mux_is_opener(channel->mux)) ||
        stream >= SBX_MUX_N_STREAMS) {
        return len; /* nobody's any more */
    }
    while (done < len) {
        size_t n = sbx_channel_window(channel);

        n = n < len - done ? n : len - done;
        n = n < SBX_MUX_CHUNK ? n : SBX_MUX_CHUNK;
        if (n == 0) {
            channel->is_cut = true;
            break;
        }
        sbx_mux_send(channel->mux, channel, SBX_MUX_DATA, stream, bytes + done, n);
        channel->send_window -= n;
        done += n;
    }
    return done;
}

int
sbx_channel_note(struct sbx_channel *channel, const char *json, size_t len)
{
    if (channel->mux->state != SBX_MUX_UP) {
        return SBX_MUX_E_LOST;
    }
    if (len < 2 || len > SBX_MUX_NOTE_MAX) {
        return -EMSGSIZE;
    }
    if (!channel_is_heard(channel)) {
        return 0;
    }
    if (sbx_mux_pending(channel->mux) + len > SBX_MUX_PENDING_MAX) {
        return SBX_MUX_E_FULL;
    }
    sbx_mux_send(channel->mux, channel, SBX_MUX_NOTE, 0, json, len);
    return 0;
}

void
sbx_channel_consumed(struct sbx_channel *channel, size_t len)
{
    uint32_t credit;
    unsigned char body[4];

    len = len < channel->held ? len : channel->held;
    channel->held -= len;
    channel->consumed += len;
    if (channel->consumed < CREDIT_AT || channel->is_ending ||
        (sbx_mux_is_opener(channel->mux) && channel->is_reset)) {
        return;
    }
    credit = (uint32_t)channel->consumed; /* never more than the window */
    body[0] = (unsigned char)credit;
    body[1] = (unsigned char)(credit >> 8);
    body[2] = (unsigned char)(credit >> 16);
    body[3] = (unsigned char)(credit >> 24);
    channel->recv_window += credit;
    channel->consumed = 0;
    sbx_mux_send(channel->mux, channel, SBX_MUX_CREDIT, 0, body, sizeof(body));
}

void
sbx_channel_shut(struct sbx_channel *channel)
{
    if (sbx_mux_is_opener(channel->mux) && !channel->is_shut && channel_is_heard(channel)) {
        channel->is_shut = true;
        sbx_mux_send(channel->mux, channel, SBX_MUX_SHUT, 0, "", 0);
    }
}

struct sbx_channel *
sbx_channel_reset(struct sbx_channel *channel)
{
    if (channel == NULL) {
        return NULL;
    }
    channel->events = (struct sbx_channel_events){ 0 };
    if (channel_is_heard(channel)) {
        channel->is_reset = true; /* its number is free when the END is here */
        sbx_mux_send(channel->mux, channel, SBX_MUX_RESET, 0, "", 0);
    }
    return NULL;
}

struct sbx_channel *
sbx_channel_end(struct sbx_channel *channel, const char *json, size_t len)
{
    static const char nothing[] = "{}";
    bool is_fit = len >= 2 && len <= SBX_MUX_NOTE_MAX;

    /* Also to who gave up: the number is in use until then. What does not fit is the caller's mistake, and an END still. */
    sbx_mux_send(channel->mux, channel, SBX_MUX_END, 0, is_fit ? json : nothing,
                 is_fit ? len : sizeof(nothing) - 1);
    sbx_mux_channel_free(channel);
    return NULL;
}
