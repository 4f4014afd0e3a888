/*
 * POST /v1/sessions/{id}/artifacts: which files match is asked first, then each is read into the store, and at the end one
 * transaction makes artifacts of all of them, or of none.
 *
 *   fs.glob -> collection_on_listed -> claim -> collection_next -> fs.read -> collection_on_read -> blob_put_finish
 *   -> collection_on_stored -> collection_next ... -> collection_commit -> collection_on_durable
 */
#include "executor/api/collection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/artifact_reply.h"
#include "executor/api/file.h"
#include "executor/api/handlers.h"
#include "executor/api/idempotent.h"
#include "executor/core/artifacts.h"
#include "executor/core/job_record.h"
#include "executor/core/timer.h"
#include "executor/log.h"
#include "lib/sbx_time.h"
#include "lib/sbx_utf8.h"

#define COLLECTION_MAX_REASON 256
#define COLLECTION_SKIPPED_MAX 262144
#define COLLECTION_MAX_SKIPPED 1000 /* that are named; the agent names those it looked at */
/* As for the files of a job: an agent that is slow just within the deadline of each would hold the call for long. */
#define COLLECTION_MS 10000
#define COLLECTION_MS_PER_FILE 100
#define COLLECTION_BYTES_PER_MS 4096

struct collected {
    struct artifact artifact;
    uint8_t key[BLOB_KEY_LEN];
    bool stored; /* its blob is there */
};

struct collection {
    struct call *call; /* NULL: it is over */
    struct artifacts *artifacts;
    struct artifacts_claim *claim;
    struct timer *timer;
    unsigned max_files;
    uint64_t bytes_left, bytes_listed;
    /* As listed, then one after another: */
    struct collected files[COLLECTION_MAX_FILES];
    unsigned n_files, next;
    struct blob_put *put;
    uint64_t announced, received, owed;
    bool noted; /* the read began as it should */
    bool put_failed;
    bool storing;           /* the store's callback is to come */
    bool committing;        /* the database's */
    struct sbx_buf skipped; /* items of a JSON array */
    unsigned n_skipped;
};

static void collection_next(struct collection *collection);

static void
collection_dispose(struct collection *collection)
{
    for (unsigned i = 0; i < collection->n_files; i++) {
        struct collected *file = &collection->files[i];

        if (file->stored && blob_delete(artifacts_blobs(collection->artifacts), file->artifact.tenant,
                                        file->artifact.id.text, NULL, NULL) != 0) {
            log_warn("artifact.file_left", LOG_STR("artifact", file->artifact.id.text));
        }
        artifact_deinit(&file->artifact);
    }
    blob_put_abort(collection->put);
    artifacts_claim_free(collection->claim);
    sbx_buf_deinit(&collection->skipped);
    explicit_bzero(collection, sizeof(*collection));
    free(collection);
}

struct collection *
collection_free(struct collection *collection)
{
    if (collection != NULL) {
        collection->call = NULL;
        collection->timer = timer_free(collection->timer);
        if (!collection->storing && !collection->committing) {
            collection_dispose(collection);
        }
    }
    return NULL;
}

static void
collection_skip(struct collection *collection, const char *path, const char *reason)
{
    struct sbx_jsonw w;

    if (collection->n_skipped++ >= COLLECTION_MAX_SKIPPED) {
        return;
    }
    if (collection->skipped.len > 0) {
        sbx_buf_putc(&collection->skipped, ',');
    }
    sbx_jsonw_init(&w, &collection->skipped);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "path", path);
    sbx_jsonw_str(&w, "reason", reason);
    sbx_jsonw_object_end(&w);
}

static void
collection_answer(struct collection *collection)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(ARTIFACT_REPLY_MAX);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_array(&w, "artifacts");
    for (unsigned i = 0; i < collection->n_files; i++) {
        if (collection->files[i].artifact.size != UINT64_MAX) {
            artifact_write(&w, NULL, &collection->files[i].artifact);
        }
    }
    sbx_jsonw_array_end(&w);
    sbx_buf_puts(&body, ",\"skipped\":[");
    if (collection->skipped.len > 0) {
        sbx_buf_append(&body, collection->skipped.data, collection->skipped.len);
    }
    sbx_buf_puts(&body, "]}");
    body.failed = body.failed || collection->skipped.failed;
    call_reply_json(collection->call, 201, NULL, 0, &body);
}

static void
collection_on_durable(void *arg, int rc, const struct db_result *result _unused_)
{
    struct collection *collection = arg;

    collection->committing = false;
    if (rc == DB_E_CONFLICT && collection->call != NULL) {
        /* Only the key can be there already: a request whose client had left has stored it meanwhile. */
        call_reply_problem(collection->call, &(struct sbx_problem){ .code = SBX_PROBLEM_IDEMPOTENCY_IN_FLIGHT,
                                                                    .retry_after_s = 1 });
        return;
    }
    for (unsigned i = 0; i < collection->n_files && rc == 0; i++) {
        collection->files[i].stored = false; /* the record's, not ours to take back */
    }
    if (collection->call == NULL) {
        collection_dispose(collection);
    } else if (rc) {
        call_problem_internal(collection->call, rc > 0 ? -EIO : rc);
    } else {
        collection_answer(collection);
    }
}

static int
collection_fill(struct collection *collection, struct db_tx *tx)
{
    const struct sbx_context *context = &collection->call->context;
    const uint64_t now = sbx_now_unix_ms();
    bool keyed = false;
    int r = 0;

    for (unsigned i = 0; i < collection->n_files && r == 0; i++) {
        struct collected *file = &collection->files[i];

        if (file->stored) {
            file->artifact.created_ms = now;
            file->artifact.expires_ms =
                artifacts_expiry(collection->artifacts, context->retention_artifacts_ms, now);
            r = artifacts_store(collection->artifacts, tx, &file->artifact, file->key);
            artifacts_audit(tx, &file->artifact, "artifact.collected", context);
            if (!keyed) {
                /* The first stands for all. */
                idempotent_store(tx, collection->call, file->artifact.id.text, file->artifact.created_ms);
                keyed = true;
            }
        }
    }
    return r;
}

static void
collection_commit(struct collection *collection)
{
    struct db_tx *tx;
    bool any = false;
    int r;

    timer_stop(collection->timer);
    for (unsigned i = 0; i < collection->n_files; i++) {
        any = any || collection->files[i].stored;
    }
    if (!any) {
        collection_answer(collection);
        return;
    }
    r = db_tx_new(&tx, artifacts_db(collection->artifacts));
    if (r == 0) {
        r = collection_fill(collection, tx);
        if (r) {
            db_tx_free(tx);
        }
    }
    if (r) {
        call_problem_internal(collection->call, r);
        return;
    }
    collection->committing = true;
    db_tx_submit(tx, collection_on_durable, collection);
}

static struct collected *
collection_current(struct collection *collection)
{
    return &collection->files[collection->next - 1];
}

/* The one under way cannot be had. UINT64_MAX marks it: it has no size. */
static void
collection_lack(struct collection *collection, const char *reason)
{
    struct collected *file = collection_current(collection);

    collection->put = blob_put_abort(collection->put);
    collection_skip(collection, file->artifact.path, reason);
    file->artifact.size = UINT64_MAX;
    collection_next(collection);
}

static void
collection_on_stored(void *arg, int rc, const struct blob_info *info)
{
    struct collection *collection = arg;
    struct collected *file = collection_current(collection);

    collection->storing = false;
    if (rc == 0) {
        file->stored = true;
        file->artifact.size = info->size;
        memcpy(file->artifact.sha256, info->sha256, sizeof(file->artifact.sha256));
        memcpy(file->key, info->key, sizeof(file->key));
        collection->bytes_left -= info->size < collection->bytes_left ? info->size : collection->bytes_left;
    }
    if (collection->call == NULL) {
        collection_dispose(collection);
    } else if (rc) {
        log_error("artifact.store_failed", LOG_STR("artifact", file->artifact.id.text), LOG_INT("code", rc));
        collection_lack(collection, "could not be stored");
    } else {
        collection_next(collection);
    }
}

/* The entry that is about to be read: it may be another file by now than the one that was listed. */
static void
read_on_note(struct call *call, const json_t *note)
{
    struct collection *collection = call->collection;
    struct file_entry entry;

    if (collection->noted || !file_entry_take(&entry, note) ||
        strcmp(entry.path, collection_current(collection)->artifact.path) != 0 ||
        !file_count_take(note, "length", &collection->announced)) {
        file_nonsense(call->file, "a file that nobody asked for");
        return;
    }
    collection->noted = true;
    collection->put_failed = collection->announced > collection->bytes_left;
}

static void
read_on_room(void *arg)
{
    struct collection *collection = arg;

    if (collection->call != NULL) {
        const uint64_t owed = collection->owed;

        collection->owed = 0;
        file_consumed(collection->call->file, (size_t)owed);
    }
}

static void
read_on_data(struct call *call, const char *data, size_t len)
{
    struct collection *collection = call->collection;

    if (!collection->noted || len > collection->announced - collection->received) {
        file_nonsense(call->file, "more of a file than there is");
        return;
    }
    collection->received += len;
    if (!collection->put_failed && blob_put_write(collection->put, data, len) != 0) {
        collection->put_failed = true;
    }
    if (!collection->put_failed && blob_put_full(collection->put)) {
        collection->owed += len;
        blob_put_on_room(collection->put, read_on_room, collection);
        return;
    }
    file_consumed(call->file, len);
}

static void
read_on_done(struct call *call, const json_t *end)
{
    struct collection *collection = call->collection;
    uint64_t sent;

    collection->owed = 0;
    if (!file_count_take(end, "sent", &sent) || !collection->noted || sent != collection->received ||
        sent != collection->announced) {
        file_nonsense(call->file, "how a file was read");
        return;
    }
    if (collection->put_failed) {
        collection_lack(collection,
                        collection->announced > collection->bytes_left ? "too large" : "could not be stored");
        return;
    }
    collection->storing = true;
    blob_put_finish(steal(&collection->put), collection_on_stored, collection);
}

static void
read_on_failed(struct call *call, enum file_error error _unused_, const char *message _unused_)
{
    call->collection->owed = 0;
    collection_lack(call->collection, "could not be read");
}

static const struct file_events read_events = {
    .note = read_on_note,
    .data = read_on_data,
    .done = read_on_done,
    .failed = read_on_failed,
};

static void
collection_read(struct collection *collection, struct collected *file)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json = SBX_BUF_INIT(FILE_JSON_MAX);
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "op", "fs.read");
    sbx_jsonw_str(&w, "path", file->artifact.path);
    sbx_jsonw_uint(&w, "length", collection->bytes_left + 1); /* one more tells that it grew too large */
    sbx_jsonw_object_end(&w);
    collection->announced = collection->received = 0;
    collection->noted = collection->put_failed = false;
    file_ask(collection->call, &json, &read_events);
}

static void
collection_next(struct collection *collection)
{
    struct collected *file;
    int r;

    if (collection->next == collection->n_files) {
        collection_commit(collection);
        return;
    }
    file = &collection->files[collection->next++];
    r = blob_put_new(&collection->put, artifacts_blobs(collection->artifacts), file->artifact.tenant,
                     file->artifact.id.text, collection->bytes_left);
    if (r) {
        call_problem_internal(collection->call, r > 0 ? -EIO : r);
        return;
    }
    collection_read(collection, file);
}

static void
collection_on_claimed(void *arg, int rc)
{
    struct collection *collection = arg;
    struct call *call = collection->call;

    switch (rc) {
    case 0:
        collection_next(collection);
        break;
    case ARTIFACTS_E_BYTES:
        artifact_answer_too_large(call, "artifacts.total_bytes", call->context.max_stored_bytes, 0, true);
        break;
    case ARTIFACTS_E_NUMBER:
        artifact_answer_too_large(call, "artifacts.max_number", artifacts_max_number(collection->artifacts),
                                  0, false);
        break;
    default:
        call_problem_internal(call, rc > 0 ? -EIO : rc);
        break;
    }
}

static bool
collection_add(struct collection *collection, const char *path, uint64_t size)
{
    const struct call *call = collection->call;
    struct collected *file;

    for (unsigned i = 0; i < collection->n_files; i++) {
        if (strcmp(collection->files[i].artifact.path, path) == 0) {
            return false; /* no honest agent lists one twice */
        }
    }
    if (collection->n_files >= collection->max_files) {
        collection_skip(collection, path, "too many files");
        return true;
    }
    if (size > collection->bytes_left - collection->bytes_listed) {
        collection_skip(collection, path, "too large");
        return true;
    }
    file = &collection->files[collection->n_files];
    memset(file, 0, sizeof(*file));
    file->artifact.path = strdup(path);
    file->artifact.name = strdup(path);
    collection->n_files++;
    if (file->artifact.path == NULL || file->artifact.name == NULL ||
        sbx_id_new(&file->artifact.id, "art") != 0) {
        collection->skipped.failed = true;
        return true;
    }
    file->artifact.sealed = true;
    memcpy(file->artifact.tenant, call->context.tenant, sizeof(file->artifact.tenant));
    memcpy(file->artifact.session_id, call->id, sizeof(file->artifact.session_id));
    (void)snprintf(file->artifact.mime, sizeof(file->artifact.mime), "%s", artifact_mime(path)); /* fits */
    collection->bytes_listed += size;
    return true;
}

/* {"path","size"} or {"path","reason"} */
static bool
collection_take_line(struct collection *collection, const char *line, size_t len)
{
    _cleanup_(sbx_json_decrefp) json_t *json = NULL;
    struct sbx_field_error err;
    const char *path, *reason;
    uint64_t size;

    if (sbx_json_parse(&json, line, len, &err) != 0 || !json_is_object(json) || json_object_size(json) != 2) {
        return false;
    }
    path = json_string_value(json_object_get(json, "path"));
    reason = json_string_value(json_object_get(json, "reason"));
    if (path == NULL || file_path_refusal(path, false) != NULL) {
        return false;
    }
    if (reason != NULL) {
        if (strlen(reason) > COLLECTION_MAX_REASON) {
            return false;
        }
        collection_skip(collection, path, reason);
        return true;
    }
    return file_count_take(json, "size", &size) && collection_add(collection, path, size);
}

static void
glob_on_data(struct call *call, const char *data, size_t len)
{
    struct sbx_buf *line = &call->file->line;

    for (size_t at = 0; at < len; at++) {
        if (data[at] != '\n') {
            sbx_buf_putc(line, data[at]);
            continue;
        }
        if (line->failed ||
            !collection_take_line(call->collection, line->data == NULL ? "" : line->data, line->len)) {
            file_nonsense(call->file, "a line about files that match");
            return;
        }
        sbx_buf_reset(line);
    }
    file_consumed(call->file, len);
}

static void
collection_on_listed(struct call *call, const json_t *end)
{
    struct collection *collection = call->collection;
    uint64_t files;

    if (!file_count_take(end, "files", &files) || call->file->line.len > 0) {
        file_nonsense(call->file, "how looking for files ended");
        return;
    }
    if (collection->skipped.failed) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    if (collection->n_files == 0) {
        collection_answer(collection);
        return;
    }
    timer_start(collection->timer, COLLECTION_MS + (uint64_t)collection->n_files * COLLECTION_MS_PER_FILE +
                                       collection->bytes_listed / COLLECTION_BYTES_PER_MS);
    artifacts_claim_ask(collection->claim, collection->bytes_listed, collection->n_files,
                        collection_on_claimed, collection);
}

static const struct file_events glob_events = { .data = glob_on_data, .done = collection_on_listed };

static void
collection_on_time(void *arg)
{
    struct collection *collection = arg;

    log_warn("artifact.late", LOG_STR("request_id", collection->call->request_id));
    call_problem(collection->call, SBX_PROBLEM_GATEWAY_TIMEOUT, "reading the files took too long");
}

static int
collection_new(struct collection **ret, struct call *call)
{
    const struct sbx_context *context = &call->context;
    const struct artifacts_claim_spec claim = { .tenant = context->tenant,
                                                .max_bytes = context->max_stored_bytes };
    struct collection *collection = calloc(1, sizeof(*collection));
    int r;

    if (collection == NULL) {
        return -ENOMEM;
    }
    collection->call = call;
    collection->artifacts = call->api->spec.artifacts;
    collection->max_files =
        context->max_artifacts < COLLECTION_MAX_FILES ? context->max_artifacts : COLLECTION_MAX_FILES;
    collection->bytes_left = context->max_artifact_bytes;
    collection->skipped = (struct sbx_buf)SBX_BUF_INIT(COLLECTION_SKIPPED_MAX);
    r = artifacts_claim_new(&collection->claim, collection->artifacts, &claim);
    if (r == 0) {
        r = timer_new(&collection->timer, engine_timers(call->api->spec.engine), collection_on_time,
                      collection);
    }
    if (r) {
        collection_free(collection);
        return r;
    }
    *ret = collection;
    return 0;
}

static void
collection_start(struct call *call)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf json =
        SBX_BUF_INIT(4ul * COLLECTION_MAX_PATTERNS * COLLECTION_MAX_PATTERN);
    struct sbx_jsonw w;
    int r;

    sbx_jsonw_init(&w, &json);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "op", "fs.glob");
    if (call->context.max_artifacts == 0 || call->context.max_artifact_bytes == 0) {
        call_problem(call, SBX_PROBLEM_FORBIDDEN, "no artifacts were granted to this request");
        return;
    }
    if (!collection_patterns(call, &w)) {
        return;
    }
    sbx_jsonw_uint(&w, "max_files",
                   call->context.max_artifacts < COLLECTION_MAX_FILES ? call->context.max_artifacts
                                                                      : COLLECTION_MAX_FILES);
    sbx_jsonw_uint(&w, "max_bytes", call->context.max_artifact_bytes);
    sbx_jsonw_object_end(&w);
    if (!file_begin(call, "", true)) {
        return;
    }
    r = collection_new(&call->collection, call);
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    file_ask(call, &json, &glob_events);
}

void
handle_session_artifacts(struct call *call)
{
    char route[IDEMPOTENCY_ROUTE_MAX + 1];

    (void)snprintf(route, sizeof(route), "artifacts.collect %s", call->id); /* fits */
    idempotent(call, route, collection_start, collection_replay);
}
