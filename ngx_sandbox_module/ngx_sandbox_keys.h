/*
 * The set of keys that tokens are verified with. A key carries the algorithms it may be
 * used for and, when it has one, the kid that selects it.
 */
#pragma once

#include "ngx_sandbox_pkey.h"
#include "lib/sbx_crypto.h"
#include "lib/sbx_json.h"

#pragma GCC visibility push(hidden)

#define NGX_SANDBOX_KEYS_MAX 64
#define NGX_SANDBOX_KID_MAX 128
#define NGX_SANDBOX_SECRET_MIN 32
#define NGX_SANDBOX_SECRET_MAX 4096
#define NGX_SANDBOX_KEY_FILE_MAX (256ul * 1024)

enum {
    KEYS_E_REFUSED = 1, /* *err says which part and why */
};

struct ngx_sandbox_key {
    char kid[NGX_SANDBOX_KID_MAX + 1]; /* "" when none */
    enum ngx_sandbox_key_type type;
    unsigned algs;                 /* bit set of enum ngx_sandbox_alg, all of this type */
    struct ngx_sandbox_pkey *pkey; /* NULL for a secret */
    uint8_t *secret;
    size_t secret_len;
};

struct ngx_sandbox_keys {
    unsigned n;
    struct ngx_sandbox_key key[NGX_SANDBOX_KEYS_MAX];
};

/* How the operator names a key; empty members are not said. */
struct ngx_sandbox_key_spec {
    const char *kid;
    size_t kid_len;
    const char *alg;
    size_t alg_len;
};

_must_check_ int ngx_sandbox_keys_new(struct ngx_sandbox_keys **ret);
/* Erases the secrets. */
struct ngx_sandbox_keys *ngx_sandbox_keys_free(struct ngx_sandbox_keys *keys);

/* 0, KEYS_E_REFUSED or -errno. The key is copied. */
_must_check_ int ngx_sandbox_keys_add_secret(struct ngx_sandbox_keys *keys, struct ngx_sandbox_bytes secret,
                                             const struct ngx_sandbox_key_spec *spec,
                                             struct sbx_field_error *err);
/* Takes the key in any case. */
_must_check_ int ngx_sandbox_keys_add_pkey(struct ngx_sandbox_keys *keys, struct ngx_sandbox_pkey *pkey,
                                           const struct ngx_sandbox_key_spec *spec,
                                           struct sbx_field_error *err);
_must_check_ int ngx_sandbox_keys_add_pem(struct ngx_sandbox_keys *keys, const char *pem, size_t len,
                                          const struct ngx_sandbox_key_spec *spec,
                                          struct sbx_field_error *err);

/* [A-Za-z0-9_.~:@+=-]{1,128}: a kid is only ever compared, and still has no path or quote in it. */
bool ngx_sandbox_kid_valid(const char *kid, size_t len);
/* Adds everything that decides what the set accepts to a digest. */
_must_check_ int ngx_sandbox_keys_digest(const struct ngx_sandbox_keys *keys, struct sbx_sha256 *state);

#pragma GCC visibility pop
