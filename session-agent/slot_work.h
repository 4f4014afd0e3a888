/* The message by which a slot gets its work, and what of a work no slot can do. */
#pragma once

#include "lib/sbx_buf.h"
#include "session-agent/environ.h"
#include "session-agent/payload.h"

#define SLOT_WORK_MAX (128ul * 1024)

struct slot_work_spec {
    const struct payload_spec *payload;
    const struct strings *env; /* the slot's own */
    size_t skip;               /* of argv: the interpreter and its options */
};

/* Appends the document to `out`; false: it is no work for a slot. */
_must_check_ bool slot_work_write(struct sbx_buf *out, const struct slot_work_spec *spec);
