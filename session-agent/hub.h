/*
 * A session's conversation: channels of lib/sbx_mux.h, each an operation that a row of hub.c names. What an operation
 * is asked, the executor has checked; the agent checks it all the same. When the conversation ends, so does everything
 * that it started.
 *
 * An operation is a file of its own: a function for its OPEN and a row in hub.c, and if it needs one, a member here.
 */
#pragma once

#include "lib/sbx_agent_error.h"
#include "lib/sbx_json.h"
#include "lib/sbx_mux.h"
#include "session-agent/session.h"
#include "session-agent/step.h"

struct contexts;
struct fs;

struct hub_spec {
    const struct step_host *host; /* outlives it, as all borrowed here */
    const struct runtimes *runtimes;
    const struct session *session;
    unsigned processes; /* that a payload's user may have; 0: no limit given */
    int fd;             /* taken, also on failure */
    /* Once, from the loop: nothing of the conversation is alive, and the hub gone. */
    void (*on_gone)(void *arg);
    void *arg;
};

/* Its members are for the operations. */
struct hub {
    struct hub_spec spec;
    struct sbx_mux *mux;
    bool is_ending; /* nothing may be started any more */
    bool is_swept;
    uv_timer_t tick;
    struct contexts *contexts;
    struct fs *fs;
};

_must_check_ int hub_new(struct hub **ret, const struct hub_spec *spec);
/* Kills everything; on_gone follows. */
void hub_end(struct hub *hub);

enum hub_error {
#define X(name, code) HUB_E_##name,
    SBX_AGENT_ERRORS(X)
#undef X
        HUB_N_ERRORS
};

/* Ends a channel; both return NULL. The message is cut to 256 bytes and to what is printable. */
struct sbx_channel *hub_refuse(struct sbx_channel *channel, enum hub_error error, const char *message);
struct sbx_channel *hub_done(struct sbx_channel *channel);
