/* Any frames of a peer, in pieces, to the opener or the taker of channels, whose owner does what an owner may. */
#include "lib/sbx_mux.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define MAX_CHANNELS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct side {
    struct sbx_channel *channel;
    unsigned n_end;
    size_t n_data;
};

static struct {
    struct sbx_mux *mux;
    struct side sides[MAX_CHANNELS];
    unsigned mood, n_lost;
} us;

static void
fuzz_on_note(void *arg, const char *json, size_t len)
{
    struct side *side = arg;

    if (len < 2 || len > SBX_MUX_NOTE_MAX || json[len] != '\0' || side->n_end > 0) {
        abort();
    }
    if ((us.mood & 4) != 0) {
        (void)sbx_channel_note(side->channel, json, len);
    }
}

static void
fuzz_on_data(void *arg, unsigned stream, const char *data, size_t len)
{
    struct side *side = arg;

    (void)data;
    side->n_data += len;
    if (stream >= SBX_MUX_N_STREAMS || len == 0 || ((us.mood & 8) != 0 && side->n_data > SBX_MUX_WINDOW)) {
        abort();
    }
    if ((us.mood & 8) == 0) {
        (void)sbx_channel_write(side->channel, stream, data, len);
        sbx_channel_consumed(side->channel, len);
    }
    if ((us.mood & 16) != 0 && side->n_data > 10) {
        us.mux = sbx_mux_close(us.mux);
    }
}

static void
fuzz_on_writable(void *arg)
{
    struct side *side = arg;

    if (sbx_channel_window(side->channel) == 0) {
        abort();
    }
}

static void
fuzz_on_shut(void *arg)
{
    struct side *side = arg;

    side->channel = sbx_channel_end(side->channel, "{\"ok\":true}", 11);
}

static void
fuzz_on_end(void *arg, int rc, const char *json, size_t len)
{
    struct side *side = arg;

    if (++side->n_end > 1 || (rc != 0 && len != 0) || (rc == 0 && len < 2) ||
        (len > 0 && json[len] != '\0')) {
        abort();
    }
    side->channel = sbx_channel_reset(side->channel);
}

static void
fuzz_on_given_up(void *arg, int rc, const char *json, size_t len)
{
    struct side *side = arg;

    (void)rc;
    if (json != NULL || len != 0) {
        abort();
    }
    side->channel = sbx_channel_end(side->channel, "{\"ok\":true}", 11);
}

static const struct sbx_channel_events opener_events = { fuzz_on_note, fuzz_on_data, fuzz_on_writable, NULL,
                                                         fuzz_on_end };
static const struct sbx_channel_events taker_events = { fuzz_on_note, fuzz_on_data, fuzz_on_writable,
                                                        fuzz_on_shut, fuzz_on_given_up };

static void
fuzz_on_open(void *arg, struct sbx_channel *channel, const char *json, size_t len)
{
    unsigned i;

    (void)arg;
    if (len < 2 || len > 1000 || json[len] != '\0' || sbx_mux_channels(us.mux) > MAX_CHANNELS) {
        abort();
    }
    for (i = 0; i < MAX_CHANNELS && us.sides[i].channel != NULL; i++) {
        continue;
    }
    if (i == MAX_CHANNELS) {
        abort(); /* one channel too many */
    }
    us.sides[i] = (struct side){ .channel = channel };
    sbx_channel_accept(channel, &taker_events, &us.sides[i]);
}

static void
fuzz_on_lost(void *arg, const char *why)
{
    (void)arg;
    if (++us.n_lost > 1 || why == NULL) {
        abort();
    }
}

static void
fuzz_start(uv_loop_t *loop, int fd)
{
    const struct sbx_mux_spec spec = {
        .loop = loop,
        .fd = fd,
        .max_channels = MAX_CHANNELS,
        .max_open = 1000,
        .on_open = (us.mood & 1) != 0 ? fuzz_on_open : NULL,
        .on_lost = fuzz_on_lost,
    };
    unsigned i;

    if (sbx_mux_new(&us.mux, &spec) != 0) {
        abort();
    }
    for (i = 0; (us.mood & 1) == 0 && i < MAX_CHANNELS; i++) {
        if (sbx_channel_open(&us.sides[i].channel, us.mux, "{}", 2, &opener_events, &us.sides[i]) != 0) {
            abort();
        }
        (void)sbx_channel_write(us.sides[i].channel, 0, "abcdefgh", i);
    }
    if ((us.mood & 2) != 0 && (us.mood & 1) == 0) {
        us.sides[1].channel = sbx_channel_reset(us.sides[1].channel);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t piece = size > 1 ? data[1] + 1u : 1, off = 2;
    uv_loop_t loop;
    int pair[2], i;

    (void)signal(SIGPIPE, SIG_IGN);
    memset(&us, 0, sizeof(us));
    us.mood = size > 0 ? data[0] : 0;
    if (uv_loop_init(&loop) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0) {
        abort();
    }
    fuzz_start(&loop, pair[0]);
    while (off < size) {
        size_t len = size - off < piece ? size - off : piece;
        ssize_t n = send(pair[1], data + off, len, MSG_NOSIGNAL);

        if (n <= 0) {
            break;
        }
        off += (size_t)n;
        piece *= 2;
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    close(pair[1]);
    for (i = 0; i < 5; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    if (us.mux != NULL && us.n_lost != 1) {
        abort();
    }
    us.mux = sbx_mux_close(us.mux);
    while (uv_run(&loop, UV_RUN_NOWAIT) != 0) {
        continue;
    }
    if (uv_loop_close(&loop) != 0) {
        abort();
    }
    return 0;
}
