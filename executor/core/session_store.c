#include "executor/core/session_store.h"

#include <string.h>

#include "executor/core/idempotency.h"
#include "executor/core/rows.h"
#include "executor/core/step_inside.h"
#include "executor/store/stmts.h"

void
key_store(struct db_tx *tx, const struct idempotency_entry *entry, const struct sbx_id *id, uint64_t now_ms,
          uint64_t key_ttl_ms)
{
    const struct db_value before[] = { DB_VINT(now_ms - key_ttl_ms) };

    if (entry == NULL) {
        return;
    }
    const struct db_value values[] = {
        DB_VTEXT(entry->tenant),      DB_VTEXT(entry->subject), DB_VTEXT(entry->route), DB_VTEXT(entry->key),
        DB_VTEXT(entry->body_sha256), DB_VTEXT(id->text),       DB_VINT(now_ms),
    };
    /* A key that outlived its time would conflict with its own renewal. */
    db_tx_add(tx, DB_IDEM_PURGE, before, SBX_COUNT(before));
    db_tx_add(tx, DB_IDEM_INSERT, values, SBX_COUNT(values));
}

static void
add_session(struct db_tx *tx, const struct session_record *record)
{
    const struct db_value values[] = {
        DB_VTEXT(record->id.text),
        DB_VTEXT(record->tenant),
        row_text_or_null(record->app),
        row_text_or_null(record->agent),
        DB_VTEXT(record->subject),
        DB_VTEXT(record->request_id),
        DB_VTEXT(record->language),
        DB_VTEXT(record->template_name),
        DB_VTEXT(sbx_isolation_name(record->isolation)),
        DB_VINT(record->created_ms),
        DB_VINT(record->expires_ms),
        DB_VINT(record->ttl_ms),
        DB_VINT(record->idle_timeout_ms),
        DB_VINT(record->max_lifetime_ms),
        DB_VINT(record->step_timeout_ms),
        DB_VTEXT(record->limits_json),
        row_text_or_null(record->metadata_json),
    };
    db_tx_add(tx, DB_SESSION_INSERT, values, SBX_COUNT(values));
}

static void
add_retention(struct db_tx *tx, const struct session *session, const struct audit_origin *origin)
{
    uint64_t said = origin->context->retention_records_ms;
    const struct db_value values[] = {
        DB_VTEXT(session->record.id.text),
        DB_VINT(said > 0 ? said : sessions_get_spec(session->sessions)->keep_ms),
    };

    db_tx_add(tx, DB_SESSION_KEEP, values, SBX_COUNT(values));
}

int
session_store_create(struct db *db, const struct session *session, const struct job_spec *spec,
                     const struct audit_origin *origin, uint64_t key_ttl_ms, db_done_fn done, void *arg)
{
    const struct session_record *record = &session->record;
    struct db_tx *tx;
    int r;

    r = db_tx_new(&tx, db);
    if (r) {
        return r;
    }
    add_session(tx, record);
    add_retention(tx, session, origin);
    key_store(tx, session->idempotency, &record->id, record->created_ms, key_ttl_ms);
    audit_session_created(tx, session, spec, origin);
    db_tx_submit(tx, done, arg);
    return 0;
}

int
session_store_extend(struct db_tx **ret, struct db *db, const struct session *session,
                     const struct audit_origin *origin)
{
    const struct session_record *record = &session->record;
    const struct db_value values[] = {
        DB_VTEXT(record->id.text),
        DB_VINT(record->ttl_ms),
        DB_VINT(record->idle_timeout_ms),
        DB_VINT(record->expires_ms),
        row_text_or_null(record->metadata_json),
    };
    struct db_tx *tx;
    int r;

    r = db_tx_new(&tx, db);
    if (r) {
        return r;
    }
    db_tx_add(tx, DB_SESSION_EXTEND, values, SBX_COUNT(values));
    audit_session_extended(tx, session, origin);
    *ret = tx;
    return 0;
}

int
session_store_end(struct db *db, const struct session *session, db_done_fn done, void *arg)
{
    const struct session_record *record = &session->record;
    const struct db_value values[] = {
        DB_VTEXT(record->id.text),
        DB_VTEXT(session_reason_name(record->reason)),
        DB_VINT(record->ended_ms),
        row_time_or_null(record->started_ms),
        DB_VINT(record->n_steps),
        row_text_or_null(record->message),
        row_text_or_null(record->violation_json),
        row_text_or_null(record->usage_json),
    };
    struct db_tx *tx;
    int r;

    r = db_tx_new(&tx, db);
    if (r) {
        return r;
    }
    db_tx_add(tx, DB_SESSION_END, values, SBX_COUNT(values));
    audit_session_ended(tx, session);
    db_tx_submit(tx, done, arg);
    return 0;
}

static void
take_session_state(struct session_record *ret, const struct db_value *row, int *rc)
{
    const struct db_value *state = &row[DB_SESSION_STATE], *reason = &row[DB_SESSION_REASON];

    if (state->type != DB_TEXT || !session_state_parse(state->data, &ret->state) ||
        (reason->type == DB_TEXT && !session_reason_parse(reason->data, &ret->reason))) {
        *rc = -EINVAL;
    }
}

static void
take_who(struct session_record *ret, const struct db_value *row, int *rc)
{
    row_take_text(ret->id.text, sizeof(ret->id.text), &row[DB_SESSION_ID], rc);
    row_take_text(ret->tenant, sizeof(ret->tenant), &row[DB_SESSION_TENANT], rc);
    row_take_text(ret->app, sizeof(ret->app), &row[DB_SESSION_APP], rc);
    row_take_text(ret->agent, sizeof(ret->agent), &row[DB_SESSION_AGENT], rc);
    row_take_text(ret->subject, sizeof(ret->subject), &row[DB_SESSION_SUBJECT], rc);
    row_take_text(ret->request_id, sizeof(ret->request_id), &row[DB_SESSION_REQUEST_ID], rc);
    row_take_text(ret->language, sizeof(ret->language), &row[DB_SESSION_LANGUAGE], rc);
    row_take_text(ret->template_name, sizeof(ret->template_name), &row[DB_SESSION_TEMPLATE], rc);
    row_take_isolation(&ret->isolation, &row[DB_SESSION_ISOLATION], rc);
}

int
session_store_load(struct session_record *ret, const struct db_result *result, unsigned row_number)
{
    _cleanup_(session_record_deinitp) struct session_record record = { 0 };
    const struct db_value *row;
    int rc = 0;

    if (result->n_columns != DB_SESSION_N_COLUMNS || row_number >= result->n_rows) {
        return -EINVAL;
    }
    row = db_at(result, row_number, 0);
    take_who(&record, row, &rc);
    take_session_state(&record, row, &rc);
    record.created_ms = row_take_number(&row[DB_SESSION_CREATED_MS]);
    record.started_ms = row_take_number(&row[DB_SESSION_STARTED_MS]);
    record.ended_ms = row_take_number(&row[DB_SESSION_ENDED_MS]);
    record.expires_ms = row_take_number(&row[DB_SESSION_EXPIRES_MS]);
    record.ttl_ms = row_take_number(&row[DB_SESSION_TTL_MS]);
    record.idle_timeout_ms = row_take_number(&row[DB_SESSION_IDLE_TIMEOUT_MS]);
    record.max_lifetime_ms = row_take_number(&row[DB_SESSION_MAX_LIFETIME_MS]);
    record.step_timeout_ms = row_take_number(&row[DB_SESSION_STEP_TIMEOUT_MS]);
    record.n_steps = row_take_number(&row[DB_SESSION_N_STEPS]);
    row_take_text(record.message, sizeof(record.message), &row[DB_SESSION_MESSAGE], &rc);
    row_take_copy(&record.limits_json, &row[DB_SESSION_LIMITS], &rc);
    row_take_copy(&record.metadata_json, &row[DB_SESSION_METADATA], &rc);
    row_take_copy(&record.violation_json, &row[DB_SESSION_VIOLATION], &rc);
    row_take_copy(&record.usage_json, &row[DB_SESSION_USAGE], &rc);
    if (rc) {
        return rc;
    }
    *ret = record;
    memset(&record, 0, sizeof(record));
    return 0;
}

static void
add_step(struct db_tx *tx, const struct step_record *record)
{
    const struct db_value values[] = {
        DB_VTEXT(record->id.text),   DB_VTEXT(record->session_id.text), DB_VTEXT(record->tenant),
        DB_VINT(record->number),     DB_VTEXT(record->context),         DB_VTEXT(record->language),
        DB_VTEXT(record->subject),   DB_VTEXT(record->request_id),      DB_VTEXT(record->code_sha256),
        DB_VINT(record->created_ms),
    };
    db_tx_add(tx, DB_STEP_INSERT, values, SBX_COUNT(values));
}

int
step_store_accept(struct db *db, const struct step *step, const struct audit_origin *origin,
                  uint64_t key_ttl_ms, db_done_fn done, void *arg)
{
    const struct step_record *record = &step->record;
    struct db_tx *tx;
    int r;

    r = db_tx_new(&tx, db);
    if (r) {
        return r;
    }
    add_step(tx, record);
    key_store(tx, step->idempotency, &record->id, record->created_ms, key_ttl_ms);
    audit_step_accepted(tx, step, origin);
    db_tx_submit(tx, done, arg);
    return 0;
}

int
step_store_finish(struct db *db, const struct step *step, db_done_fn done, void *arg)
{
    const struct step_record *record = &step->record;
    const struct job_stream *out = &record->stream[JOB_STDOUT];
    const struct job_stream *err = &record->stream[JOB_STDERR];
    const struct db_value values[] = {
        DB_VTEXT(record->id.text),
        DB_VTEXT(step_state_status(record->state)),
        row_time_or_null(record->started_ms),
        DB_VINT(record->finished_ms),
        record->has_exit_code ? DB_VINT(record->exit_code) : DB_VNULL(),
        row_text_or_null(record->signal),
        DB_VTEXT(step_interpreter_name(record->interpreter)),
        DB_VINT(record->restarted ? 1 : 0),
        DB_VBLOB(out->data, out->len),
        DB_VBLOB(err->data, err->len),
        DB_VINT(out->total),
        DB_VINT(err->total),
        DB_VINT(record->truncated ? 1 : 0),
        row_text_or_null(record->results_json),
        row_text_or_null(record->error_json),
        row_text_or_null(record->violation_json),
        row_text_or_null(record->usage_json),
        row_text_or_null(record->message),
    };
    struct db_tx *tx;
    int r;

    r = db_tx_new(&tx, db);
    if (r) {
        return r;
    }
    db_tx_add(tx, DB_STEP_FINISH, values, SBX_COUNT(values));
    if (step->running_ms != 0 && !step->start_told) {
        audit_step_started(tx, step);
    }
    audit_step_ended(tx, step);
    db_tx_submit_soon(tx, done, arg); /* with the next step's accept record, when that follows */
    return 0;
}

static void
take_step_brief(struct step_record *ret, const struct db_value *row, int *rc)
{
    const struct db_value *interpreter = &row[DB_STEP_INTERPRETER];

    row_take_text(ret->id.text, sizeof(ret->id.text), &row[DB_STEP_ID], rc);
    row_take_text(ret->session_id.text, sizeof(ret->session_id.text), &row[DB_STEP_SESSION_ID], rc);
    row_take_text(ret->tenant, sizeof(ret->tenant), &row[DB_STEP_TENANT], rc);
    ret->number = row_take_number(&row[DB_STEP_NUMBER]);
    row_take_text(ret->context, sizeof(ret->context), &row[DB_STEP_CONTEXT], rc);
    row_take_text(ret->language, sizeof(ret->language), &row[DB_STEP_LANGUAGE], rc);
    row_take_text(ret->subject, sizeof(ret->subject), &row[DB_STEP_SUBJECT], rc);
    row_take_text(ret->request_id, sizeof(ret->request_id), &row[DB_STEP_REQUEST_ID], rc);
    row_take_text(ret->code_sha256, sizeof(ret->code_sha256), &row[DB_STEP_CODE_SHA256], rc);
    if (row[DB_STEP_STATE].type != DB_TEXT || !step_state_parse(row[DB_STEP_STATE].data, &ret->state)) {
        *rc = -EINVAL;
    }
    ret->created_ms = row_take_number(&row[DB_STEP_CREATED_MS]);
    ret->started_ms = row_take_number(&row[DB_STEP_STARTED_MS]);
    ret->finished_ms = row_take_number(&row[DB_STEP_FINISHED_MS]);
    ret->has_exit_code = row[DB_STEP_EXIT_CODE].type == DB_INT;
    ret->exit_code = ret->has_exit_code ? (int)row[DB_STEP_EXIT_CODE].integer : 0;
    row_take_text(ret->signal, sizeof(ret->signal), &row[DB_STEP_SIGNAL], rc);
    if (interpreter->type == DB_TEXT) {
        ret->interpreter = strcmp(interpreter->data, "alive") == 0 ? INTERPRETER_ALIVE : INTERPRETER_DEAD;
    }
    ret->restarted = row_take_number(&row[DB_STEP_RESTARTED]) != 0;
    ret->stream[JOB_STDOUT].total = row_take_number(&row[DB_STEP_STDOUT_BYTES]);
    ret->stream[JOB_STDERR].total = row_take_number(&row[DB_STEP_STDERR_BYTES]);
    ret->truncated = row_take_number(&row[DB_STEP_TRUNCATED]) != 0;
    row_take_text(ret->message, sizeof(ret->message), &row[DB_STEP_MESSAGE], rc);
    row_take_copy(&ret->usage_json, &row[DB_STEP_USAGE], rc);
    row_take_copy(&ret->violation_json, &row[DB_STEP_VIOLATION], rc);
}

static void
take_step_output(struct step_record *ret, const struct db_value *row, int *rc)
{
    static const unsigned columns[JOB_N_STREAMS] = { DB_STEP_STDOUT, DB_STEP_STDERR };

    row_take_copy(&ret->error_json, &row[DB_STEP_ERROR], rc);
    row_take_copy(&ret->results_json, &row[DB_STEP_RESULTS], rc);
    for (unsigned i = 0; i < JOB_N_STREAMS; i++) {
        row_take_copy(&ret->stream[i].data, &row[columns[i]], rc);
        ret->stream[i].len = ret->stream[i].data == NULL ? 0 : row[columns[i]].len;
    }
}

int
step_store_load(struct step_record *ret, const struct db_result *result, unsigned row_number)
{
    _cleanup_(step_record_deinitp) struct step_record record = { 0 };
    const struct db_value *row;
    int rc = 0;

    if ((result->n_columns != DB_STEP_N_COLUMNS && result->n_columns != DB_STEPS_N_COLUMNS) ||
        row_number >= result->n_rows) {
        return -EINVAL;
    }
    row = db_at(result, row_number, 0);
    record.brief = result->n_columns == DB_STEPS_N_COLUMNS;
    take_step_brief(&record, row, &rc);
    if (!record.brief) {
        take_step_output(&record, row, &rc);
    }
    if (rc) {
        return rc;
    }
    *ret = record;
    memset(&record, 0, sizeof(record));
    return 0;
}
