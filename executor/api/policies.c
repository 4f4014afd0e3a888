/* Making, reading, changing and deleting one policy. docs/governance.md */
#include "executor/core/policies.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/handlers.h"
#include "executor/api/idempotent.h"
#include "executor/api/policy_work.h"
#include "executor/api/range.h"
#include "executor/api/reply_parts.h"
#include "lib/sbx_time.h"

#define CREATE_ROUTE "policies.create"
#define ETAG_MAX 16

struct policy_work *
policy_work(struct call *call)
{
    if (call->policy == NULL) {
        call->policy = calloc(1, sizeof(*call->policy));
    }
    if (call->policy == NULL) {
        call_problem_internal(call, -ENOMEM);
    }
    return call->policy;
}

struct policy_work *
policy_work_free(struct policy_work *work)
{
    if (work != NULL) {
        policy_record_free(work->making);
        policy_record_deinit(&work->current);
        free(work->message);
        free(work);
    }
    return NULL;
}

static void
etag_text(char out[ETAG_MAX], const struct policy_record *record)
{
    (void)snprintf(out, ETAG_MAX, "\"%" PRIu32 "\"", record->version); /* fits */
}

void
policy_write(struct sbx_jsonw *w, const char *key, const struct policy_record *record)
{
    sbx_jsonw_object(w, key);
    sbx_jsonw_str(w, "policy_id", record->id.text);
    sbx_jsonw_str(w, "name", record->name);
    reply_text(w, "description", record->description == NULL ? "" : record->description);
    sbx_jsonw_uint(w, "version", record->version);
    if (record->document != NULL) {
        sbx_jsonw_raw(w, "document", record->document, strlen(record->document));
    }
    sbx_jsonw_str(w, "document_sha256", record->sha256);
    policy_targets_write(w, "applies_to", record->target, record->n_targets);
    reply_text(w, "message", record->message == NULL ? "" : record->message);
    reply_time(w, "created_at", record->created_ms);
    reply_time(w, "updated_at", record->updated_ms);
    sbx_jsonw_str(w, "updated_by", record->updated_by);
    sbx_jsonw_object_end(w);
}

void
policy_answer(struct call *call, int status, const struct policy_record *record)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(POLICY_REPLY_MAX);
    struct sbx_http_header headers[3];
    struct call_place place;
    char etag[ETAG_MAX];
    struct sbx_jsonw w;
    unsigned n = 0;

    etag_text(etag, record);
    call_place(call, &place, "/v1/policies/%s", record->id.text);
    for (; n < place.n; n++) {
        headers[n] = place.header[n];
    }
    headers[n++] = (struct sbx_http_header){ "ETag", etag };
    sbx_jsonw_init(&w, &body);
    policy_write(&w, NULL, record);
    call_reply_json(call, status, headers, n, &body);
}

static void
policy_on_read(struct call *call, int rc, const struct db_result *result)
{
    int r = rc > 0 ? -EIO : rc;

    if (r == 0 && result->n_rows == 0) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
        return;
    }
    if (r == 0) {
        policy_record_deinit(&call->policy->current);
        r = policy_record_load(&call->policy->current, call->context.tenant, result, 0);
    }
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    call->loaded(call);
}

void
policy_load(struct call *call, void (*then)(struct call *call))
{
    const struct db_value values[] = { DB_VTEXT(call->context.tenant), DB_VTEXT(call->id) };

    if (call->id[0] == '\0') {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
    } else if (policy_work(call) != NULL) {
        call->loaded = then;
        call_read(call, DB_POLICY_GET, values, SBX_COUNT(values), policy_on_read);
    }
}

void
policy_load_version(struct call *call, uint32_t version, void (*then)(struct call *call))
{
    const struct db_value values[] = { DB_VTEXT(call->context.tenant), DB_VTEXT(call->id), DB_VINT(version) };

    if (call->id[0] == '\0' || version == 0) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
    } else if (policy_work(call) != NULL) {
        call->loaded = then;
        call_read(call, DB_POLICY_VERSION_GET, values, SBX_COUNT(values), policy_on_read);
    }
}

/* False: answered. What is absent is fine unless it is required. */
static bool
precondition_holds(struct call *call, const struct policy_record *record, bool required)
{
    const char *given = sbx_http_request_header(call->request, "If-Match");
    char etag[ETAG_MAX];

    if (given == NULL && required) {
        call_problem(call, SBX_PROBLEM_PRECONDITION_REQUIRED,
                     "If-Match must name the version that is to be changed, or be *");
        return false;
    }
    if (sbx_http_request_header_count(call->request, "If-Match") > 1) {
        call_problem(call, SBX_PROBLEM_BAD_REQUEST, "If-Match must be there once");
        return false;
    }
    etag_text(etag, record);
    if (given != NULL && !range_tag_in(given, etag, false)) {
        call_problem(call, SBX_PROBLEM_PRECONDITION_FAILED, "the policy is in another version");
        return false;
    }
    return true;
}

static struct audit_origin
origin_of(const struct call *call)
{
    return (struct audit_origin){
        .context = &call->context,
        .request_sha256 = call->body_sha256,
        .idempotency_key = call->idempotency == NULL ? NULL : call->idempotency->key,
    };
}

static void
answer_target_full(struct call *call, const struct policy_target *target)
{
    char detail[160];

    (void)snprintf(detail, sizeof(detail), "%d policies apply to the %s%s%s already", POLICIES_PER_TARGET,
                   policy_target_kind_name(target->kind), target->name[0] == '\0' ? "" : " ",
                   target->name); /* fits */
    call_problem(call, SBX_PROBLEM_CONFLICT, detail);
}

static void
answer_refused(struct call *call, int rc, const struct policy_record *record)
{
    if (rc == POLICIES_E_STALE) {
        call_problem(call, SBX_PROBLEM_PRECONDITION_FAILED, "the policy is in another version by now");
    } else if (rc == POLICIES_E_FULL) {
        call_problem(call, SBX_PROBLEM_CONFLICT, "the tenant has as many policies as it may have");
    } else if (rc == POLICIES_E_BYTES) {
        call_problem(call, SBX_PROBLEM_CONFLICT,
                     "the documents of the tenant's policies together may have 4 MiB");
    } else if (rc >= POLICIES_E_TARGET && rc < POLICIES_E_TARGET + (int)record->n_targets) {
        answer_target_full(call, &record->target[rc - POLICIES_E_TARGET]);
    } else {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
    }
}

static void
edit_on_stored(void *arg, int rc)
{
    struct call *call = call_unhold(arg);
    const struct policy_record *record;

    if (call == NULL) {
        return;
    }
    record = call->policy->sent;
    if (rc) {
        answer_refused(call, rc, record);
    } else {
        policy_answer(call, record->version == 1 ? 201 : 200, record);
    }
}

/* Takes tx; work->making goes with it. */
static void
work_submit(struct call *call, struct db_tx *tx, const struct policy_submission *submission)
{
    struct policy_work *work = call->policy;
    int r;

    work->sent = work->making;
    work->making = NULL;
    call_hold(call);
    r = policies_submit(call->api->spec.policies, tx, submission);
    if (r) {
        call_problem_internal(call_unhold(call), r);
    }
}

/* work->making becomes what it says; `before` 0: it is new. */
static void
edit_submit(struct call *call, uint32_t before, uint32_t rolled_back)
{
    struct policy_work *work = call->policy;
    const struct audit_origin origin = origin_of(call);
    const struct policy_edit edit = {
        .record = work->making,
        .before = before,
        .rolled_back = rolled_back,
        .origin = &origin,
    };
    struct db_tx *tx;
    int r;

    r = policies_prepare(&tx, call->api->spec.policies, &edit);
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    idempotent_store(tx, call, work->making->id.text, work->making->updated_ms);
    work_submit(call, tx,
                &(struct policy_submission){
                    .record = work->making,
                    .created = before == 0,
                    .done = edit_on_stored,
                    .arg = call,
                });
}

/* Answers what a parser said; true: nothing was wrong. */
static bool
parsed(struct call *call, int r, const struct sbx_field_error *err)
{
    if (r == 400) {
        call_reply_problem(
            call, &(struct sbx_problem){ .code = SBX_PROBLEM_MALFORMED_JSON, .detail = err->message });
    } else if (r == 422) {
        call_problem_field(call, err);
    } else if (r) {
        call_problem_internal(call, r);
    }
    return r == 0;
}

static bool
body_parse(struct policy_request *ret, struct call *call, enum policy_request_kind kind)
{
    struct sbx_field_error err;
    const char *body;
    size_t len;

    body = sbx_http_request_body(call->request, &len);
    return parsed(call, policy_request_parse(ret, kind, body, len, &err), &err);
}

static bool
copy(char **ret, const char *text)
{
    free(*ret);
    *ret = text == NULL || *text == '\0' ? NULL : strdup(text);
    return text == NULL || *text == '\0' || *ret != NULL;
}

/* A record in the making: everything but what its document says. NULL: answered. */
static struct policy_record *
making_new(struct call *call, const struct policy_record *before)
{
    struct policy_work *work = policy_work(call);
    struct policy_record *record = work == NULL ? NULL : calloc(1, sizeof(*record));
    int r = 0;

    if (work == NULL) {
        return NULL;
    }
    if (record == NULL) {
        call_problem_internal(call, -ENOMEM);
        return NULL;
    }
    work->making = record;
    record->version = 1;
    record->updated_ms = record->created_ms = sbx_now_unix_ms();
    memcpy(record->tenant, call->context.tenant, sizeof(record->tenant));
    memcpy(record->updated_by, call->context.subject, sizeof(record->updated_by));
    if (before == NULL) {
        r = sbx_id_new(&record->id, "pol");
    } else {
        record->id = before->id;
        record->version = before->version + 1;
        record->created_ms = before->created_ms;
    }
    if (r) {
        call_problem_internal(call, r);
        return NULL;
    }
    return record;
}

static bool
making_fill(struct call *call, struct policy_record *record, struct policy_request *request)
{
    struct sbx_field_error err = { 0 };

    memcpy(record->target, request->target, sizeof(record->target));
    record->n_targets = request->n_targets;
    if (!copy(&record->name, request->name) || !copy(&record->description, request->description) ||
        !copy(&record->message, request->message)) {
        call_problem_internal(call, -ENOMEM);
        return false;
    }
    return parsed(call, policy_request_document(record, request->document, &err), &err);
}

static void
create_fresh(struct call *call)
{
    edit_submit(call, 0, 0);
}

static void
create_replay_loaded(struct call *call)
{
    policy_answer(call, 200, &call->policy->current);
}

static void
create_replay_on_read(struct call *call, int rc, const struct db_result *result)
{
    if (rc == 0 && result->n_rows == 0) {
        call_problem(call, SBX_PROBLEM_GONE, "the policy was deleted");
        return;
    }
    policy_on_read(call, rc, result);
}

static void
create_replay(struct call *call, const char *id)
{
    const struct db_value values[] = { DB_VTEXT(call->context.tenant), DB_VTEXT(id) };

    call->loaded = create_replay_loaded;
    call_read(call, DB_POLICY_GET, values, SBX_COUNT(values), create_replay_on_read);
}

void
handle_policy_create(struct call *call)
{
    _cleanup_(policy_request_deinitp) struct policy_request request = { 0 };
    struct policy_record *record;

    if (!body_parse(&request, call, POLICY_REQUEST_WHOLE)) {
        return;
    }
    record = making_new(call, NULL);
    if (record != NULL && making_fill(call, record, &request)) {
        idempotent(call, CREATE_ROUTE, create_fresh, create_replay);
    }
}

static void
get_loaded(struct call *call)
{
    const char *given = sbx_http_request_header(call->request, "If-None-Match");
    const struct policy_record *record = &call->policy->current;
    char etag[ETAG_MAX];

    etag_text(etag, record);
    if (given != NULL && range_tag_in(given, etag, true)) {
        call_reply(call, 304, NULL, &(struct sbx_http_header){ "ETag", etag }, 1, "", 0);
        return;
    }
    policy_answer(call, 200, record);
}

void
handle_policy_get(struct call *call)
{
    policy_load(call, get_loaded);
}

static void
put_loaded(struct call *call)
{
    _cleanup_(policy_request_deinitp) struct policy_request request = { 0 };
    const struct policy_record *current = &call->policy->current;
    struct policy_record *record;

    if (!precondition_holds(call, current, true) || !body_parse(&request, call, POLICY_REQUEST_WHOLE)) {
        return;
    }
    record = making_new(call, current);
    if (record != NULL && making_fill(call, record, &request) && idempotent_hash_body(call)) {
        edit_submit(call, current->version, 0);
    }
}

void
handle_policy_put(struct call *call)
{
    policy_load(call, put_loaded);
}

/* What a version said, said again in a new one. */
static bool
making_repeat(struct call *call, struct policy_record *record, const struct policy_record *said)
{
    _cleanup_(sbx_json_decrefp) json_t *document = NULL;
    struct sbx_field_error err = { 0 };
    int r;

    if (!copy(&record->name, said->name) || !copy(&record->description, said->description)) {
        call_problem_internal(call, -ENOMEM);
        return false;
    }
    r = sbx_json_parse(&document, said->document, strlen(said->document), &err);
    if (r) {
        call_problem_internal(call, r > 0 ? -EIO : r);
        return false;
    }
    return parsed(call, policy_request_document(record, document, &err), &err);
}

static void
targets_loaded(struct call *call)
{
    _cleanup_(policy_request_deinitp) struct policy_request request = { 0 };
    const struct policy_record *current = &call->policy->current;
    struct policy_record *record;

    if (!precondition_holds(call, current, true) || !body_parse(&request, call, POLICY_REQUEST_TARGETS)) {
        return;
    }
    record = making_new(call, current);
    if (record == NULL) {
        return;
    }
    memcpy(record->target, request.target, sizeof(record->target));
    record->n_targets = request.n_targets;
    if (!copy(&record->message, request.message)) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    if (making_repeat(call, record, current) && idempotent_hash_body(call)) {
        edit_submit(call, current->version, 0);
    }
}

void
handle_policy_targets(struct call *call)
{
    policy_load(call, targets_loaded);
}

static void
rollback_on_read(struct call *call, int rc, const struct db_result *result)
{
    _cleanup_(policy_record_deinitp) struct policy_record said = { 0 };
    struct sbx_field_error err = { 0 };
    struct policy_record *record = call->policy->making;
    int r = rc > 0 ? -EIO : rc;

    if (r == 0 && result->n_rows == 0) {
        sbx_field_error_set(&err, "/version", "is no version of this policy that is kept");
        call_problem_field(call, &err);
        return;
    }
    if (r == 0) {
        r = policy_record_load(&said, call->context.tenant, result, 0);
    }
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    memcpy(record->target, said.target, sizeof(record->target));
    record->n_targets = said.n_targets;
    if (making_repeat(call, record, &said) && idempotent_hash_body(call)) {
        edit_submit(call, record->version - 1, call->policy->wanted);
    }
}

static void
rollback_loaded(struct call *call)
{
    _cleanup_(policy_request_deinitp) struct policy_request request = { 0 };
    const struct policy_record *current = &call->policy->current;
    struct policy_record *record;
    char message[48];

    if (!precondition_holds(call, current, true) || !body_parse(&request, call, POLICY_REQUEST_ROLLBACK)) {
        return;
    }
    record = making_new(call, current);
    if (record == NULL) {
        return;
    }
    (void)snprintf(message, sizeof(message), "roll back to version %" PRIu32, request.version); /* fits */
    if (!copy(&record->message, request.message != NULL ? request.message : message)) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    call->policy->wanted = request.version;
    const struct db_value values[] = { DB_VTEXT(call->context.tenant), DB_VTEXT(call->id),
                                       DB_VINT(request.version) };

    call_read(call, DB_POLICY_VERSION_GET, values, SBX_COUNT(values), rollback_on_read);
}

void
handle_policy_rollback(struct call *call)
{
    policy_load(call, rollback_loaded);
}

static void
delete_on_stored(void *arg, int rc)
{
    struct call *call = call_unhold(arg);

    if (call == NULL) {
        return;
    }
    if (rc == POLICIES_E_STALE && sbx_http_request_header(call->request, "If-Match") == NULL) {
        call_problem(call, SBX_PROBLEM_NOT_FOUND, NULL);
    } else if (rc) {
        answer_refused(call, rc, call->policy->sent);
    } else {
        call_reply(call, 204, NULL, NULL, 0, "", 0);
    }
}

static void
delete_loaded(struct call *call)
{
    struct policy_work *work = call->policy;
    const bool held = sbx_http_request_header(call->request, "If-Match") != NULL;
    struct audit_origin origin;
    struct db_tx *tx;
    int r;

    if (!precondition_holds(call, &work->current, false) || !idempotent_hash_body(call)) {
        return;
    }
    origin = origin_of(call);
    work->making = malloc(sizeof(*work->making));
    if (work->making == NULL) {
        call_problem_internal(call, -ENOMEM);
        return;
    }
    *work->making = work->current;
    work->current = (struct policy_record){ 0 };
    r = policies_prepare_delete(&tx, call->api->spec.policies, work->making, held ? work->making->version : 0,
                                &origin);
    if (r) {
        call_problem_internal(call, r);
        return;
    }
    work_submit(call, tx,
                &(struct policy_submission){
                    .record = work->making,
                    .deleted = true,
                    .done = delete_on_stored,
                    .arg = call,
                });
}

void
handle_policy_delete(struct call *call)
{
    policy_load(call, delete_loaded);
}
