/* The one door to libcrypto for digests, MACs, ciphers, base64 and random bytes. */
#pragma once

#include "sbx_base.h"
#include "sbx_buf.h"

#pragma GCC visibility push(hidden)

#define SBX_SHA256_LEN 32
#define SBX_SHA256_HEX (2 * SBX_SHA256_LEN + 1)

struct sbx_sha256; /* incremental state */

_must_check_ int sbx_sha256(const void *data, size_t len, uint8_t out[SBX_SHA256_LEN]);
_must_check_ int sbx_sha256_new(struct sbx_sha256 **ret);
_must_check_ int sbx_sha256_update(struct sbx_sha256 *state, const void *data, size_t len);
_must_check_ int sbx_sha256_final(struct sbx_sha256 *state, uint8_t out[SBX_SHA256_LEN]);
struct sbx_sha256 *sbx_sha256_free(struct sbx_sha256 *state);
_must_check_ int sbx_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                                 uint8_t out[SBX_SHA256_LEN]);
/* HMAC-SHA-256 under one key, for who signs often; not for two threads at once. The key has at least one byte. */
struct sbx_hmac;

_must_check_ int sbx_hmac_new(struct sbx_hmac **ret, const void *key, size_t key_len);
_must_check_ int sbx_hmac(struct sbx_hmac *hmac, const void *data, size_t len, uint8_t out[SBX_SHA256_LEN]);
struct sbx_hmac *sbx_hmac_free(struct sbx_hmac *hmac);
/*
 * The first bytes of many messages, read once: sbx_hmac_after() is the MAC of these and the ones that it is given, under
 * the key of the sbx_hmac that the head was made with.
 */
struct sbx_hmac_head;
_must_check_ int sbx_hmac_head_new(struct sbx_hmac_head **ret, const struct sbx_hmac *hmac, const void *data,
                                   size_t len);
_must_check_ int sbx_hmac_after(struct sbx_hmac *hmac, const struct sbx_hmac_head *head, const void *data,
                                size_t len, uint8_t out[SBX_SHA256_LEN]);
struct sbx_hmac_head *sbx_hmac_head_free(struct sbx_hmac_head *head);

#define SBX_SHA1_LEN 20
/* For the handshake of RFC 6455 alone, where it proves nothing. */
_must_check_ int sbx_sha1(const void *data, size_t len, uint8_t out[SBX_SHA1_LEN]);
void sbx_hex(char *out, const uint8_t *data, size_t len); /* writes 2 * len + 1 chars */
bool sbx_equal_const_time(const void *a, const void *b, size_t len);
_must_check_ int sbx_random(void *out, size_t len);

#define SBX_GCM_KEY_LEN 32
#define SBX_GCM_NONCE_LEN 12
#define SBX_GCM_TAG_LEN 16

/* AES-256-GCM under one key. No nonce may ever seal two messages of a key. */
struct sbx_gcm;

_must_check_ int sbx_gcm_new(struct sbx_gcm **ret, const uint8_t key[SBX_GCM_KEY_LEN]);
struct sbx_gcm *sbx_gcm_free(struct sbx_gcm *gcm);

struct sbx_gcm_message {
    const uint8_t *nonce; /* SBX_GCM_NONCE_LEN */
    const void *aad;      /* authenticated, not enciphered */
    size_t aad_len;
    uint8_t *data; /* in place */
    size_t len;
    uint8_t *tag; /* SBX_GCM_TAG_LEN: written by seal, compared by open */
};

_must_check_ int sbx_gcm_seal(struct sbx_gcm *gcm, const struct sbx_gcm_message *message);
/* -EBADMSG when a bit of anything differs: data has nothing to use then. */
_must_check_ int sbx_gcm_open(struct sbx_gcm *gcm, const struct sbx_gcm_message *message);

/* RFC 4648. Encoders append; url form has no padding. */
void sbx_b64url_encode(struct sbx_buf *out, const void *data, size_t len);
void sbx_b64_encode(struct sbx_buf *out, const void *data, size_t len);
/* Strict: no white space, canonical padding bits; false when not exactly the encoding. Appends to out. */
_must_check_ bool sbx_b64url_decode(struct sbx_buf *out, const char *text, size_t len);
_must_check_ bool sbx_b64_decode(struct sbx_buf *out, const char *text, size_t len);

#pragma GCC visibility pop
