/*
 * Inside of sbx_mux, shared by sbx_mux.c (life, bytes out), sbx_mux_frame.c (bytes in, judged) and
 * sbx_mux_channel.c (what an owner may call). Nobody else includes it.
 */
#pragma once

#include <uv.h>

#include "sbx_mux.h"

#pragma GCC visibility push(hidden)

#define SBX_MUX_HEAD 12u

enum sbx_mux_type {
    SBX_MUX_OPEN = 1,
    SBX_MUX_NOTE,
    SBX_MUX_DATA,
    SBX_MUX_SHUT,
    SBX_MUX_CREDIT,
    SBX_MUX_END,
    SBX_MUX_RESET,
};

enum sbx_mux_state {
    SBX_MUX_UP,
    SBX_MUX_LOST,
    SBX_MUX_CLOSED, /* by its owner, who hears no more */
};

struct sbx_channel {
    struct sbx_channel *next;
    struct sbx_mux *mux;
    uint32_t number;
    struct sbx_channel_events events;
    void *arg;
    size_t send_window; /* DATA the peer takes */
    size_t recv_window; /* DATA the peer may still send */
    size_t held;        /* on_data brought it, the owner is not done with it */
    size_t consumed;    /* the owner is done with it, the peer does not know */
    bool is_cut;        /* a write was: on_writable is owed */
    bool is_shut;       /* the opener's data is complete */
    bool is_reset;      /* opener: its END is awaited for nobody. Taker: nobody waits for its END */
    bool is_ending;     /* opener: on_end is on the stack, and the channel in no list */
};

/* The frame that comes in. */
struct sbx_mux_frame {
    unsigned char head[SBX_MUX_HEAD];
    size_t n_head;
    uint32_t number;
    enum sbx_mux_type type;
    unsigned stream;
    size_t left;
    struct sbx_buf body; /* of all but DATA, which is handed on as it comes */
};

struct sbx_mux {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } peer;
    uv_prepare_t
        flush; /* active while there is something to send: all of one turn of the loop goes at once */
    uv_write_t write;
    unsigned n_handles;
    struct sbx_mux_spec spec;
    enum sbx_mux_state state;
    const char *doom; /* why it is to be lost on the next turn */
    struct sbx_channel *channels;
    unsigned n_channels;
    uint32_t last; /* channel opened */
    struct sbx_mux_frame in;
    struct sbx_buf out;
    struct sbx_buf sending;
    size_t n_sending; /* bytes of it that libuv holds; 0: no write is under way */
};

static inline bool
sbx_mux_is_opener(const struct sbx_mux *mux)
{
    return mux->spec.on_open == NULL;
}

/* sbx_mux.c */
/* From the loop only; makes callbacks, which may close. */
void sbx_mux_lose(struct sbx_mux *mux, const char *why);
void sbx_mux_send(struct sbx_mux *mux, const struct sbx_channel *channel, enum sbx_mux_type type,
                  unsigned stream, const void *body, size_t len);
size_t sbx_mux_pending(const struct sbx_mux *mux);
_must_check_ int sbx_mux_channel_new(struct sbx_channel **ret, struct sbx_mux *mux);
void sbx_mux_channel_free(struct sbx_channel *channel);
/* Opener: tells its owner, for the last time, and frees it. */
void sbx_mux_channel_finish(struct sbx_channel *channel, int rc, const char *json, size_t len);

/* sbx_mux_frame.c */
/* NULL, or which rule these bytes break. Makes callbacks, which may close. */
const char *sbx_mux_feed(struct sbx_mux *mux, const char *data, size_t len);

#pragma GCC visibility pop
