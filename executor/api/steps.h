/* What the handlers of a step share. */
#pragma once

#include "executor/api/call.h"
#include "executor/core/step.h"

/* What every answer with a step has. */
void step_place(struct call *call, const struct step_record *record, struct call_place *ret);
/* The live step of call->id and call->sub; NULL: none, and nothing was answered. */
struct step *step_live(const struct call *call);
/* Streams it instead, when the client wants events. */
void step_stream_live(struct call *call, struct step *step);
/* So for one that is not live. */
void step_stream_ended(struct call *call);
/* Reads it from the database, then calls `then` with call->work->step_record filled, or answers 404. */
void step_load(struct call *call, void (*then)(struct call *call));
