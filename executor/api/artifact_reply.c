#include "executor/api/artifact_reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/core/engine.h"

static void
write_text(struct sbx_jsonw *w, const char *key, const char *text)
{
    sbx_jsonw_str(w, key, text == NULL || *text == '\0' ? NULL : text);
}

void
artifact_write(struct sbx_jsonw *w, const char *key, const struct artifact *artifact)
{
    char url[64];

    (void)snprintf(url, sizeof(url), "/v1/artifacts/%s/content", artifact->id.text); /* fits */
    sbx_jsonw_object(w, key);
    sbx_jsonw_str(w, "artifact_id", artifact->id.text);
    sbx_jsonw_str(w, "name", artifact->name);
    write_text(w, "path", artifact->path);
    sbx_jsonw_uint(w, "size", artifact->size);
    sbx_jsonw_str(w, "sha256", artifact->sha256);
    sbx_jsonw_str(w, "mime_type", artifact->mime);
    if (artifact->metadata_json != NULL) {
        sbx_jsonw_raw(w, "metadata", artifact->metadata_json, strlen(artifact->metadata_json));
    } else {
        sbx_jsonw_null(w, "metadata");
    }
    write_text(w, "job_id", artifact->job_id);
    write_text(w, "session_id", artifact->session_id);
    sbx_jsonw_time(w, "created_at", artifact->created_ms);
    sbx_jsonw_time(w, "expires_at", artifact->expires_ms);
    sbx_jsonw_str(w, "content_url", url);
    sbx_jsonw_object_end(w);
}

void
artifact_answer(struct call *call, int status, const struct artifact *artifact)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(ARTIFACT_REPLY_MAX);
    struct call_place place;
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &body);
    artifact_write(&w, NULL, artifact);
    call_place(call, &place, "/v1/artifacts/%s", artifact->id.text);
    call_reply_json(call, status, place.header, place.n, &body);
}

/* As in a policy. */
static void
amount_text(char *out, size_t size, uint64_t amount, bool bytes)
{
    if (bytes) {
        sbx_limit_text(out, size, SBX_LIMIT_MEMORY, amount);
    } else {
        (void)snprintf(out, size, "%" PRIu64, amount); /* fits */
    }
}

void
artifact_answer_too_large(struct call *call, const char *rule, uint64_t most, uint64_t asked, bool bytes)
{
    struct sbx_violation violation = { 0 };

    (void)snprintf(violation.rule, sizeof(violation.rule), "%s", rule); /* fits */
    amount_text(violation.limit, sizeof(violation.limit), most, bytes);
    if (asked != 0) {
        amount_text(violation.observed, sizeof(violation.observed), asked, bytes);
    } else {
        (void)snprintf(violation.observed, sizeof(violation.observed),
                       "null"); /* it was not looked at to its end */
    }
    (void)snprintf(violation.hint, sizeof(violation.hint), "%s",
                   bytes ? "send at most as many bytes as limit says, or delete artifacts"
                         : "delete artifacts first"); /* fits */
    call_reply_problem(call, &(struct sbx_problem){
                                 .code = SBX_PROBLEM_PAYLOAD_TOO_LARGE,
                                 .violation = &violation,
                                 .n_violations = 1,
                             });
}
