/* What a request to collect files says, and the answer to one that was made before. */
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/artifact_reply.h"
#include "executor/api/collection.h"
#include "lib/sbx_json.h"

/* {"patterns": [...]}; what a pattern may be the agent says, as for a job. */
bool
collection_patterns(struct call *call, struct sbx_jsonw *w)
{
    static const char *const known[] = { "patterns", NULL };
    _cleanup_(sbx_json_decrefp) json_t *body = NULL;
    struct sbx_field_error err = { 0 };
    json_t *patterns = NULL;
    const char *text;
    size_t len;
    int r;

    text = sbx_http_request_body(call->request, &len);
    r = sbx_json_parse(&body, text, len, &err);
    if (r == SBX_JSON_E_SYNTAX) {
        call_reply_problem(
            call, &(struct sbx_problem){ .code = SBX_PROBLEM_MALFORMED_JSON, .detail = err.message });
        return false;
    }
    if (r) {
        call_problem_internal(call, r);
        return false;
    }
    if (!json_is_object(body)) {
        sbx_field_error_set(&err, "", "must be an object");
    } else if (!sbx_json_only(body, "", known, &err) ||
               !sbx_json_get_array(body, "", "patterns", COLLECTION_MAX_PATTERNS, &patterns, &err)) {
        /* err says it */
    } else if (patterns == NULL || json_array_size(patterns) == 0) {
        sbx_field_error_set(&err, "/patterns", "must name files");
    }
    sbx_jsonw_array(w, "patterns");
    for (size_t i = 0; err.message[0] == '\0' && i < json_array_size(patterns); i++) {
        const json_t *item = json_array_get(patterns, i);

        if (!json_is_string(item) || json_string_length(item) == 0 ||
            json_string_length(item) > COLLECTION_MAX_PATTERN) {
            sbx_field_error_set(&err, "/patterns", "each must be a pattern of 1 to %d bytes",
                                COLLECTION_MAX_PATTERN);
        } else {
            sbx_jsonw_strn(w, NULL, json_string_value(item), json_string_length(item));
        }
    }
    sbx_jsonw_array_end(w);
    if (err.message[0] != '\0') {
        call_problem_field(call, &err);
        return false;
    }
    return true;
}

/* Those of one collection have their session and the time in common. */
static void
replay_on_listed(struct call *call, int rc, const struct db_result *result)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(ARTIFACT_REPLY_MAX);
    _cleanup_(artifact_deinitp) struct artifact artifact = { 0 };
    const struct sbx_http_header header = { "Idempotency-Replayed", "true" };
    int r = rc > 0 ? -EIO : rc;
    uint64_t created_ms = 0;
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_array(&w, "artifacts");
    for (unsigned i = 0; r == 0 && i < result->n_rows; i++) {
        artifact_deinit(&artifact);
        r = artifact_load(&artifact, call->context.tenant, result, i);
        if (r == 0 && (i == 0 || artifact.created_ms == created_ms)) {
            created_ms = artifact.created_ms;
            artifact_write(&w, NULL, &artifact);
        }
    }
    sbx_jsonw_array_end(&w);
    sbx_jsonw_array(&w, "skipped");
    sbx_jsonw_array_end(&w);
    sbx_jsonw_object_end(&w);
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    call->api->replays++;
    call_reply_json(call, 201, &header, 1, &body);
}

static void
replay_on_found(struct call *call, int rc, const struct db_result *result)
{
    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
        return;
    }
    if (result->n_rows == 0) {
        call_problem(call, SBX_PROBLEM_GONE, "an artifact that was made with this key was deleted");
        return;
    }
    const struct db_value values[] = {
        DB_VTEXT(call->context.tenant),
        DB_VNULL(),
        DB_VTEXT(call->id),
        DB_VNULL(),
        DB_VINT(db_at(result, 0, DB_ARTIFACT_CREATED_MS)->integer + 1), /* what is newer comes later */
        DB_VTEXT(""),
        DB_VINT(COLLECTION_MAX_FILES),
    };

    call_read(call, DB_ARTIFACT_SEARCH, values, SBX_COUNT(values), replay_on_listed);
}

void
collection_replay(struct call *call, const char *id)
{
    const struct db_value values[] = { DB_VTEXT(call->context.tenant), DB_VTEXT(id) };

    call_read(call, DB_ARTIFACT_FIND, values, SBX_COUNT(values), replay_on_found);
}
