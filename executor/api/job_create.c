/*
 * POST /v1/jobs: body and headers checked, the key looked up, the job submitted, the
 * answer when it is over or the wait is.
 */
#include <stdio.h>
#include <string.h>

#include "executor/api/api_inside.h"
#include "executor/api/handlers.h"
#include "executor/api/job_request.h"
#include "executor/api/jobs.h"
#include "executor/api/stream.h"
#include "executor/log.h"
#include "executor/runtime/registry.h"
#include "lib/sbx_time.h"

#define CREATE_ROUTE "jobs.create"

static void create_submit(struct call *call);

static bool
create_parse(struct call *call)
{
    struct sbx_field_error err;
    const char *body;
    size_t len;
    int r;

    body = sbx_http_request_body(call->request, &len);
    r = job_request_parse(&call->spec, body, len, &err);
    if (r == JOB_REQUEST_E_SYNTAX) {
        call_reply_problem(
            call, &(struct sbx_problem){ .code = SBX_PROBLEM_MALFORMED_JSON, .detail = err.message });
    } else if (r == JOB_REQUEST_E_FIELD) {
        call_problem_field(call, &err);
    } else if (r) {
        call_problem_internal(call, r);
    }
    return r == 0;
}

static bool
create_hash_body(struct call *call)
{
    uint8_t digest[SBX_SHA256_LEN];
    const char *body;
    size_t len;
    int r;

    body = sbx_http_request_body(call->request, &len);
    r = sbx_sha256(body, len, digest);
    if (r) {
        call_problem_internal(call, r);
        return false;
    }
    sbx_hex(call->body_sha256, digest, sizeof(digest));
    return true;
}

static bool
create_check_names(struct call *call)
{
    struct sbx_field_error err = { 0 };
    const char *name = registry_canonical(call->api->spec.languages, call->spec->language);

    if (name == NULL) {
        sbx_field_error_set(&err, "/language", "is not a language of this executor");
        call_problem_field(call, &err);
        return false;
    }
    call->spec->language = name;
    if (engine_template_tier(call->api->spec.engine, call->spec->template_name) == SBX_ISOLATION_NONE) {
        sbx_field_error_set(&err, "/template", "is not a template of this executor");
        call_problem_field(call, &err);
        return false;
    }
    return true;
}

static void
violation_fill(struct sbx_violation *violation, enum sbx_limit limit, uint64_t most, uint64_t asked)
{
    (void)snprintf(violation->rule, sizeof(violation->rule), "limits.%s", sbx_limit_key(limit)); /* fits */
    sbx_limit_text(violation->limit, sizeof(violation->limit), limit, most);
    sbx_limit_text(violation->observed, sizeof(violation->observed), limit, asked);
    (void)snprintf(violation->hint, sizeof(violation->hint), "ask for at most what limit says");
}

static void
create_on_denial_stored(void *arg _unused_, int rc, const struct db_result *result _unused_)
{
    if (rc) {
        log_error("audit.denial_failed", LOG_INT("code", rc));
    }
}

static void
create_audit_denial(struct call *call, const struct sbx_violation *violations, unsigned n)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf body = SBX_BUF_INIT(16384);
    const struct sbx_context *context = &call->context;
    struct sbx_jsonw w;
    struct db_tx *tx;

    sbx_jsonw_init(&w, &body);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "source", "executor");
    sbx_jsonw_str(&w, "subject", context->subject);
    sbx_jsonw_str(&w, "code", "policy_violation");
    sbx_violations_write(&w, violations, n);
    sbx_jsonw_object_end(&w);
    if (db_tx_new(&tx, engine_db(call->api->spec.engine)) != 0) {
        log_error("audit.denial_failed", LOG_INT("code", -ENOMEM));
        return;
    }
    audit_denied(tx, context->tenant, context->request_id, body.failed ? "" : body.data,
                 body.failed ? 0 : body.len);
    db_tx_submit(tx, create_on_denial_stored, NULL);
}

/* Says nobody which tier, the strongest that anybody wants: of the policy and the template. Returns violations. */
static unsigned
create_settle_isolation(struct call *call, struct sbx_violation *violation)
{
    const struct sbx_context *context = &call->context;
    const struct job_spec *spec = call->spec;

    call->isolation = spec->isolation;
    if (call->isolation == SBX_ISOLATION_NONE) {
        call->isolation = engine_template_tier(call->api->spec.engine, spec->template_name);
        call->isolation = sbx_isolation_stronger(call->isolation, context->isolation);
        call->isolation = sbx_isolation_stronger(call->isolation, context->min_isolation);
    }
    if (call->isolation >= context->min_isolation) {
        return 0;
    }
    sbx_violation_isolation(violation, context->min_isolation, call->isolation);
    return 1;
}

/* What was asked, within what the edge's policy granted; a context that grants nothing creates nothing. */
static bool
create_check_grant(struct call *call)
{
    const struct sbx_context *context = &call->context;
    struct sbx_violation violations[SBX_N_LIMITS + 1] = { 0 };
    unsigned n = create_settle_isolation(call, violations);

    for (unsigned i = 0; i < SBX_N_LIMITS; i++) {
        uint64_t most = context->limits.value[i];
        uint64_t asked = call->spec->limits.value[i];

        if (!context->has_limits || most == 0) {
            call_problem(call, SBX_PROBLEM_FORBIDDEN, "no limits were granted to this request");
            return false;
        }
        call->limits.value[i] = asked == 0 ? most : asked;
        if (asked > most) {
            violation_fill(&violations[n++], (enum sbx_limit)i, most, asked);
        }
    }
    if (n == 0) {
        return true;
    }
    create_audit_denial(call, violations, n);
    call_reply_problem(call, &(struct sbx_problem){
                                 .code = SBX_PROBLEM_POLICY_VIOLATION,
                                 .violation = violations,
                                 .n_violations = n,
                             });
    return false;
}

static void
create_replay_unfinished(struct call *call)
{
    job_answer(call, job_state_final(call->record.state) ? 200 : 202, &call->record);
}

static void
create_answer(struct call *call, struct job *job)
{
    if (call->stream != NULL) {
        job_stream_live(call, job);
    } else {
        job_answer_later(call, job, 202);
    }
}

static void
create_replay(struct call *call, const char *job_id)
{
    struct job *job = engine_find(call->api->spec.engine, call->context.tenant, job_id);

    (void)snprintf(call->id, sizeof(call->id), "%s", job_id); /* an id fits */
    call->replayed = true;
    if (job != NULL) {
        create_answer(call, job);
    } else if (call->stream != NULL) {
        job_stream_ended(call);
    } else {
        job_load(call, create_replay_unfinished);
    }
}

static void
create_on_key_read(struct call *call, int rc, const struct db_result *result)
{
    const struct db_value *row;

    if (rc) {
        call_problem_internal(call, rc > 0 ? -EIO : rc);
        return;
    }
    row = result->n_rows == 0 ? NULL : db_at(result, 0, 0);
    if (row == NULL ||
        (uint64_t)row[2].integer + engine_key_ttl_ms(call->api->spec.engine) < sbx_now_unix_ms()) {
        create_submit(call);
    } else if (strcmp(row[0].data, call->body_sha256) != 0) {
        call_problem(call, SBX_PROBLEM_IDEMPOTENCY_MISMATCH, NULL);
    } else {
        create_replay(call, row[1].data);
    }
}

static void
create_with_key(struct call *call, const char *key)
{
    const struct idempotency_key full = {
        .tenant = call->context.tenant,
        .subject = call->context.subject,
        .route = CREATE_ROUTE,
        .key = key,
        .body_sha256 = call->body_sha256,
    };
    const struct db_value values[] = {
        DB_VTEXT(full.tenant),
        DB_VTEXT(full.subject),
        DB_VTEXT(full.route),
        DB_VTEXT(full.key),
    };
    struct idempotency_entry *entry = NULL;
    int r;

    r = idempotency_begin(engine_idempotency(call->api->spec.engine), &full, &entry);
    if (r == IDEMPOTENCY_E_MISMATCH) {
        call_problem(call, SBX_PROBLEM_IDEMPOTENCY_MISMATCH, NULL);
    } else if (r == IDEMPOTENCY_E_IN_FLIGHT) {
        call_reply_problem(call, &(struct sbx_problem){
                                     .code = SBX_PROBLEM_IDEMPOTENCY_IN_FLIGHT,
                                     .retry_after_s = 1,
                                 });
    } else if (r == IDEMPOTENCY_E_KNOWN) {
        create_replay(call, entry->job_id.text);
    } else if (r) {
        call_problem_internal(call, r);
    } else {
        call->idempotency = entry;
        call_read(call, DB_IDEM_GET, values, SBX_COUNT(values), create_on_key_read);
    }
}

static void
create_refused(struct call *call, int r)
{
    struct engine *engine = call->api->spec.engine;
    struct sbx_problem problem = { .retry_after_s = engine_retry_after_s(engine, call->context.tenant) };
    char detail[128];

    switch (r) {
    case ENGINE_E_QUEUE_FULL:
        problem.code = SBX_PROBLEM_QUEUE_FULL;
        break;
    case ENGINE_E_TENANT_FULL:
        problem.code = SBX_PROBLEM_TENANT_QUEUE_FULL;
        break;
    case ENGINE_E_DRAINING:
        problem.code = SBX_PROBLEM_UNAVAILABLE;
        problem.detail = "the executor is stopping";
        break;
    case ENGINE_E_ISOLATION:
        /* Both names are short. */
        (void)snprintf(detail, sizeof(detail), "template \"%s\" has no sandboxes of the tier \"%s\" here",
                       call->spec->template_name, sbx_isolation_name(call->isolation));
        problem = (struct sbx_problem){ .code = SBX_PROBLEM_ISOLATION_UNAVAILABLE, .detail = detail };
        break;
    default:
        call_problem_internal(call, r);
        return;
    }
    call_reply_problem(call, &problem);
}

static void
create_submit(struct call *call)
{
    const struct engine_submission submission = {
        .spec = call->spec,
        .context = &call->context,
        .limits = &call->limits,
        .isolation = call->isolation,
        .request_sha256 = call->body_sha256,
        .idempotency = call->idempotency,
    };
    struct job *job;
    int r;

    r = engine_submit(&job, call->api->spec.engine, &submission);
    if (r) {
        create_refused(call, r);
        return;
    }
    call->spec = NULL;
    stream_from_start(call);
    create_answer(call, job);
}

void
handle_job_create(struct call *call)
{
    const char *key = sbx_http_request_header(call->request, "Idempotency-Key");
    uint64_t most = job_wait_limit(call);
    uint64_t wait;

    if (engine_draining(call->api->spec.engine)) {
        create_refused(call, ENGINE_E_DRAINING);
        return;
    }
    if (sbx_http_request_header_count(call->request, "Idempotency-Key") > 1 ||
        (key != NULL && !idempotency_key_valid(key))) {
        call_problem(call, SBX_PROBLEM_BAD_REQUEST,
                     "Idempotency-Key must be 1 to 255 visible ASCII characters, once");
        return;
    }
    if (!stream_ask(call) || !create_hash_body(call) || !create_parse(call) || !create_check_names(call) ||
        !create_check_grant(call)) {
        return;
    }
    wait = call->spec->has_wait ? call->spec->wait_ms : JOBS_WAIT_DEFAULT_MS;
    call->wait_ms = wait < most ? wait : most;
    if (key != NULL) {
        create_with_key(call, key);
    } else {
        create_submit(call);
    }
}
