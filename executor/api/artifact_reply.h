/* Answers about artifacts. */
#pragma once

#include "executor/core/artifact.h"
#include "lib/sbx_jsonw.h"

struct call;
struct db_tx;

#define ARTIFACT_REPLY_MAX (8u << 20)

void artifact_write(struct sbx_jsonw *w, const char *key, const struct artifact *artifact);
/* Ends the call. */
void artifact_answer(struct call *call, int status, const struct artifact *artifact);
/* 413: `rule` of the policy or the configuration allows `most`, of bytes or of a number. */
void artifact_answer_too_large(struct call *call, const char *rule, uint64_t most, uint64_t asked,
                               bool bytes);
/* The Idempotency-Key of the call, when it has one, goes into the transaction that stores what it made. */
void artifact_add_key(struct db_tx *tx, const struct call *call, const struct artifact *artifact);
