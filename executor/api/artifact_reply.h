/* Answers about artifacts. */
#pragma once

#include "executor/core/artifact.h"
#include "lib/sbx_jsonw.h"

struct call;

#define ARTIFACT_REPLY_MAX (8u << 20)

void artifact_write(struct sbx_jsonw *w, const char *key, const struct artifact *artifact);
/* Ends the call. */
void artifact_answer(struct call *call, int status, const struct artifact *artifact);
/* 413: `rule` of the policy or the configuration allows `most`, of bytes or of a number. */
void artifact_answer_too_large(struct call *call, const char *rule, uint64_t most, uint64_t asked,
                               bool bytes);
