/* The one form of a job in an answer, whoever asks and whatever for. */
#pragma once

#include "executor/core/job_record.h"

#define JOB_REPLY_MAX (48u << 20) /* two streams of the most kept, every byte escaped, and base64 */

/* The data of a stream's last event: without output and result, which came before. */
void job_reply_describe(struct sbx_buf *out, const struct job_record *record);
void job_reply_write(struct sbx_jsonw *w, const char *key, const struct job_record *record);
/* {"path","uri","size","sha256","mime_type","download_url"} */
void artifact_reply_write(struct sbx_jsonw *w, const char *key, const struct job_record *record,
                          const struct job_artifact *artifact);
