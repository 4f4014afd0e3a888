/* What creating, reading and cancelling share. */
#pragma once

#include "executor/api/call.h"

#define JOBS_WAIT_DEFAULT_MS 25000
#define JOBS_WAIT_CEILING_MS 60000
#define JOBS_SETTLE_MS 10000 /* a cancelled job is over by then, or the store is in trouble */

/* Answers with the job as it is: `status` 200 or 202. Ends the call. */
void job_answer(struct call *call, int status, struct job_record *record);
/* Waits for a live job up to call->wait_ms, then answers 200 when it is over, else `unfinished`. */
void job_answer_later(struct call *call, struct job *job, int unfinished);
/* Reads the job of call->id from the database, then calls `then` with call->record filled, or answers 404. */
void job_load(struct call *call, void (*then)(struct call *call));
/* Streams instead, when the client wants events. */
void job_stream_live(struct call *call, struct job *job);
/* So for the job of call->id, which is not live. */
void job_stream_ended(struct call *call);
/* The ceiling of every wait: the policy's, else the product's. */
uint64_t job_wait_limit(const struct call *call);
/* Reads ?wait= into call->wait_ms, within the ceiling; false: answered. */
_must_check_ bool job_wait_param(struct call *call);
/* output.read, before job_stream_answer. */
void job_stream_audit(const struct call *call, const char *object, const struct job_stream *stream,
                      const char *name);
/* The bytes of one stream, as they are. */
void job_stream_answer(struct call *call, const struct job_stream *stream, bool truncated);
