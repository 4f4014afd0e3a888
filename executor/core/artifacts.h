/*
 * The artifacts of all tenants: their rows and keys in the database, their bytes in the blob store, what each tenant may
 * store, and their end. An artifact is there when its row and its key are durable, which is after its bytes are; it is gone
 * when its key is, which is before its bytes are.
 */
#pragma once

#include "executor/core/artifact.h"
#include "executor/core/timer.h"

struct artifacts;

typedef void (*artifacts_done_fn)(void *arg, int rc);

enum {
    ARTIFACTS_E_BYTES = 1, /* the tenant has as many bytes as it may */
    ARTIFACTS_E_NUMBER,    /* or as many artifacts */
    ARTIFACTS_E_NOT_FOUND,
};

struct artifacts_spec {
    struct timers *timers;
    struct db *db; /* borrows, as the next two */
    struct blob_store *blobs;
    struct keyring *keyring;
    uint64_t retention_ms; /* when the policy says nothing; 0: for ever */
    uint64_t max_number;   /* of one tenant */
};

_must_check_ int artifacts_new(struct artifacts **ret, const struct artifacts_spec *spec);
/* After the database was closed: no callback may be due. Accepts NULL, returns NULL. */
struct artifacts *artifacts_free(struct artifacts *artifacts);
struct blob_store *artifacts_blobs(const struct artifacts *artifacts);
struct db *artifacts_db(const struct artifacts *artifacts);
uint64_t artifacts_max_number(const struct artifacts *artifacts);

/* When something made now is to end that may be kept so long by its policy: Unix ms, 0 never. */
uint64_t artifacts_expiry(const struct artifacts *artifacts, uint64_t retention_ms, uint64_t now_ms);
/* Adds row and key to tx. Its blob is stored. */
_must_check_ int artifacts_store(struct artifacts *artifacts, struct db_tx *tx,
                                 const struct artifact *artifact, const uint8_t key[BLOB_KEY_LEN]);
/* To read its blob: KEYRING_E_DAMAGED when it has no key that could be used. `key` is filled when it is sealed. */
_must_check_ int artifacts_source(const struct artifacts *artifacts, const struct artifact *artifact,
                                  struct blob_source *ret, uint8_t key[BLOB_KEY_LEN]);

/*
 * The key's row first, then the file; `done` when the key is gone for good: 0, ARTIFACTS_E_NOT_FOUND or -errno. `kind` is
 * the event's: "artifact.deleted" or "artifact.expired".
 */
_must_check_ int artifacts_remove(struct artifacts *artifacts, const struct artifact *artifact,
                                  const char *kind, const struct sbx_context *who, artifacts_done_fn done,
                                  void *arg);
/* Appends an event about it to tx. `who` NULL: nobody, its time is over. */
void artifacts_audit(struct db_tx *tx, const struct artifact *artifact, const char *kind,
                     const struct sbx_context *who);

/*
 * Room for bytes to come in what a tenant may store. It counts until it is freed, which is when they are in the database or
 * are not going to be.
 */
struct artifacts_claim;
struct artifacts_claim_spec {
    const char *tenant;
    uint64_t max_bytes; /* that it may store together */
};
_must_check_ int artifacts_claim_new(struct artifacts_claim **ret, struct artifacts *artifacts,
                                     const struct artifacts_claim_spec *spec);
/* Asks for so many instead of what was asked before. One question at a time. 0, ARTIFACTS_E_* or -errno. */
void artifacts_claim_ask(struct artifacts_claim *claim, uint64_t bytes, unsigned number,
                         artifacts_done_fn done, void *arg);
/* A callback that is due is not made. Accepts NULL, returns NULL. */
struct artifacts_claim *artifacts_claim_free(struct artifacts_claim *claim);
