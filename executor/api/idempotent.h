/* Idempotency-Key, for whatever creates something. */
#pragma once

#include "executor/api/call.h"

/*
 * Takes the digest of the body into call->body_sha256, and looks the key up when there is one: `fresh` goes on, with
 * call->idempotency set, or `replay` answers what the first request with the key made (call->replayed is set), or the
 * call is answered. A key belongs to the tenant, the subject and `route`, which is at most IDEMPOTENCY_ROUTE_MAX long.
 */
void idempotent(struct call *call, const char *route, void (*fresh)(struct call *call),
                void (*replay)(struct call *call, const char *id));
/* Only the digest; false: answered. */
_must_check_ bool idempotent_hash_body(struct call *call);
/* Remembers what was made for the call's key, when it has one, in the transaction that makes it. */
void idempotent_store(struct db_tx *tx, const struct call *call, const char *id, uint64_t created_ms);
