/*
 * The file of a blob, which whoever has the disk may have written: its size has a layout that accounts for every byte or
 * none, and no frame opens that was not sealed there.
 */
#include "executor/store/blob_seal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t key[BLOB_KEY_LEN] = "0123456789abcdef0123456789abcde";

static void
check_layout(uint64_t file_size)
{
    struct blob_layout layout;
    uint64_t last;

    if (!blob_layout_of(&layout, file_size)) {
        return;
    }
    last = layout.size - (layout.frames - 1) * BLOB_FRAME;
    assert(layout.frames >= 1 && last <= BLOB_FRAME && (last > 0 || layout.frames == 1));
    assert(blob_frame_at(layout.frames - 1) + last + SBX_GCM_TAG_LEN == file_size);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct blob_layout layout;
    struct blob_seal *seal;
    uint64_t file_size;
    uint8_t *copy;

    if (size < sizeof(file_size)) {
        return 0;
    }
    memcpy(&file_size, data, sizeof(file_size));
    check_layout(file_size);
    check_layout(size);
    if (!blob_layout_of(&layout, size) || !blob_head_valid(data) || layout.frames > 1) {
        return 0;
    }
    copy = malloc(size);
    assert(copy != NULL && blob_seal_new(&seal, "acme", "art_x", key) == 0);
    memcpy(copy, data, size);
    assert(blob_unseal_frame(seal, 0, true, copy + BLOB_HEAD_LEN, (size_t)layout.size) == -EBADMSG);
    blob_seal_free(seal);
    free(copy);
    return 0;
}
