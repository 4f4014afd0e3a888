/*
 * Speaks to one session agent over the socket the launcher passed. One thing at a
 * time. Callbacks exactly once, from the loop, never after close. Whatever the
 * agent sends is judged by agent_reply.
 */
#pragma once

#include <uv.h>

#include "executor/runtime/agent_request.h"
#include "executor/runtime/runtime.h"

struct agent_client;

enum {
    AGENT_CLIENT_E_LOST = 1, /* gone, late, or no HTTP */
    AGENT_CLIENT_E_NONSENSE, /* an answer that breaks the rules */
    AGENT_CLIENT_E_REFUSED,  /* the agent does not want to; its words are in outcome.message */
};

struct agent_client_spec {
    uv_loop_t *loop;
    int fd;              /* taken, also on failure */
    uint64_t timeout_ms; /* for messages that run nothing */
    enum agent_stdin input;
    /* What was wrong with an answer: constant text. Optional. */
    void (*on_nonsense)(void *arg, const char *what);
    /* A step's whole reply says that it is over, and done follows in the same turn. Must not close the client. Optional. */
    void (*on_step_reply)(void *arg);
    void *arg;
};

struct agent_fetch {
    const char *path; /* fit for agent_reply_path_valid */
    uint64_t max_bytes;
    void (*on_data)(void *arg, const char *data, size_t len);
};

typedef void (*agent_done_fn)(void *arg, int rc);

_must_check_ int agent_client_new(struct agent_client **ret, const struct agent_client_spec *spec);
/* Accepts NULL, returns NULL. */
struct agent_client *agent_client_close(struct agent_client *client);

/* Each returns 0 and calls done, or AGENT_CLIENT_E_LOST, or < 0. */
_must_check_ int agent_client_health(struct agent_client *client, uint64_t deadline_ms, agent_done_fn done,
                                     void *arg);
/* Has an interpreter wait for what comes; done says REFUSED when none does, and the agent is as good without. */
_must_check_ int agent_client_prepare(struct agent_client *client, const struct agent_prepare *prepare,
                                      uint64_t deadline_ms, agent_done_fn done, void *arg);
/* Opens the session and runs its one step; fills *outcome (zeroed by the caller) before done. */
_must_check_ int agent_client_run(struct agent_client *client, const struct runtime_run *run,
                                  struct runtime_outcome *outcome, agent_done_fn done, void *arg);
/* Makes the sandbox a session's, with at most so many processes; after done with 0 detach is due. */
_must_check_ int agent_client_attach(struct agent_client *client, unsigned processes, agent_done_fn done,
                                     void *arg);
/* The socket, on which the agent speaks lib/sbx_mux.h now, or a negative errno; frees the client. */
_must_check_ int agent_client_detach(struct agent_client *client);
/* After a run: done says REFUSED when there is no such file, NONSENSE when it is larger than allowed. */
_must_check_ int agent_client_fetch(struct agent_client *client, const struct agent_fetch *fetch,
                                    agent_done_fn done, void *arg);
