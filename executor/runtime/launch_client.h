/*
 * executord's end of launcher/wire.h: keeps one connection to sandbox-launch,
 * pipelines requests by seq, reconnects with a jittered back-off. A connection
 * that ends, or says anything wire.h does not allow, fails every call under way.
 * All from the loop's thread; callbacks exactly once, never from inside the call
 * that started them, never after cancel.
 */
#pragma once

#include <uv.h>

#include "executor/runtime/launch_message.h"

struct launch_client;
struct launch_call;

enum {
    LAUNCH_CLIENT_E_GONE = 1, /* no connection, or it ended while waiting */
    LAUNCH_CLIENT_E_TIMEOUT,  /* a sandbox that is created too late is destroyed in here */
    LAUNCH_CLIENT_E_ERROR,    /* the launcher said LAUNCH_ERROR: see reply->message.error */
};

/* reply is never NULL; with E_GONE and E_TIMEOUT it holds zeroes. The callee takes descriptors by leaving -1
 * behind. */
typedef void (*launch_reply_fn)(void *arg, int rc, struct launch_reply *reply);

struct launch_request {
    const union launch_message
        *message; /* copied; head.type and head.sandbox matter, seq and size are set here */
    uint64_t deadline_ms;
    launch_reply_fn done;
    void *arg;
};

struct launch_client_spec {
    uv_loop_t *loop;
    const char *path; /* copied */
    uint64_t hello_timeout_ms;
    /* What the launcher's host enforces, before it is used. False: it is not, and asked again later. NULL: any will do. */
    bool (*on_walls)(void *arg, const struct launch_walls *walls);
    void (*on_up)(void *arg);
    /* The connection ended (all calls under way have failed by then) or could not be made. */
    void (*on_down)(void *arg, const char *why);
    void (*on_ended)(void *arg, const struct launch_report *report);
    void *arg;
};

_must_check_ int launch_client_new(struct launch_client **ret, const struct launch_client_spec *spec);
bool launch_client_ready(const struct launch_client *client);
/* Without a connection the call fails with E_GONE on the loop's next turn. *ret_call is valid until done. */
_must_check_ int launch_client_call(struct launch_client *client, struct launch_call **ret_call,
                                    const struct launch_request *request);
/* Accepts NULL, returns NULL. What the request asked for still happens, but a sandbox so created is
 * destroyed. */
struct launch_call *launch_call_cancel(struct launch_call *call);
/*
 * Ends the connection; calls under way fail with E_GONE, spec's callbacks are not made any more. on_closed
 * when the memory is gone.
 */
void launch_client_close(struct launch_client *client, void (*on_closed)(void *arg), void *arg);
