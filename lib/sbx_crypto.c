#include "sbx_crypto.h"

#include <endian.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Bytes of input a turn: whole groups, small enough for the stack. */
#define B64_RAW 768
#define B64_TEXT ((size_t)B64_RAW / 3 * 4)
#define HMAC_BLOCK 64

struct sbx_sha256 {
    EVP_MD_CTX *md;
};

/* RFC 2104 by its parts, because an EVP_MAC_CTX cannot go back to what it had read so far without being allocated anew. */
struct sbx_hmac {
    EVP_MD_CTX *inner, *outer; /* each with the key worked in */
    EVP_MD_CTX *work;
};

struct sbx_hmac_head {
    EVP_MD_CTX *md; /* after the key and the bytes that come first */
};

struct sbx_gcm {
    EVP_CIPHER_CTX *seal, *open; /* each with the key expanded once */
};

/* Looked up once: OpenSSL 3 looks an algorithm up by name, under a lock, wherever EVP_sha256() is said. Kept until the end. */
static EVP_MD *sha256_md;

static void
sha256_fetch(void)
{
    sha256_md = EVP_MD_fetch(NULL, "SHA256", NULL);
}

static const EVP_MD *
sha256_get(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    return pthread_once(&once, sha256_fetch) == 0 && sha256_md != NULL ? sha256_md : EVP_sha256();
}

int
sbx_sha256(const void *data, size_t len, uint8_t out[SBX_SHA256_LEN])
{
    return EVP_Digest(data, len, out, NULL, sha256_get(), NULL) == 1 ? 0 : -EIO;
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
    if (EVP_DigestInit_ex(state->md, sha256_get(), NULL) != 1) {
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

struct sbx_hmac *
sbx_hmac_free(struct sbx_hmac *hmac)
{
    if (hmac != NULL) {
        EVP_MD_CTX_free(hmac->inner); /* wipes what it holds */
        EVP_MD_CTX_free(hmac->outer);
        EVP_MD_CTX_free(hmac->work);
        free(hmac);
    }
    return NULL;
}

static void
hmac_freep(struct sbx_hmac **hmac)
{
    sbx_hmac_free(*hmac);
}

/* The state of a digest that has read the key's block, each byte with `pad` laid over it. */
static int
hmac_pad(EVP_MD_CTX **ret, const uint8_t block[HMAC_BLOCK], uint8_t pad)
{
    uint8_t bytes[HMAC_BLOCK];
    size_t i;
    int r;

    *ret = EVP_MD_CTX_new();
    if (*ret == NULL) {
        return -ENOMEM;
    }
    for (i = 0; i < sizeof(bytes); i++) {
        bytes[i] = block[i] ^ pad;
    }
    r = EVP_DigestInit_ex(*ret, sha256_get(), NULL) == 1 && EVP_DigestUpdate(*ret, bytes, sizeof(bytes)) == 1
            ? 0
            : -EIO;
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return r;
}

int
sbx_hmac_new(struct sbx_hmac **ret, const void *key, size_t key_len)
{
    _cleanup_(hmac_freep) struct sbx_hmac *hmac = NULL;
    uint8_t block[HMAC_BLOCK] = { 0 };
    int r = 0;

    hmac = calloc(1, sizeof(*hmac));
    if (hmac == NULL) {
        return -ENOMEM;
    }
    hmac->work = EVP_MD_CTX_new();
    if (hmac->work == NULL) {
        return -ENOMEM;
    }
    if (key_len > sizeof(block)) {
        r = sbx_sha256(key, key_len, block);
    } else if (key_len > 0) {
        memcpy(block, key, key_len);
    }
    r = r != 0 ? r : hmac_pad(&hmac->inner, block, 0x36);
    r = r != 0 ? r : hmac_pad(&hmac->outer, block, 0x5c);
    OPENSSL_cleanse(block, sizeof(block));
    if (r != 0) {
        return r;
    }

    *ret = steal(&hmac);
    return 0;
}

/* The MAC of what `from` has read and these bytes. */
static int
hmac_from(struct sbx_hmac *hmac, const EVP_MD_CTX *from, const void *data, size_t len,
          uint8_t out[SBX_SHA256_LEN])
{
    if (EVP_MD_CTX_copy_ex(hmac->work, from) != 1 || EVP_DigestUpdate(hmac->work, data, len) != 1 ||
        EVP_DigestFinal_ex(hmac->work, out, NULL) != 1 || EVP_MD_CTX_copy_ex(hmac->work, hmac->outer) != 1 ||
        EVP_DigestUpdate(hmac->work, out, SBX_SHA256_LEN) != 1 ||
        EVP_DigestFinal_ex(hmac->work, out, NULL) != 1) {
        OPENSSL_cleanse(out, SBX_SHA256_LEN);
        return -EIO;
    }
    return 0;
}

int
sbx_hmac(struct sbx_hmac *hmac, const void *data, size_t len, uint8_t out[SBX_SHA256_LEN])
{
    return hmac_from(hmac, hmac->inner, data, len, out);
}

struct sbx_hmac_head *
sbx_hmac_head_free(struct sbx_hmac_head *head)
{
    if (head != NULL) {
        EVP_MD_CTX_free(head->md);
        free(head);
    }
    return NULL;
}

static void
hmac_head_freep(struct sbx_hmac_head **head)
{
    sbx_hmac_head_free(*head);
}

int
sbx_hmac_head_new(struct sbx_hmac_head **ret, const struct sbx_hmac *hmac, const void *data, size_t len)
{
    _cleanup_(hmac_head_freep) struct sbx_hmac_head *head = NULL;

    head = calloc(1, sizeof(*head));
    if (head == NULL) {
        return -ENOMEM;
    }
    head->md = EVP_MD_CTX_new();
    if (head->md == NULL) {
        return -ENOMEM;
    }
    if (EVP_MD_CTX_copy_ex(head->md, hmac->inner) != 1 || EVP_DigestUpdate(head->md, data, len) != 1) {
        return -EIO;
    }

    *ret = steal(&head);
    return 0;
}

int
sbx_hmac_after(struct sbx_hmac *hmac, const struct sbx_hmac_head *head, const void *data, size_t len,
               uint8_t out[SBX_SHA256_LEN])
{
    return hmac_from(hmac, head->md, data, len, out);
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

static void
b64_encode(struct sbx_buf *out, const uint8_t *data, size_t len, const char alphabet[64], size_t padding)
{
    size_t rest = len % 3, i;
    uint64_t word;
    uint32_t group;
    char *room;

    room = len > SIZE_MAX / 4 ? NULL : sbx_buf_reserve(out, (len + 2) / 3 * 4);
    if (room == NULL) {
        out->failed = true;
        return;
    }
    /* Two groups of one word, as long as that can be read. */
    for (i = 0; i + 8 <= len; i += 6, room += 8) {
        memcpy(&word, data + i, sizeof(word));
        word = be64toh(word);
        room[0] = alphabet[word >> 58];
        room[1] = alphabet[word >> 52 & 63];
        room[2] = alphabet[word >> 46 & 63];
        room[3] = alphabet[word >> 40 & 63];
        room[4] = alphabet[word >> 34 & 63];
        room[5] = alphabet[word >> 28 & 63];
        room[6] = alphabet[word >> 22 & 63];
        room[7] = alphabet[word >> 16 & 63];
    }
    for (; i + 3 <= len; i += 3, room += 4) {
        group = (uint32_t)data[i] << 16 | (uint32_t)data[i + 1] << 8 | data[i + 2];
        room[0] = alphabet[group >> 18];
        room[1] = alphabet[group >> 12 & 63];
        room[2] = alphabet[group >> 6 & 63];
        room[3] = alphabet[group & 63];
    }
    if (rest > 0) {
        group = (uint32_t)data[i] << 16 | (rest == 2 ? (uint32_t)data[i + 1] << 8 : 0);
        room[0] = alphabet[group >> 18];
        room[1] = alphabet[group >> 12 & 63];
        room[2] = rest == 2 ? alphabet[group >> 6 & 63] : '=';
        room[3] = '=';
    }
    out->len += (len + 2) / 3 * 4 - (rest > 0 ? (3 - rest) * (1 - padding) : 0);
    out->data[out->len] = '\0';
}

void
sbx_b64_encode(struct sbx_buf *out, const void *data, size_t len)
{
    b64_encode(out, data, len, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 1);
}

void
sbx_b64url_encode(struct sbx_buf *out, const void *data, size_t len)
{
    b64_encode(out, data, len, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", 0);
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
