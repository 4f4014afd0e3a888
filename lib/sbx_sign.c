#include "sbx_sign.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

struct sbx_sign_key {
    EVP_PKEY *pkey;
    bool private;
    uint8_t raw[SBX_SIGN_RAW];
    char id[SBX_SIGN_ID];
};

struct sbx_sign_key *
sbx_sign_free(struct sbx_sign_key *key)
{
    if (key != NULL) {
        EVP_PKEY_free(key->pkey);
        free(key);
    }
    return NULL;
}

/* Takes pkey, also when it fails. */
static int
key_new(struct sbx_sign_key **ret, EVP_PKEY *pkey, bool private)
{
    _cleanup_(sbx_sign_freep) struct sbx_sign_key *key = calloc(1, sizeof(*key));
    uint8_t digest[SBX_SHA256_LEN];
    char hex[SBX_SHA256_HEX];
    size_t len = sizeof(key->raw);
    int r;

    if (key == NULL) {
        EVP_PKEY_free(pkey);
        return -ENOMEM;
    }
    key->pkey = pkey;
    key->private = private;
    if (pkey == NULL || EVP_PKEY_base_id(pkey) != EVP_PKEY_ED25519 ||
        EVP_PKEY_get_raw_public_key(pkey, key->raw, &len) != 1 || len != sizeof(key->raw)) {
        return -EINVAL;
    }
    r = sbx_sha256(key->raw, sizeof(key->raw), digest);
    if (r) {
        return r;
    }
    sbx_hex(hex, digest, sizeof(digest));
    memcpy(key->id, hex, SBX_SIGN_ID - 1);
    *ret = steal(&key);
    return 0;
}

/* A key with a pass phrase is one that nobody can type here. */
static int
no_phrase(char *buf _unused_, int size _unused_, int rwflag _unused_, void *arg _unused_)
{
    return 0;
}

static int
pem_read(struct sbx_sign_key **ret, const void *pem, size_t len, bool private)
{
    EVP_PKEY *pkey;
    BIO *bio;

    if (len > SBX_SIGN_PEM_MAX) {
        return -EINVAL;
    }
    bio = BIO_new_mem_buf(pem, (int)len);
    if (bio == NULL) {
        return -ENOMEM;
    }
    pkey = private ? PEM_read_bio_PrivateKey(bio, NULL, no_phrase, NULL)
                   : PEM_read_bio_PUBKEY(bio, NULL, no_phrase, NULL);
    BIO_free(bio);
    return key_new(ret, pkey, private);
}

int
sbx_sign_private(struct sbx_sign_key **ret, const void *pem, size_t len)
{
    return pem_read(ret, pem, len, true);
}

int
sbx_sign_public(struct sbx_sign_key **ret, const void *pem, size_t len)
{
    return pem_read(ret, pem, len, false);
}

int
sbx_sign_raw(struct sbx_sign_key **ret, const uint8_t raw[SBX_SIGN_RAW])
{
    return key_new(ret, EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw, SBX_SIGN_RAW), false);
}

static int
pem_write(const struct sbx_sign_key *key, struct sbx_buf *out, bool private)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    char *data = NULL;
    long len;
    int fine;

    if (bio == NULL) {
        return -ENOMEM;
    }
    fine = private ? PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL)
                   : PEM_write_bio_PUBKEY(bio, key->pkey);
    len = BIO_get_mem_data(bio, &data);
    if (fine == 1 && len > 0) {
        sbx_buf_append(out, data, (size_t)len);
    }
    BIO_free(bio);
    return fine != 1 || len <= 0 ? -EIO : out->failed ? -ENOMEM : 0;
}

int
sbx_sign_generate(struct sbx_sign_key **ret, struct sbx_buf *out)
{
    _cleanup_(sbx_sign_freep) struct sbx_sign_key *key = NULL;
    int r;

    r = key_new(&key, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), true);
    if (r) {
        return r;
    }
    r = pem_write(key, out, true);
    if (r) {
        return r;
    }
    *ret = steal(&key);
    return 0;
}

int
sbx_sign_write_public(const struct sbx_sign_key *key, struct sbx_buf *out)
{
    return pem_write(key, out, false);
}

const char *
sbx_sign_id(const struct sbx_sign_key *key)
{
    return key->id;
}

const uint8_t *
sbx_sign_bytes(const struct sbx_sign_key *key)
{
    return key->raw;
}

int
sbx_sign(const struct sbx_sign_key *key, const void *data, size_t len, uint8_t out[SBX_SIGN_LEN])
{
    EVP_MD_CTX *md;
    size_t n = SBX_SIGN_LEN;
    bool fine;

    if (!key->private) {
        return -EINVAL;
    }
    md = EVP_MD_CTX_new();
    if (md == NULL) {
        return -ENOMEM;
    }
    fine = EVP_DigestSignInit(md, NULL, NULL, NULL, key->pkey) == 1 &&
           EVP_DigestSign(md, out, &n, data, len) == 1 && n == SBX_SIGN_LEN;
    EVP_MD_CTX_free(md);
    return fine ? 0 : -EIO;
}

bool
sbx_sign_verify(const struct sbx_sign_key *key, const void *data, size_t len,
                const uint8_t signature[SBX_SIGN_LEN])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool fine;

    fine = md != NULL && EVP_DigestVerifyInit(md, NULL, NULL, NULL, key->pkey) == 1 &&
           EVP_DigestVerify(md, signature, SBX_SIGN_LEN, data, len) == 1;
    EVP_MD_CTX_free(md);
    return fine;
}
