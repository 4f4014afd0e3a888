/*
 * Tokens, twice: the input as a token (no key of ours signed it, so it must be refused),
 * and as header and claims, divided by a newline, that were rightly signed: what is
 * accepted must be an identity that a tenant may have.
 */
#include "ngx_sandbox_module/ngx_sandbox_jwt.h"

#include <stdlib.h>
#include <string.h>

#define NOW 1767323045u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char secret[] = "0123456789abcdef0123456789abcdef";
static struct ngx_sandbox_jwt_rules rules = {
    .algs = (1u << NGX_SANDBOX_N_ALGS) - 1,
    .issuer = { "local" },
    .n_issuers = 1,
    .audience = { "sandbox" },
    .n_audiences = 1,
    .leeway_s = 30,
    .claim = { "tenant", "org.app", "agent", "sub", "scope" },
    .has_services = true,
    .service_claim = "gty",
    .service_value = "client-credentials",
};

static void
make_keys(void)
{
    static const struct ngx_sandbox_key_spec plain, named = { .kid = "main", .kid_len = 4 };
    struct ngx_sandbox_bytes bytes = { (const uint8_t *)secret, strlen(secret) };
    struct sbx_field_error err;
    struct ngx_sandbox_keys *keys;

    if (ngx_sandbox_keys_new(&keys) != 0 || ngx_sandbox_keys_add_secret(keys, bytes, &plain, &err) != 0 ||
        ngx_sandbox_keys_add_secret(keys, bytes, &named, &err) != 0) {
        abort();
    }
    rules.keys = keys;
}

static void
check_identity(const struct ngx_sandbox_identity *identity)
{
    if (!ngx_sandbox_identity_name_valid(identity->tenant, strlen(identity->tenant)) ||
        identity->subject[0] == '\0' || identity->expires_s + rules.leeway_s <= NOW ||
        !ngx_sandbox_identity_current(identity, rules.leeway_s, NOW)) {
        abort();
    }
    if (identity->client[0] != '\0' &&
        (!ngx_sandbox_identity_name_valid(identity->client, strlen(identity->client)) ||
         identity->app[0] == '\0')) {
        abort();
    }
    for (const char *p = identity->subject; *p != '\0'; p++) {
        if (*p < 0x20 || *p > 0x7e || *p == '"') {
            abort();
        }
    }
}

static void
check_signed(const char *header, size_t header_len, const char *claims, size_t claims_len)
{
    struct sbx_buf token = SBX_BUF_INIT(1 << 16);
    struct ngx_sandbox_identity identity;
    char issuer[NGX_SANDBOX_ISSUER_MAX + 1];
    uint8_t mac[SBX_SHA256_LEN];
    const char *why;

    sbx_b64url_encode(&token, header, header_len);
    sbx_buf_putc(&token, '.');
    sbx_b64url_encode(&token, claims, claims_len);
    if (token.failed || sbx_hmac_sha256(secret, strlen(secret), token.data, token.len, mac) != 0) {
        abort();
    }
    sbx_buf_putc(&token, '.');
    sbx_b64url_encode(&token, mac, sizeof(mac));
    if (ngx_sandbox_jwt_verify(&identity, token.data, token.len, &rules, NOW, &why) == 0) {
        check_identity(&identity);
        /* Whose keys were chosen by the issuer named there: it must be the one that was verified. */
        if (ngx_sandbox_jwt_issuer(issuer, token.data, token.len) != 0 || strcmp(issuer, "local") != 0) {
            abort();
        }
    }
    sbx_buf_deinit(&token);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct ngx_sandbox_identity identity;
    char issuer[NGX_SANDBOX_ISSUER_MAX + 1];
    const char *newline, *why;

    if (rules.keys == NULL) {
        make_keys();
    }
    if (size > NGX_SANDBOX_TOKEN_MAX + 64) {
        return 0;
    }
    if (ngx_sandbox_jwt_verify(&identity, text, size, &rules, NOW, &why) == 0) {
        abort();
    }
    if (ngx_sandbox_jwt_issuer(issuer, text, size) == 0 && strlen(issuer) > NGX_SANDBOX_ISSUER_MAX) {
        abort();
    }
    newline = memchr(text, '\n', size);
    if (newline != NULL) {
        check_signed(text, (size_t)(newline - text), newline + 1, size - (size_t)(newline - text) - 1);
    }
    return 0;
}
