/* Ed25519 (RFC 8032): signatures that anybody can check and only one can make. Keys are PEM as OpenSSL writes it. */
#pragma once

#include "sbx_base.h"
#include "sbx_buf.h"
#include "sbx_crypto.h"

#pragma GCC visibility push(hidden)

#define SBX_SIGN_LEN 64
#define SBX_SIGN_RAW 32 /* a public key */
#define SBX_SIGN_PEM_MAX 4096
#define SBX_SIGN_ID 17 /* 16 hex characters and NUL: the first of the SHA-256 over the raw public key */

struct sbx_sign_key; /* private, or public only */

/* Each returns 0, -EINVAL when it is no such key, or -ENOMEM. */
_must_check_ int sbx_sign_private(struct sbx_sign_key **ret, const void *pem, size_t len);
_must_check_ int sbx_sign_public(struct sbx_sign_key **ret, const void *pem, size_t len);
_must_check_ int sbx_sign_raw(struct sbx_sign_key **ret, const uint8_t raw[SBX_SIGN_RAW]);
/* A new pair; the private key's PEM is appended to out. */
_must_check_ int sbx_sign_generate(struct sbx_sign_key **ret, struct sbx_buf *out);
struct sbx_sign_key *sbx_sign_free(struct sbx_sign_key *key);

/* Of the public part. */
const char *sbx_sign_id(const struct sbx_sign_key *key);
const uint8_t *sbx_sign_bytes(const struct sbx_sign_key *key); /* SBX_SIGN_RAW */
_must_check_ int sbx_sign_write_public(const struct sbx_sign_key *key, struct sbx_buf *out);

/* -EINVAL for a key that is public only. */
_must_check_ int sbx_sign(const struct sbx_sign_key *key, const void *data, size_t len,
                          uint8_t out[SBX_SIGN_LEN]);
_must_check_ bool sbx_sign_verify(const struct sbx_sign_key *key, const void *data, size_t len,
                                  const uint8_t signature[SBX_SIGN_LEN]);

static inline void
sbx_sign_freep(struct sbx_sign_key **key)
{
    *key = sbx_sign_free(*key);
}

#pragma GCC visibility pop
