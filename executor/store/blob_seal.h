/*
 * How a blob lies on the disk: a head of 8 bytes, "SBXB" and the version, then frames of 64 KiB, each enciphered by
 * itself with its tag behind it; the last one may be shorter and is there for an empty blob too. A frame's nonce is its
 * number. What is authenticated with it, tenant, id, number and whether it is the last, is why a frame opens in its own
 * place only: frames cannot be exchanged, left out, cut off or moved to another blob. The key is of one blob alone,
 * which is written once: no nonce comes twice. For worker threads.
 */
#pragma once

#include "blob.h"

#define BLOB_FRAME 65536u
#define BLOB_FRAME_SEALED (BLOB_FRAME + SBX_GCM_TAG_LEN)
#define BLOB_HEAD_LEN 8

struct blob_seal;

struct blob_layout {
    uint64_t size;   /* of what was put */
    uint64_t frames; /* at least 1 */
};

/* False: no blob has a file of this size. */
_must_check_ bool blob_layout_of(struct blob_layout *ret, uint64_t file_size);
static inline uint64_t
blob_frame_at(uint64_t frame)
{
    return BLOB_HEAD_LEN + frame * BLOB_FRAME_SEALED;
}

void blob_head_write(uint8_t out[BLOB_HEAD_LEN]);
_must_check_ bool blob_head_valid(const uint8_t head[BLOB_HEAD_LEN]);

/* -EINVAL when the id is none. */
_must_check_ int blob_seal_new(struct blob_seal **ret, const char *tenant, const char *id,
                               const uint8_t key[BLOB_KEY_LEN]);
struct blob_seal *blob_seal_free(struct blob_seal *seal);
/* Enciphers in place; the tag is written behind, so data has room for SBX_GCM_TAG_LEN more. */
_must_check_ int blob_seal_frame(struct blob_seal *seal, uint64_t frame, bool last, uint8_t *data,
                                 size_t len);
/* `len` without the tag, which follows. -EBADMSG when it is not what was sealed there. */
_must_check_ int blob_unseal_frame(struct blob_seal *seal, uint64_t frame, bool last, uint8_t *data,
                                   size_t len);
