/* The one form of a session, and that of a step, in an answer. */
#pragma once

#include "executor/core/session.h"
#include "executor/core/step_record.h"
#include "lib/sbx_jsonw.h"

#define SESSION_REPLY_MAX (4u << 20)
#define STEP_REPLY_MAX (96u << 20) /* as of a job, and the most that displays may be */

/* `live` NULL: it is not. */
void session_answer_write(struct sbx_jsonw *w, const char *key, const struct session_record *record,
                          const struct session *live);
void context_answer_write(struct sbx_jsonw *w, const char *key, const struct session_context *context);
void step_answer_write(struct sbx_jsonw *w, const char *key, const struct step_record *record);
