/* Artifacts as things of their own: found, described, deleted, read, and given away by a signed URL. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/artifact_reply.h"
#include "executor/api/artifact_upload.h"
#include "executor/api/artifact_url.h"
#include "executor/api/download.h"
#include "executor/api/handlers.h"
#include "executor/api/listing.h"
#include "executor/core/artifacts.h"
#include "lib/sbx_json.h"
#include "lib/sbx_time.h"

#define URL_DEFAULT_S 3600

/* Loads the artifact of the path; `found` is called with it and may steal its members. */
static void
find(struct call *call, call_read_fn found)
{
    const struct db_value values[] = { DB_VTEXT(call->context.tenant), DB_VTEXT(call->id) };

    if (call->id[0] == '\0') {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    call_read(call, DB_ARTIFACT_FIND, values, SBX_COUNT(values), found);
}

/* One that has expired is gone for its readers, whether or not it was removed yet. False: the call was answered. */
static bool
take(struct artifact *ret, struct call *call, int rc, const struct db_result *result)
{
    int r = rc > 0 ? -EIO : rc;

    if (r == 0 && result->n_rows == 0) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return false;
    }
    if (r == 0) {
        r = artifact_load(ret, call->context.tenant, result, 0);
    }
    if (r) {
        call_problem_internal(call, r);
        return false;
    }
    if (ret->expires_ms != 0 && ret->expires_ms <= sbx_now_unix_ms()) {
        call_problem(call, SBX_PROBLEM_GONE, "the artifact has expired");
        return false;
    }
    return true;
}

static void
get_on_read(struct call *call, int rc, const struct db_result *result)
{
    _cleanup_(artifact_deinitp) struct artifact artifact = { 0 };

    if (take(&artifact, call, rc, result)) {
        artifact_answer(call, 200, &artifact);
    }
}

void
handle_artifacts_get(struct call *call)
{
    find(call, get_on_read);
}

static void
content_on_read(struct call *call, int rc, const struct db_result *result)
{
    _cleanup_(artifact_deinitp) struct artifact artifact = { 0 };

    if (take(&artifact, call, rc, result)) {
        download_start(call, &artifact);
    }
}

void
handle_artifacts_content(struct call *call)
{
    find(call, content_on_read);
}

void
handle_artifacts_create(struct call *call)
{
    artifact_upload_end(call);
}

/* Its key is gone: who knew it cannot read it any more. */
static void
delete_on_removed(void *arg, int rc)
{
    struct call *call = call_unhold(arg);

    if (call == NULL) {
        return;
    }
    if (rc == ARTIFACTS_E_NOT_FOUND) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
    } else if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
    } else {
        call_reply(call, 204, NULL, NULL, 0, "", 0);
    }
}

static void
delete_on_read(struct call *call, int rc, const struct db_result *result)
{
    _cleanup_(artifact_deinitp) struct artifact artifact = { 0 };
    int r;

    if (!take(&artifact, call, rc, result)) {
        return;
    }
    call_hold(call);
    r = artifacts_remove(call->api->spec.artifacts, &artifact, "artifact.deleted", &call->context,
                         delete_on_removed, call);
    if (r) {
        call_problem_internal(call_unhold(call), r);
    }
}

void
handle_artifacts_delete(struct call *call)
{
    find(call, delete_on_read);
}

/* What a PATCH says; `has` of what it does not mention is false. */
struct patch {
    bool has_metadata, has_expires;
    char *metadata_json; /* NULL: null */
    uint64_t expires_ms; /* Unix; 0: null */
};

static bool
patch_metadata(struct patch *patch, struct call *call, const json_t *body)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(ARTIFACT_METADATA_MAX);
    const json_t *metadata = json_object_get(body, "metadata");

    if (metadata == NULL || json_is_null(metadata)) {
        patch->has_metadata = metadata != NULL;
        return true;
    }
    if (!json_is_object(metadata)) {
        return listing_bad(call, "/metadata", "must be an object or null");
    }
    sbx_json_dump(&text, metadata, false);
    if (text.failed) {
        return listing_bad(call, "/metadata", "must be at most 16384 bytes");
    }
    patch->has_metadata = true;
    patch->metadata_json = sbx_buf_take(&text, NULL);
    return true;
}

static void
answer_too_long(struct call *call, uint64_t most_ms, uint64_t asked_ms)
{
    struct sbx_violation violation = { 0 };

    (void)snprintf(violation.rule, sizeof(violation.rule), "retention.artifacts"); /* fits */
    sbx_limit_text(violation.limit, sizeof(violation.limit), SBX_LIMIT_TIME, most_ms);
    sbx_limit_text(violation.observed, sizeof(violation.observed), SBX_LIMIT_TIME, asked_ms);
    (void)snprintf(violation.hint, sizeof(violation.hint), "ask for at most what limit says"); /* fits */
    call_reply_problem(call, &(struct sbx_problem){
                                 .code = SBX_PROBLEM_POLICY_VIOLATION,
                                 .violation = &violation,
                                 .n_violations = 1,
                             });
}

/* From now on, within what the policy lets the tenant keep; null is as long as that. */
static bool
patch_expires(struct patch *patch, struct call *call, const json_t *body)
{
    const uint64_t now = sbx_now_unix_ms();
    const uint64_t latest =
        artifacts_expiry(call->api->spec.artifacts, call->context.retention_artifacts_ms, now);
    const json_t *member = json_object_get(body, "expires_in");
    struct sbx_field_error err = { 0 };
    uint64_t ms = 0;

    if (member == NULL) {
        return true;
    }
    if (!sbx_json_get_duration(body, "", "expires_in", INT64_MAX / 4, &ms, &err)) {
        call_problem_field(call, &err);
        return false;
    }
    patch->has_expires = true;
    patch->expires_ms = latest;
    if (json_is_null(member)) {
        return true;
    }
    patch->expires_ms = now + ms;
    if (latest != 0 && patch->expires_ms > latest) {
        answer_too_long(call, latest - now, ms);
        return false;
    }
    return true;
}

/* The JSON body; NULL: the call was answered. */
static json_t *
body_parse(struct call *call, const char *const *known)
{
    struct sbx_field_error err = { 0 };
    json_t *json = NULL;
    const char *body;
    size_t len;
    int r;

    body = sbx_http_request_body(call->request, &len);
    r = sbx_json_parse(&json, body, len, &err);
    if (r == SBX_JSON_E_SYNTAX && !err.too_large) {
        call_reply_problem(
            call, &(struct sbx_problem){ .code = SBX_PROBLEM_MALFORMED_JSON, .detail = err.message });
        return NULL;
    }
    if (r == SBX_JSON_E_SYNTAX) {
        call_problem_field(call, &err);
        return NULL;
    }
    if (r) {
        call_problem_internal(call, r);
        return NULL;
    }
    if (!json_is_object(json)) {
        json_decref(json);
        (void)listing_bad(call, "", "must be an object"); /* it answers */
        return NULL;
    }
    if (!sbx_json_only(json, "", known, &err)) {
        json_decref(json);
        call_problem_field(call, &err);
        return NULL;
    }
    return json;
}

static bool
patch_parse(struct patch *patch, struct call *call)
{
    static const char *const known[] = { "metadata", "expires_in", NULL };
    _cleanup_(sbx_json_decrefp) json_t *body = body_parse(call, known);

    return body != NULL && patch_metadata(patch, call, body) && patch_expires(patch, call, body);
}

static void
patch_on_stored(struct call *call, int rc, const struct db_result *result)
{
    if (rc == 0 && result->changes == 0) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
    } else if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
    } else {
        find(call, get_on_read);
    }
}

static void
patch_on_read(struct call *call, int rc, const struct db_result *result)
{
    _cleanup_(artifact_deinitp) struct artifact artifact = { 0 };
    struct patch patch = { 0 };
    struct db_tx *tx;
    int r;

    if (!take(&artifact, call, rc, result)) {
        return;
    }
    if (!patch_parse(&patch, call)) {
        free(patch.metadata_json);
        return;
    }
    if (patch.has_metadata) {
        free(artifact.metadata_json);
        artifact.metadata_json = patch.metadata_json;
    }
    if (patch.has_expires) {
        artifact.expires_ms = patch.expires_ms;
    }
    r = db_tx_new(&tx, artifacts_db(call->api->spec.artifacts));
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    const struct db_value values[] = {
        DB_VTEXT(artifact.tenant),
        DB_VTEXT(artifact.id.text),
        DB_VTEXT(artifact.metadata_json),
        artifact.expires_ms == 0 ? DB_VNULL() : DB_VINT(artifact.expires_ms),
    };
    db_tx_add(tx, DB_ARTIFACT_UPDATE, values, SBX_COUNT(values));
    artifacts_audit(tx, &artifact, "artifact.changed", &call->context);
    call_submit(call, tx, patch_on_stored);
}

void
handle_artifacts_patch(struct call *call)
{
    find(call, patch_on_read);
}

static bool
url_life(struct call *call, uint64_t *ret_s)
{
    static const char *const known[] = { "expires_in", NULL };
    _cleanup_(sbx_json_decrefp) json_t *body = body_parse(call, known);
    struct sbx_field_error err = { 0 };
    uint64_t ms = URL_DEFAULT_S * UINT64_C(1000);

    if (body == NULL) {
        return false;
    }
    if (!sbx_json_get_duration(body, "", "expires_in", SBX_SIGNED_URL_LIFE_MAX_S * UINT64_C(1000), &ms,
                               &err)) {
        call_problem_field(call, &err);
        return false;
    }
    *ret_s = ms / 1000;
    return *ret_s > 0 || listing_bad(call, "/expires_in", "must be at least a second");
}

/* No URL outlives what it is of. */
static void
url_on_read(struct call *call, int rc, const struct db_result *result)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(4096);
    _cleanup_(artifact_deinitp) struct artifact artifact = { 0 };
    struct artifact_url url;
    struct sbx_jsonw w;
    uint64_t life_s;
    int r;

    if (!take(&artifact, call, rc, result) || !url_life(call, &life_s)) {
        return;
    }
    r = artifact_url_make(&url, call, &artifact, life_s);
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "url", url.text);
    sbx_jsonw_str(&w, "expires_at", url.expires);
    sbx_jsonw_object_end(&w);
    call_reply_json(call, 200, NULL, 0, &body);
}

void
handle_artifacts_url(struct call *call)
{
    find(call, url_on_read);
}
