#include "sbx_crypto.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Bytes of input a turn: whole groups, small enough for the stack. */
#define B64_RAW 768
#define B64_TEXT ((size_t)B64_RAW / 3 * 4)

struct sbx_sha256 {
    EVP_MD_CTX *md;
};

struct sbx_gcm {
    EVP_CIPHER_CTX *seal, *open; /* each with the key expanded once */
};

int
sbx_sha256(const void *data, size_t len, uint8_t out[SBX_SHA256_LEN])
{
    return EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : -EIO;
}

int
sbx_sha1(const void *data, size_t len, uint8_t out[SBX_SHA1_LEN])
{
    return EVP_Digest(data, len, out, NULL, EVP_sha1(), NULL) == 1 ? 0 : -EIO;
}

static void
sha256_freep(struct sbx_sha256 **state)
{
    sbx_sha256_free(*state);
}

int
sbx_sha256_new(struct sbx_sha256 **ret)
{
    _cleanup_(sha256_freep) struct sbx_sha256 *state = NULL;

    state = calloc(1, sizeof(*state));
    if (state == NULL) {
        return -ENOMEM;
    }
    state->md = EVP_MD_CTX_new();
    if (state->md == NULL) {
        return -ENOMEM;
    }
    if (EVP_DigestInit_ex(state->md, EVP_sha256(), NULL) != 1) {
        return -EIO;
    }

    *ret = steal(&state);
    return 0;
}

int
sbx_sha256_update(struct sbx_sha256 *state, const void *data, size_t len)
{
    return EVP_DigestUpdate(state->md, data, len) == 1 ? 0 : -EIO;
}

int
sbx_sha256_final(struct sbx_sha256 *state, uint8_t out[SBX_SHA256_LEN])
{
    return EVP_DigestFinal_ex(state->md, out, NULL) == 1 ? 0 : -EIO;
}

struct sbx_sha256 *
sbx_sha256_free(struct sbx_sha256 *state)
{
    if (state != NULL) {
        EVP_MD_CTX_free(state->md);
        free(state);
    }
    return NULL;
}

int
sbx_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, uint8_t out[SBX_SHA256_LEN])
{
    size_t out_len = 0;

    if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, key_len, data, len, out, SBX_SHA256_LEN,
                  &out_len) == NULL ||
        out_len != SBX_SHA256_LEN) {
        return -EIO;
    }
    return 0;
}

struct sbx_gcm *
sbx_gcm_free(struct sbx_gcm *gcm)
{
    if (gcm != NULL) {
        EVP_CIPHER_CTX_free(gcm->seal); /* wipes the key */
        EVP_CIPHER_CTX_free(gcm->open);
        free(gcm);
    }
    return NULL;
}

static void
gcm_freep(struct sbx_gcm **gcm)
{
    sbx_gcm_free(*gcm);
}

int
sbx_gcm_new(struct sbx_gcm **ret, const uint8_t key[SBX_GCM_KEY_LEN])
{
    _cleanup_(gcm_freep) struct sbx_gcm *gcm = NULL;

    gcm = calloc(1, sizeof(*gcm));
    if (gcm == NULL) {
        return -ENOMEM;
    }
    gcm->seal = EVP_CIPHER_CTX_new();
    gcm->open = EVP_CIPHER_CTX_new();
    if (gcm->seal == NULL || gcm->open == NULL) {
        return -ENOMEM;
    }
    if (EVP_EncryptInit_ex(gcm->seal, EVP_aes_256_gcm(), NULL, key, NULL) != 1 ||
        EVP_DecryptInit_ex(gcm->open, EVP_aes_256_gcm(), NULL, key, NULL) != 1) {
        return -EIO;
    }

    *ret = steal(&gcm);
    return 0;
}

int
sbx_gcm_seal(struct sbx_gcm *gcm, const struct sbx_gcm_message *message)
{
    int n;

    if (message->len > INT_MAX || message->aad_len > INT_MAX) {
        return -EINVAL;
    }
    if (EVP_EncryptInit_ex(gcm->seal, NULL, NULL, NULL, message->nonce) != 1 ||
        EVP_EncryptUpdate(gcm->seal, NULL, &n, message->aad, (int)message->aad_len) != 1 ||
        (message->len > 0 &&
         EVP_EncryptUpdate(gcm->seal, message->data, &n, message->data, (int)message->len) != 1) ||
        EVP_EncryptFinal_ex(gcm->seal, message->tag, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(gcm->seal, EVP_CTRL_AEAD_GET_TAG, SBX_GCM_TAG_LEN, message->tag) != 1) {
        return -EIO;
    }
    return 0;
}

int
sbx_gcm_open(struct sbx_gcm *gcm, const struct sbx_gcm_message *message)
{
    uint8_t end[SBX_GCM_TAG_LEN];
    int n;

    if (message->len > INT_MAX || message->aad_len > INT_MAX) {
        return -EINVAL;
    }
    if (EVP_DecryptInit_ex(gcm->open, NULL, NULL, NULL, message->nonce) != 1 ||
        EVP_DecryptUpdate(gcm->open, NULL, &n, message->aad, (int)message->aad_len) != 1 ||
        (message->len > 0 &&
         EVP_DecryptUpdate(gcm->open, message->data, &n, message->data, (int)message->len) != 1) ||
        EVP_CIPHER_CTX_ctrl(gcm->open, EVP_CTRL_AEAD_SET_TAG, SBX_GCM_TAG_LEN, message->tag) != 1) {
        return -EIO;
    }
    return EVP_DecryptFinal_ex(gcm->open, end, &n) == 1 ? 0 : -EBADMSG;
}

void
sbx_hex(char *out, const uint8_t *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    size_t i;

    for (i = 0; i < len; i++) {
        out[2 * i] = digits[data[i] >> 4];
        out[2 * i + 1] = digits[data[i] & 15];
    }
    out[2 * len] = '\0';
}

bool
sbx_equal_const_time(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

/* The kernel's generator has no state in this process that a fork or a snapshot could copy. */
int
sbx_random(void *out, size_t len)
{
    uint8_t *next = out;
    ssize_t n;

    while (len > 0) {
        n = getrandom(next, len, 0);
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n > 0) {
            next += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

void
sbx_b64_encode(struct sbx_buf *out, const void *data, size_t len)
{
    const uint8_t *next = data;
    size_t n;
    char *room;

    while (len > 0) {
        n = len < B64_RAW ? len : B64_RAW;
        /* EVP_EncodeBlock ends with a NUL, for which the buffer always has room. */
        room = sbx_buf_reserve(out, (n + 2) / 3 * 4);
        if (room == NULL) {
            return;
        }
        out->len += (size_t)EVP_EncodeBlock((unsigned char *)room, next, (int)n);
        next += n;
        len -= n;
    }
}

static void
swap_alphabet(char *text, size_t len, const char from[2], const char to[2])
{
    size_t i;

    for (i = 0; i < len; i++) {
        if (text[i] == from[0]) {
            text[i] = to[0];
        } else if (text[i] == from[1]) {
            text[i] = to[1];
        }
    }
}

void
sbx_b64url_encode(struct sbx_buf *out, const void *data, size_t len)
{
    size_t start = out->len;

    sbx_b64_encode(out, data, len);
    if (out->failed || len == 0) {
        return;
    }
    while (out->data[out->len - 1] == '=') {
        out->len--;
    }
    out->data[out->len] = '\0';
    swap_alphabet(out->data + start, out->len - start, "+/", "-_");
}

/* Value of a digit, 64 when it is none. `special` holds the digits 62 and 63. */
static unsigned
b64_value(char c, const char special[2])
{
    if (c >= 'A' && c <= 'Z') {
        return (unsigned)(c - 'A');
    }
    if (c >= 'a' && c <= 'z') {
        return (unsigned)(c - 'a') + 26;
    }
    if (c >= '0' && c <= '9') {
        return (unsigned)(c - '0') + 52;
    }
    if (c == special[0]) {
        return 62;
    }
    return c == special[1] ? 63 : 64;
}

/*
 * EVP_DecodeBlock skips white space, takes padding anywhere near the end and
 * ignores the unused bits of the last digit: each would be a second spelling
 * of the same bytes, so the form is checked before. `len` excludes padding.
 */
static bool
b64_well_formed(const char *text, size_t len, const char special[2])
{
    size_t i;

    if (len % 4 == 1) {
        return false;
    }
    for (i = 0; i < len; i++) {
        if (b64_value(text[i], special) > 63) {
            return false;
        }
    }
    if (len % 4 == 2) {
        return (b64_value(text[len - 1], special) & 15) == 0;
    }
    return len % 4 == 0 || (b64_value(text[len - 1], special) & 3) == 0;
}

/* Decodes `len` checked digits (no padding) of either alphabet. */
static bool
b64_decode_digits(struct sbx_buf *out, const char *text, size_t len)
{
    unsigned char piece[B64_TEXT], raw[B64_RAW];
    size_t n, padded;
    int got;

    while (len > 0) {
        n = len < B64_TEXT ? len : B64_TEXT;
        padded = (n + 3) / 4 * 4;
        memcpy(piece, text, n);
        memset(piece + n, '=', padded - n);
        swap_alphabet((char *)piece, n, "-_", "+/");

        got = EVP_DecodeBlock(raw, piece, (int)padded);
        if (got < 0 || (size_t)got < padded - n) {
            return false;
        }
        /* It counts the padding as zero bytes. */
        sbx_buf_append(out, raw, (size_t)got - (padded - n));
        text += n;
        len -= n;
    }
    return !out->failed;
}

bool
sbx_b64url_decode(struct sbx_buf *out, const char *text, size_t len)
{
    return b64_well_formed(text, len, "-_") && b64_decode_digits(out, text, len);
}

bool
sbx_b64_decode(struct sbx_buf *out, const char *text, size_t len)
{
    size_t digits = len;

    if (len % 4 != 0) {
        return false;
    }
    while (len - digits < 2 && digits > 0 && text[digits - 1] == '=') {
        digits--;
    }
    return b64_well_formed(text, digits, "+/") && b64_decode_digits(out, text, digits);
}
