/* Channels over a socketpair: both ends of ours, and each end against a scripted peer that breaks one rule at a time. */
#include "lib/sbx_mux.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "lib/sbx_time.h"
#include "t/unit/tap.h"

#define DEADLINE_MS 30000
#define MAX_CHANNELS 4

enum { OPEN = 1, NOTE, DATA, SHUT, CREDIT, END, RESET };

static uv_loop_t loop;

/* One side of a channel, as its owner sees it. */
struct side {
    struct sbx_channel *channel;
    unsigned n_notes, n_shut, n_end, n_writable;
    int rc;
    char text[128]; /* of the last note or outcome */
    size_t n_data, n_sent, to_send;
    unsigned stream;
    unsigned sum;     /* of the bytes */
    bool is_hoarding; /* consumes nothing */
    bool keeps;       /* does not end when the opener gives up */
    bool close_in_data, close_in_note, close_in_end, open_in_end;
};

static struct {
    struct sbx_mux *mux;
    unsigned n_lost;
    char why[128];
    struct side sides[8]; /* of the taker: in the order of their openings */
    unsigned n_sides;
    bool refuses; /* taker: ENDs at once */
    bool close_in_lost;
} opener, taker;

static int peer = -1; /* scripted */

static void on_note(void *arg, const char *json, size_t len);
static void on_data(void *arg, unsigned stream, const char *data, size_t len);
static void on_writable(void *arg);
static void on_shut(void *arg);
static void opener_on_end(void *arg, int rc, const char *json, size_t len);
static void taker_on_end(void *arg, int rc, const char *json, size_t len);

static const struct sbx_channel_events opener_events = { on_note, on_data, on_writable, NULL, opener_on_end };
static const struct sbx_channel_events taker_events = { on_note, on_data, on_writable, on_shut,
                                                        taker_on_end };

static void
close_both(void)
{
    opener.mux = sbx_mux_close(opener.mux);
    taker.mux = sbx_mux_close(taker.mux);
}

static void
on_note(void *arg, const char *json, size_t len)
{
    struct side *side = arg;

    side->n_notes++;
    (void)snprintf(side->text, sizeof(side->text), "%.*s", (int)len, json);
    if (side->close_in_note) {
        close_both();
    }
}

static void
on_data(void *arg, unsigned stream, const char *data, size_t len)
{
    struct side *side = arg;
    size_t i;

    side->stream = stream;
    side->n_data += len;
    for (i = 0; i < len; i++) {
        side->sum = side->sum * 31 + (unsigned char)data[i];
    }
    if (side->close_in_data) {
        close_both();
    } else if (!side->is_hoarding) {
        sbx_channel_consumed(side->channel, len);
    }
}

/* As much as goes; the byte at offset i is i % 251. */
static void
side_send(struct side *side)
{
    static char bytes[300000];
    size_t n, i;

    do {
        n = side->to_send - side->n_sent;
        n = n < sizeof(bytes) ? n : sizeof(bytes);
        for (i = 0; i < n; i++) {
            bytes[i] = (char)((side->n_sent + i) % 251);
        }
        i = sbx_channel_write(side->channel, 1, bytes, n);
        side->n_sent += i;
    } while (i == n && side->n_sent < side->to_send);
}

static void
on_writable(void *arg)
{
    struct side *side = arg;

    side->n_writable++;
    side_send(side);
}

static void
on_shut(void *arg)
{
    struct side *side = arg;

    side->n_shut++;
}

static void
opener_on_end(void *arg, int rc, const char *json, size_t len)
{
    struct side *side = arg, *next = &opener.sides[7];

    side->n_end++;
    side->rc = rc;
    (void)snprintf(side->text, sizeof(side->text), "%.*s", (int)len, json == NULL ? "" : json);
    if (rc == 0 && side->open_in_end &&
        sbx_channel_open(&next->channel, opener.mux, "{}", 2, &opener_events, next) != 0) {
        abort();
    }
    side->channel = sbx_channel_reset(side->channel); /* as a destructor would */
    if (side->close_in_end) {
        close_both();
    }
}

static void
taker_on_end(void *arg, int rc, const char *json, size_t len)
{
    struct side *side = arg;

    side->n_end++;
    side->rc = rc;
    if (json != NULL || len != 0) {
        abort();
    }
    if (!side->keeps) {
        side->channel = sbx_channel_end(side->channel, "{}", 2);
    }
}

static void
on_open(void *arg, struct sbx_channel *channel, const char *json, size_t len)
{
    struct side *side = &taker.sides[taker.n_sides++ % 8];

    (void)arg;
    *side = (struct side){ .channel = channel };
    (void)snprintf(side->text, sizeof(side->text), "%.*s", (int)len, json);
    if (taker.refuses) {
        side->channel = sbx_channel_end(channel, "{\"ok\":false}", 12);
    } else {
        sbx_channel_accept(channel, &taker_events, side);
    }
}

static void
opener_on_lost(void *arg, const char *why)
{
    (void)arg;
    opener.n_lost++;
    (void)snprintf(opener.why, sizeof(opener.why), "%s", why);
    if (opener.close_in_lost) {
        opener.mux = sbx_mux_close(opener.mux);
    }
}

static void
taker_on_lost(void *arg, const char *why)
{
    (void)arg;
    taker.n_lost++;
    (void)snprintf(taker.why, sizeof(taker.why), "%s", why);
}

static void
spin(unsigned turns)
{
    while (turns-- > 0) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
}

#define WAIT(condition)                                                                                      \
    do {                                                                                                     \
        uint64_t end_ = sbx_now_mono_ms() + DEADLINE_MS;                                                     \
        while (!(condition) && sbx_now_mono_ms() < end_) {                                                   \
            uv_run(&loop, UV_RUN_NOWAIT);                                                                    \
        }                                                                                                    \
    } while (0)

static void
opener_make(int fd)
{
    const struct sbx_mux_spec spec = {
        .loop = &loop,
        .fd = fd,
        .max_channels = MAX_CHANNELS,
        .max_open = 100000,
        .on_lost = opener_on_lost,
    };

    if (sbx_mux_new(&opener.mux, &spec) != 0) {
        abort();
    }
}

static void
taker_make(int fd)
{
    const struct sbx_mux_spec spec = {
        .loop = &loop,
        .fd = fd,
        .max_channels = MAX_CHANNELS,
        .max_open = 100000,
        .on_open = on_open,
        .on_lost = taker_on_lost,
    };

    if (sbx_mux_new(&taker.mux, &spec) != 0) {
        abort();
    }
}

static void
setup(int pair[2])
{
    memset(&opener, 0, sizeof(opener));
    memset(&taker, 0, sizeof(taker));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
        abort();
    }
}

static void
setup_pair(void)
{
    int pair[2];

    setup(pair);
    opener_make(pair[0]);
    taker_make(pair[1]);
}

static void
teardown(void)
{
    close_both();
    spin(10);
    if (peer >= 0) {
        close(peer);
        peer = -1;
    }
    is_int(uv_loop_alive(&loop), 0, "  nothing is left");
}

static int
open_side(unsigned i, const char *json)
{
    return sbx_channel_open(&opener.sides[i].channel, opener.mux, json, strlen(json), &opener_events,
                            &opener.sides[i]);
}

/* ---- both ends ours ---- */

static void
test_exchange(void)
{
    struct side *us = &opener.sides[0], *them = &taker.sides[0];

    setup_pair();
    is_int(open_side(0, "{\"op\":\"x\"}"), 0, "a channel is opened");
    is_uint(sbx_channel_write(us->channel, 0, "code", 4), 4, "with data at once");
    sbx_channel_shut(us->channel);
    is_uint(taker.n_sides, 0, "nothing happens inside a call");
    WAIT(them->n_shut == 1);
    is_str(them->text, "{\"op\":\"x\"}", "the request is there");
    is_uint(them->n_data, 4, "and its data");
    is_uint(sbx_channel_write(us->channel, 0, "more", 4), 4, "what is written after the end is dropped");
    is_int(sbx_channel_note(us->channel, "{\"interrupt\":true}", 18), 0, "a note may follow");
    WAIT(them->n_notes == 1);
    is_str(them->text, "{\"interrupt\":true}", "which arrives");
    is_uint(them->n_data, 4, "and the dropped data did not");

    is_uint(sbx_channel_write(them->channel, 2, "out", 3), 3, "the taker writes");
    is_int(sbx_channel_note(them->channel, "{\"n\":1}", 7), 0, "and notes");
    them->channel = sbx_channel_end(them->channel, "{\"ok\":true}", 11);
    WAIT(us->n_end == 1);
    is_int(us->rc, 0, "the outcome is there");
    is_str(us->text, "{\"ok\":true}", "as it was said");
    is_uint(us->n_data, 3, "after the data");
    is_uint(us->stream, 2, "of its stream");
    is_uint(us->n_notes, 1, "and the note");
    is_uint(sbx_mux_channels(opener.mux) + sbx_mux_channels(taker.mux), 0, "no channel is left");
    teardown();
    is_uint(us->n_end, 1, "told once");
}

static void
test_many(void)
{
    unsigned i;

    setup_pair();
    for (i = 0; i < MAX_CHANNELS; i++) {
        is_int(open_side(i, "{}"), 0, "channel %u is opened", i + 1);
    }
    is_int(open_side(4, "{}"), SBX_MUX_E_FULL, "one more is not");
    WAIT(taker.n_sides == MAX_CHANNELS);
    opener.sides[2].open_in_end = true;
    taker.sides[2].channel = sbx_channel_end(taker.sides[2].channel, "{\"ok\":true}", 11);
    WAIT(taker.n_sides == MAX_CHANNELS + 1);
    is_uint(opener.sides[2].n_end, 1, "when one has ended");
    is_uint(sbx_mux_channels(opener.mux), MAX_CHANNELS, "the next may be opened from its callback");
    is_uint(taker.n_lost, 0, "and is no rule broken");
    teardown();
    is_uint(opener.sides[0].n_end, 0, "closing tells nobody");
}

static unsigned
sum_of(size_t len)
{
    unsigned sum = 0;
    size_t i;

    for (i = 0; i < len; i++) {
        sum = sum * 31 + (unsigned char)(i % 251);
    }
    return sum;
}

static void
test_flow(void)
{
    struct side *us = &opener.sides[0], *them = &taker.sides[0];

    setup_pair();
    us->is_hoarding = true;
    is_int(open_side(0, "{}"), 0, "opened");
    WAIT(taker.n_sides == 1);
    them->to_send = 5000000;
    side_send(them);
    is_uint(them->n_sent, SBX_MUX_WINDOW, "a write ends with the window");
    WAIT(us->n_data == SBX_MUX_WINDOW);
    spin(20);
    is_uint(us->n_data, SBX_MUX_WINDOW, "no more arrives while nothing is consumed");
    is_uint(them->n_writable, 0, "nor may more be sent");
    is_uint(sbx_channel_window(them->channel), 0, "the window is used up");
    sbx_channel_consumed(us->channel, 1);
    spin(20);
    is_uint(them->n_writable, 0, "a byte is not worth a frame");
    us->is_hoarding = false;
    sbx_channel_consumed(us->channel, 10 * SBX_MUX_WINDOW);
    WAIT(us->n_data == them->to_send);
    is_uint(us->n_data, them->to_send, "five million bytes arrive");
    is_uint(us->sum, sum_of(them->to_send), "in order");
    is_uint(opener.n_lost + taker.n_lost, 0, "and more is never given back than came");
    teardown();
}

static void
test_flow_up(void)
{
    struct side *us = &opener.sides[0], *them = &taker.sides[0];

    setup_pair();
    is_int(open_side(0, "{}"), 0, "opened");
    us->to_send = 3000000;
    side_send(us);
    WAIT(them->n_data == us->to_send);
    is_uint(them->n_data, us->to_send, "three million bytes go up");
    is_uint(them->sum, sum_of(us->to_send), "in order");
    teardown();
}

static void
test_reset(void)
{
    struct side *us = &opener.sides[0], *them = &taker.sides[0];

    setup_pair();
    is_int(open_side(0, "{}"), 0, "opened");
    WAIT(taker.n_sides == 1);
    them->keeps = true;
    us->channel = sbx_channel_reset(us->channel);
    is_uint(sbx_mux_channels(opener.mux), 1, "the number stays in use");
    WAIT(them->n_end == 1);
    is_int(them->rc, 0, "the taker hears that nobody waits");
    them->to_send = 1000000;
    side_send(them);
    is_uint(them->n_sent, 1000000, "what it still writes is dropped");
    is_int(sbx_channel_note(them->channel, "{}", 2), 0, "so are its notes");
    them->channel = sbx_channel_end(them->channel, "{\"ok\":true}", 11);
    WAIT(sbx_mux_channels(opener.mux) == 0);
    is_uint(sbx_mux_channels(opener.mux), 0, "until it says END");
    is_uint(us->n_end + us->n_data + us->n_notes, 0, "of which nobody hears");

    is_int(open_side(1, "{}"), 0, "one that is given up at once");
    opener.sides[1].channel = sbx_channel_reset(opener.sides[1].channel);
    WAIT(taker.n_sides == 2 && sbx_mux_channels(opener.mux) == 0);
    is_uint(opener.n_lost + taker.n_lost, 0, "breaks no rule");
    teardown();
}

static void
test_refused(void)
{
    struct side *us = &opener.sides[0];

    setup_pair();
    taker.refuses = true;
    is_int(open_side(0, "{}"), 0, "opened");
    us->to_send = 100000;
    side_send(us);
    is_int(sbx_channel_note(us->channel, "{}", 2), 0, "noted");
    sbx_channel_shut(us->channel);
    WAIT(us->n_end == 1);
    is_str(us->text, "{\"ok\":false}", "refused at once, though data was on its way");
    spin(20);
    is_uint(taker.n_lost, 0, "which is no rule broken");
    is_int(open_side(1, "{}"), 0, "another one");
    WAIT(opener.sides[1].n_end == 1);
    is_uint(opener.sides[1].n_end, 1, "is answered");
    teardown();
}

static void
test_lost(void)
{
    setup_pair();
    is_int(open_side(0, "{}"), 0, "opened");
    is_int(open_side(1, "{}"), 0, "opened");
    WAIT(taker.n_sides == 2);
    taker.mux = sbx_mux_close(taker.mux);
    WAIT(opener.n_lost == 1);
    is_str(opener.why, "it has left", "the other side leaves");
    is_uint(opener.sides[0].n_end + opener.sides[1].n_end, 2, "both hear it");
    is_int(opener.sides[0].rc, SBX_MUX_E_LOST, "as a loss");
    is_int(open_side(2, "{}"), SBX_MUX_E_LOST, "nothing can be opened");
    teardown();

    setup_pair();
    is_int(open_side(0, "{}"), 0, "opened");
    WAIT(taker.n_sides == 1);
    taker.sides[0].keeps = true;
    opener.mux = sbx_mux_close(opener.mux);
    WAIT(taker.n_lost == 1);
    is_int(taker.sides[0].rc, SBX_MUX_E_LOST, "the taker hears of its opener's loss");
    is_uint(sbx_channel_write(taker.sides[0].channel, 1, "x", 1), 1, "may write");
    is_int(sbx_channel_note(taker.sides[0].channel, "{}", 2), SBX_MUX_E_LOST, "is told when it notes");
    taker.sides[0].channel = sbx_channel_end(taker.sides[0].channel, "{}", 2);
    is_uint(sbx_mux_channels(taker.mux), 0, "and ends it");
    teardown();
}

static void
test_close_inside(void)
{
    setup_pair();
    is_int(open_side(0, "{}"), 0, "opened");
    WAIT(taker.n_sides == 1);
    taker.sides[0].close_in_data = true;
    (void)sbx_channel_write(opener.sides[0].channel, 0, "abc", 3);
    (void)sbx_channel_note(opener.sides[0].channel, "{}", 2);
    WAIT(taker.mux == NULL);
    is_uint(taker.sides[0].n_notes, 0, "nothing comes after a close inside on_data");
    teardown();

    setup_pair();
    is_int(open_side(0, "{}"), 0, "opened");
    WAIT(taker.n_sides == 1);
    taker.sides[0].close_in_note = true;
    (void)sbx_channel_note(opener.sides[0].channel, "{}", 2);
    (void)sbx_channel_write(opener.sides[0].channel, 0, "abc", 3);
    WAIT(taker.mux == NULL);
    is_uint(taker.sides[0].n_data, 0, "nor inside on_note");
    teardown();

    setup_pair();
    is_int(open_side(0, "{}"), 0, "opened");
    is_int(open_side(1, "{}"), 0, "opened");
    opener.sides[0].close_in_end = opener.sides[1].close_in_end = true;
    WAIT(taker.n_sides == 2);
    taker.mux = sbx_mux_close(taker.mux);
    WAIT(opener.mux == NULL);
    is_uint(opener.sides[0].n_end + opener.sides[1].n_end, 1, "nor inside on_end");
    is_uint(opener.n_lost, 0, "of a loss");
    teardown();

    setup_pair();
    opener.close_in_lost = true;
    taker.mux = sbx_mux_close(taker.mux);
    WAIT(opener.mux == NULL);
    is_uint(opener.n_lost, 1, "and a loss may be answered by closing");
    teardown();
}

static void
test_bounds(void)
{
    char *big = calloc(1, SBX_MUX_OPEN_MAX + 1);
    struct sbx_channel *none = NULL;
    struct sbx_mux_spec spec = { .loop = &loop, .max_channels = 1, .max_open = SBX_MUX_OPEN_MAX + 1 };
    struct sbx_mux *mux;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), pair[2];

    if (big == NULL || null < 0) {
        abort();
    }
    setup_pair();
    is_int(open_side(0, ""), -EMSGSIZE, "an opening of nothing");
    is_int(sbx_channel_open(&none, opener.mux, big, 100001, &opener_events, NULL), -EMSGSIZE,
           "and of too much");
    is_int(sbx_channel_open(&none, taker.mux, "{}", 2, &taker_events, NULL), SBX_MUX_E_LOST,
           "and by the taker");
    is_int(open_side(0, "{}"), 0, "opened");
    is_int(sbx_channel_note(opener.sides[0].channel, big, SBX_MUX_NOTE_MAX + 1), -EMSGSIZE,
           "a note of too much");
    is_int(sbx_channel_note(opener.sides[0].channel, "", 0), -EMSGSIZE, "a note of nothing");
    memset(big, 'x', SBX_MUX_NOTE_MAX);
    is_int(sbx_channel_note(opener.sides[0].channel, big, SBX_MUX_NOTE_MAX), 0, "the largest note");
    WAIT(taker.sides[0].n_notes == 1);
    is_uint(taker.sides[0].n_notes, 1, "arrives");
    taker.sides[0].channel = sbx_channel_end(taker.sides[0].channel, big, SBX_MUX_NOTE_MAX + 1);
    WAIT(opener.sides[0].n_end == 1);
    is_str(opener.sides[0].text, "{}", "an outcome that is too long is none");
    teardown();
    free(big);

    spec.fd = null;
    is_int(sbx_mux_new(&mux, &spec), -EINVAL, "over no socket");
    is_int(fcntl(null, F_GETFD), -1, "which is closed");
    setup(pair);
    spec.fd = pair[0];
    is_int(sbx_mux_new(&mux, &spec), -EINVAL, "with larger openings than there may be");
    is_int(fcntl(pair[0], F_GETFD), -1, "likewise closed");
    close(pair[1]);
    is_int(sbx_mux_close(NULL) == NULL && sbx_channel_reset(NULL) == NULL, 1, "nothing may be closed");
}

/* A peer that reads nothing: memory has an end, and goes on when it reads. */
static void
test_pending(void)
{
    static char note[SBX_MUX_NOTE_MAX], sink[65536];
    struct side *us = &opener.sides[0];
    unsigned n_notes = 0;
    int pair[2], r;

    setup(pair);
    opener_make(pair[0]);
    peer = pair[1];
    is_int(open_side(0, "{}"), 0, "opened");
    do {
        r = sbx_channel_note(us->channel, note, sizeof(note));
        spin(1);
    } while (r == 0 && ++n_notes < 10000);
    is_int(r, SBX_MUX_E_FULL, "a peer that reads nothing gets only so much");
    ok(n_notes >= SBX_MUX_PENDING_MAX / SBX_MUX_NOTE_MAX - 1 && n_notes < 300, "about what is allowed");
    us->to_send = 200000;
    side_send(us);
    ok(us->n_sent < us->to_send, "data is cut too");
    WAIT(read(peer, sink, sizeof(sink)) >= -1 && us->n_sent == us->to_send);
    is_uint(us->n_sent, us->to_send, "which goes on when it reads again");
    teardown();
}

/* ---- a scripted peer ---- */

static size_t
frame(char *out, unsigned channel, unsigned len, unsigned type, unsigned stream)
{
    const unsigned char head[12] = { (unsigned char)channel,
                                     (unsigned char)(channel >> 8),
                                     (unsigned char)(channel >> 16),
                                     (unsigned char)(channel >> 24),
                                     (unsigned char)len,
                                     (unsigned char)(len >> 8),
                                     (unsigned char)(len >> 16),
                                     (unsigned char)(len >> 24),
                                     (unsigned char)type,
                                     (unsigned char)stream };

    memcpy(out, head, sizeof(head));
    return sizeof(head);
}

static void
peer_send(const char *data, size_t len)
{
    size_t off = 0;

    while (off < len) {
        ssize_t n = send(peer, data + off, len - off, MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN) {
            return;
        }
        off += n > 0 ? (size_t)n : 0;
        spin(1);
    }
}

/* `filled` bytes of payload follow, be it fewer than `len`. */
static void
peer_frame(unsigned channel, unsigned len, unsigned type, unsigned stream, size_t filled)
{
    static char bytes[12 + 200000];
    size_t n = frame(bytes, channel, len, type, stream);

    memset(bytes + n, '{', filled);
    peer_send(bytes, n + filled);
}

static void
peer_credit(unsigned channel, unsigned credit)
{
    char bytes[16];

    (void)frame(bytes, channel, 4, CREDIT, 0);
    bytes[12] = (char)credit;
    bytes[13] = (char)(credit >> 8);
    bytes[14] = (char)(credit >> 16);
    bytes[15] = (char)(credit >> 24);
    peer_send(bytes, sizeof(bytes));
}

static void
setup_opener(void)
{
    int pair[2];

    setup(pair);
    opener_make(pair[0]);
    peer = pair[1];
    if (open_side(0, "{}") != 0) {
        abort();
    }
    spin(3);
}

static void
setup_taker(void)
{
    int pair[2];

    setup(pair);
    taker_make(pair[1]);
    peer = pair[0];
    peer_frame(1, 2, OPEN, 0, 2);
    WAIT(taker.n_sides == 1);
}

static void
opener_is_lost(const char *why, const char *what)
{
    WAIT(opener.n_lost == 1);
    spin(3);
    is_uint(opener.n_lost, 1, "opener: %s", what);
    is_str(opener.why, why, "  and it says so");
    is_int(opener.sides[0].rc, SBX_MUX_E_LOST, "  its channel is lost");
    is_uint(opener.sides[0].n_end, 1, "  once");
    teardown();
}

static void
taker_is_lost(const char *why, const char *what)
{
    WAIT(taker.n_lost == 1);
    spin(3);
    is_uint(taker.n_lost, 1, "taker: %s", what);
    is_str(taker.why, why, "  and it says so");
    teardown();
}

struct bad {
    unsigned channel, len, type, stream;
    const char *why;
    const char *what;
};

static const char kind[] = "a frame of no kind", side[] = "a frame of the other side's",
                  length[] = "a frame of a wrong length", none[] = "a channel that is not open",
                  order[] = "a channel out of order", window[] = "data beyond the window";

static void
test_hostile_taker(void)
{
    static const struct bad bads[] = {
        { 1, 2, 0, 0, kind, "type 0" },
        { 1, 2, 8, 0, kind, "type 8" },
        { 1, 2, 255, 0, kind, "type 255" },
        { 1, 2, NOTE, 1, kind, "a stream of a note" },
        { 1, 2, DATA, 4, kind, "stream 4" },
        { 1, 2, OPEN, 0, side, "an OPEN of the taker's" },
        { 2, 2, OPEN, 0, side, "the next OPEN of the taker's" },
        { 1, 0, SHUT, 0, side, "a SHUT of the taker's" },
        { 1, 0, RESET, 0, side, "a RESET of the taker's" },
        { 1, 0, DATA, 1, length, "DATA of nothing" },
        { 1, SBX_MUX_CHUNK + 1, DATA, 1, length, "DATA of too much" },
        { 1, 0xffffffff, DATA, 1, length, "DATA of four gigabytes" },
        { 1, 1, NOTE, 0, length, "a NOTE of one byte" },
        { 1, SBX_MUX_NOTE_MAX + 1, NOTE, 0, length, "a NOTE that is too long" },
        { 1, 0xffffffff, NOTE, 0, length, "a NOTE of four gigabytes" },
        { 1, 0, END, 0, length, "an END of nothing" },
        { 1, SBX_MUX_NOTE_MAX + 1, END, 0, length, "an END that is too long" },
        { 1, 3, CREDIT, 0, length, "a CREDIT of three bytes" },
        { 1, 5, CREDIT, 0, length, "a CREDIT of five bytes" },
        { 0, 2, NOTE, 0, none, "channel 0" },
        { 2, 2, NOTE, 0, none, "a channel that nobody opened" },
        { 0xffffffff, 2, END, 0, none, "channel 2^32 - 1" },
    };
    size_t i;

    for (i = 0; i < SBX_COUNT(bads); i++) {
        setup_opener();
        peer_frame(bads[i].channel, bads[i].len, bads[i].type, bads[i].stream, 0);
        opener_is_lost(bads[i].why, bads[i].what);
    }
}

static void
test_hostile_taker_later(void)
{
    char bytes[64];
    unsigned i;

    setup_opener();
    (void)frame(bytes, 1, 2, NOTE, 0);
    bytes[11] = 1;
    peer_send(bytes, 12);
    opener_is_lost(kind, "bits where there are none");

    setup_opener();
    opener.sides[0].is_hoarding = true;
    for (i = 0; i < SBX_MUX_WINDOW / SBX_MUX_CHUNK; i++) {
        peer_frame(1, SBX_MUX_CHUNK, DATA, 1, SBX_MUX_CHUNK);
    }
    WAIT(opener.sides[0].n_data == SBX_MUX_WINDOW);
    is_uint(opener.sides[0].n_data, SBX_MUX_WINDOW, "the whole window comes");
    is_uint(opener.n_lost, 0, "and may");
    peer_frame(1, 1, DATA, 1, 0);
    opener_is_lost(window, "one byte beyond the window");

    setup_opener();
    sbx_channel_consumed(opener.sides[0].channel, SBX_MUX_WINDOW);
    for (i = 0; i < SBX_MUX_WINDOW / SBX_MUX_CHUNK; i++) {
        opener.sides[0].is_hoarding = true;
        peer_frame(1, SBX_MUX_CHUNK, DATA, 1, SBX_MUX_CHUNK);
    }
    peer_frame(1, 1, DATA, 1, 0);
    opener_is_lost(window, "what never came gives no window");

    setup_opener();
    peer_credit(1, 1);
    opener_is_lost("credit for what was not sent", "credit for nothing");

    setup_opener();
    (void)sbx_channel_write(opener.sides[0].channel, 0, "abc", 3);
    spin(3);
    peer_credit(1, 3);
    spin(10);
    is_uint(opener.n_lost, 0, "credit for what was sent");
    is_uint(sbx_channel_window(opener.sides[0].channel), SBX_MUX_WINDOW, "  is taken");
    peer_credit(1, 1);
    opener_is_lost("credit for what was not sent", "a byte more");

    setup_opener();
    (void)sbx_channel_write(opener.sides[0].channel, 0, "abc", 3);
    peer_credit(1, 0);
    opener_is_lost("credit for what was not sent", "credit of nothing");

    setup_opener();
    (void)sbx_channel_write(opener.sides[0].channel, 0, "abc", 3);
    peer_credit(1, 0xffffffff);
    opener_is_lost("credit for what was not sent", "credit that overflows");

    setup_opener();
    peer_frame(1, 2, NOTE, 0, 1);
    (void)shutdown(peer, SHUT_WR);
    opener_is_lost("it left in the middle of a frame", "half a note");

    setup_opener();
    peer_send("\1", 1);
    (void)shutdown(peer, SHUT_WR);
    opener_is_lost("it left in the middle of a frame", "half a head");
}

static void
test_hostile_end(void)
{
    setup_opener();
    peer_frame(1, 2, END, 0, 2);
    WAIT(opener.sides[0].n_end == 1);
    is_str(opener.sides[0].text, "{{", "an END is handed on as it is");
    peer_frame(1, 2, END, 0, 2);
    WAIT(opener.n_lost == 1);
    is_str(opener.why, none, "opener: the second one is refused");
    is_uint(opener.sides[0].n_end, 1, "  and not handed on");
    teardown();

    setup_opener();
    peer_frame(1, 2, END, 0, 2);
    peer_frame(1, 1, DATA, 1, 1);
    WAIT(opener.n_lost == 1);
    is_str(opener.why, none, "opener: data after END");
    is_uint(opener.sides[0].n_data, 0, "  is not handed on");
    teardown();

    setup_opener();
    opener.sides[0].channel = sbx_channel_reset(opener.sides[0].channel);
    peer_frame(1, SBX_MUX_CHUNK, DATA, 1, SBX_MUX_CHUNK);
    peer_frame(1, SBX_MUX_CHUNK, DATA, 1, SBX_MUX_CHUNK);
    peer_frame(1, SBX_MUX_CHUNK, DATA, 1, SBX_MUX_CHUNK);
    peer_frame(1, SBX_MUX_CHUNK, DATA, 1, SBX_MUX_CHUNK);
    spin(10);
    is_uint(opener.n_lost, 0, "what was on its way when the opener gave up may come");
    peer_frame(1, 1, DATA, 1, 0);
    WAIT(opener.n_lost == 1);
    is_str(opener.why, window, "opener: but not for ever");
    is_uint(opener.sides[0].n_data + opener.sides[0].n_end, 0, "  of which nobody heard");
    teardown();

    setup_opener();
    opener.sides[0].channel = sbx_channel_reset(opener.sides[0].channel);
    is_int(open_side(1, "{}") + open_side(2, "{}") + open_side(3, "{}"), 0, "a taker that never ends");
    is_int(open_side(4, "{}"), SBX_MUX_E_FULL, "  uses up the channels and no more");
    teardown();
}

static void
test_hostile_opener(void)
{
    static const struct bad bads[] = {
        { 1, 2, OPEN, 0, order, "a channel a second time" },
        { 0, 2, OPEN, 0, order, "channel 0" },
        { 3, 2, OPEN, 0, order, "a number left out" },
        { 0xffffffff, 2, OPEN, 0, order, "the last number" },
        { 2, 100001, OPEN, 0, "an opening that is too long", "an OPEN of more than its owner takes" },
        { 2, SBX_MUX_OPEN_MAX + 1, OPEN, 0, length, "an OPEN of more than there may be" },
        { 2, 1, OPEN, 0, length, "an OPEN of one byte" },
        { 1, 2, END, 0, side, "an END of the opener's" },
        { 1, 1, SHUT, 0, length, "a SHUT with something" },
        { 1, 1, RESET, 0, length, "a RESET with something" },
        { 0, 2, NOTE, 0, none, "a note on channel 0" },
        { 2, 2, NOTE, 0, none, "a note on a channel to come" },
        { 1, 0, NOTE, 0, length, "a note of nothing" },
    };
    size_t i;

    for (i = 0; i < SBX_COUNT(bads); i++) {
        setup_taker();
        peer_frame(bads[i].channel, bads[i].len, bads[i].type, bads[i].stream, 0);
        taker_is_lost(bads[i].why, bads[i].what);
    }

    setup_taker();
    peer_frame(1, 0, SHUT, 0, 0);
    WAIT(taker.sides[0].n_shut == 1);
    peer_frame(1, 1, DATA, 0, 0);
    taker_is_lost("data after their end", "DATA after SHUT");

    setup_taker();
    peer_frame(1, 0, SHUT, 0, 0);
    peer_frame(1, 0, SHUT, 0, 0);
    taker_is_lost("the end of data, again", "SHUT twice");

    setup_taker();
    taker.sides[0].keeps = true;
    peer_frame(1, 0, RESET, 0, 0);
    peer_frame(1, 0, RESET, 0, 0);
    taker_is_lost("it gave up twice", "RESET twice");

    setup_taker();
    for (i = 2; i <= MAX_CHANNELS; i++) {
        peer_frame((unsigned)i, 2, OPEN, 0, 2);
    }
    WAIT(taker.n_sides == MAX_CHANNELS);
    peer_frame(MAX_CHANNELS + 1, 2, OPEN, 0, 0);
    taker_is_lost("one channel too many", "one channel too many");

    setup_taker();
    taker.sides[0].channel = sbx_channel_end(taker.sides[0].channel, "{}", 2);
    peer_frame(1, 5, DATA, 0, 5);
    peer_frame(1, 0, SHUT, 0, 0);
    peer_frame(1, 9, NOTE, 0, 9);
    peer_frame(1, 0, RESET, 0, 0);
    peer_frame(2, 2, OPEN, 0, 2);
    WAIT(taker.n_sides == 2);
    is_uint(taker.n_sides, 2, "what passed the END on its way is no rule broken");
    teardown();
}

/* Frames one byte at a time. */
static void
test_pieces(void)
{
    static const char end[] = "{\"ok\":true,\"status\":\"succeeded\"}";
    char bytes[200];
    size_t n, i;

    setup_opener();
    n = frame(bytes, 1, 5, DATA, 2);
    memcpy(bytes + n, "hello", 5);
    n += 5;
    n += frame(bytes + n, 1, sizeof(end) - 1, END, 0);
    memcpy(bytes + n, end, sizeof(end) - 1);
    n += sizeof(end) - 1;
    for (i = 0; i < n; i++) {
        peer_send(bytes + i, 1);
    }
    WAIT(opener.sides[0].n_end == 1);
    is_uint(opener.sides[0].n_data, 5, "frames in single bytes: the data");
    is_str(opener.sides[0].text, end, "and the outcome");
    teardown();
}

int
main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    if (uv_loop_init(&loop) < 0) {
        return EXIT_FAILURE;
    }
    test_exchange();
    test_many();
    test_flow();
    test_flow_up();
    test_reset();
    test_refused();
    test_lost();
    test_close_inside();
    test_bounds();
    test_pending();
    test_hostile_taker();
    test_hostile_taker_later();
    test_hostile_end();
    test_hostile_opener();
    test_pieces();
    is_int(uv_loop_close(&loop), 0, "the loop is empty");
    return done_testing();
}
