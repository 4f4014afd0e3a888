#include "executor/core/keyring.h"

#include <stdlib.h>
#include <string.h>

#include "executor/log.h"
#include "executor/store/stmts.h"
#include "lib/sbx_context.h"
#include "lib/sbx_list.h"
#include "lib/sbx_time.h"

#define KEYRING_BUCKETS 1024u
#define KEYRING_PAGE 500
#define MASTER_ID_LEN 16 /* hex: tells master keys apart, and says nothing about one */

/* Columns of DB_TENANT_KEYS. */
enum { ROW_TENANT, ROW_MASTER, ROW_WRAPPED, ROW_N_COLUMNS };

struct master {
    uint8_t key[SBX_GCM_KEY_LEN];
    char id[MASTER_ID_LEN + 1];
};

struct tenant_key {
    struct list link;
    char tenant[SBX_NAME_MAX + 1];
    uint8_t key[BLOB_KEY_LEN];
    uint8_t wrapped[KEYRING_WRAPPED_LEN]; /* as the row has it, or will */
    uint64_t created_ms;
};

struct keyring {
    struct db *db;
    struct master master, old;
    bool has_old;
    struct list buckets[KEYRING_BUCKETS];
    /* While it loads: */
    char after[SBX_NAME_MAX + 1];
    unsigned n_page, rewrapped;
    void (*loaded)(void *arg, int rc, unsigned rewrapped);
    void *arg;
};

static void keyring_read(struct keyring *keyring);

/* A file may be text of any length: keys are made of it, one to wrap with and one to be named by. */
static int
master_init(struct master *ret, const void *data, size_t len)
{
    static const char label_key[] = "sandbox artifact master key v1",
                      label_id[] = "sandbox artifact master id v1";
    uint8_t digest[SBX_SHA256_LEN];
    int r;

    if (len < KEYRING_MASTER_MIN) {
        return -EINVAL;
    }
    r = sbx_hmac_sha256(data, len, label_key, sizeof(label_key) - 1, ret->key);
    if (r == 0) {
        r = sbx_hmac_sha256(data, len, label_id, sizeof(label_id) - 1, digest);
    }
    if (r == 0) {
        sbx_hex(ret->id, digest, MASTER_ID_LEN / 2);
    }
    return r;
}

/* What a wrapped key is bound to: its kind, and whose it is. Names have no line ends. */
static size_t
binding(char out[256], const char *kind, const char *tenant, const char *artifact)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(255);

    sbx_buf_printf(&text, "sandbox key v1\n%s\n%s\n%s\n", kind, tenant, artifact);
    if (text.failed) {
        return 0; /* both names are short */
    }
    memcpy(out, text.data, text.len);
    return text.len;
}

static int
key_wrap(uint8_t out[KEYRING_WRAPPED_LEN], const uint8_t by[SBX_GCM_KEY_LEN], const uint8_t key[BLOB_KEY_LEN],
         const char *aad, size_t aad_len)
{
    const struct sbx_gcm_message message = {
        .nonce = out,
        .aad = aad,
        .aad_len = aad_len,
        .data = out + SBX_GCM_NONCE_LEN,
        .len = BLOB_KEY_LEN,
        .tag = out + SBX_GCM_NONCE_LEN + BLOB_KEY_LEN,
    };
    struct sbx_gcm *gcm;
    int r;

    r = aad_len == 0 ? -ENOMEM : sbx_random(out, SBX_GCM_NONCE_LEN);
    if (r) {
        return r;
    }
    r = sbx_gcm_new(&gcm, by);
    if (r) {
        return r;
    }
    memcpy(message.data, key, BLOB_KEY_LEN);
    r = sbx_gcm_seal(gcm, &message);
    sbx_gcm_free(gcm);
    return r;
}

static int
key_unwrap(uint8_t key[BLOB_KEY_LEN], const uint8_t by[SBX_GCM_KEY_LEN], const struct db_value *wrapped,
           const char *aad, size_t aad_len)
{
    uint8_t copy[KEYRING_WRAPPED_LEN];
    const struct sbx_gcm_message message = {
        .nonce = copy,
        .aad = aad,
        .aad_len = aad_len,
        .data = copy + SBX_GCM_NONCE_LEN,
        .len = BLOB_KEY_LEN,
        .tag = copy + SBX_GCM_NONCE_LEN + BLOB_KEY_LEN,
    };
    struct sbx_gcm *gcm;
    int r;

    if (wrapped->type != DB_BLOB || wrapped->len != sizeof(copy) || aad_len == 0) {
        return KEYRING_E_DAMAGED;
    }
    memcpy(copy, wrapped->data, sizeof(copy));
    r = sbx_gcm_new(&gcm, by);
    if (r) {
        return r;
    }
    r = sbx_gcm_open(gcm, &message);
    sbx_gcm_free(gcm);
    if (r == 0) {
        memcpy(key, message.data, BLOB_KEY_LEN);
    }
    explicit_bzero(copy, sizeof(copy));
    return r == -EBADMSG ? KEYRING_E_DAMAGED : r;
}

int
keyring_new(struct keyring **ret, const struct keyring_spec *spec)
{
    struct keyring *keyring;
    int r;

    keyring = calloc(1, sizeof(*keyring));
    if (keyring == NULL) {
        return -ENOMEM;
    }
    keyring->db = spec->db;
    for (unsigned i = 0; i < KEYRING_BUCKETS; i++) {
        list_init(&keyring->buckets[i]);
    }
    r = master_init(&keyring->master, spec->master, spec->master_len);
    if (r == 0 && spec->old != NULL) {
        keyring->has_old = true;
        r = master_init(&keyring->old, spec->old, spec->old_len);
    }
    if (r) {
        keyring_free(keyring);
        return r;
    }
    *ret = keyring;
    return 0;
}

struct keyring *
keyring_free(struct keyring *keyring)
{
    if (keyring == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < KEYRING_BUCKETS; i++) {
        struct list *it, *after;

        list_each (it, after, &keyring->buckets[i]) {
            struct tenant_key *tenant = list_entry(it, struct tenant_key, link);

            list_remove(it);
            explicit_bzero(tenant, sizeof(*tenant));
            free(tenant);
        }
    }
    explicit_bzero(keyring, sizeof(*keyring));
    free(keyring);
    return NULL;
}

static struct list *
bucket_of(const struct keyring *keyring, const char *tenant)
{
    uint32_t hash = 2166136261u;

    for (const char *p = tenant; *p != '\0'; p++) {
        hash = (hash ^ (uint8_t)*p) * 16777619u;
    }
    return (struct list *)(uintptr_t)&keyring->buckets[hash % KEYRING_BUCKETS];
}

static struct tenant_key *
tenant_find(const struct keyring *keyring, const char *name)
{
    struct list *head = bucket_of(keyring, name), *it, *after;

    list_each (it, after, head) {
        struct tenant_key *tenant = list_entry(it, struct tenant_key, link);

        if (strcmp(tenant->tenant, name) == 0) {
            return tenant;
        }
    }
    return NULL;
}

static int
tenant_add(struct tenant_key **ret, struct keyring *keyring, const char *name)
{
    struct tenant_key *tenant;

    if (!sbx_name_valid(name, strlen(name))) {
        return -EINVAL;
    }
    tenant = calloc(1, sizeof(*tenant));
    if (tenant == NULL) {
        return -ENOMEM;
    }
    memcpy(tenant->tenant, name, strlen(name) + 1);
    list_append(bucket_of(keyring, name), &tenant->link);
    *ret = tenant;
    return 0;
}

static void
tenant_drop(struct tenant_key *tenant)
{
    list_remove(&tenant->link);
    explicit_bzero(tenant, sizeof(*tenant));
    free(tenant);
}

static int
tenant_new(struct tenant_key **ret, struct keyring *keyring, const char *name)
{
    struct tenant_key *tenant;
    char aad[256];
    int r;

    r = tenant_add(&tenant, keyring, name);
    if (r) {
        return r;
    }
    tenant->created_ms = sbx_now_unix_ms();
    r = sbx_random(tenant->key, sizeof(tenant->key));
    if (r == 0) {
        r = key_wrap(tenant->wrapped, keyring->master.key, tenant->key, aad,
                     binding(aad, "tenant", name, ""));
    }
    if (r) {
        tenant_drop(tenant);
        return r;
    }
    *ret = tenant;
    return 0;
}

/*
 * The tenant's row goes along each time: what failed with an earlier transaction is made good by the next, and one that is
 * there is left as it is.
 */
static void
tenant_store(const struct keyring *keyring, struct db_tx *tx, const struct tenant_key *tenant)
{
    const struct db_value values[] = {
        DB_VTEXT(tenant->tenant),
        DB_VTEXT(keyring->master.id),
        DB_VBLOB(tenant->wrapped, sizeof(tenant->wrapped)),
        DB_VINT(tenant->created_ms),
    };

    db_tx_add(tx, DB_TENANT_KEY_INSERT, values, SBX_COUNT(values));
}

int
keyring_store(struct keyring *keyring, struct db_tx *tx, const char *tenant_name, const char *artifact,
              const uint8_t key[BLOB_KEY_LEN])
{
    struct tenant_key *tenant = tenant_find(keyring, tenant_name);
    uint8_t wrapped[KEYRING_WRAPPED_LEN];
    char aad[256];
    int r;

    if (tenant == NULL) {
        r = tenant_new(&tenant, keyring, tenant_name);
        if (r) {
            return r;
        }
    }
    r = key_wrap(wrapped, tenant->key, key, aad, binding(aad, "artifact", tenant_name, artifact));
    if (r) {
        return r;
    }
    const struct db_value values[] = { DB_VTEXT(artifact), DB_VBLOB(wrapped, sizeof(wrapped)) };

    tenant_store(keyring, tx, tenant);
    db_tx_add(tx, DB_ARTIFACT_KEY_INSERT, values, SBX_COUNT(values));
    return 0;
}

int
keyring_unwrap(const struct keyring *keyring, uint8_t key[BLOB_KEY_LEN], const char *tenant_name,
               const char *artifact, const void *wrapped, size_t len)
{
    const struct tenant_key *tenant = tenant_find(keyring, tenant_name);
    const struct db_value value = DB_VBLOB(wrapped, len);
    char aad[256];

    if (tenant == NULL) {
        return KEYRING_E_DAMAGED;
    }
    return key_unwrap(key, tenant->key, &value, aad, binding(aad, "artifact", tenant_name, artifact));
}

static void
load_end(struct keyring *keyring, int rc)
{
    explicit_bzero(&keyring->old, sizeof(keyring->old));
    keyring->loaded(keyring->arg, rc, keyring->rewrapped);
}

/* One row, of which the statement that wraps it anew goes to *tx, when it is to be. */
static int
load_row(struct keyring *keyring, const struct db_value *row, struct db_tx **tx)
{
    const char *name = row[ROW_TENANT].data, *id = row[ROW_MASTER].data;
    const bool old =
        keyring->has_old && strcmp(id, keyring->old.id) == 0 && strcmp(id, keyring->master.id) != 0;
    struct tenant_key *tenant;
    char aad[256];
    size_t aad_len = binding(aad, "tenant", name, "");
    int r;

    if (!old && strcmp(id, keyring->master.id) != 0) {
        log_error("keys.foreign", LOG_STR("tenant", name), LOG_STR("master", id),
                  LOG_STR("ours", keyring->master.id));
        return KEYRING_E_MASTER;
    }
    r = tenant_add(&tenant, keyring, name);
    if (r) {
        return r;
    }
    r = key_unwrap(tenant->key, old ? keyring->old.key : keyring->master.key, &row[ROW_WRAPPED], aad,
                   aad_len);
    if (r) {
        log_error("keys.damaged", LOG_STR("tenant", name), LOG_STR("master", id));
        return r;
    }
    if (!old) {
        memcpy(tenant->wrapped, row[ROW_WRAPPED].data, sizeof(tenant->wrapped));
        return 0;
    }
    r = key_wrap(tenant->wrapped, keyring->master.key, tenant->key, aad, aad_len);
    if (r == 0 && *tx == NULL) {
        r = db_tx_new(tx, keyring->db);
    }
    if (r) {
        return r;
    }
    const struct db_value values[] = {
        DB_VTEXT(name),
        DB_VTEXT(id),
        DB_VTEXT(keyring->master.id),
        DB_VBLOB(tenant->wrapped, sizeof(tenant->wrapped)),
    };

    db_tx_add(*tx, DB_TENANT_KEY_REWRAP, values, SBX_COUNT(values));
    keyring->rewrapped++;
    return 0;
}

static void
keyring_next(struct keyring *keyring)
{
    if (keyring->n_page < KEYRING_PAGE) {
        load_end(keyring, 0);
    } else {
        keyring_read(keyring);
    }
}

static void
keyring_on_rewrapped(void *arg, int rc, const struct db_result *result _unused_)
{
    struct keyring *keyring = arg;

    if (rc) {
        load_end(keyring, rc > 0 ? -EIO : rc);
        return;
    }
    keyring_next(keyring);
}

static void
keyring_on_read(void *arg, int rc, const struct db_result *result)
{
    struct keyring *keyring = arg;
    struct db_tx *tx = NULL;

    rc = rc > 0 ? -EIO : rc;
    if (rc == 0 && result->n_rows > 0 && result->n_columns != ROW_N_COLUMNS) {
        rc = -EIO;
    }
    for (unsigned i = 0; rc == 0 && i < result->n_rows; i++) {
        rc = load_row(keyring, db_at(result, i, 0), &tx);
    }
    if (rc) {
        db_tx_free(tx);
        load_end(keyring, rc);
        return;
    }
    keyring->n_page = result->n_rows;
    if (result->n_rows > 0) {
        const struct db_value *last = db_at(result, result->n_rows - 1, ROW_TENANT);

        memcpy(keyring->after, last->data, last->len + 1); /* tenant_add looked at its length */
    }
    if (tx != NULL) {
        db_tx_submit(tx, keyring_on_rewrapped, keyring);
        return;
    }
    keyring_next(keyring);
}

static void
keyring_read(struct keyring *keyring)
{
    const struct db_value values[] = { DB_VTEXT(keyring->after), DB_VINT(KEYRING_PAGE) };

    db_read(keyring->db, DB_TENANT_KEYS, values, SBX_COUNT(values), keyring_on_read, keyring);
}

void
keyring_load(struct keyring *keyring, void (*done)(void *arg, int rc, unsigned rewrapped), void *arg)
{
    keyring->loaded = done;
    keyring->arg = arg;
    keyring_read(keyring);
}
