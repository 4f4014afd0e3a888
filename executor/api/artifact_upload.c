/*
 *   artifact_upload_begin -> claim -> (body) -> artifact_upload_end -> upload_finish -> upload_on_stored
 *   -> [upload_on_key_read] -> upload_claim_rest -> upload_commit -> upload_on_durable
 *
 * The upload belongs to its call until it is freed there; while the store or the database have it, it stays until they
 * answer. Bytes that are stored and no row says so are removed again.
 */
#include "executor/api/artifact_upload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/artifact_reply.h"
#include "executor/api/idempotent.h"
#include "executor/core/artifacts.h"
#include "executor/log.h"
#include "lib/sbx_time.h"

#define UPLOAD_ROUTE "artifacts.create"
#define UPLOAD_MIME "application/octet-stream"

struct artifact_upload {
    struct call *call; /* NULL: it is over */
    struct artifacts *artifacts;
    struct artifact artifact;
    struct artifacts_claim *claim;
    struct blob_put *put;
    uint8_t key[BLOB_KEY_LEN];
    uint64_t max_bytes;
    uint64_t length; /* announced */
    bool has_length;
    bool allowed;    /* the claim was granted: before that no more of the body is taken than has come */
    bool ended;      /* the body has */
    bool storing;    /* the store's callback is to come */
    bool stored;     /* the blob is there and no row names it */
    bool committing; /* the database's callback is to come */
};

static void upload_finish(struct artifact_upload *upload);
static void upload_claim_rest(struct artifact_upload *upload);

static void
upload_dispose(struct artifact_upload *upload)
{
    if (upload->stored && blob_delete(artifacts_blobs(upload->artifacts), upload->artifact.tenant,
                                      upload->artifact.id.text, NULL, NULL) != 0) {
        log_warn("artifact.file_left", LOG_STR("artifact", upload->artifact.id.text));
    }
    blob_put_abort(upload->put);
    artifacts_claim_free(upload->claim);
    artifact_deinit(&upload->artifact);
    explicit_bzero(upload, sizeof(*upload));
    free(upload);
}

struct artifact_upload *
artifact_upload_free(struct artifact_upload *upload)
{
    if (upload != NULL) {
        upload->call = NULL;
        if (!upload->storing && !upload->committing) {
            upload_dispose(upload);
        }
    }
    return NULL;
}

/* A reader that was told to wait would hold the connection: what is still to come is thrown away. */
static struct call *
upload_give_up(struct artifact_upload *upload)
{
    struct call *call = upload->call;

    upload->put = blob_put_abort(upload->put);
    sbx_http_request_resume(call->request);
    return call;
}

static void
upload_refuse(struct artifact_upload *upload, int rc)
{
    struct call *call = upload_give_up(upload);

    switch (rc) {
    case ARTIFACTS_E_BYTES:
        artifact_answer_too_large(call, "artifacts.total_bytes", call->context.max_stored_bytes, 0, true);
        break;
    case ARTIFACTS_E_NUMBER:
        artifact_answer_too_large(call, "artifacts.max_number", artifacts_max_number(upload->artifacts), 0,
                                  false);
        break;
    default:
        call_problem_internal(call, rc > 0 ? -EIO : rc);
        break;
    }
}

static void
upload_on_claimed(void *arg, int rc)
{
    struct artifact_upload *upload = arg;

    if (rc) {
        upload_refuse(upload, rc);
        return;
    }
    upload->allowed = true;
    if (upload->ended) {
        upload_finish(upload);
    } else if (!blob_put_full(upload->put)) {
        sbx_http_request_resume(upload->call->request);
    }
}

static void
upload_on_room(void *arg)
{
    struct artifact_upload *upload = arg;

    if (upload->call != NULL && upload->allowed) {
        sbx_http_request_resume(upload->call->request);
    }
}

static bool
upload_on_data(struct sbx_http_request *request, const char *data, size_t len)
{
    struct call *call = sbx_http_request_user(request);
    struct artifact_upload *upload = call->upload;
    int r;

    if (upload == NULL || upload->put == NULL) {
        return true;
    }
    r = blob_put_write(upload->put, data, len);
    if (r == BLOB_E_TOO_LARGE) {
        artifact_answer_too_large(upload_give_up(upload), "uploads.max_bytes", upload->max_bytes, 0, true);
        return true;
    }
    if (r) {
        call_problem_internal(upload_give_up(upload), r > 0 ? -EIO : r);
        return true;
    }
    if (blob_put_full(upload->put)) {
        blob_put_on_room(upload->put, upload_on_room, upload);
        return false;
    }
    return upload->allowed;
}

/* `name` of the query, and the Content-Type: both are remembered, neither is believed. */
static bool
upload_read_head(struct call *call, struct artifact *artifact)
{
    const char *mime = sbx_http_request_header(call->request, "Content-Type");
    struct sbx_field_error err = { 0 };
    char name[ARTIFACT_NAME_MAX + 1];

    enum call_param given = call_param(call, "name", name, sizeof(name));

    if (given == CALL_PARAM_BAD || (given == CALL_PARAM_FINE && !artifact_name_valid(name))) {
        sbx_field_error_set(&err, "name", "must be 1 to %d bytes of UTF-8 without control characters",
                            ARTIFACT_NAME_MAX);
        call_problem_field(call, &err);
        return false;
    }
    artifact->name = strdup(given == CALL_PARAM_FINE ? name : artifact->id.text);
    if (artifact->name == NULL) {
        call_problem_internal(call, -ENOMEM);
        return false;
    }
    if (mime != NULL &&
        (sbx_http_request_header_count(call->request, "Content-Type") != 1 || !artifact_mime_valid(mime))) {
        sbx_field_error_set(&err, "Content-Type", "must be one media type of at most %d bytes",
                            ARTIFACT_MIME_MAX);
        call_problem_field(call, &err);
        return false;
    }
    (void)snprintf(artifact->mime, sizeof(artifact->mime), "%s",
                   mime != NULL ? mime : UPLOAD_MIME); /* fits */
    return true;
}

static bool
upload_key_is_fine(struct call *call)
{
    const char *key = sbx_http_request_header(call->request, "Idempotency-Key");

    if (sbx_http_request_header_count(call->request, "Idempotency-Key") > 1 ||
        (key != NULL && !idempotency_key_valid(key))) {
        call_problem(call, SBX_PROBLEM_BAD_REQUEST,
                     "Idempotency-Key must be 1 to 255 visible ASCII characters, once");
        return false;
    }
    return true;
}

static int
upload_new(struct artifact_upload **ret, struct call *call)
{
    const struct sbx_context *context = &call->context;
    const char *length = sbx_http_request_header(call->request, "Content-Length");
    struct artifact_upload *upload = calloc(1, sizeof(*upload));
    int r;

    if (upload == NULL) {
        return -ENOMEM;
    }
    upload->call = call;
    upload->artifacts = call->api->spec.artifacts;
    upload->max_bytes = context->max_upload_bytes;
    upload->has_length = length != NULL;
    upload->length = length == NULL ? 0 : strtoull(length, NULL, 10); /* the server looked at its form */
    memcpy(upload->artifact.tenant, context->tenant, sizeof(context->tenant));
    r = sbx_id_new(&upload->artifact.id, "art");
    if (r) {
        upload_dispose(upload);
        return r;
    }
    *ret = upload;
    return 0;
}

static int
upload_start(struct artifact_upload *upload)
{
    const struct artifacts_claim_spec claim = {
        .tenant = upload->artifact.tenant,
        .max_bytes = upload->call->context.max_stored_bytes,
    };
    int r;

    r = artifacts_claim_new(&upload->claim, upload->artifacts, &claim);
    if (r == 0) {
        r = blob_put_new(&upload->put, artifacts_blobs(upload->artifacts), upload->artifact.tenant,
                         upload->artifact.id.text, upload->max_bytes);
    }
    return r;
}

void
artifact_upload_begin(struct call *call)
{
    struct artifact_upload *upload;
    int r;

    if (call->context.max_upload_bytes == 0) {
        call_problem(call, SBX_PROBLEM_FORBIDDEN, "no uploads were granted to this request");
        return;
    }
    if (!upload_key_is_fine(call)) {
        return;
    }
    r = upload_new(&upload, call);
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    call->upload = upload;
    if (!upload_read_head(call, &upload->artifact)) {
        return;
    }
    if (upload->length > upload->max_bytes) {
        artifact_answer_too_large(call, "uploads.max_bytes", upload->max_bytes, upload->length, true);
        return;
    }
    r = upload_start(upload);
    if (r) {
        call_problem_internal(call, r > 0 ? -EIO : r);
        return;
    }
    sbx_http_request_stream(call->request, upload_on_data);
    artifacts_claim_ask(upload->claim, upload->length, 1, upload_on_claimed, upload);
}

void
artifact_upload_end(struct call *call)
{
    call->upload->ended = true;
    if (call->upload->allowed) {
        upload_finish(call->upload);
    }
}

static void
upload_on_durable(void *arg, int rc, const struct db_result *result _unused_)
{
    struct artifact_upload *upload = arg;
    struct call *call = upload->call;

    upload->committing = false;
    upload->stored = rc != 0;
    if (call == NULL) {
        upload_dispose(upload);
        return;
    }
    if (rc == DB_E_CONFLICT) {
        /* Only the key can be there already: a request whose client had left has stored it meanwhile. */
        call_reply_problem(
            call, &(struct sbx_problem){ .code = SBX_PROBLEM_IDEMPOTENCY_IN_FLIGHT, .retry_after_s = 1 });
    } else if (rc) {
        call_problem_internal(call, rc);
    } else {
        call->api->uploads++;
        call->api->upload_bytes += upload->artifact.size;
        artifact_answer(call, 201, &upload->artifact);
    }
}

static void
upload_commit(void *arg, int rc)
{
    struct artifact_upload *upload = arg;
    struct artifact *artifact = &upload->artifact;
    struct call *call = upload->call;
    const struct sbx_context *context = &call->context;
    struct db_tx *tx = NULL;

    if (rc) {
        upload_refuse(upload, rc);
        return;
    }
    artifact->created_ms = sbx_now_unix_ms();
    artifact->expires_ms =
        artifacts_expiry(upload->artifacts, context->retention_artifacts_ms, artifact->created_ms);
    rc = db_tx_new(&tx, artifacts_db(upload->artifacts));
    if (rc == 0) {
        rc = artifacts_store(upload->artifacts, tx, artifact, upload->key);
    }
    if (rc) {
        db_tx_free(tx);
        call_problem_internal(call, rc);
        return;
    }
    idempotent_store(tx, call, artifact->id.text, artifact->created_ms);
    artifacts_audit(tx, artifact, "artifact.uploaded", context);
    upload->committing = true;
    db_tx_submit(tx, upload_on_durable, upload);
}

/* What was not announced is asked for when it is known. */
static void
upload_claim_rest(struct artifact_upload *upload)
{
    if (upload->has_length && upload->length == upload->artifact.size) {
        upload_commit(upload, 0);
    } else {
        artifacts_claim_ask(upload->claim, upload->artifact.size, 1, upload_commit, upload);
    }
}

static void
upload_on_replay_read(struct call *call, int rc, const struct db_result *result)
{
    _cleanup_(artifact_deinitp) struct artifact artifact = { 0 };
    int r = rc;

    if (r == 0 && result->n_rows == 0) {
        call_problem(call, SBX_PROBLEM_GONE, "the artifact that was made with this key was deleted");
        return;
    }
    if (r == 0) {
        r = artifact_load(&artifact, call->context.tenant, result, 0);
    }
    if (r) {
        call_problem_internal(call, r > 0 ? -EIO : r);
        return;
    }
    call->replayed = true;
    artifact_answer(call, 201, &artifact);
}

static void
upload_on_key_read(struct call *call, int rc, const struct db_result *result)
{
    const struct db_value *row;

    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
        return;
    }
    row = result->n_rows == 0 ? NULL : db_at(result, 0, 0);
    if (row == NULL ||
        (uint64_t)row[2].integer + engine_key_ttl_ms(call->api->spec.engine) < sbx_now_unix_ms()) {
        upload_claim_rest(call->upload);
    } else if (strcmp(row[0].data, call->body_sha256) != 0) {
        call_problem(call, SBX_PROBLEM_IDEMPOTENCY_MISMATCH, NULL);
    } else {
        const struct db_value values[] = { DB_VTEXT(call->context.tenant), row[1] };

        call_read(call, DB_ARTIFACT_FIND, values, SBX_COUNT(values), upload_on_replay_read);
    }
}

/* The same request is the same bytes under the same name and type. */
static int
upload_digest(char out[SBX_SHA256_HEX], const struct artifact *artifact)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(4096);
    uint8_t digest[SBX_SHA256_LEN];
    /* Without a name it is called after its id, which is another each time. */
    const char *name = strcmp(artifact->name, artifact->id.text) == 0 ? "" : artifact->name;
    int r;

    sbx_buf_printf(&text, "%s\n%s\n%s", artifact->sha256, artifact->mime, name);
    if (text.failed) {
        return -ENOMEM;
    }
    r = sbx_sha256(text.data, text.len, digest);
    if (r == 0) {
        sbx_hex(out, digest, sizeof(digest));
    }
    return r;
}

static void
upload_with_key(struct artifact_upload *upload, const char *text)
{
    struct call *call = upload->call;
    const struct idempotency_key key = {
        .tenant = call->context.tenant,
        .subject = call->context.subject,
        .route = UPLOAD_ROUTE,
        .key = text,
        .body_sha256 = call->body_sha256,
    };
    const struct db_value values[] = {
        DB_VTEXT(key.tenant),
        DB_VTEXT(key.subject),
        DB_VTEXT(key.route),
        DB_VTEXT(key.key),
    };
    struct idempotency_entry *entry = NULL;
    int r;

    r = upload_digest(call->body_sha256, &upload->artifact);
    if (r == 0) {
        r = idempotency_begin(engine_idempotency(call->api->spec.engine), &key, &entry);
    }
    if (r == IDEMPOTENCY_E_MISMATCH) {
        call_problem(call, SBX_PROBLEM_IDEMPOTENCY_MISMATCH, NULL);
    } else if (r == IDEMPOTENCY_E_IN_FLIGHT || r == IDEMPOTENCY_E_KNOWN) {
        call_reply_problem(
            call, &(struct sbx_problem){ .code = SBX_PROBLEM_IDEMPOTENCY_IN_FLIGHT, .retry_after_s = 1 });
    } else if (r) {
        call_problem_internal(call, r);
    } else {
        call->idempotency = entry;
        call_read(call, DB_IDEM_GET, values, SBX_COUNT(values), upload_on_key_read);
    }
}

static void
upload_on_stored(void *arg, int rc, const struct blob_info *info)
{
    struct artifact_upload *upload = arg;
    const char *key;

    upload->storing = false;
    upload->stored = rc == 0;
    if (rc == 0) {
        upload->artifact.size = info->size;
        memcpy(upload->artifact.sha256, info->sha256, sizeof(upload->artifact.sha256));
        memcpy(upload->key, info->key, sizeof(upload->key));
    }
    if (upload->call == NULL) {
        upload_dispose(upload);
        return;
    }
    if (rc) {
        log_error("artifact.store_failed", LOG_STR("artifact", upload->artifact.id.text),
                  LOG_INT("code", rc));
        call_problem_internal(upload->call, rc > 0 ? -EIO : rc);
        return;
    }
    key = sbx_http_request_header(upload->call->request, "Idempotency-Key");
    if (key != NULL) {
        upload_with_key(upload, key);
    } else {
        upload_claim_rest(upload);
    }
}

static void
upload_finish(struct artifact_upload *upload)
{
    upload->storing = true;
    blob_put_finish(steal(&upload->put), upload_on_stored, upload);
}
