/*
 * The identity context, three times: the input as a header (no key of ours made it, so it must be refused), as a payload
 * that was rightly signed (what is accepted can be signed again), and as the rest of one whose first part is known. Of the
 * latter two a verifier that has seen all inputs says what one says that has seen none.
 */
#include "lib/sbx_context.h"

#include <stdlib.h>
#include <string.h>

#include "lib/sbx_crypto.h"

#define NOW 1767323045678u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char key[] = "0123456789abcdef0123456789abcdef";

static struct sbx_context_verifier *verifier; /* of all inputs */

/* A first part as the signer writes it, of which so many spaces are used that the second one begins a group of base64. */
static const char first[] =
    "{\"tenant\":\"t\",\"app\":\"\",\"agent\":\"\",\"sub\":\"s\",\"jti\":\"\",\"scopes\":\"x\",\"policy\":"
    "\"p\",\"policy_v\":1,"
    "\"policy_r\":2,\"artifacts\":1,\"art_bytes\":1,\"wait_ms\":1,\"concurrency\":1,\"sessions\":1,\"ttl_"
    "ms\":1,\"ttl_max\":1,"
    "\"idle_ms\":1,\"idle_max\":1,\"step_ms\":1,\"step_max\":1,\"life_ms\":1,\"up_bytes\":1,\"art_total\":1,"
    "\"keep_rec\":1,"
    "\"keep_art\":1,\"keep_audit\":1,\"cpu_tenant\":1,\"cpu_app\":1,\"cpu_agent\":1,\"bypass\":false,   ";
static const char own[] = "\"rid\":\"r\",\"trace\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"
                          "01\",\"client\":\"::1\",\"tool\":\"\","
                          "\"iat\":1767323045678";

static int
verify_signed(struct sbx_context_verifier *with, const struct sbx_buf *header, struct sbx_buf *again)
{
    struct sbx_context context;
    const int r = sbx_context_verify(&context, with, header->data, header->len, NOW);

    if (r == 0 && sbx_context_sign(again, &context, key, strlen(key)) != 0) {
        abort();
    }
    return r;
}

/* Of the payload that `json` holds. */
static void
check_payload(const struct sbx_buf *json)
{
    struct sbx_buf header = SBX_BUF_INIT(1 << 20), kept = SBX_BUF_INIT(1 << 20),
                   alone = SBX_BUF_INIT(1 << 20);
    struct sbx_context_verifier *fresh;
    uint8_t mac[SBX_SHA256_LEN];
    int r;

    sbx_buf_puts(&header, "v1.");
    sbx_b64url_encode(&header, json->data, json->len);
    if (header.failed || sbx_hmac_sha256(key, strlen(key), header.data, header.len, mac) != 0 ||
        sbx_context_verifier_new(&fresh, key, strlen(key)) != 0) {
        abort();
    }
    sbx_buf_putc(&header, '.');
    sbx_b64url_encode(&header, mac, sizeof(mac));

    r = verify_signed(verifier, &header, &kept);
    if (r != verify_signed(fresh, &header, &alone) || (r == 0 && strcmp(kept.data, alone.data) != 0)) {
        abort();
    }
    sbx_context_verifier_free(fresh);
    sbx_buf_deinit(&header);
    sbx_buf_deinit(&kept);
    sbx_buf_deinit(&alone);
}

static void
check_payloads(const uint8_t *data, size_t size)
{
    static const char *const before[] = { "", first, own };
    struct sbx_buf json = SBX_BUF_INIT(1 << 20);
    size_t i, k;

    for (i = 0; i < SBX_COUNT(before); i++) {
        sbx_buf_reset(&json);
        for (k = 1; k <= i; k++) {
            sbx_buf_append(&json, before[k], strlen(before[k]) - (k == 1 ? strlen(before[k]) % 3 : 0));
        }
        sbx_buf_append(&json, data, size);
        check_payload(&json);
    }
    sbx_buf_deinit(&json);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sbx_context context;

    if (size > SBX_CONTEXT_MAX * 2) {
        return 0;
    }
    if (verifier == NULL && sbx_context_verifier_new(&verifier, key, strlen(key)) != 0) {
        abort();
    }
    if (sbx_context_verify(&context, verifier, (const char *)data, size, NOW) == 0) {
        abort();
    }
    (void)sbx_traceparent_valid((const char *)data, size); /* only that it reads within its bounds */
    check_payloads(data, size);
    return 0;
}
