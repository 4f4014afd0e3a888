/*
 * A sealed state is base64url of: version, salt, time, what is sealed in AES-256-GCM, tag. The key of each is made from the salt, so
 * that no nonce is ever used twice, however many are sealed; version, salt, time and a digest of who asked what are authenticated with it.
 */
#include "sbx_mcp_state.h"

#include <stdlib.h>
#include <string.h>

#define STATE_VERSION 1
#define SALT_LEN 16
#define TIME_LEN 8
#define HEAD_LEN (1 + SALT_LEN + TIME_LEN)
#define OVERHEAD (HEAD_LEN + SBX_GCM_TAG_LEN)
#define RAW_MAX (SBX_MCP_STATE_MAX / 4ul * 3)
#define AHEAD_MS 60000 /* clocks of replicas */

static const char label[] = "ngx_sandbox mcp request state";

struct sbx_mcp_state_keeper {
    struct sbx_hmac *hmac; /* of keys, under the key that was derived */
};

static void
sha256_freep(struct sbx_sha256 **state)
{
    sbx_sha256_free(*state);
}

static void
gcm_freep(struct sbx_gcm **gcm)
{
    sbx_gcm_free(*gcm);
}

static void
keeper_freep(struct sbx_mcp_state_keeper **keeper)
{
    sbx_mcp_state_keeper_free(*keeper);
}

int
sbx_mcp_state_keeper_new(struct sbx_mcp_state_keeper **ret, const void *key, size_t key_len)
{
    _cleanup_(keeper_freep) struct sbx_mcp_state_keeper *keeper = NULL;
    uint8_t derived[SBX_SHA256_LEN];
    int r;

    if (key_len == 0) {
        return -EINVAL;
    }
    keeper = calloc(1, sizeof(*keeper));
    if (keeper == NULL) {
        return -ENOMEM;
    }
    r = sbx_hmac_sha256(key, key_len, label, sizeof(label) - 1, derived);
    if (r == 0) {
        r = sbx_hmac_new(&keeper->hmac, derived, sizeof(derived));
    }
    explicit_bzero(derived, sizeof(derived));
    if (r != 0) {
        return r;
    }
    *ret = steal(&keeper);
    return 0;
}

struct sbx_mcp_state_keeper *
sbx_mcp_state_keeper_free(struct sbx_mcp_state_keeper *keeper)
{
    if (keeper != NULL) {
        sbx_hmac_free(keeper->hmac);
        free(keeper);
    }
    return NULL;
}

static void
put_number(uint8_t *out, size_t len, uint64_t value)
{
    while (len-- > 0) {
        out[len] = (uint8_t)value;
        value >>= 8;
    }
}

static uint64_t
get_number(const uint8_t *data, size_t len)
{
    uint64_t value = 0;

    while (len-- > 0) {
        value = value << 8 | *data++;
    }
    return value;
}

/* Each part after its length: no two pairs of principal and request read the same. */
static int
digest(uint8_t out[SBX_SHA256_LEN], const char *principal, const struct sbx_buf *request)
{
    _cleanup_(sha256_freep) struct sbx_sha256 *sha = NULL;
    const size_t len = strlen(principal);
    uint8_t size[8];
    int r;

    put_number(size, sizeof(size), len);
    r = sbx_sha256_new(&sha);
    if (r == 0) {
        r = sbx_sha256_update(sha, size, sizeof(size));
    }
    if (r == 0) {
        r = sbx_sha256_update(sha, principal, len);
    }
    if (r == 0 && request->len > 0) {
        r = sbx_sha256_update(sha, request->data, request->len);
    }
    return r != 0 ? r : sbx_sha256_final(sha, out);
}

/* What is done with the bytes between head and tag. */
typedef int cipher_fn(struct sbx_gcm *gcm, const struct sbx_gcm_message *message);

static int
run_cipher(struct sbx_mcp_state_keeper *keeper, cipher_fn *cipher, uint8_t *raw, size_t raw_len,
           const char *principal, const struct sbx_buf *request)
{
    static const uint8_t nonce[SBX_GCM_NONCE_LEN];
    _cleanup_(gcm_freep) struct sbx_gcm *gcm = NULL;
    uint8_t key[SBX_SHA256_LEN], aad[HEAD_LEN + SBX_SHA256_LEN];
    const struct sbx_gcm_message message = {
        .nonce = nonce,
        .aad = aad,
        .aad_len = sizeof(aad),
        .data = raw + HEAD_LEN,
        .len = raw_len - OVERHEAD,
        .tag = raw + raw_len - SBX_GCM_TAG_LEN,
    };
    int r;

    memcpy(aad, raw, HEAD_LEN);
    r = digest(aad + HEAD_LEN, principal, request);
    if (r == 0) {
        r = sbx_hmac(keeper->hmac, raw + 1, SALT_LEN, key);
    }
    if (r == 0) {
        r = sbx_gcm_new(&gcm, key);
    }
    explicit_bzero(key, sizeof(key));
    return r != 0 ? r : cipher(gcm, &message);
}

int
sbx_mcp_state_seal(struct sbx_mcp_state_keeper *keeper, struct sbx_buf *out, const char *principal,
                   const struct sbx_buf *request, const char *state, size_t len, uint64_t now_ms)
{
    uint8_t *raw;
    int r;

    if (len > RAW_MAX - OVERHEAD) {
        return -EMSGSIZE;
    }
    raw = malloc(OVERHEAD + len);
    if (raw == NULL) {
        return -ENOMEM;
    }
    raw[0] = STATE_VERSION;
    put_number(raw + 1 + SALT_LEN, TIME_LEN, now_ms);
    if (len > 0) {
        memcpy(raw + HEAD_LEN, state, len);
    }

    r = sbx_random(raw + 1, SALT_LEN);
    if (r == 0) {
        r = run_cipher(keeper, sbx_gcm_seal, raw, OVERHEAD + len, principal, request);
    }
    if (r == 0) {
        sbx_b64url_encode(out, raw, OVERHEAD + len);
        r = out->failed ? -ENOMEM : 0;
    }
    explicit_bzero(raw, OVERHEAD + len);
    free(raw);
    return r;
}

static bool
is_of_now(uint64_t sealed_ms, uint64_t now_ms)
{
    return sealed_ms > now_ms ? sealed_ms - now_ms <= AHEAD_MS : now_ms - sealed_ms <= SBX_MCP_STATE_LIFE_MS;
}

int
sbx_mcp_state_open(struct sbx_mcp_state_keeper *keeper, struct sbx_buf *out, const char *principal,
                   const struct sbx_buf *request, const char *text, size_t len, uint64_t now_ms)
{
    struct sbx_buf raw = SBX_BUF_INIT(RAW_MAX);
    uint8_t *bytes;
    int r = -EBADMSG;

    if (len <= SBX_MCP_STATE_MAX && sbx_b64url_decode(&raw, text, len) && raw.len >= OVERHEAD &&
        raw.data[0] == STATE_VERSION) {
        bytes = (uint8_t *)raw.data;
        r = run_cipher(keeper, sbx_gcm_open, bytes, raw.len, principal, request);
        if (r == 0 && !is_of_now(get_number(bytes + 1 + SALT_LEN, TIME_LEN), now_ms)) {
            r = -EBADMSG;
        }
        if (r == 0) {
            sbx_buf_append(out, bytes + HEAD_LEN, raw.len - OVERHEAD);
            r = out->failed ? -ENOMEM : 0;
        }
        explicit_bzero(raw.data, raw.len);
    }
    sbx_buf_deinit(&raw);
    return r;
}
