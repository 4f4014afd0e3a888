/* The documents executord sends to a session agent. */
#pragma once

#include "executor/runtime/runtime.h"

#define AGENT_TOKEN_LEN 64

/* The agent kills by itself so much after the wall limit: only a backstop, the launcher comes first. */
#define AGENT_BACKSTOP_MS 2000u

/* How a step gets its input. */
enum agent_stdin {
    AGENT_STDIN_PIPE, /* from the other end of a pipe: the agent hands it on unread */
    AGENT_STDIN_BODY, /* in the step's document */
};

/* An interpreter that is to wait for what comes. */
struct agent_prepare {
    const char *language;
    bool is_forked; /* none but one that was forked outside */
};

/* Append a document to `out`, whose sticky failure is the only one. `token` is a string of hex digits. */
void agent_request_prepare(struct sbx_buf *out, const struct agent_prepare *prepare);
/* A session and its one step. */
void agent_request_run(struct sbx_buf *out, const struct runtime_run *run, const char *token,
                       enum agent_stdin input);
/* "/v1/sessions/<id>/files/<path>", percent-encoded but for the slashes. */
void agent_request_file_path(struct sbx_buf *out, const char *id, const char *path);
