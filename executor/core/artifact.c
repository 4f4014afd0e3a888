#include "executor/core/artifact.h"

#include <stdlib.h>
#include <string.h>

#include "executor/core/rows.h"
#include "executor/store/stmts.h"
#include "lib/sbx_utf8.h"

void
artifact_deinit(struct artifact *artifact)
{
    free(artifact->name);
    free(artifact->path);
    free(artifact->metadata_json);
    memset(artifact, 0, sizeof(*artifact));
}

static void
take_wrapped(struct artifact *ret, const struct db_value *value, int *rc)
{
    if (value->type == DB_NULL) {
        return;
    }
    if (value->type != DB_BLOB || value->len != sizeof(ret->wrapped)) {
        *rc = -EINVAL;
        return;
    }
    memcpy(ret->wrapped, value->data, sizeof(ret->wrapped));
    ret->wrapped_len = sizeof(ret->wrapped);
}

int
artifact_load(struct artifact *ret, const char *tenant, const struct db_result *result, unsigned row_number)
{
    _cleanup_(artifact_deinitp) struct artifact artifact = { 0 };
    const struct db_value owner = DB_VTEXT(tenant);
    const struct db_value *row;
    int rc = 0;

    if (result->n_columns != DB_ARTIFACT_N_COLUMNS || row_number >= result->n_rows) {
        return -EINVAL;
    }
    row = db_at(result, row_number, 0);
    row_take_text(artifact.tenant, sizeof(artifact.tenant), &owner, &rc);
    row_take_text(artifact.id.text, sizeof(artifact.id.text), &row[DB_ARTIFACT_ID], &rc);
    row_take_text(artifact.job_id, sizeof(artifact.job_id), &row[DB_ARTIFACT_JOB], &rc);
    row_take_text(artifact.session_id, sizeof(artifact.session_id), &row[DB_ARTIFACT_SESSION], &rc);
    row_take_copy(&artifact.name, &row[DB_ARTIFACT_NAME], &rc);
    row_take_copy(&artifact.path, &row[DB_ARTIFACT_PATH], &rc);
    row_take_text(artifact.sha256, sizeof(artifact.sha256), &row[DB_ARTIFACT_SHA256], &rc);
    row_take_text(artifact.mime, sizeof(artifact.mime), &row[DB_ARTIFACT_MIME], &rc);
    row_take_copy(&artifact.metadata_json, &row[DB_ARTIFACT_METADATA], &rc);
    take_wrapped(&artifact, &row[DB_ARTIFACT_WRAPPED], &rc);
    artifact.size = row_take_number(&row[DB_ARTIFACT_SIZE]);
    artifact.sealed = row_take_number(&row[DB_ARTIFACT_SEALED]) != 0;
    artifact.created_ms = row_take_number(&row[DB_ARTIFACT_CREATED_MS]);
    artifact.expires_ms = row_take_number(&row[DB_ARTIFACT_EXPIRES_MS]);
    if (rc == 0 && artifact.name == NULL) {
        rc = -EINVAL;
    }
    if (rc) {
        return rc;
    }
    *ret = artifact;
    memset(&artifact, 0, sizeof(artifact));
    return 0;
}

bool
artifact_name_valid(const char *name)
{
    const size_t len = strlen(name);

    if (len == 0 || len > ARTIFACT_NAME_MAX || !sbx_utf8_valid(name, len)) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)name[i];

        /* 0xc2 0x80 to 0x9f are the control characters beyond ASCII. */
        if (c < ' ' || c == 0x7f || (c == 0xc2 && (unsigned char)name[i + 1] < 0xa0)) {
            return false;
        }
    }
    return true;
}

static size_t
token_len(const char *text)
{
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~");
}

bool
artifact_mime_valid(const char *mime)
{
    const size_t len = strlen(mime), type = token_len(mime);
    size_t subtype;

    if (len > ARTIFACT_MIME_MAX || type == 0 || mime[type] != '/') {
        return false;
    }
    subtype = token_len(mime + type + 1);
    if (subtype == 0 || strchr("; \t", mime[type + 1 + subtype]) == NULL) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if ((mime[i] < ' ' && mime[i] != '\t') || mime[i] > '~') {
            return false;
        }
    }
    return true;
}
