/* base64: a text that decodes is the only text that does, and every byte string comes back. */
#include "lib/sbx_crypto.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef void (*encode_fn)(struct sbx_buf *out, const void *data, size_t len);
typedef bool (*decode_fn)(struct sbx_buf *out, const char *text, size_t len);

static void
check(encode_fn encode, decode_fn decode, const uint8_t *data, size_t size)
{
    struct sbx_buf raw = SBX_BUF_INIT(1 << 24), text = SBX_BUF_INIT(1 << 24);

    if (decode(&raw, (const char *)data, size)) {
        encode(&text, raw.data, raw.len);
        if (text.failed || text.len != size || (size > 0 && memcmp(text.data, data, size) != 0)) {
            abort();
        }
    }

    sbx_buf_reset(&raw);
    sbx_buf_reset(&text);
    encode(&text, data, size);
    if (!decode(&raw, text.data, text.len) || raw.len != size ||
        (size > 0 && memcmp(raw.data, data, size) != 0)) {
        abort();
    }
    sbx_buf_deinit(&raw);
    sbx_buf_deinit(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check(sbx_b64_encode, sbx_b64_decode, data, size);
    check(sbx_b64url_encode, sbx_b64url_decode, data, size);
    return 0;
}
