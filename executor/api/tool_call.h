/*
 * A call whose client is an agent's tool (docs/api.md, "Tools"): what it asked for besides its request, what it began, and the
 * way of its answer, which is one object or a stream of progress that ends with that object. The handlers are those of the
 * plain interface; where they would answer, the answer comes by here.
 */
#pragma once

#include "executor/api/call.h"
#include "executor/api/tool_keys.h"
#include "executor/api/tool_run.h"

#define TOOL_WAIT_DEFAULT_MS 25000
#define TOOL_WAIT_MAX_MS 50000 /* clients give up after 60 s */

struct tool_images;
struct tool_stream;
struct session_record;
struct session;

#define TOOL_LOCATION_LEN (32 + 2 * SBX_ID_LEN)

struct tool_call {
    struct call *call;
    /* Sandbox-Tool-Call */
    bool task;            /* a task may be the answer */
    bool cancels;         /* what it began ends when the client leaves before it knows a handle */
    struct tool_key *key; /* NULL: none */
    bool wants_stream;
    /* The route's */
    bool is_task;    /* it asks about one */
    bool cancelling; /* it asks for an end: whatever ended is what was asked for */
    bool has_offset[JOB_N_STREAMS];
    uint64_t offset[JOB_N_STREAMS];

    char location[TOOL_LOCATION_LEN]; /* "": none; set before anything is sent */
    struct tool_object began;
    struct tool_stream *stream; /* NULL: its head was not sent */
    struct tool_images *images;
};

/*
 * First thing in a handler of a route that tools have: call->tool is NULL afterwards when the client wants a plain answer.
 * False: answered.
 */
_must_check_ bool tool_ask(struct call *call);
/* The same of a route that has this form only: about a task, or to cancel it, which is told at once that it was heard. */
_must_check_ bool tool_ask_task(struct call *call, bool cancelling);
struct tool_call *tool_call_free(struct tool_call *tool); /* accepts NULL, returns NULL */
/* The client left. Takes tool; accepts NULL. Ends what the call began, when it was to. */
void tool_call_leave(struct tool_call *tool);
/* This call, and none before it with its key, began it. Does nothing for plain calls. `sub` NULL: none. */
void tool_began(struct call *call, const char *id, const char *sub);
/* What the call waited for has happened, or its time is up: the run is not to be looked at any more. For any call. */
void tool_settle(struct call *call);
/* How long an answer waits that says nothing of it. For any call. */
uint64_t tool_wait_default(const struct call *call);

/* How long an answer waits for the end that it asked for. For any call. */
uint64_t tool_wait_end(const struct call *call);

/* Each of these answers a call with tool set, as its flags say. */
void tool_answer_job(struct call *call, const struct job_record *record);
void tool_answer_step(struct call *call, const struct step_record *record);
void tool_answer_session(struct call *call, const struct session_record *record, const struct session *live);
/* One object. `kind`: "complete", "task" or "error"; constant text. */
void tool_send(struct call *call, const char *kind, const struct sbx_buf *object);
/* The answer is about this run. `sub` NULL: a job. */
void tool_locate(struct call *call, const char *id, const char *sub);
/* What each answer has besides; the caller may add two. Returns how many. */
#define TOOL_HEADERS 4
unsigned tool_headers(struct call *call, struct sbx_http_header out[TOOL_HEADERS]);
