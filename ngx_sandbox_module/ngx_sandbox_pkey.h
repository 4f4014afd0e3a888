/*
 * Public keys and the signatures made with their private halves: the edge's one door to
 * OpenSSL. A key can only be of a type listed here; an algorithm belongs to one type, so
 * an RSA key can never be taken for an HMAC secret.
 */
#pragma once

#include "lib/sbx_base.h"

#pragma GCC visibility push(hidden)

#define NGX_SANDBOX_RSA_BITS_MIN 2048
#define NGX_SANDBOX_RSA_BITS_MAX 8192
#define NGX_SANDBOX_SIGNATURE_MAX (NGX_SANDBOX_RSA_BITS_MAX / 8)

enum ngx_sandbox_key_type {
    NGX_SANDBOX_KEY_SECRET,
    NGX_SANDBOX_KEY_RSA,
    NGX_SANDBOX_KEY_P256,
    NGX_SANDBOX_KEY_P384,
    NGX_SANDBOX_KEY_ED25519,
};

enum ngx_sandbox_alg {
    NGX_SANDBOX_ALG_HS256,
    NGX_SANDBOX_ALG_HS384,
    NGX_SANDBOX_ALG_HS512,
    NGX_SANDBOX_ALG_RS256,
    NGX_SANDBOX_ALG_PS256,
    NGX_SANDBOX_ALG_ES256,
    NGX_SANDBOX_ALG_ES384,
    NGX_SANDBOX_ALG_EDDSA,
    NGX_SANDBOX_N_ALGS
};

enum {
    PKEY_E_FORM = 1,  /* not a key, or its numbers make none */
    PKEY_E_TYPE,      /* a key, of a type or size we do not take */
    PKEY_E_SIGNATURE, /* does not verify */
};

struct ngx_sandbox_pkey;

struct ngx_sandbox_bytes {
    const uint8_t *data;
    size_t len;
};

/* Byte-exact, as the JOSE registry spells it; false for any other name. */
_must_check_ bool ngx_sandbox_alg_by_name(enum ngx_sandbox_alg *ret, const char *name, size_t len);
const char *ngx_sandbox_alg_name(enum ngx_sandbox_alg alg);
/* Bit set (1 << alg) of the algorithms a key of this type can verify. */
unsigned ngx_sandbox_algs_of(enum ngx_sandbox_key_type type);
/* Length of a signature; that of an RSA one depends on the key. */
size_t ngx_sandbox_signature_len(enum ngx_sandbox_alg alg, const struct ngx_sandbox_pkey *pkey);

/* SubjectPublicKeyInfo ("BEGIN PUBLIC KEY") or X.509 certificate. 0, PKEY_E_FORM, PKEY_E_TYPE, -errno. */
_must_check_ int ngx_sandbox_pkey_from_pem(struct ngx_sandbox_pkey **ret, const char *pem, size_t len);
_must_check_ int ngx_sandbox_pkey_from_rsa(struct ngx_sandbox_pkey **ret, struct ngx_sandbox_bytes n,
                                           struct ngx_sandbox_bytes e);
_must_check_ int ngx_sandbox_pkey_from_ec(struct ngx_sandbox_pkey **ret, enum ngx_sandbox_key_type type,
                                          struct ngx_sandbox_bytes x, struct ngx_sandbox_bytes y);
_must_check_ int ngx_sandbox_pkey_from_ed25519(struct ngx_sandbox_pkey **ret, struct ngx_sandbox_bytes x);
struct ngx_sandbox_pkey *ngx_sandbox_pkey_free(struct ngx_sandbox_pkey *pkey);

enum ngx_sandbox_key_type ngx_sandbox_pkey_type(const struct ngx_sandbox_pkey *pkey);
/* The same key as PEM text; borrowed from the key, NUL-terminated. */
const char *ngx_sandbox_pkey_pem(const struct ngx_sandbox_pkey *pkey, size_t *ret_len);

/* `signature` in JOSE form (ECDSA: r and s side by side). 0, PKEY_E_SIGNATURE or -errno. */
_must_check_ int ngx_sandbox_pkey_verify(const struct ngx_sandbox_pkey *pkey, enum ngx_sandbox_alg alg,
                                         struct ngx_sandbox_bytes data, struct ngx_sandbox_bytes signature);
_must_check_ int ngx_sandbox_secret_verify(struct ngx_sandbox_bytes secret, enum ngx_sandbox_alg alg,
                                           struct ngx_sandbox_bytes data, struct ngx_sandbox_bytes signature);

#pragma GCC visibility pop
