/*
 * Progress of a run on its way to a tool's client as server-sent events: `progress` at most once a second while something
 * new is said and every five seconds in any case, comments between, and one closing event with the answer.
 */
#pragma once

#include "executor/core/job.h"
#include "executor/core/step.h"

struct call;
struct tool_stream;

/*
 * Sends the head at once, when the client wants a stream and there is room for one; else the answer is a plain object, and
 * call->tool->stream stays NULL. The run is there as long as its waiter is.
 */
void tool_stream_job(struct call *call, struct job *job);
void tool_stream_step(struct call *call, struct step *step);
/* The waiter was told: the run is not looked at any more. Accepts NULL. */
void tool_stream_settle(struct tool_stream *stream);
/* The closing event; ends the call. */
void tool_stream_close(struct tool_stream *stream, const char *event, const struct sbx_buf *object);
struct tool_stream *tool_stream_free(struct tool_stream *stream); /* accepts NULL, returns NULL */
