/*
 * A feed on its way to a client as server-sent events (HTML, 9.2), no faster than the client reads: who is too slow
 * for the feed's window gets a `gap`. Data of stdout and stderr is {"text"}, or {"base64"} when it is not UTF-8; a
 * character that was cut in two waits for its rest. Who leaves a stream ends nothing but the stream.
 */
#pragma once

#include "executor/core/feed.h"
#include "lib/sbx_http_server.h"

struct call;
struct stream;
struct sbx_problem;

#define STREAM_TYPE "text/event-stream"

/* Streams last: they may not use up the connections that others need. Zeroed: none was taken. */
struct stream_slot {
    struct list link; /* among the api's */
    const char *tenant;
};

/* False: there is no room, and *ret (NULL: nobody asks) says for whom. The call lives as long as the slot. */
_must_check_ bool stream_slot_take(struct stream_slot *slot, struct call *call, struct sbx_problem *ret);
void stream_slot_free(struct stream_slot *slot); /* also of one that was not taken, once it was tried */
/* "data: ..." and the end of the event. JSON's line breaks are white space between its values; a line of ours must not end at one. */
void stream_put_data(struct sbx_buf *out, const char *json, size_t len);

/*
 * Reads Accept, Last-Event-ID and ?cursor=. False: a problem was answered (422 for a cursor that is none, 429 or 503
 * for one stream too many). True: call->stream is not NULL when the client wants events.
 */
_must_check_ bool stream_ask(struct call *call);
/* What is streamed was made by this very request: whatever cursor it came with is of something else. */
void stream_from_start(struct call *call);
/* Answers the call: 200 and events from the client's cursor on until the feed is closed, or 204 when it has them all. */
void stream_start(struct call *call, struct feed *feed, const struct sbx_http_header *headers,
                  unsigned n_headers);
/* Said before all that the feed has, without an id: no cursor counts it. Before stream_start; `name` is constant text. */
void stream_lead(struct call *call, const char *name, const struct sbx_buf *json);
/* For a source of events that cannot be resumed, such as a watch: events have no ids, no stream_ask is needed. */
void stream_start_plain(struct call *call, struct feed *feed);
/* The call is over. Accepts NULL, returns NULL. */
struct stream *stream_free(struct stream *stream);
