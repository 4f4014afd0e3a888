#include <stdio.h>
#include <string.h>

#include "ngx_sandbox_jwk.h"

#define JWK_PATH_MAX 32
#define JWK_MEMBER_MAX (4ul * 1024)

enum { JWK_SKIP = 100 }; /* within this file: a key that is not for us */

struct jwk {
    const json_t *object;
    char path[JWK_PATH_MAX];
    const char *kty, *crv;
    size_t kty_len, crv_len;
    struct ngx_sandbox_key_spec spec;
    struct sbx_field_error *err;
};

static int
jwk_refuse(const struct jwk *jwk, const char *member, const char *why)
{
    char field[JWK_PATH_MAX + 16];

    (void)snprintf(field, sizeof(field), "%s/%s", jwk->path, member); /* both parts are short and ours */
    sbx_field_error_set(jwk->err, field, "%s", why);
    return KEYS_E_REFUSED;
}

static bool
equals(const char *text, size_t len, const char *word)
{
    return text != NULL && strlen(word) == len && memcmp(text, word, len) == 0;
}

/* A required member in base64url, appended to `out` (empty before). */
static int
jwk_bytes(const struct jwk *jwk, const char *member, struct sbx_buf *out, struct ngx_sandbox_bytes *ret)
{
    const char *text = NULL;
    size_t len = 0;

    if (!sbx_json_get_str(jwk->object, jwk->path, member, JWK_MEMBER_MAX, &text, &len, jwk->err)) {
        return KEYS_E_REFUSED;
    }
    if (text == NULL || len == 0) {
        return jwk_refuse(jwk, member, "is required");
    }
    if (!sbx_b64url_decode(out, text, len)) {
        return jwk_refuse(jwk, member, "must be base64url without padding");
    }
    if (out->failed) {
        return -ENOMEM;
    }
    ret->data = (const uint8_t *)out->data;
    ret->len = out->len;
    return 0;
}

static int
jwk_add_pkey(struct ngx_sandbox_keys *keys, const struct jwk *jwk, struct ngx_sandbox_pkey *pkey, int r)
{
    if (r == PKEY_E_FORM) {
        return jwk_refuse(jwk, "kty", "the numbers make no key");
    }
    if (r == PKEY_E_TYPE) {
        return jwk_refuse(jwk, "kty", "the key's size is not taken");
    }
    if (r) {
        return r < 0 ? r : -EINVAL;
    }
    r = ngx_sandbox_keys_add_pkey(keys, pkey, &jwk->spec, jwk->err);
    if (r == KEYS_E_REFUSED) {
        return jwk_refuse(jwk, "alg",
                          "the algorithm or kid does not fit the key, or there are too many keys");
    }
    return r;
}

static int
jwk_add_rsa(struct ngx_sandbox_keys *keys, const struct jwk *jwk)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf n_buf = SBX_BUF_INIT(JWK_MEMBER_MAX);
    _cleanup_(sbx_buf_deinit) struct sbx_buf e_buf = SBX_BUF_INIT(JWK_MEMBER_MAX);
    struct ngx_sandbox_pkey *pkey = NULL;
    struct ngx_sandbox_bytes n, e = { 0 };
    int r;

    r = jwk_bytes(jwk, "n", &n_buf, &n);
    if (r == 0) {
        r = jwk_bytes(jwk, "e", &e_buf, &e);
    }
    if (r) {
        return r;
    }
    r = ngx_sandbox_pkey_from_rsa(&pkey, n, e);
    return jwk_add_pkey(keys, jwk, pkey, r);
}

static int
jwk_add_ec(struct ngx_sandbox_keys *keys, const struct jwk *jwk)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf x_buf = SBX_BUF_INIT(JWK_MEMBER_MAX);
    _cleanup_(sbx_buf_deinit) struct sbx_buf y_buf = SBX_BUF_INIT(JWK_MEMBER_MAX);
    enum ngx_sandbox_key_type type = NGX_SANDBOX_KEY_P256;
    struct ngx_sandbox_pkey *pkey = NULL;
    struct ngx_sandbox_bytes x, y = { 0 };
    int r;

    if (equals(jwk->crv, jwk->crv_len, "P-384")) {
        type = NGX_SANDBOX_KEY_P384;
    } else if (!equals(jwk->crv, jwk->crv_len, "P-256")) {
        return JWK_SKIP;
    }
    r = jwk_bytes(jwk, "x", &x_buf, &x);
    if (r == 0) {
        r = jwk_bytes(jwk, "y", &y_buf, &y);
    }
    if (r) {
        return r;
    }
    r = ngx_sandbox_pkey_from_ec(&pkey, type, x, y);
    return jwk_add_pkey(keys, jwk, pkey, r);
}

static int
jwk_add_okp(struct ngx_sandbox_keys *keys, const struct jwk *jwk)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf x_buf = SBX_BUF_INIT(JWK_MEMBER_MAX);
    struct ngx_sandbox_pkey *pkey = NULL;
    struct ngx_sandbox_bytes x;
    int r;

    if (!equals(jwk->crv, jwk->crv_len, "Ed25519")) {
        return JWK_SKIP;
    }
    r = jwk_bytes(jwk, "x", &x_buf, &x);
    if (r) {
        return r;
    }
    r = ngx_sandbox_pkey_from_ed25519(&pkey, x);
    return jwk_add_pkey(keys, jwk, pkey, r);
}

static int
jwk_add_oct(struct ngx_sandbox_keys *keys, const struct jwk *jwk)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf k_buf = SBX_BUF_INIT(JWK_MEMBER_MAX);
    struct ngx_sandbox_bytes k;
    int r;

    r = jwk_bytes(jwk, "k", &k_buf, &k);
    if (r) {
        return r;
    }
    r = ngx_sandbox_keys_add_secret(keys, k, &jwk->spec, jwk->err);
    explicit_bzero(k_buf.data, k_buf.len);
    if (r == KEYS_E_REFUSED) {
        return jwk_refuse(jwk, "k", "the secret is too short, or its algorithm or kid does not fit");
    }
    return r;
}

/* RFC 7517 4.2, 4.3: a key that says it is for something else is left out. */
static int
jwk_purpose(const struct jwk *jwk)
{
    const char *use = NULL;
    json_t *ops = NULL;
    size_t len = 0, i;
    json_t *op;

    if (!sbx_json_get_str(jwk->object, jwk->path, "use", 64, &use, &len, jwk->err) ||
        !sbx_json_get_array(jwk->object, jwk->path, "key_ops", 16, &ops, jwk->err)) {
        return KEYS_E_REFUSED;
    }
    if (use != NULL && !equals(use, len, "sig")) {
        return JWK_SKIP;
    }
    if (ops == NULL) {
        return 0;
    }
    json_array_foreach (ops, i, op) {
        if (json_is_string(op) && strcmp(json_string_value(op), "verify") == 0) {
            return 0;
        }
    }
    return JWK_SKIP;
}

static int
jwk_read(struct jwk *jwk)
{
    enum ngx_sandbox_alg alg;
    int r;

    if (!json_is_object(jwk->object)) {
        sbx_field_error_set(jwk->err, jwk->path, "must be an object");
        return KEYS_E_REFUSED;
    }
    if (!sbx_json_get_str(jwk->object, jwk->path, "kty", 32, &jwk->kty, &jwk->kty_len, jwk->err) ||
        !sbx_json_get_str(jwk->object, jwk->path, "crv", 32, &jwk->crv, &jwk->crv_len, jwk->err) ||
        !sbx_json_get_str(jwk->object, jwk->path, "kid", NGX_SANDBOX_KID_MAX, &jwk->spec.kid,
                          &jwk->spec.kid_len, jwk->err) ||
        !sbx_json_get_str(jwk->object, jwk->path, "alg", 32, &jwk->spec.alg, &jwk->spec.alg_len, jwk->err)) {
        return KEYS_E_REFUSED;
    }
    if (jwk->kty == NULL) {
        return jwk_refuse(jwk, "kty", "is required");
    }
    r = jwk_purpose(jwk);
    if (r) {
        return r == JWK_SKIP ? JWK_SKIP : KEYS_E_REFUSED;
    }
    if (jwk->spec.alg != NULL && !ngx_sandbox_alg_by_name(&alg, jwk->spec.alg, jwk->spec.alg_len)) {
        return JWK_SKIP;
    }
    if (json_object_get(jwk->object, "d") != NULL) {
        return jwk_refuse(jwk, "d", "is a private key, which has no business at the edge");
    }
    return 0;
}

static int
jwk_add(struct ngx_sandbox_keys *keys, struct jwk *jwk)
{
    static const struct {
        const char *kty;
        int (*add)(struct ngx_sandbox_keys *keys, const struct jwk *jwk);
    } kinds[] = {
        { "RSA", jwk_add_rsa },
        { "EC", jwk_add_ec },
        { "OKP", jwk_add_okp },
        { "oct", jwk_add_oct },
    };
    int r;

    r = jwk_read(jwk);
    if (r) {
        return r == JWK_SKIP ? JWK_SKIP : KEYS_E_REFUSED;
    }
    for (size_t i = 0; i < SBX_COUNT(kinds); i++) {
        if (equals(jwk->kty, jwk->kty_len, kinds[i].kty)) {
            return kinds[i].add(keys, jwk);
        }
    }
    return JWK_SKIP;
}

int
ngx_sandbox_jwk_load(struct ngx_sandbox_keys *keys, const char *text, size_t len, struct sbx_field_error *err)
{
    _cleanup_(sbx_json_decrefp) json_t *document = NULL;
    json_t *list = NULL, *item;
    unsigned before = keys->n;
    size_t i;
    int r;

    r = sbx_json_parse(&document, text, len, err);
    if (r) {
        return r == SBX_JSON_E_SYNTAX ? KEYS_E_REFUSED : r;
    }
    if (!json_is_object(document) ||
        !sbx_json_get_array(document, "", "keys", NGX_SANDBOX_KEYS_MAX, &list, err) || list == NULL) {
        sbx_field_error_set(err, "/keys", "a JWK set is an object with an array \"keys\" of at most %d",
                            NGX_SANDBOX_KEYS_MAX);
        return KEYS_E_REFUSED;
    }
    json_array_foreach (list, i, item) {
        struct jwk jwk = { .object = item, .err = err };

        (void)snprintf(jwk.path, sizeof(jwk.path), "/keys/%zu", i); /* fits: i is below 64 */
        r = jwk_add(keys, &jwk);
        if (r != 0 && r != JWK_SKIP) {
            return r;
        }
    }
    if (keys->n == before) {
        sbx_field_error_set(err, "/keys", "there is no usable signature key in the set");
        return KEYS_E_REFUSED;
    }
    return 0;
}
