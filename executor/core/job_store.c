#include "executor/core/job_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/artifacts.h"
#include "executor/core/idempotency.h"
#include "executor/core/rows.h"
#include "executor/store/stmts.h"

#define JOB_SPEC_JSON_MAX 16384

enum {
    BEGIN_VALUES = 16, /* of DB_JOB_INSERT */
    END_VALUES = 14,   /* of DB_JOB_FINISH, behind the id */
};

/* What was asked, without its contents: code, input and env values are nobody's to read later. */
static void
spec_write(struct sbx_buf *out, const struct job *job)
{
    const struct job_spec *spec = job->spec;
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_limits_write(&w, "limits", &job->limits);
    sbx_jsonw_uint(&w, "code_bytes", spec->code_len);
    sbx_jsonw_uint(&w, "stdin_bytes", spec->stdin_len);
    sbx_jsonw_uint(&w, "args", spec->n_args);
    sbx_jsonw_uint(&w, "env", spec->n_env);
    sbx_jsonw_uint(&w, "files", spec->n_files);
    sbx_jsonw_uint(&w, "file_bytes", spec->file_bytes);
    sbx_jsonw_uint(&w, "artifacts", spec->n_artifacts);
    sbx_jsonw_str(&w, "policy", job->means.policy_id);
    sbx_jsonw_uint(&w, "policy_version", job->means.policy_version);
    sbx_jsonw_object_end(&w);
}

static void
begin_values(struct db_value values[BEGIN_VALUES], const struct job *job, const struct sbx_buf *spec)
{
    const struct job_record *record = &job->record;
    const struct db_value all[BEGIN_VALUES] = {
        DB_VTEXT(record->id.text),
        DB_VTEXT(record->tenant),
        row_text_or_null(record->app),
        row_text_or_null(record->agent),
        DB_VTEXT(record->subject),
        DB_VTEXT(record->request_id),
        row_text_or_null(record->traceparent),
        DB_VTEXT(record->language),
        DB_VTEXT(record->template_name),
        DB_VTEXT(sbx_isolation_name(record->isolation)),
        DB_VTEXT(record->code_sha256),
        DB_VTEXT(spec->failed ? NULL
                              : spec->data), /* NULL is refused by the table: nothing is admitted half */
        row_text_or_null(record->metadata_json),
        DB_VINT(record->created_ms),
        DB_VTEXT(job->idempotency == NULL ? NULL : job->idempotency->key),
        DB_VINT(job->keep_ms),
    };

    memcpy(values, all, sizeof(all));
}

static void
end_values(struct db_value values[END_VALUES], const struct job *job)
{
    const struct job_record *record = &job->record;
    const struct job_stream *out = &record->stream[JOB_STDOUT];
    const struct job_stream *err = &record->stream[JOB_STDERR];
    const struct db_value all[END_VALUES] = {
        DB_VTEXT(job_state_status(job->verdict.state)),
        DB_VINT(record->finished_ms),
        row_time_or_null(record->started_ms),
        record->has_exit_code ? DB_VINT(record->exit_code) : DB_VNULL(),
        row_text_or_null(record->signal),
        DB_VBLOB(out->data, out->len),
        DB_VBLOB(err->data, err->len),
        DB_VINT(out->total),
        DB_VINT(err->total),
        DB_VINT(record->truncated ? 1 : 0),
        row_text_or_null(record->result_json),
        row_text_or_null(record->violation_json),
        row_text_or_null(record->usage_json),
        row_text_or_null(record->message),
    };

    memcpy(values, all, sizeof(all));
}

static void
admit_add_key(struct db_tx *tx, const struct job *job, uint64_t key_ttl_ms)
{
    const struct idempotency_entry *entry = job->idempotency;
    const struct job_record *record = &job->record;
    const struct db_value before[] = { DB_VINT(record->created_ms - key_ttl_ms) };

    if (entry == NULL) {
        return;
    }
    const struct db_value values[] = {
        DB_VTEXT(entry->tenant),     DB_VTEXT(entry->subject),     DB_VTEXT(entry->route),
        DB_VTEXT(entry->key),        DB_VTEXT(entry->body_sha256), DB_VTEXT(record->id.text),
        DB_VINT(record->created_ms),
    };
    /* A key that outlived its time would conflict with its own renewal. */
    db_tx_add(tx, DB_IDEM_PURGE, before, SBX_COUNT(before));
    db_tx_add(tx, DB_IDEM_INSERT, values, SBX_COUNT(values));
}

int
job_store_admit(struct db_tx **ret, struct db *db, const struct job *job, const struct audit_origin *origin,
                uint64_t key_ttl_ms)
{
    struct db_tx *tx;
    int r;

    r = db_tx_new(&tx, db);
    if (r) {
        return r;
    }
    admit_add_key(tx, job, key_ttl_ms);
    audit_job_accepted(tx, job, origin);
    *ret = tx;
    return 0;
}

void
job_store_accept(struct db_tx *tx, const struct job *job, db_done_fn done, void *arg)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf spec = SBX_BUF_INIT(JOB_SPEC_JSON_MAX);
    struct db_value values[BEGIN_VALUES];

    spec_write(&spec, job);
    begin_values(values, job, &spec);
    db_tx_add(tx, DB_JOB_INSERT, values, SBX_COUNT(values));
    db_tx_submit(tx, done, arg);
}

void
job_store_record(struct db_tx *tx, const struct job *job, db_done_fn done, void *arg)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf spec = SBX_BUF_INIT(JOB_SPEC_JSON_MAX);
    struct db_value values[BEGIN_VALUES + END_VALUES + 1];

    spec_write(&spec, job);
    begin_values(values, job, &spec);
    end_values(values + BEGIN_VALUES, job);
    values[BEGIN_VALUES + END_VALUES] = row_text_or_null(job->record.skipped_json);
    db_tx_add(tx, DB_JOB_RECORD, values, SBX_COUNT(values));
    audit_job_ended(tx, job);
    db_tx_submit(tx, done, arg);
}

static void
finish_add_job(struct db_tx *tx, const struct job *job)
{
    const struct job_record *record = &job->record;
    struct db_value values[1 + END_VALUES] = { DB_VTEXT(record->id.text) };
    const struct db_value skipped[] = { DB_VTEXT(record->id.text), row_text_or_null(record->skipped_json) };

    end_values(values + 1, job);
    db_tx_add(tx, DB_JOB_FINISH, values, SBX_COUNT(values));
    if (record->skipped_json != NULL) {
        db_tx_add(tx, DB_JOB_SET_SKIPPED, skipped, SBX_COUNT(skipped));
    }
}

static int
finish_add_artifact(struct artifacts *artifacts, struct db_tx *tx, const struct job *job,
                    const struct job_artifact *file)
{
    const struct job_record *record = &job->record;
    struct artifact artifact = {
        .id = file->id,
        .name = file->path,
        .path = file->path,
        .size = file->size,
        .created_ms = record->finished_ms,
        .expires_ms = artifacts_expiry(artifacts, job->retention_artifacts_ms, record->finished_ms),
    };

    memcpy(artifact.tenant, record->tenant, sizeof(artifact.tenant));
    memcpy(artifact.job_id, record->id.text, sizeof(artifact.job_id));
    memcpy(artifact.sha256, file->sha256, sizeof(artifact.sha256));
    (void)snprintf(artifact.mime, sizeof(artifact.mime), "%s", file->mime); /* fits */
    return artifacts_store(artifacts, tx, &artifact, file->key);
}

int
job_store_finish(struct db *db, struct artifacts *artifacts, const struct job *job, db_done_fn done,
                 void *arg)
{
    struct db_tx *tx;
    int r;

    r = db_tx_new(&tx, db);
    if (r) {
        return r;
    }
    finish_add_job(tx, job);
    for (unsigned i = 0; artifacts != NULL && i < job->record.n_artifacts && r == 0; i++) {
        r = finish_add_artifact(artifacts, tx, job, &job->record.artifacts[i]);
    }
    if (r) {
        db_tx_free(tx);
        return r;
    }
    audit_job_ended(tx, job);
    db_tx_submit(tx, done, arg);
    return 0;
}

static void
take_state(enum job_state *ret, const struct db_value *value, int *rc)
{
    if (value->type != DB_TEXT || !job_state_parse(value->data, ret)) {
        *rc = -EINVAL;
    }
}

static void
take_exit(struct job_record *ret, const struct db_value *exit_code, const struct db_value *signal, int *rc)
{
    if (exit_code->type == DB_INT) {
        ret->has_exit_code = true;
        ret->exit_code = (int)exit_code->integer;
    }
    row_take_text(ret->signal, sizeof(ret->signal), signal, rc);
}

static void
take_stream(struct job_stream *ret, const struct db_value *data, const struct db_value *total, int *rc)
{
    row_take_copy(&ret->data, data, rc);
    ret->len = ret->data == NULL ? 0 : data->len;
    ret->total = row_take_number(total);
}

static void
load_who(struct job_record *ret, const struct db_value *row, int *rc)
{
    row_take_text(ret->id.text, sizeof(ret->id.text), &row[DB_JOB_ID], rc);
    row_take_text(ret->tenant, sizeof(ret->tenant), &row[DB_JOB_TENANT], rc);
    row_take_text(ret->app, sizeof(ret->app), &row[DB_JOB_APP], rc);
    row_take_text(ret->agent, sizeof(ret->agent), &row[DB_JOB_AGENT], rc);
    row_take_text(ret->subject, sizeof(ret->subject), &row[DB_JOB_SUBJECT], rc);
    row_take_text(ret->request_id, sizeof(ret->request_id), &row[DB_JOB_REQUEST_ID], rc);
    row_take_text(ret->traceparent, sizeof(ret->traceparent), &row[DB_JOB_TRACEPARENT], rc);
    row_take_text(ret->language, sizeof(ret->language), &row[DB_JOB_LANGUAGE], rc);
    row_take_text(ret->template_name, sizeof(ret->template_name), &row[DB_JOB_TEMPLATE], rc);
    row_take_text(ret->code_sha256, sizeof(ret->code_sha256), &row[DB_JOB_CODE_SHA256], rc);
}

int
job_store_load(struct job_record *ret, const struct db_result *result, unsigned row_number)
{
    _cleanup_(job_record_deinitp) struct job_record record = { 0 };
    const struct db_value *row;
    int rc = 0;

    if (result->n_columns != DB_JOB_N_COLUMNS || row_number >= result->n_rows) {
        return -EINVAL;
    }
    row = db_at(result, row_number, 0);
    load_who(&record, row, &rc);
    row_take_isolation(&record.isolation, &row[DB_JOB_ISOLATION], &rc);
    take_state(&record.state, &row[DB_JOB_STATE], &rc);
    record.created_ms = row_take_number(&row[DB_JOB_CREATED_MS]);
    record.started_ms = row_take_number(&row[DB_JOB_STARTED_MS]);
    record.finished_ms = row_take_number(&row[DB_JOB_FINISHED_MS]);
    take_exit(&record, &row[DB_JOB_EXIT_CODE], &row[DB_JOB_SIGNAL], &rc);
    take_stream(&record.stream[JOB_STDOUT], &row[DB_JOB_STDOUT], &row[DB_JOB_STDOUT_BYTES], &rc);
    take_stream(&record.stream[JOB_STDERR], &row[DB_JOB_STDERR], &row[DB_JOB_STDERR_BYTES], &rc);
    record.truncated = row_take_number(&row[DB_JOB_TRUNCATED]) != 0;
    row_take_copy(&record.metadata_json, &row[DB_JOB_METADATA], &rc);
    row_take_copy(&record.result_json, &row[DB_JOB_RESULT], &rc);
    row_take_copy(&record.violation_json, &row[DB_JOB_VIOLATION], &rc);
    row_take_copy(&record.usage_json, &row[DB_JOB_USAGE], &rc);
    row_take_copy(&record.skipped_json, &row[DB_JOB_SKIPPED], &rc);
    row_take_text(record.message, sizeof(record.message), &row[DB_JOB_MESSAGE], &rc);
    if (rc) {
        return rc;
    }
    *ret = record;
    memset(&record, 0, sizeof(record));
    return 0;
}

int
job_store_load_brief(struct job_record *ret, const char *tenant, const struct db_result *result,
                     unsigned row_number)
{
    _cleanup_(job_record_deinitp) struct job_record record = { .brief = true };
    const struct db_value owner = DB_VTEXT(tenant);
    const struct db_value *row;
    int rc = 0;

    if (result->n_columns != DB_JOBS_N_COLUMNS || row_number >= result->n_rows) {
        return -EINVAL;
    }
    row = db_at(result, row_number, 0);
    row_take_text(record.tenant, sizeof(record.tenant), &owner, &rc);
    row_take_text(record.id.text, sizeof(record.id.text), &row[DB_JOBS_ID], &rc);
    row_take_text(record.app, sizeof(record.app), &row[DB_JOBS_APP], &rc);
    row_take_text(record.agent, sizeof(record.agent), &row[DB_JOBS_AGENT], &rc);
    row_take_text(record.subject, sizeof(record.subject), &row[DB_JOBS_SUBJECT], &rc);
    row_take_text(record.language, sizeof(record.language), &row[DB_JOBS_LANGUAGE], &rc);
    row_take_text(record.template_name, sizeof(record.template_name), &row[DB_JOBS_TEMPLATE], &rc);
    row_take_isolation(&record.isolation, &row[DB_JOBS_ISOLATION], &rc);
    take_state(&record.state, &row[DB_JOBS_STATE], &rc);
    record.created_ms = row_take_number(&row[DB_JOBS_CREATED_MS]);
    record.started_ms = row_take_number(&row[DB_JOBS_STARTED_MS]);
    record.finished_ms = row_take_number(&row[DB_JOBS_FINISHED_MS]);
    take_exit(&record, &row[DB_JOBS_EXIT_CODE], &row[DB_JOBS_SIGNAL], &rc);
    record.stream[JOB_STDOUT].total = row_take_number(&row[DB_JOBS_STDOUT_BYTES]);
    record.stream[JOB_STDERR].total = row_take_number(&row[DB_JOBS_STDERR_BYTES]);
    record.truncated = row_take_number(&row[DB_JOBS_TRUNCATED]) != 0;
    row_take_copy(&record.metadata_json, &row[DB_JOBS_METADATA], &rc);
    row_take_copy(&record.violation_json, &row[DB_JOBS_VIOLATION], &rc);
    row_take_copy(&record.usage_json, &row[DB_JOBS_USAGE], &rc);
    if (rc) {
        return rc;
    }
    *ret = record;
    memset(&record, 0, sizeof(record));
    return 0;
}

int
job_store_load_artifacts(struct job_record *ret, const struct db_result *result)
{
    int rc = 0;

    if (result->n_rows == 0) {
        return 0;
    }
    if (result->n_columns != DB_ARTIFACT_N_COLUMNS || ret->artifacts != NULL) {
        return -EINVAL;
    }
    ret->artifacts = calloc(result->n_rows, sizeof(*ret->artifacts));
    if (ret->artifacts == NULL) {
        return -ENOMEM;
    }
    ret->n_artifacts = result->n_rows;
    for (unsigned i = 0; i < result->n_rows; i++) {
        const struct db_value *row = db_at(result, i, 0);
        struct job_artifact *artifact = &ret->artifacts[i];

        row_take_text(artifact->id.text, sizeof(artifact->id.text), &row[DB_ARTIFACT_ID], &rc);
        row_take_copy(&artifact->path, &row[DB_ARTIFACT_PATH], &rc);
        row_take_text(artifact->sha256, sizeof(artifact->sha256), &row[DB_ARTIFACT_SHA256], &rc);
        artifact->size = row_take_number(&row[DB_ARTIFACT_SIZE]);
        artifact->mime = artifact->path == NULL ? "" : artifact_mime(artifact->path);
    }
    return rc;
}
