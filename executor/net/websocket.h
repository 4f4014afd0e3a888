/*
 * A WebSocket (RFC 6455), the server's end, on a socket whose handshake is done. The peer is hostile: frames must be
 * masked, fragments in order, text UTF-8 and small; who breaks a rule is told by a close code. Binary data is handed on
 * as it comes, piece by piece, and not at all while the owner does not want it.
 */
#pragma once

#include <uv.h>

#include "lib/sbx_buf.h"

#define WEBSOCKET_MAX_TEXT 65536u
#define WEBSOCKET_KEY_LEN 24    /* of Sec-WebSocket-Key */
#define WEBSOCKET_ACCEPT_LEN 28 /* of Sec-WebSocket-Accept */

enum {
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_AWAY = 1001,
    WEBSOCKET_PROTOCOL = 1002,
    WEBSOCKET_INVALID = 1007,
    WEBSOCKET_POLICY = 1008,
    WEBSOCKET_TOO_BIG = 1009,
    WEBSOCKET_INTERNAL = 1011,
};

struct websocket;

/* None is called from inside a call. */
struct websocket_events {
    void (*on_text)(void *arg, const char *text, size_t len); /* whole, UTF-8 */
    void (*on_binary)(void *arg, const char *data, size_t len);
    bool (*wants_binary)(void *arg); /* else nothing is read until websocket_resume */
    void (*on_drain)(void *arg);     /* all that was sent is with the kernel */
    /* Once, the last: the memory goes. */
    void (*on_gone)(void *arg);
};

struct websocket_spec {
    uv_loop_t *loop;
    int fd;           /* taken, also on failure */
    uint64_t ping_ms; /* a peer that is silent for three of them is gone */
    const struct websocket_events *events;
    void *arg;
};

/* False unless `key` is one; the answer to it, NUL-terminated. */
_must_check_ bool websocket_accept(char out[WEBSOCKET_ACCEPT_LEN + 1], const char *key);
_must_check_ int websocket_new(struct websocket **ret, const struct websocket_spec *spec);
void websocket_send(struct websocket *ws, bool is_text, const void *data, size_t len);
/* Bytes not yet with the kernel. */
size_t websocket_pending(const struct websocket *ws);
void websocket_resume(struct websocket *ws);
/* Says goodbye, waits for the peer's for two seconds, then on_gone. Again: nothing. */
void websocket_close(struct websocket *ws, unsigned code, const char *reason);
