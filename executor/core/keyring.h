/*
 * The keys of artifacts. Each artifact has one of its own, stored wrapped by its tenant's; each tenant has a random one,
 * stored wrapped by the master key, which is a file's and never stored. Wrapping is AES-256-GCM and binds a key to whose
 * it is. All tenants' keys are in memory from the start on: a few hundred bytes each, and nobody waits for one.
 */
#pragma once

#include "executor/store/blob.h"
#include "executor/store/db.h"

#define KEYRING_WRAPPED_LEN (SBX_GCM_NONCE_LEN + BLOB_KEY_LEN + SBX_GCM_TAG_LEN)
#define KEYRING_MASTER_MIN 32 /* bytes of its file */

enum {
    KEYRING_E_MASTER = 1, /* a tenant's key is wrapped by a master key that is none of ours */
    KEYRING_E_DAMAGED,    /* it is not what was wrapped */
};

struct keyring;

struct keyring_spec {
    struct db *db; /* borrows */
    const void *master;
    size_t master_len;
    const void *old; /* NULL: none. Tenants' keys that it wraps are wrapped anew at the start */
    size_t old_len;
};

/* The master keys are not needed any longer when it returns. */
_must_check_ int keyring_new(struct keyring **ret, const struct keyring_spec *spec);
/* After the database was closed. Accepts NULL, returns NULL. */
struct keyring *keyring_free(struct keyring *keyring);
/* Before anything else is asked of it. rc 0, KEYRING_E_* or -errno; `rewrapped` are durable. */
void keyring_load(struct keyring *keyring, void (*done)(void *arg, int rc, unsigned rewrapped), void *arg);
/* Adds to tx what makes the key of this artifact durable, its tenant's too when it is new. */
_must_check_ int keyring_store(struct keyring *keyring, struct db_tx *tx, const char *tenant,
                               const char *artifact, const uint8_t key[BLOB_KEY_LEN]);
/* KEYRING_E_DAMAGED also when the tenant has no key. */
_must_check_ int keyring_unwrap(const struct keyring *keyring, uint8_t key[BLOB_KEY_LEN], const char *tenant,
                                const char *artifact, const void *wrapped, size_t len);
