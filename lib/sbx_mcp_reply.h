/*
 * What a backend answered, as the client of the Model Context Protocol reads it: docs/mcp.md, "Backends". Pure. A result is not
 * parsed: the object is the backend's, and only what every answer has is written before its first member and after its last.
 */
#pragma once

#include "sbx_mcp_message.h"
#include "sbx_mcp_state.h"

#pragma GCC visibility push(hidden)

#define SBX_MCP_REPLY_PARSED_MAX                                                                             \
    65536 /* of an object that is read here: an error, a problem, a question to the client */

/* How a backend names what it says. */
enum sbx_mcp_reply_kind {
    SBX_MCP_REPLY_NONE,
    SBX_MCP_REPLY_COMPLETE,
    SBX_MCP_REPLY_TASK,
    SBX_MCP_REPLY_INPUT_REQUIRED,
    SBX_MCP_REPLY_ERROR,
    SBX_MCP_REPLY_PROGRESS,    /* of a stream only */
    SBX_MCP_REPLY_NOTIFICATION /* of a stream only */
};

/* NONE for a word that is none. */
enum sbx_mcp_reply_kind sbx_mcp_reply_kind(const char *name, size_t len);

/* Whose answer it is. All is borrowed for as long as the answer is written. */
struct sbx_mcp_reply_to {
    const struct sbx_mcp_message *message; /* a request */
    const char *server_info;               /* JSON */
    const char *members; /* that a result has before the backend's, JSON without braces; NULL or "": none */
    /* With what a state is sealed that the client shall bring back. */
    struct sbx_mcp_state_keeper *keeper;
    const char *principal;
    const struct sbx_buf *request;
    const char *request_id; /* ours, for what was refused */
    uint64_t now_ms;
};

/* True when an answer to this request may be of that kind: a task where the client declared them, a question where one may be asked. */
bool sbx_mcp_reply_may_be(const struct sbx_mcp_message *message, enum sbx_mcp_reply_kind kind);

/*
 * COMPLETE, TASK, ERROR, PROGRESS, NOTIFICATION: all that goes before the first member of the backend's object, and after its end.
 * True when there is a member before it, so that a comma must follow unless the object is empty.
 */
bool sbx_mcp_reply_head(struct sbx_buf *out, const struct sbx_mcp_reply_to *to, enum sbx_mcp_reply_kind kind);
const char *sbx_mcp_reply_tail(enum sbx_mcp_reply_kind kind);

enum {
    SBX_MCP_REPLY_E_FORM = 1, /* it is not what a backend may say */
};

/*
 * A whole answer that asks the client for something; `text` is {"inputRequests": {...}, "requestState"?}. *ret_status is that of the HTTP
 * reply: 400 when the client did not declare that it can be asked. 0, SBX_MCP_REPLY_E_FORM or -errno.
 */
_must_check_ int sbx_mcp_reply_input(struct sbx_buf *out, const struct sbx_mcp_reply_to *to, const char *text,
                                     size_t len, int *ret_status);

/* A whole answer of an error object that a backend made; *ret_status as above. 0, SBX_MCP_REPLY_E_FORM or -errno. */
_must_check_ int sbx_mcp_reply_error(struct sbx_buf *out, const struct sbx_mcp_reply_to *to, const char *text,
                                     size_t len, int *ret_status);

/* Why there is no answer of a backend: its problem document, when it is one, or the status alone. */
struct sbx_mcp_refusal {
    int status;
    const char *text; /* of the document; may be anything */
    size_t len;
    unsigned retry_after_s; /* of the header; 0: none */
};

/*
 * A whole answer of a refusal: of a tool's call a result that says in words what was wrong and what to do, of anything else an error. The
 * HTTP reply is 200. Sticky failure in the buffer.
 */
void sbx_mcp_reply_refusal(struct sbx_buf *out, const struct sbx_mcp_reply_to *to,
                           const struct sbx_mcp_refusal *refusal);

/* The same of an answer that broke off. */
void sbx_mcp_reply_lost(struct sbx_buf *out, const struct sbx_mcp_reply_to *to);

#pragma GCC visibility pop
