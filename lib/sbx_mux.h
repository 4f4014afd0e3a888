/*
 * Many conversations over one connected stream socket: how executord and a session agent talk once a sandbox
 * holds a session. One side opens channels (executord), the other takes them (the agent). Each channel is one
 * request, streams of bytes both ways with a window of their own, and one outcome. The peer is hostile: every
 * length is checked before it is kept, and a peer that breaks a rule is lost.
 *
 * A frame is 12 bytes, little-endian {u32 channel, u32 length, u8 type, u8 stream, u16 zero}, then `length` bytes:
 *
 *   OPEN   opener -> taker   JSON object, what is wanted; channels are numbered 1, 2, 3 ... and never again
 *   NOTE   both ways         JSON object, in order with DATA
 *   DATA   both ways         1 to SBX_MUX_CHUNK bytes of stream 0 to 3, within the window
 *   SHUT   opener -> taker   no more DATA from the opener; NOTEs may follow
 *   CREDIT both ways         u32, so many more bytes of DATA may come
 *   END    taker -> opener   JSON object, the outcome; nothing follows on this channel
 *   RESET  opener -> taker   nobody waits any more; the taker stops and says END all the same
 *
 * The taker's END and what the opener still sends pass each other: such frames are dropped. Nothing follows an END.
 * What is sent in one turn of the loop leaves at its end, in one write.
 *
 * All from the loop's thread. Callbacks are never made from inside a call, and never after sbx_mux_close returned,
 * which any of them may call. The process must ignore SIGPIPE.
 */
#pragma once

#include "sbx_buf.h"

#pragma GCC visibility push(hidden)

#define SBX_MUX_CHUNK 65536u
#define SBX_MUX_WINDOW 262144u         /* bytes of DATA on their way, each direction of each channel */
#define SBX_MUX_NOTE_MAX 65536u        /* of a NOTE and of an END */
#define SBX_MUX_OPEN_MAX (4u << 20)    /* of an OPEN */
#define SBX_MUX_PENDING_MAX (8u << 20) /* bytes not yet taken by the kernel, of all channels */
#define SBX_MUX_N_STREAMS 4u
#define SBX_MUX_SESSION_CHANNELS 128u /* at once, of one session: as many as both ends of it allow */

struct sbx_mux;
struct sbx_channel;

enum {
    SBX_MUX_E_LOST = 1, /* the peer is gone, or broke a rule */
    SBX_MUX_E_FULL,     /* no more channels now, or too much is pending */
};

struct sbx_channel_events {
    /* Each may be NULL: then what comes is dropped (and credited). Data borrows until return. */
    void (*on_note)(void *arg, const char *json, size_t len);
    /* The window is given back by sbx_channel_consumed, not by returning. A frame may come in pieces. */
    void (*on_data)(void *arg, unsigned stream, const char *data, size_t len);
    /* There is window again, after a write was cut short or sbx_channel_window said 0. */
    void (*on_writable)(void *arg);
    /* Taker only: the opener's data is complete. */
    void (*on_shut)(void *arg);
    /*
     * Opener: exactly once, unless reset: rc 0 and the outcome, or SBX_MUX_E_LOST and NULL; the channel is gone when it
     * returns. Taker, at most once: the opener gave up (rc 0) or is lost; answer with sbx_channel_end, now or later,
     * which in the second case only frees.
     */
    void (*on_end)(void *arg, int rc, const char *json, size_t len);
};

struct sbx_mux_spec {
    void *loop;            /* uv_loop_t */
    int fd;                /* taken, also on failure */
    unsigned max_channels; /* the taker's no fewer than the opener's: one too many breaks a rule */
    size_t max_open;       /* bytes of an OPEN that is sent or taken; at most SBX_MUX_OPEN_MAX */
    /* Taker only; NULL in the opener. The callee calls sbx_channel_accept or sbx_channel_end before it returns. */
    void (*on_open)(void *arg, struct sbx_channel *channel, const char *json, size_t len);
    /* Once: `why` is constant text. All channels' on_end have been called. sbx_mux_close is due. */
    void (*on_lost)(void *arg, const char *why);
    void *arg;
};

_must_check_ int sbx_mux_new(struct sbx_mux **ret, const struct sbx_mux_spec *spec);
/* Channels go with it, silently. Accepts NULL, returns NULL. */
struct sbx_mux *sbx_mux_close(struct sbx_mux *mux);
/* On the loop's next turn it is lost, for this constant reason, unless it is before. */
void sbx_mux_abort(struct sbx_mux *mux, const char *why);
/* Those that have not ended, also of what the opener gave up. */
unsigned sbx_mux_channels(const struct sbx_mux *mux);

/* 0, SBX_MUX_E_LOST, SBX_MUX_E_FULL, -EMSGSIZE or -ENOMEM; on_end comes only after 0. `json` is one JSON object. */
_must_check_ int sbx_channel_open(struct sbx_channel **ret, struct sbx_mux *mux, const char *json, size_t len,
                                  const struct sbx_channel_events *events, void *arg);
/* Taker: who hears of it from now on. */
void sbx_channel_accept(struct sbx_channel *channel, const struct sbx_channel_events *events, void *arg);
/*
 * Bytes written now: fewer than len when the window is used up; then on_writable follows. Never fails: what nobody
 * waits for any more is dropped, and counts as written.
 */
size_t sbx_channel_write(struct sbx_channel *channel, unsigned stream, const void *data, size_t len);
/* What a write would take now. */
size_t sbx_channel_window(struct sbx_channel *channel);
/* At most SBX_MUX_NOTE_MAX bytes (-EMSGSIZE). SBX_MUX_E_FULL when the peer takes nothing any more. */
int sbx_channel_note(struct sbx_channel *channel, const char *json, size_t len);
/* So many bytes that on_data brought are done with. */
void sbx_channel_consumed(struct sbx_channel *channel, size_t len);
/* Opener: no more writes. */
void sbx_channel_shut(struct sbx_channel *channel);
/* Opener: takes the channel; no callback any more. Accepts NULL, returns NULL. */
struct sbx_channel *sbx_channel_reset(struct sbx_channel *channel);
/* Taker: takes the channel. At most SBX_MUX_NOTE_MAX bytes, one JSON object. Returns NULL. */
struct sbx_channel *sbx_channel_end(struct sbx_channel *channel, const char *json, size_t len);

#pragma GCC visibility pop
