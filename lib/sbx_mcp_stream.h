/*
 * A backend's stream of events as that of the client's request: progress and notifications on their way, one answer at the end. Fed with
 * pieces as they come. What a backend says is passed on line by line, not parsed; only a question to the client and an error are.
 */
#pragma once

#include "sbx_mcp_reply.h"

#pragma GCC visibility push(hidden)

#define SBX_MCP_STREAM_LINE_MAX (16u << 20)
#define SBX_MCP_STREAM_PIECE_MAX 4096u
/* What a piece can make: what was kept before it, and around each of the smallest events in it the longest token. */
#define SBX_MCP_STREAM_OUT_MAX (8ul * SBX_MCP_REPLY_PARSED_MAX)

struct sbx_mcp_stream;

/* Borrows all that `to` has. 0 or -ENOMEM. */
_must_check_ int sbx_mcp_stream_new(struct sbx_mcp_stream **ret, const struct sbx_mcp_reply_to *to);
struct sbx_mcp_stream *sbx_mcp_stream_free(struct sbx_mcp_stream *stream); /* accepts NULL, returns NULL */

enum {
    SBX_MCP_STREAM_E_FORM = 1, /* a backend may not say that; the stream can go no further */
};

/* Appends what goes to the client now. At most SBX_MCP_STREAM_PIECE_MAX bytes at once. Lines end with LF alone. 0, SBX_MCP_STREAM_E_FORM or -errno. */
_must_check_ int sbx_mcp_stream_feed(struct sbx_mcp_stream *stream, struct sbx_buf *out, const char *data,
                                     size_t len);

/* True after the answer: nothing more is to come. */
bool sbx_mcp_stream_is_over(const struct sbx_mcp_stream *stream);
/* True while a part of an event was given out: it can't be taken back, only broken off. */
bool sbx_mcp_stream_is_open(const struct sbx_mcp_stream *stream);
/* An event around a whole message. */
void sbx_mcp_stream_event(struct sbx_buf *out, const char *text, size_t len);

#pragma GCC visibility pop
