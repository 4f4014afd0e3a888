#include "blob_seal.h"

#include <stdlib.h>
#include <string.h>

#include "blob_file.h"

#define SEAL_VERSION 1
#define SEAL_AAD_MAX (32 + SBX_SHA256_LEN + 1 + BLOB_ID_MAX + 8 + 1)

static const char head_magic[4] = { 'S', 'B', 'X', 'B' };
static const char label[] = "sandbox blob frame v1"; /* with its NUL */

struct blob_seal {
    struct sbx_gcm *gcm;
    uint8_t aad[SEAL_AAD_MAX]; /* the last nine bytes of aad_len are a frame's */
    size_t aad_len;
};

bool
blob_layout_of(struct blob_layout *ret, uint64_t file_size)
{
    const uint64_t sealed = file_size - BLOB_HEAD_LEN;

    if (file_size < BLOB_HEAD_LEN + SBX_GCM_TAG_LEN || file_size > INT64_MAX) {
        return false;
    }
    ret->frames = sealed / BLOB_FRAME_SEALED + (sealed % BLOB_FRAME_SEALED != 0);
    ret->size = sealed - ret->frames * SBX_GCM_TAG_LEN;
    /* Only the last of a blob that has one frame may be empty. */
    return sealed % BLOB_FRAME_SEALED == 0 || sealed % BLOB_FRAME_SEALED > SBX_GCM_TAG_LEN || ret->size == 0;
}

void
blob_head_write(uint8_t out[BLOB_HEAD_LEN])
{
    memset(out, 0, BLOB_HEAD_LEN);
    memcpy(out, head_magic, sizeof(head_magic));
    out[sizeof(head_magic)] = SEAL_VERSION;
}

bool
blob_head_valid(const uint8_t head[BLOB_HEAD_LEN])
{
    uint8_t expected[BLOB_HEAD_LEN];

    blob_head_write(expected);
    return memcmp(head, expected, BLOB_HEAD_LEN) == 0;
}

static void
seal_freep(struct blob_seal **seal)
{
    blob_seal_free(*seal);
}

/* The whole digest of the tenant, not the half of it that names the directory. */
int
blob_seal_new(struct blob_seal **ret, const char *tenant, const char *id, const uint8_t key[BLOB_KEY_LEN])
{
    _cleanup_(seal_freep) struct blob_seal *seal = NULL;
    const size_t id_len = strlen(id);
    uint8_t *p;
    int r;

    if (!blob_id_valid(id)) {
        return -EINVAL;
    }
    seal = calloc(1, sizeof(*seal));
    if (seal == NULL) {
        return -ENOMEM;
    }
    p = seal->aad;
    memcpy(p, label, sizeof(label));
    p += sizeof(label);
    r = sbx_sha256(tenant, strlen(tenant), p);
    if (r) {
        return r;
    }
    p += SBX_SHA256_LEN;
    *p++ = (uint8_t)id_len;
    memcpy(p, id, id_len);
    p += id_len;
    seal->aad_len = (size_t)(p - seal->aad) + 9;
    r = sbx_gcm_new(&seal->gcm, key);
    if (r) {
        return r;
    }
    *ret = steal(&seal);
    return 0;
}

struct blob_seal *
blob_seal_free(struct blob_seal *seal)
{
    if (seal != NULL) {
        sbx_gcm_free(seal->gcm);
        free(seal);
    }
    return NULL;
}

static void
seal_message(struct blob_seal *seal, struct sbx_gcm_message *ret, uint8_t nonce[SBX_GCM_NONCE_LEN],
             uint64_t frame)
{
    uint8_t *number = seal->aad + seal->aad_len - 9;

    for (unsigned i = 0; i < 8; i++) {
        number[i] = (uint8_t)(frame >> (56 - 8 * i));
    }
    memset(nonce, 0, SBX_GCM_NONCE_LEN);
    memcpy(nonce + SBX_GCM_NONCE_LEN - 8, number, 8);
    *ret = (struct sbx_gcm_message){ .nonce = nonce, .aad = seal->aad, .aad_len = seal->aad_len };
}

int
blob_seal_frame(struct blob_seal *seal, uint64_t frame, bool last, uint8_t *data, size_t len)
{
    uint8_t nonce[SBX_GCM_NONCE_LEN];
    struct sbx_gcm_message message;

    seal_message(seal, &message, nonce, frame);
    seal->aad[seal->aad_len - 1] = last;
    message.data = data;
    message.len = len;
    message.tag = data + len;
    return sbx_gcm_seal(seal->gcm, &message);
}

int
blob_unseal_frame(struct blob_seal *seal, uint64_t frame, bool last, uint8_t *data, size_t len)
{
    uint8_t nonce[SBX_GCM_NONCE_LEN];
    struct sbx_gcm_message message;

    seal_message(seal, &message, nonce, frame);
    seal->aad[seal->aad_len - 1] = last;
    message.data = data;
    message.len = len;
    message.tag = data + len;
    return sbx_gcm_open(seal->gcm, &message);
}
