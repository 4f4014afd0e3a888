#include <stdlib.h>
#include <string.h>

#include "ngx_sandbox_keys.h"

static void
key_deinit(struct ngx_sandbox_key *key)
{
    key->pkey = ngx_sandbox_pkey_free(key->pkey);
    if (key->secret != NULL) {
        explicit_bzero(key->secret, key->secret_len);
        free(key->secret);
        key->secret = NULL;
    }
}

int
ngx_sandbox_keys_new(struct ngx_sandbox_keys **ret)
{
    *ret = calloc(1, sizeof(**ret));
    return *ret == NULL ? -ENOMEM : 0;
}

struct ngx_sandbox_keys *
ngx_sandbox_keys_free(struct ngx_sandbox_keys *keys)
{
    if (keys == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < keys->n; i++) {
        key_deinit(&keys->key[i]);
    }
    free(keys);
    return NULL;
}

bool
ngx_sandbox_kid_valid(const char *kid, size_t len)
{
    if (len == 0 || len > NGX_SANDBOX_KID_MAX) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)kid[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

        if (!alnum && (c == '\0' || strchr("_.~:@+=-", c) == NULL)) {
            return false;
        }
    }
    return true;
}

/* Fills the parts every kind of key has; key->type is set by the caller. */
static int
key_describe(struct ngx_sandbox_key *key, const struct ngx_sandbox_key_spec *spec,
             struct sbx_field_error *err)
{
    enum ngx_sandbox_alg alg;

    key->algs = ngx_sandbox_algs_of(key->type);
    if (spec->alg_len != 0) {
        if (!ngx_sandbox_alg_by_name(&alg, spec->alg, spec->alg_len)) {
            sbx_field_error_set(err, "alg", "the algorithm is not supported");
            return KEYS_E_REFUSED;
        }
        if ((key->algs & (1u << alg)) == 0) {
            sbx_field_error_set(err, "alg", "%s does not go with a key of this type",
                                ngx_sandbox_alg_name(alg));
            return KEYS_E_REFUSED;
        }
        key->algs = 1u << alg;
    }
    if (spec->kid_len != 0) {
        if (!ngx_sandbox_kid_valid(spec->kid, spec->kid_len)) {
            sbx_field_error_set(err, "kid", "must be 1 to %d of the characters A-Z a-z 0-9 _ . ~ : @ + = -",
                                NGX_SANDBOX_KID_MAX);
            return KEYS_E_REFUSED;
        }
        memcpy(key->kid, spec->kid, spec->kid_len);
    }
    return 0;
}

static int
keys_room(const struct ngx_sandbox_keys *keys, struct sbx_field_error *err)
{
    if (keys->n < NGX_SANDBOX_KEYS_MAX) {
        return 0;
    }
    sbx_field_error_set(err, "", "there are more than %d keys", NGX_SANDBOX_KEYS_MAX);
    return KEYS_E_REFUSED;
}

int
ngx_sandbox_keys_add_secret(struct ngx_sandbox_keys *keys, struct ngx_sandbox_bytes secret,
                            const struct ngx_sandbox_key_spec *spec, struct sbx_field_error *err)
{
    struct ngx_sandbox_key key = { .type = NGX_SANDBOX_KEY_SECRET };
    int r;

    if (secret.len < NGX_SANDBOX_SECRET_MIN || secret.len > NGX_SANDBOX_SECRET_MAX) {
        sbx_field_error_set(err, "", "a secret must have %d to %d bytes", NGX_SANDBOX_SECRET_MIN,
                            NGX_SANDBOX_SECRET_MAX);
        return KEYS_E_REFUSED;
    }
    r = keys_room(keys, err);
    if (r) {
        return r;
    }
    r = key_describe(&key, spec, err);
    if (r) {
        return r;
    }
    key.secret = malloc(secret.len);
    if (key.secret == NULL) {
        return -ENOMEM;
    }
    memcpy(key.secret, secret.data, secret.len);
    key.secret_len = secret.len;
    keys->key[keys->n++] = key;
    return 0;
}

int
ngx_sandbox_keys_add_pkey(struct ngx_sandbox_keys *keys, struct ngx_sandbox_pkey *pkey,
                          const struct ngx_sandbox_key_spec *spec, struct sbx_field_error *err)
{
    struct ngx_sandbox_key key = { .type = ngx_sandbox_pkey_type(pkey), .pkey = pkey };
    int r;

    r = keys_room(keys, err);
    if (r == 0) {
        r = key_describe(&key, spec, err);
    }
    if (r) {
        key_deinit(&key);
        return r;
    }
    keys->key[keys->n++] = key;
    return 0;
}

int
ngx_sandbox_keys_add_pem(struct ngx_sandbox_keys *keys, const char *pem, size_t len,
                         const struct ngx_sandbox_key_spec *spec, struct sbx_field_error *err)
{
    struct ngx_sandbox_pkey *pkey;
    int r;

    r = ngx_sandbox_pkey_from_pem(&pkey, pem, len);
    if (r == PKEY_E_FORM) {
        sbx_field_error_set(err, "", "there is no PEM public key or certificate in it");
        return KEYS_E_REFUSED;
    }
    if (r == PKEY_E_TYPE) {
        sbx_field_error_set(err, "",
                            "only RSA of %d to %d bits, EC P-256, EC P-384 and Ed25519 keys are taken",
                            NGX_SANDBOX_RSA_BITS_MIN, NGX_SANDBOX_RSA_BITS_MAX);
        return KEYS_E_REFUSED;
    }
    if (r) {
        return r < 0 ? r : -EINVAL;
    }
    return ngx_sandbox_keys_add_pkey(keys, pkey, spec, err);
}

int
ngx_sandbox_keys_digest(const struct ngx_sandbox_keys *keys, struct sbx_sha256 *state)
{
    for (unsigned i = 0; i < keys->n; i++) {
        const struct ngx_sandbox_key *key = &keys->key[i];
        const void *material = key->secret;
        size_t len = key->secret_len;
        uint64_t head[3];
        int r;

        if (key->pkey != NULL) {
            material = ngx_sandbox_pkey_pem(key->pkey, &len);
        }
        head[0] = key->algs;
        head[1] = strlen(key->kid);
        head[2] = len;
        r = sbx_sha256_update(state, head, sizeof(head));
        if (r == 0) {
            r = sbx_sha256_update(state, key->kid, strlen(key->kid));
        }
        if (r == 0) {
            r = sbx_sha256_update(state, material, len);
        }
        if (r) {
            return r < 0 ? r : -EINVAL;
        }
    }
    return 0;
}
