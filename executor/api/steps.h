/* What the handlers of a step share. */
#pragma once

#include "executor/api/call.h"
#include "executor/core/step.h"

struct step_headers {
    struct sbx_http_header header[2];
    unsigned n;
    char location[32 + 2 * SBX_ID_LEN];
};
/* What every answer with a step has: where it is, and whether it was asked for before. */
void step_headers(struct call *call, const struct step_record *record, struct step_headers *ret);
/* The live step of call->id and call->sub; NULL: none, and nothing was answered. */
struct step *step_live(const struct call *call);
/* Streams it instead, when the client wants events. */
void step_stream_live(struct call *call, struct step *step);
/* So for one that is not live. */
void step_stream_ended(struct call *call);
/* Reads it from the database, then calls `then` with call->work->step_record filled, or answers 404. */
void step_load(struct call *call, void (*then)(struct call *call));
