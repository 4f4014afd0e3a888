#include "executor/core/artifacts.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "executor/core/audit_inside.h"
#include "executor/core/rows.h"
#include "executor/core/usage.h"
#include "executor/log.h"
#include "executor/store/stmts.h"
#include "lib/sbx_jsonw.h"
#include "lib/sbx_list.h"
#include "lib/sbx_time.h"

#define EXPIRY_MS 1000 /* between looks for what has expired */
#define EXPIRY_PAGE 64

struct artifacts {
    struct artifacts_spec spec;
    struct list claims;
    struct timer *timer;
    /* One page of what has expired: */
    struct artifact expired[EXPIRY_PAGE];
    unsigned n_expired, n_removing;
};

struct artifacts_claim {
    struct list link;
    struct artifacts *artifacts;
    char tenant[SBX_NAME_MAX + 1];
    uint64_t max_bytes, bytes;
    unsigned number;
    bool reading, freed;
    artifacts_done_fn done;
    void *arg;
};

static void artifacts_on_timer(void *arg);

int
artifacts_new(struct artifacts **ret, const struct artifacts_spec *spec)
{
    struct artifacts *artifacts;
    int r;

    artifacts = calloc(1, sizeof(*artifacts));
    if (artifacts == NULL) {
        return -ENOMEM;
    }
    artifacts->spec = *spec;
    list_init(&artifacts->claims);
    r = timer_new(&artifacts->timer, spec->timers, artifacts_on_timer, artifacts);
    if (r) {
        free(artifacts);
        return r;
    }
    timer_start(artifacts->timer, EXPIRY_MS);
    *ret = artifacts;
    return 0;
}

static void
expired_drop(struct artifacts *artifacts)
{
    for (unsigned i = 0; i < artifacts->n_expired; i++) {
        artifact_deinit(&artifacts->expired[i]);
    }
    artifacts->n_expired = 0;
}

struct artifacts *
artifacts_free(struct artifacts *artifacts)
{
    if (artifacts != NULL) {
        timer_free(artifacts->timer);
        expired_drop(artifacts);
        free(artifacts);
    }
    return NULL;
}

struct blob_store *
artifacts_blobs(const struct artifacts *artifacts)
{
    return artifacts->spec.blobs;
}

struct db *
artifacts_db(const struct artifacts *artifacts)
{
    return artifacts->spec.db;
}

uint64_t
artifacts_max_number(const struct artifacts *artifacts)
{
    return artifacts->spec.max_number;
}

uint64_t
artifacts_expiry(const struct artifacts *artifacts, uint64_t retention_ms, uint64_t now_ms)
{
    const uint64_t keep = retention_ms != 0 ? retention_ms : artifacts->spec.retention_ms;

    return keep == 0 || keep > INT64_MAX - now_ms ? 0 : now_ms + keep;
}

int
artifacts_store(struct artifacts *artifacts, struct db_tx *tx, const struct artifact *artifact,
                const uint8_t key[BLOB_KEY_LEN])
{
    const struct db_value values[] = {
        DB_VTEXT(artifact->id.text),
        DB_VTEXT(artifact->tenant),
        row_text_or_null(artifact->job_id),
        row_text_or_null(artifact->session_id),
        DB_VTEXT(artifact->name),
        DB_VTEXT(artifact->path),
        DB_VINT(artifact->size),
        DB_VTEXT(artifact->sha256),
        DB_VTEXT(artifact->mime),
        DB_VINT(artifact->created_ms),
        row_time_or_null(artifact->expires_ms),
        row_text_or_null(artifact->metadata_json),
    };

    db_tx_add(tx, DB_ARTIFACT_INSERT, values, SBX_COUNT(values));
    return keyring_store(artifacts->spec.keyring, tx, artifact->tenant, artifact->id.text, key);
}

int
artifacts_source(const struct artifacts *artifacts, const struct artifact *artifact, struct blob_source *ret,
                 uint8_t key[BLOB_KEY_LEN])
{
    *ret = (struct blob_source){ .tenant = artifact->tenant, .id = artifact->id.text };
    if (!artifact->sealed) {
        return 0;
    }
    ret->key = key;
    return keyring_unwrap(artifacts->spec.keyring, key, artifact->tenant, artifact->id.text,
                          artifact->wrapped, artifact->wrapped_len);
}

static void
write_text(struct sbx_jsonw *w, const char *key, const char *text)
{
    if (text != NULL && *text != '\0') {
        sbx_jsonw_str(w, key, text);
    }
}

static void
account(struct db_tx *tx, struct sbx_jsonw *w, const struct artifact *artifact, const char *kind,
        const struct sbx_context *who)
{
    const struct usage_owner owner = { .tenant = artifact->tenant, .app = who->app, .agent = who->agent };

    if (strcmp(kind, "artifact.uploaded") == 0) {
        usage_account(tx, w, &owner,
                      &(struct usage){ .uploads = 1,
                                       .upload_bytes = artifact->size,
                                       .artifact_in_bytes = artifact->size });
    } else if (strcmp(kind, "artifact.collected") == 0) {
        usage_account(tx, w, &owner, &(struct usage){ .artifact_out_bytes = artifact->size });
    }
}

void
artifacts_audit(struct db_tx *tx, const struct artifact *artifact, const char *kind,
                const struct sbx_context *who)
{
    struct audit_event event;

    audit_event_begin(&event);
    if (who != NULL) {
        audit_write_context(&event.w, who);
    }
    write_text(&event.w, "job_id", artifact->job_id);
    write_text(&event.w, "session_id", artifact->session_id);
    sbx_jsonw_uint(&event.w, "size", artifact->size);
    sbx_jsonw_str(&event.w, "sha256", artifact->sha256);
    if (artifact->expires_ms != 0) {
        sbx_jsonw_uint(&event.w, "expires_ms", artifact->expires_ms);
    }
    if (who != NULL) {
        account(tx, &event.w, artifact, kind, who);
    }
    audit_event_end(&event, tx,
                    &(struct db_audit){
                        .tenant = artifact->tenant,
                        .kind = kind,
                        .object = artifact->id.text,
                        .request_id = who == NULL ? NULL : who->request_id,
                        .decision = "allow",
                        .keep_ms = who == NULL ? 0 : who->retention_audit_ms,
                    });
}

struct removal {
    struct artifacts *artifacts;
    char tenant[SBX_NAME_MAX + 1];
    struct sbx_id id;
    artifacts_done_fn done;
    void *arg;
};

static void
removal_on_file_gone(void *arg, int rc)
{
    if (rc != 0 && rc != BLOB_E_NOT_FOUND) {
        /* Noise without its key: the sweep after the next start takes it. */
        log_error("artifact.file_left", LOG_STR("artifact", arg), LOG_INT("code", rc));
    }
    free(arg);
}

static void
removal_of_file(const struct removal *removal)
{
    char *id = strdup(removal->id.text);
    int r = id == NULL
                ? -ENOMEM
                : blob_delete(removal->artifacts->spec.blobs, removal->tenant, id, removal_on_file_gone, id);

    if (r) {
        log_error("artifact.file_left", LOG_STR("artifact", removal->id.text), LOG_INT("code", r));
        free(id);
    }
}

/* The last statement was the row's: that both changed nothing says that it was not there. */
static void
removal_on_key_gone(void *arg, int rc, const struct db_result *result)
{
    struct removal *removal = arg;

    if (rc == 0 && result->changes == 0) {
        rc = ARTIFACTS_E_NOT_FOUND;
    } else if (rc == 0) {
        removal_of_file(removal);
    }
    if (removal->done != NULL) {
        removal->done(removal->arg, rc == DB_E_CONFLICT ? -EIO : rc);
    }
    free(removal);
}

int
artifacts_remove(struct artifacts *artifacts, const struct artifact *artifact, const char *kind,
                 const struct sbx_context *who, artifacts_done_fn done, void *arg)
{
    const struct db_value values[] = { DB_VTEXT(artifact->tenant), DB_VTEXT(artifact->id.text) };
    struct removal *removal = calloc(1, sizeof(*removal));
    struct db_tx *tx = NULL;

    if (removal == NULL || db_tx_new(&tx, artifacts->spec.db) != 0) {
        free(removal);
        return -ENOMEM;
    }
    *removal = (struct removal){ .artifacts = artifacts, .id = artifact->id, .done = done, .arg = arg };
    memcpy(removal->tenant, artifact->tenant, sizeof(removal->tenant));
    db_tx_add(tx, DB_ARTIFACT_KEY_DELETE, values, SBX_COUNT(values));
    db_tx_add(tx, DB_ARTIFACT_DELETE, values, SBX_COUNT(values));
    artifacts_audit(tx, artifact, kind, who);
    db_tx_submit(tx, removal_on_key_gone, removal);
    return 0;
}

static void
expired_on_removed(void *arg, int rc)
{
    struct artifacts *artifacts = arg;

    if (rc < 0) {
        log_warn("artifact.expiry_failed", LOG_INT("code", rc));
    }
    if (--artifacts->n_removing == 0) {
        const bool more = artifacts->n_expired == EXPIRY_PAGE && rc >= 0;

        expired_drop(artifacts);
        timer_start(artifacts->timer, more ? 0 : EXPIRY_MS);
    }
}

/* Each of its steps begins from the timer: a callback made by db_close must not ask the database again. */
static void
expired_remove(struct artifacts *artifacts)
{
    artifacts->n_removing = artifacts->n_expired + 1;
    for (unsigned i = 0; i < artifacts->n_expired; i++) {
        if (artifacts_remove(artifacts, &artifacts->expired[i], "artifact.expired", NULL, expired_on_removed,
                             artifacts) != 0) {
            artifacts->n_removing--;
        }
    }
    expired_on_removed(artifacts, 0);
}

static void
expired_on_read(void *arg, int rc, const struct db_result *result)
{
    struct artifacts *artifacts = arg;

    for (unsigned i = 0; rc == 0 && i < result->n_rows && i < EXPIRY_PAGE; i++) {
        struct db_result row = {
            .n_rows = 1,
            .n_columns = DB_ARTIFACT_N_COLUMNS,
            .values = db_at(result, i, 0),
        };

        /* The tenant stands behind the columns that every artifact has. */
        rc = artifact_load(&artifacts->expired[i], row.values[DB_ARTIFACT_N_COLUMNS].data, &row, 0);
        artifacts->n_expired += rc == 0;
    }
    timer_start(artifacts->timer, artifacts->n_expired > 0 ? 0 : EXPIRY_MS);
}

static void
artifacts_on_timer(void *arg)
{
    struct artifacts *artifacts = arg;
    const struct db_value values[] = { DB_VINT(sbx_now_unix_ms()), DB_VINT(EXPIRY_PAGE) };

    if (artifacts->n_expired > 0) {
        expired_remove(artifacts);
        return;
    }
    db_read(artifacts->spec.db, DB_ARTIFACTS_EXPIRED, values, SBX_COUNT(values), expired_on_read, artifacts);
}

int
artifacts_claim_new(struct artifacts_claim **ret, struct artifacts *artifacts,
                    const struct artifacts_claim_spec *spec)
{
    struct artifacts_claim *claim = calloc(1, sizeof(*claim));

    if (claim == NULL) {
        return -ENOMEM;
    }
    claim->artifacts = artifacts;
    claim->max_bytes = spec->max_bytes;
    memcpy(claim->tenant, spec->tenant, strlen(spec->tenant) + 1);
    list_append(&artifacts->claims, &claim->link);
    *ret = claim;
    return 0;
}

/*
 * What is in the database and what is claimed may be the same bytes for a moment: too much is counted then, never too
 * little.
 */
static int
claim_judge(const struct artifacts_claim *claim, const struct db_value *usage)
{
    struct artifacts *artifacts = claim->artifacts;
    struct list *it, *after;
    uint64_t number = (uint64_t)usage[0].integer, bytes = (uint64_t)usage[1].integer;

    list_each (it, after, &artifacts->claims) {
        const struct artifacts_claim *other = list_entry(it, struct artifacts_claim, link);

        if (strcmp(other->tenant, claim->tenant) == 0) {
            number += other->number;
            bytes = other->bytes > INT64_MAX - bytes ? INT64_MAX : bytes + other->bytes;
        }
    }
    if (artifacts->spec.max_number != 0 && number > artifacts->spec.max_number) {
        return ARTIFACTS_E_NUMBER;
    }
    return bytes > claim->max_bytes ? ARTIFACTS_E_BYTES : 0;
}

static void
claim_on_read(void *arg, int rc, const struct db_result *result)
{
    struct artifacts_claim *claim = arg;

    claim->reading = false;
    if (claim->freed) {
        free(claim);
        return;
    }
    rc = rc > 0 || (rc == 0 && result->n_rows != 1) ? -EIO : rc;
    claim->done(claim->arg, rc ? rc : claim_judge(claim, db_at(result, 0, 0)));
}

void
artifacts_claim_ask(struct artifacts_claim *claim, uint64_t bytes, unsigned number, artifacts_done_fn done,
                    void *arg)
{
    const struct db_value values[] = { DB_VTEXT(claim->tenant) };

    assert(!claim->reading);
    claim->reading = true;
    claim->bytes = bytes > INT64_MAX ? INT64_MAX : bytes;
    claim->number = number;
    claim->done = done;
    claim->arg = arg;
    db_read(claim->artifacts->spec.db, DB_ARTIFACT_USAGE, values, SBX_COUNT(values), claim_on_read, claim);
}

struct artifacts_claim *
artifacts_claim_free(struct artifacts_claim *claim)
{
    if (claim != NULL) {
        list_remove(&claim->link);
        claim->freed = true;
        if (!claim->reading) {
            free(claim);
        }
    }
    return NULL;
}
