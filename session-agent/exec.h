/*
 * The operation "exec" on a channel of a session: a command, its streams and what is done to it, told in
 * docs/agent.md. The document that opens it is executord's, checked all the same.
 */
#pragma once

#include "lib/sbx_json.h"
#include "lib/sbx_mux.h"
#include "session-agent/process.h"
#include "session-agent/session.h"

#define EXEC_MAX_TEXT (1u << 16)
#define EXEC_MAX_ARGS 1024u
#define EXEC_MAX_BYTES (1u << 20) /* of all arguments */

struct exec_host {
    uv_loop_t *loop;
    struct init *init;
    struct identity identity;
    const struct sock_fprog *filter;
    struct slot *slot;
    unsigned processes; /* of the payload's user, together; 0: no limit */
    int terminals;      /* as for process_spec */
    const struct session *session;
};

/* Accepts the channel or ends it. `document` is the OPEN's, borrowed until return as is the host. */
void exec_open(const struct exec_host *host, struct sbx_channel *channel, const json_t *document);

/* Everything a document may hold; for t/fuzz. */
struct exec_request {
    json_t *argv;      /* NULL: shell */
    const char *shell; /* NULL: argv */
    const char *cwd;   /* "": the workspace */
    json_t *env;
    bool has_stdin, has_terminal;
    struct terminal_size size;
    uint64_t timeout_ms;
};
_must_check_ bool exec_request_read(struct exec_request *ret, const json_t *document,
                                    struct sbx_field_error *err);

/* What the opener says meanwhile. */
struct exec_note {
    int signal; /* 0: none */
    bool resize;
    struct terminal_size size;
};
_must_check_ bool exec_note_read(struct exec_note *ret, const char *json, size_t len);
