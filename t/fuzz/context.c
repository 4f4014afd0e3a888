/*
 * The identity context, twice: the input as a header (no key of ours made it,
 * so it must be refused) and as a payload that was rightly signed (what is
 * accepted can be signed again).
 */
#include "lib/sbx_context.h"

#include <stdlib.h>
#include <string.h>

#include "lib/sbx_crypto.h"

#define NOW 1767323045678u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char key[] = "0123456789abcdef0123456789abcdef";

static void
check_payload(const uint8_t *data, size_t size)
{
    struct sbx_buf header = SBX_BUF_INIT(1 << 20), again = SBX_BUF_INIT(1 << 20);
    struct sbx_context context;
    uint8_t mac[SBX_SHA256_LEN];

    sbx_buf_puts(&header, "v1.");
    sbx_b64url_encode(&header, data, size);
    if (header.failed || sbx_hmac_sha256(key, strlen(key), header.data, header.len, mac) != 0) {
        abort();
    }
    sbx_buf_putc(&header, '.');
    sbx_b64url_encode(&header, mac, sizeof(mac));

    if (sbx_context_verify(&context, header.data, header.len, key, strlen(key), NOW) == 0 &&
        sbx_context_sign(&again, &context, key, strlen(key)) != 0) {
        abort();
    }
    sbx_buf_deinit(&header);
    sbx_buf_deinit(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sbx_context context;

    if (size > SBX_CONTEXT_MAX * 2) {
        return 0;
    }
    if (sbx_context_verify(&context, (const char *)data, size, key, strlen(key), NOW) == 0) {
        abort();
    }
    (void)sbx_traceparent_valid((const char *)data, size); /* only that it reads within its bounds */
    check_payload(data, size);
    return 0;
}
