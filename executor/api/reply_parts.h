/* Members that the answers about jobs, sessions and steps have in one form. */
#pragma once

#include "executor/core/job_record.h"
#include "lib/sbx_jsonw.h"

/* "" is null. */
void reply_text(struct sbx_jsonw *w, const char *key, const char *text);
/* 0 is null. */
void reply_time(struct sbx_jsonw *w, const char *key, uint64_t unix_ms);
/* `json`, or `without` when it is NULL. */
void reply_raw(struct sbx_jsonw *w, const char *key, const char *json, const char *without);
/* As text; and what is not UTF-8 besides in base64. */
void reply_stream(struct sbx_jsonw *w, const char *key, const char *key_base64,
                  const struct job_stream *stream);
